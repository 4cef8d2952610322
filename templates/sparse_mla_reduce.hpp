#pragma once

// Combines the partial results that sparse_mla_decode left for the splits of each query row, and
// applies the sink:
//
//   m = max m_s     w_s = 2^(m_s - m)     out = sum w_s O_s / (sum w_s l_s + exp(sink - m))     lse
//   = ln(sum w_s e_s) + m
//
// over the splits s with l_s != 0; O_s of the others was never written and is not read. l_s sums
// the weights as PV had them, e_s the exact ones.

#include "machine.hpp"

namespace mla {

// Grid: reduce_grid(). Workgroup: threads(c, kLanes). A wave takes whole rows, or with more waves
// than heads a part of one row's columns.
template <ReduceConfig c>
MLA_DEVICE void sparse_mla_reduce(const ReduceArgs& args) {
  static_assert(
      valid(c),
      "this ReduceConfig has a field that is missing, unknown, or does not fit the others");
  constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
  constexpr int kShare = c.waves > c.block_h ? c.waves / c.block_h : 1;  // waves on one row
  constexpr int kRows = c.waves > c.block_h ? 1 : c.block_h / c.waves;   // rows of one wave
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), wave = wave_id(), part = wave % kShare;
  const float* statistics =
      args.workspace + static_cast<long long>(args.tokens) * args.heads * args.splits * kHeadDim;

  MLA_UNROLL for (int r = 0; r < kRows; ++r) {
    const int head = static_cast<int>(group.y) * c.block_h + wave / kShare * kRows + r;
    if (head >= args.heads) break;
    const long long first = (static_cast<long long>(token) * args.heads + head) * args.splits;
    float max = -infinity();
    const float* mine = statistics + kStatistics * first;
    for (int s = 0; s < args.splits; ++s) max = maximum(max, read_uniform(mine + kStatistics * s));
    const float offset = max == -infinity() ? 0.0f : max;
    float sum = 0, exact = 0;
    RowPart<kHeadDim / kShare> row;
    clear(row);
    for (int s = 0; s < args.splits; ++s, mine += kStatistics) {
      const float share = read_uniform(mine + 1);
      if (share == 0) continue;
      const float weight = exp2_fast(read_uniform(mine) - offset);
      sum += share * weight;
      exact += read_uniform(mine + 2) * weight;
      add_scaled(row, args.workspace + (first + s) * kHeadDim + part * (kHeadDim / kShare), weight);
    }
    const float sink = args.sink != nullptr ? args.sink[head] * kLog2E : -infinity();
    write_row(
        args.out,
        token * args.out_token_stride + head * args.out_head_stride + part * (kHeadDim / kShare),
        row, sum == 0 ? 0.0f : 1.0f / (sum + exp2_fast(sink - offset)));
    if (args.lse != nullptr && part == 0 && speaks_for_wave()) {
      args.lse[token * args.lse_token_stride + head] =
          sum == 0 ? infinity() : (max + log2_fast(exact)) * kLn2;
    }
  }
}

}  // namespace mla
