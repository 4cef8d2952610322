#pragma once

#include <cstdint>
#include <vector>

#include "db/records.hpp"
#include "templates/sparse_mla_config.hpp"

namespace mla {

// Throws Error{usage} with the field and the remedy unless the shape can be computed: 1 to 128
// heads, at least one token, lengths from 0, pages from 1, lists that fit 32-bit offsets.
void validate(const ProblemRecord& problem);

// Bytes that the kernel must move at least once (rows, scales, indices, q, out), and its
// floating-point operations (2 * 512 for QK and as many for PV, per head and key). Source of both:
// docs of the layout in sparse_mla_config.hpp.
double minimum_bytes(const ProblemRecord& problem);
double flops(const ProblemRecord& problem);

// One scope in host memory, as a serving engine would hold it: a paged cache of quantised rows and
// ragged index lists.
struct ScopeData {
  std::vector<std::uint8_t> cache;  // pages * page_stride
  std::int64_t page_stride = 0;     // bytes; page_size * 584 rounded up to a multiple of 576
  int page_size = 0;
  int rows = 0;
  Fp8Format format = Fp8Format::ocp;
  std::vector<std::int32_t> indices;
  std::vector<std::int32_t> indptr;  // tokens + 1 entries; empty: the scope is absent
};

// Everything one launch reads, in host memory. bf16 values are kept as their 16 bits.
struct ProblemData {
  int tokens = 0;
  int heads = 0;
  float scale = 0.04419417382415922f;  // 512^-0.5
  std::vector<std::uint16_t> q;        // [tokens, heads, 512], dense
  ScopeData main;
  ScopeData extra;
  std::vector<float> sink;  // [heads]; empty: none
};

// What to put into generated inputs besides ordinary rows.
struct InputOptions {
  std::uint64_t seed = 1;
  bool sink = true;
  bool sink_infinities = false;   // some sinks are +inf and some -inf
  double invalid_fraction = 0;    // share of slots that are -1, == rows or far outside
  double poisoned_fraction = 0;   // share of rows that hold e4m3 NaN, scale byte 255 or RoPE NaN
  double duplicate_fraction = 0;  // share of slots that repeat the one before
  bool empty_rows = false;        // some tokens have no valid key at all
  int spare_rows = 64;            // cached rows nobody refers to; they hold NaN throughout
  std::int64_t max_rows =
      1 << 18;  // cached rows of a scope that lists refer to; beyond, tokens share rows
};

// Fresh inputs for a problem: rows from a seeded generator, quantised by the canonical writer's
// rule (scale 2^ceil(log2( amax/448)) per 64 columns, e4m3 round to nearest even), slots in random
// order over pages. "ragged" lengths vary between 0 and the nominal length, at least one token
// having the nominal one.
ProblemData make_inputs(const ProblemRecord& problem, const InputOptions& options);

}  // namespace mla
