#pragma once

// Config::merge last: what splits leave of a row is merged by the workgroup that is last to leave
// its part, so that no kernel follows. Which one that is, a counter in memory says, and the one
// that finds it full makes it 0 again for the next launch.
//
// The order is that of a lock: what a workgroup's waves have written is before its barrier, the
// barrier before its arrival, which releases, and an arrival before those that acquire after it.

#include "sparse_mla_merge.hpp"

namespace mla {

// Waits for the waves that have written the workgroup's part.
template <Config c>
MLA_DEVICE void writers_barrier() {
#ifdef MLA_HAS_WEIGHTS
  group_barrier<c>();
#else
  barrier();
#endif
}

// Who merges what of a workgroup's heads. A cluster that merges by rows has left to each of its
// workgroups some rows, which that of the same rank in the last cluster takes; all others have left
// something of every row.
template <Config c>
struct LastShare {
  static constexpr bool kByRank = merges_by_rank(c);
  static constexpr int kRows = kByRank ? cluster_rows(c) : c.block_h;
  static constexpr int kWaves = c.waves < kRows ? 1 : c.waves / kRows;
  static constexpr int kShare = kWaves >= 4 ? 4 : kWaves >= 2 ? 2 : 1;  // waves on one row
};

// Called by the waves that have written the workgroup's part, c.waves of them. `word`: 4 bytes of
// LDS that nobody reads any more. With nothing to merge, or no counters, it does nothing.
template <Config c>
MLA_DEVICE void merge_if_last(const DecodeArgs& args, int token, int head0, int split, int splits,
                              LdsPtr word, int wave) {
  using Share = LastShare<c>;
  const int partials = splits / c.cluster, rank = split % c.cluster;
  if (partials == 1 || args.arrivals == nullptr) return;
  const int group = head0 / c.block_h, groups = (args.heads + c.block_h - 1) / c.block_h;
  unsigned* counter = args.arrivals + (static_cast<long long>(token) * groups + group) * c.cluster +
                      (Share::kByRank ? rank : 0);
  const unsigned expected = static_cast<unsigned>(Share::kByRank ? partials : splits);
  publish_to_device();
  writers_barrier<c>();
  if (wave == 0) {
    const bool last = count_arrival(counter) + 1 == expected;
    if (last && speaks_for_wave()) *counter = 0;
    write_mask(word, last ? 1u : 0u);
  }
  writers_barrier<c>();
  if (read_mask(word) == 0) return;
  see_device();
  const int first = Share::kByRank ? rank * Share::kRows : 0;
  const int part = wave % Share::kShare;
  MLA_ROLLED for (int n = wave / Share::kShare; n < Share::kRows; n += c.waves / Share::kShare) {
    const int row = first + n, head = head0 + row;
    if (row >= c.block_h || head >= args.heads) break;
    merge_row<Share::kShare, true>(args, partials, token, head, part);
  }
}

}  // namespace mla
