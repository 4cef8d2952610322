#pragma once

// Combines the partial results that sparse_mla_decode left for the splits of each query row, and
// applies the sink:
//
//   m = max m_s     w_s = 2^(m_s - m)     out = sum w_s O_s / (sum w_s l_s + exp(sink - m))     lse
//   = ln(sum w_s e_s) + m
//
// over the splits s with l_s != 0; O_s of the others was never written and does not count. l_s sums
// the weights as PV had them, e_s the exact ones.

#include "sparse_mla_row_end.hpp"

namespace mla {

// Grid: reduce_grid(). Workgroup: threads(c, kLanes). A wave takes whole rows, or with more waves
// than heads a part of one row's columns.
template <ReduceConfig c>
MLA_DEVICE void sparse_mla_reduce(const ReduceArgs& args) {
  static_assert(
      valid(c),
      "this ReduceConfig has a field that is missing, unknown, or does not fit the others");
  constexpr int kShare = c.waves > c.block_h ? c.waves / c.block_h : 1;  // waves on one row
  constexpr int kRows = c.waves > c.block_h ? 1 : c.block_h / c.waves;   // rows of one wave
  constexpr int kAtOnce = 4;  // splits, so that loads do not wait for each other
  await_kernel_before();
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), wave = wave_id(), part = wave % kShare;
  const float* statistics =
      args.workspace + static_cast<long long>(args.tokens) * args.heads * args.splits * kHeadDim;

  MLA_UNROLL for (int r = 0; r < kRows; ++r) {
    const int head = static_cast<int>(group.y) * c.block_h + wave / kShare * kRows + r;
    if (head >= args.heads) break;
    const long long first = (static_cast<long long>(token) * args.heads + head) * args.splits;
    const float* mine = statistics + kStatistics * first;
    const float sink = sink_of(args.sink, head);  // asked for while the splits are
    const auto number = [&](int s, int i) MLA_LAMBDA {
      return read_uniform(mine + kStatistics * (s < args.splits ? s : args.splits - 1) + i);
    };
    float max = -infinity();
    for (int s0 = 0; s0 < args.splits; s0 += kAtOnce) {
      float found[kAtOnce];
      MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) found[i] = number(s0 + i, 0);
      MLA_UNROLL for (const float x : found) max = maximum(max, x);
    }
    const float offset = or_zero(max);
    float sum = 0, exact = 0;
    using Row = RowPart<kHeadDim / kShare>;
    Row row;
    clear(row);
    for (int s0 = 0; s0 < args.splits; s0 += kAtOnce) {
      Row rows[kAtOnce];
      float share[kAtOnce], precise[kAtOnce], weight[kAtOnce];
      MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) {
        const int s = s0 + i < args.splits ? s0 + i : args.splits - 1;
        load(rows[i], args.workspace + (first + s) * kHeadDim + part * (kHeadDim / kShare));
        share[i] = number(s, 1);
        precise[i] = number(s, 2);
        weight[i] = exp2_fast(number(s, 0) - offset);
      }
      MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) {
        if (s0 + i >= args.splits || share[i] == 0) continue;
        sum += share[i] * weight[i];
        exact += precise[i] * weight[i];
        add_scaled(row, rows[i], weight[i]);
      }
    }
    write_row(
        args.out,
        token * args.out_token_stride + head * args.out_head_stride + part * (kHeadDim / kShare),
        row, normaliser(max, sum, sink));
    if (args.lse != nullptr && part == 0 && speaks_for_wave()) {
      args.lse[token * args.lse_token_stride + head] = lse_of(max, sum, exact);
    }
  }
}

}  // namespace mla
