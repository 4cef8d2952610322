#pragma once

// The geometry of a launch: grids, threads, and memory that workgroups leave things in for others.
// As sparse_mla_config.hpp, which has that of a workgroup, read by kernels and host alike.

#include "sparse_mla_parameters.hpp"

namespace mla {

#if defined(__HIPCC__) || defined(__CUDACC__) || defined(__HIPCC_RTC__) || defined(__CUDACC_RTC__)
#define MLA_HOST_DEVICE __host__ __device__
#else
#define MLA_HOST_DEVICE
#endif

constexpr int kHeadDim = 512;
constexpr int kNopeDim = 448;
constexpr int kRopeDim = 64;
constexpr int kGroupDim = 64;  // columns that share one scale; the eighth group is RoPE
constexpr int kGroups = 8;
constexpr int kRowBytes = 576;
constexpr int kScaleBytes = 8;
constexpr int kStatistics = 3;   // floats a query row and split, in the workspace
constexpr int kTeams = 2;        // of waves, with WaveSplit::blocks
constexpr int kMultipliers = 4;  // waves, with WaveSplit::roles and scorers
constexpr int kScorerGroups = 2;
constexpr int kScorers = 4;   // waves of a group
constexpr int kSummers = 8;   // waves, with WaveSplit::rows
constexpr int kFetchers = 4;  // waves, with LoadPath::bulk

// Workgroups along the split dimension.
MLA_HOST_DEVICE constexpr int total_splits(const Splits& s, bool has_extra) {
  if (s.split_main == 0) return s.split_extra;
  return s.split_main + (has_extra ? s.split_extra : 0);
}

// Results a row that sparse_mla_decode leaves to sparse_mla_reduce: its `splits`. One is final.
MLA_HOST_DEVICE constexpr int partials(const Config& c, const Splits& s, bool has_extra) {
  return total_splits(s, has_extra) / c.cluster;
}

// Floats of workspace for `splits` splits: un-normalised output rows [tokens, heads, splits, 512],
// then each row's statistics [tokens, heads, splits, 3]: the running maximum (base 2), the sum of
// the weights that made the row, and the sum of the weights before they were rounded to bf16. None
// for a single split.
MLA_HOST_DEVICE constexpr long long workspace_floats(long long tokens, int heads, int splits) {
  return splits <= 1 ? 0 : tokens * heads * splits * (kHeadDim + kStatistics);
}

// Counters that Merge::last needs: one for each token and group of block_h heads, with clusters for
// each of their workgroups.
MLA_HOST_DEVICE constexpr long long arrival_counters(const Config& c, long long tokens, int heads) {
  return tokens * ((heads + c.block_h - 1) / c.block_h) * c.cluster;
}
// As many as the dispatcher keeps, at the beginning of each workspace. What needs more has little
// to gain: it has a workgroup for every CU without splits.
constexpr int kArrivalCounters = 4096;

struct Dim3 {
  unsigned x, y, z;
};

// sparse_mla_decode: one workgroup per token, group of block_h heads, and split.
MLA_HOST_DEVICE constexpr Dim3 decode_grid(const Config& c, const Splits& s, int tokens, int heads,
                                           bool has_extra) {
  return {static_cast<unsigned>(tokens), static_cast<unsigned>((heads + c.block_h - 1) / c.block_h),
          static_cast<unsigned>(total_splits(s, has_extra))};
}

// sparse_mla_reduce: one workgroup per token and group of block_h heads.
MLA_HOST_DEVICE constexpr Dim3 reduce_grid(const ReduceConfig& c, int tokens, int heads) {
  return {static_cast<unsigned>(tokens), static_cast<unsigned>((heads + c.block_h - 1) / c.block_h),
          1u};
}

// Threads per workgroup; `lanes` is the machine's wave width (64 on gfx9, 32 on sm_90, 1 on the
// host).
MLA_HOST_DEVICE constexpr int threads(const Config& c, int lanes) { return c.waves * lanes; }
MLA_HOST_DEVICE constexpr int threads(const ReduceConfig& c, int lanes) { return c.waves * lanes; }

}  // namespace mla
