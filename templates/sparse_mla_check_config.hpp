#pragma once

// What the kernels that check others are given, read by them and by who launches them, as
// sparse_mla_config.hpp is.

#include "sparse_mla_config.hpp"

namespace mla {

// Their geometry: one wave for each token and head.
constexpr ReduceConfig kCheckGeometry{.block_h = 1, .waves = 1};

// How the rows of two results differ, one for each token and head.
struct RowDifference {
  float max_error;           // over elements that are finite in both
  float difference_squares;  // sums over the same
  float squares;             // of both results
  float misses;              // elements beyond the tolerance
  float first_column;        // of these; -1: none
  float got, expected;       // there
  float lse_misses;          // 0 or 1
  float lse_got, lse_expected;
};

// Kernel arguments of sparse_mla_compare. Two results in the layout of DecodeArgs::out and lse,
// both dense; the bounds are kernels/compare.hpp's.
struct CompareArgs {
  const void* out;
  const float* lse;  // null: not compared
  const void* expected_out;
  const float* expected_lse;
  RowDifference* rows;  // [tokens, heads]
  float absolute;
  float relative;
  float lse_absolute;
  float lse_relative;
  int tokens;
  int heads;
};

}  // namespace mla
