#pragma once

// How a row ends, whoever has summed it. Scores, maxima and sinks are to the base 2 here:
//
//   out = O / (l + 2^(sink - m))     lse = ln(e) + m ln 2
//
// where O is the sum of values times weights 2^(score - m), l that of the weights as PV had them,
// rounded to bf16, e that of the exact ones, and m the largest score. A row without keys has l = 0
// and m = -inf.

#include "machine.hpp"

namespace mla {

constexpr float kLog2E = 1.4426950408889634f;
constexpr float kLn2 = 0.6931471805599453f;

// What weights are counted from: 0 while there is no key.
MLA_DEVICE float or_zero(float max) { return max == -infinity() ? 0.0f : max; }
// `sinks`: DecodeArgs::sink.
MLA_DEVICE float sink_of(const float* sinks, int head) {
  return sinks != nullptr ? sinks[head] * kLog2E : -infinity();
}
MLA_DEVICE float normaliser(float max, float sum, float sink) {
  const float factor = reciprocal(sum + exp2_fast(sink - or_zero(max)));
  return sum == 0 ? 0.0f : factor;
}
MLA_DEVICE float lse_of(float max, float sum, float exact) {
  return sum == 0 ? infinity() : (max + log2_fast(exact)) * kLn2;
}
// What is known of a row besides its values: LSE where it is wanted, or of one of several splits
// the statistics for who merges them. To be called by one lane.
MLA_DEVICE void write_lse_or_statistics(const DecodeArgs& args, int token, int head, int split,
                                        int splits, float max, float sum, float exact) {
  if (splits == 1) {
    if (args.lse != nullptr)
      args.lse[token * args.lse_token_stride + head] = lse_of(max, sum, exact);
    return;
  }
  const long long rows = static_cast<long long>(args.tokens) * args.heads,
                  row = static_cast<long long>(token) * args.heads + head;
  float* statistics =
      args.workspace + rows * splits * kHeadDim + (row * splits + split) * kStatistics;
  statistics[0] = max;
  statistics[1] = sum;
  statistics[2] = exact;
}

}  // namespace mla
