#pragma once

// The kernel that merges what splits have left, where nobody else does: sparse_mla_merge.hpp.

#include "sparse_mla_merge.hpp"

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
  await_kernel_before();
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), wave = wave_id(), part = wave % kShare;
  MLA_UNROLL for (int r = 0; r < kRows; ++r) {
    const int head = static_cast<int>(group.y) * c.block_h + wave / kShare * kRows + r;
    if (head >= args.heads) break;
    merge_row<kShare, false>(args, args.splits, token, head, part);
  }
}

}  // namespace mla
