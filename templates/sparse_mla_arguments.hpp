#pragma once

// What the kernels are given at a launch.

namespace mla {

enum class Fp8Format : int { ocp = 1, fnuz = 2 };

// Which tiles of its scope a split takes.
enum class SplitMap : int { contiguous = 1, strided = 2 };

// Which workgroups of a split are next to each other, where a device has several dies, each with a
// cache of its own, and deals workgroups out to them in turn. A device of one die ignores it.
enum class GridOrder : int {
  tokens = 1,
  heads = 2,  // those of a token on one die, one after the other, so that rows come from its cache
};

// One scope of the KV cache: pages of `page_size` tokens, `page_stride` bytes apart; in each page
// token i has 448 e4m3 and 64 bf16 at byte i*576, and 7 UE8M0 scale bytes (one per 64 NoPE columns)
// at page_size*576 + i*8. Query token t reads the slots indices[indptr[t]] ..
// indices[indptr[t+1]-1]; a slot outside [0, rows) is skipped. indptr null: the scope is absent.
struct CacheScope {
  const unsigned char* cache;
  const int* indices;
  const int* indptr;
  long long page_stride;  // bytes; a multiple of 16
  int page_size;          // tokens
  int rows;               // tokens in the cache
  Fp8Format format;
  int ragged;  // not 0: lists are of different lengths, so that it matters which come first
};

// Kernel arguments of sparse_mla_decode, one struct by value. All pointers are device pointers;
// strides count elements.
struct DecodeArgs {
  const void* q;  // bf16 [tokens, heads, 512], last dimension dense, rows 16-byte aligned
  long long q_token_stride;
  long long q_head_stride;
  CacheScope main;
  CacheScope extra;
  const float* sink;  // fp32 [heads], in scaled-logit space; null: none
  void* out;          // bf16 [tokens, heads, 512], last dimension dense, rows 8-byte aligned
  long long out_token_stride;
  long long out_head_stride;
  float* lse;  // fp32 [tokens, heads], natural log, sink excluded, +inf for an empty row; null: not
               // wanted
  long long lse_token_stride;
  float* workspace;  // workspace_floats() of partials(); null when there is one
  float scale;       // softmax scale, 512^-0.5 for this model
  int tokens;
  int heads;
  int split_main;
  int split_extra;
  SplitMap split_map;
  GridOrder grid_order;
  int reserved;
  unsigned* arrivals;  // arrival_counters() zeros, and such again when the kernel has ended; null:
                       // whatever Config::merge, results are left to sparse_mla_reduce
};

// Kernel arguments of sparse_mla_reduce.
struct ReduceArgs {
  const float* workspace;
  const float* sink;
  void* out;
  long long out_token_stride;
  long long out_head_stride;
  float* lse;
  long long lse_token_stride;
  int tokens;
  int heads;
  int splits;
  int reserved;
};

}  // namespace mla
