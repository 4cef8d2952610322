#pragma once

// What a variant of sparse MLA decode is: the parameters that are compiled, and those of a launch.
// It includes no standard header: hipRTC and NVRTC have none.

#include "sparse_mla_arguments.hpp"

namespace mla {

// How the waves of a workgroup share the work.
enum class WaveSplit : int {
  keys = 1,   // each wave takes whole key tiles of its own; partial results merge once, at the end
  heads = 2,  // the waves share the key tile, each computes its own heads
  columns = 3,  // the waves share QK by keys and PV by output columns; scores are exchanged
  weights = 4,  // the same, but each wave weighs its own keys, and the weights are exchanged
  blocks = 5,   // the waves fill the key tile out of rows that kFetchers others bring; half of them
                // weigh half of its keys each for all heads, then multiply half of the columns with
                // the weights of all
  roles = 6,  // kMultipliers waves multiply a tile as with weights, while the others fill the next
  scorers = 7,  // the same, but who fills a tile also scores it: kScorerGroups groups of waves take
                // turns, and the multipliers weigh and sum
  rows = 8,     // a tile stays rows as they came: kScorers waves score and weigh them, kSummers sum
                // them, and each dequantises for itself what it multiplies
};

// Where e4m3 becomes bf16.
enum class Dequantise : int {
  at_store = 1,  // once, on the way into the LDS tile that both products read
  at_use = 2,    // in registers for QK, and again for PV: less LDS, more VALU
};

enum class LoadPath : int {
  registers = 1,  // global memory -> registers
  direct = 2,     // global memory -> LDS, past the registers
  bulk = 3,  // the same by the copy engine, a whole row at a time, which waves of their own ask
             // for; with WaveSplit::roles, scorers,
             // rows and blocks
};

// How rows of the bf16 tile lie in LDS.
enum class LdsLayout : int { linear = 1, padded = 2, swizzled = 3 };

enum class QueryIn : int { registers = 1, lds = 2 };

// How V, stored one row a key, is read with keys along the contraction.
enum class ValueRead : int {
  transposing = 1,  // the LDS read that transposes (gfx950, sm_90)
  permuting = 2,    // 8-byte row reads and byte permutes
  strided = 3,      // 2-byte reads down a column
};

// Who merges the results that splits, or clusters of them, leave of a row.
enum class Merge : int {
  kernel = 1,  // sparse_mla_reduce, which follows
  last = 2,    // the workgroup that is last to leave its part, where DecodeArgs::arrivals is given
};

// The compiled parameters of sparse_mla_decode. Every field is a key of
// configs/spaces/sparse_mla_decode.yaml; no field may be zero, so that a forgotten one is refused
// by valid().
struct Config {
  int block_h;  // query heads per workgroup: 16, 32, 64, 128; with WaveSplit::weights, roles,
                // scorers and rows also 8
  int block_k;  // keys per tile (per wave with WaveSplit::keys, per workgroup otherwise): 16, 32,
                // 64, 128
  int waves;    // waves per workgroup: 1, 2, 4, 8; with WaveSplit::roles also 12 and 16; with
              // WaveSplit::scorers and rows 16; with WaveSplit::blocks kFetchers besides those that
              // work
  WaveSplit wave_split;
  int mfma;      // rows and columns of the matrix instruction: 16 or 32
  int stages;    // key tiles resident in LDS: 1 (one barrier more per tile) or 2; with
                 // WaveSplit::rows, of their weights
  int prefetch;  // key tiles in flight: 1 loads when needed, 2 loads one tile ahead, 3 two tiles
                 // ahead; with WaveSplit::rows those that LDS holds, 3
                 // to 5
  Dequantise dequantise;
  LoadPath load_path;
  int load_width;  // bytes per lane and load: 4, 8, 16
  LdsLayout lds_layout;
  QueryIn query_in;
  ValueRead value_read;
  int waves_per_eu;  // waves per SIMD that the compiler must leave registers for: 1 to 4
  int unroll;  // groups of 64 columns that the loop over a key's eight groups takes at once: 8, or
               // 1 with WaveSplit::weights and LoadPath::direct
  int rescale_threshold;  // -1: rescale at every tile; n > 0: only when the running maximum grew by
                          // more than 2^n
  int cluster = 1;  // splits whose workgroups merge their results among themselves, through each
                    // other's LDS: 1, 2, 4, 8, 10, 16. Splits::split_main is 0 then, and
                    // split_extra a multiple
  Merge merge = Merge::kernel;
};

// The launch parameters of sparse_mla_decode: same code, other grid.
struct Splits {
  int split_main;   // workgroups that share the main scope; 0: its tiles go in front of the extra
                    // scope's
  int split_extra;  // workgroups that share the extra scope (with split_main 0: both scopes)
  SplitMap split_map;
  GridOrder grid_order = GridOrder::tokens;
};

// The compiled parameters of sparse_mla_reduce: keys of configs/spaces/sparse_mla_reduce.yaml.
struct ReduceConfig {
  int block_h;  // query heads per workgroup: 1, 2, 4, 8, 16
  int waves;    // waves per workgroup: 1, 2, 4
};

}  // namespace mla
