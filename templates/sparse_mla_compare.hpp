#pragma once

// How two results of sparse MLA decode differ, row by row, by the criterion of kernels/compare.hpp.

#include "machine.hpp"
#include "sparse_mla_check_config.hpp"

namespace mla {

MLA_DEVICE float compared_bf16(const void* base, long long element) {
  union {
    unsigned bits;
    float value;
  } u{static_cast<unsigned>(static_cast<const unsigned short*>(base)[element]) << 16};
  return u.value;
}

MLA_DEVICE bool is_finite(float x) { return x - x == 0; }
MLA_DEVICE float magnitude(float x) { return x < 0 ? -x : x; }

MLA_DEVICE bool is_near(float got, float expected, float absolute, float relative) {
  if (!is_finite(got) || !is_finite(expected)) {
    return expected != expected ? got != got : got == expected;
  }
  const float error = magnitude(got - expected);
  return error < absolute || error < relative * magnitude(expected);
}

// Grid: {tokens, heads, 1}. Workgroup: threads(kCheckGeometry, kLanes).
MLA_DEVICE void sparse_mla_compare(const CompareArgs& args) {
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), head = static_cast<int>(group.y), lane = lane_id();
  const long long row = static_cast<long long>(token) * args.heads + head;

  RowDifference d{};
  d.first_column = kHeadDim;
  for (int column = lane; column < kHeadDim; column += kLanes) {
    const float got = compared_bf16(args.out, row * kHeadDim + column);
    const float expected = compared_bf16(args.expected_out, row * kHeadDim + column);
    if (!is_near(got, expected, args.absolute, args.relative)) {
      if (d.misses == 0) d.first_column = static_cast<float>(column);
      d.misses += 1;
    }
    if (!is_finite(got) || !is_finite(expected)) continue;
    d.max_error = maximum(d.max_error, magnitude(got - expected));
    d.difference_squares += (got - expected) * (got - expected);
    d.squares += got * got + expected * expected;
  }
  for (int bit = 1; bit < kLanes; bit *= 2) {
    d.max_error = maximum(d.max_error, from_lane_xor(d.max_error, bit));
    d.difference_squares += from_lane_xor(d.difference_squares, bit);
    d.squares += from_lane_xor(d.squares, bit);
    d.misses += from_lane_xor(d.misses, bit);
    d.first_column = -maximum(-d.first_column, -from_lane_xor(d.first_column, bit));
  }
  if (lane != 0) return;
  if (d.misses == 0) {
    d.first_column = -1;
  } else {
    const long long at = row * kHeadDim + static_cast<int>(d.first_column);
    d.got = compared_bf16(args.out, at);
    d.expected = compared_bf16(args.expected_out, at);
  }
  if (args.lse != nullptr) {
    d.lse_got = args.lse[row];
    d.lse_expected = args.expected_lse[row];
    d.lse_misses = is_near(d.lse_got, d.lse_expected, args.lse_absolute, args.lse_relative) ? 0 : 1;
  }
  args.rows[row] = d;
}

}  // namespace mla
