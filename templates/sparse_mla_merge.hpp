#pragma once

// Combines the partial results that sparse_mla_decode left for the splits of each query row, and
// applies the sink:
//
//   m = max m_s     w_s = 2^(m_s - m)     out = sum w_s O_s / (sum w_s l_s + exp(sink - m))     lse
//   = ln(sum w_s e_s) + m
//
// over the splits s with l_s != 0; O_s of the others was never written and does not count. l_s sums
// the weights as PV had them, e_s the exact ones. sparse_mla_reduce does so in a kernel of its own;
// with Merge::last the workgroup of a row that is last to leave its part does, to the same bits.

#include "sparse_mla_row_end.hpp"

namespace mla {

// Writes out and LSE of a row whose columns kShare waves share, this one being number `part` of
// them. `args`: ReduceArgs or DecodeArgs. kFresh: the partial results are of this very kernel.
template <int kShare, bool kFresh, typename Args>
MLA_DEVICE void merge_row(const Args& args, int splits, int token, int head, int part) {
  // Splits that are read at once, so that loads do not wait for each other.
  constexpr int kAtOnce = kShare >= 4 ? kQuarterRowsAtOnce : 4;
  const auto number = [](const float* p)
                          MLA_LAMBDA { return kFresh ? read_fresh(p) : read_uniform(p); };
  const float* statistics =
      args.workspace + static_cast<long long>(args.tokens) * args.heads * splits * kHeadDim;
  const long long first = (static_cast<long long>(token) * args.heads + head) * splits;
  const float sink = sink_of(args.sink, head);  // asked for while the splits are
  float max = -infinity(), sum = 0, exact = 0;
  using Row = RowPart<kHeadDim / kShare>;
  Row row;
  clear(row);
  // Rows are asked for together with their statistics, so that nothing is waited for twice.
  for (int s0 = 0; s0 < splits; s0 += kAtOnce) {
    Row rows[kAtOnce];
    float maxima[kAtOnce], share[kAtOnce], precise[kAtOnce];
    MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      const int s = s0 + i < splits ? s0 + i : splits - 1;
      const float* of_split = statistics + kStatistics * (first + s);
      maxima[i] = number(of_split);
      share[i] = number(of_split + 1);
      precise[i] = number(of_split + 2);
      load(rows[i], args.workspace + (first + s) * kHeadDim + part * (kHeadDim / kShare));
    }
    float largest = max;
    MLA_UNROLL for (const float x : maxima) largest = maximum(largest, x);
    const float offset = or_zero(largest), before = exp2_fast(max - offset);
    Row all;
    clear(all);
    add_scaled(all, row, before);
    max = largest;
    sum *= before;
    exact *= before;
    MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      if (s0 + i >= splits || share[i] == 0) continue;
      const float weight = exp2_fast(maxima[i] - offset);
      sum += share[i] * weight;
      exact += precise[i] * weight;
      add_scaled(all, rows[i], weight);
    }
    row = all;
  }
  write_row(
      args.out,
      token * args.out_token_stride + head * args.out_head_stride + part * (kHeadDim / kShare), row,
      normaliser(max, sum, sink));
  if (args.lse != nullptr && part == 0 && speaks_for_wave()) {
    args.lse[token * args.lse_token_stride + head] = lse_of(max, sum, exact);
  }
}

}  // namespace mla
