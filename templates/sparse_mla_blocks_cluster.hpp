#pragma once

// Config::cluster with WaveSplit::blocks: each workgroup merges some of the panels that those of
// its cluster have summed up, by the formulas of sparse_mla_reduce. Its own it keeps in registers.

#include "sparse_mla_scores.hpp"

namespace mla {

// Whether workgroup `rank` of its cluster is the one to merge a panel, counted in its team.
template <Config c>
MLA_DEVICE bool merges_panel(int panel, int rank) {
  return panel % c.cluster == rank;
}

// Makes of the statistics those of the cluster, and of the panels that merges_panel() names theirs.
// `panels` and `statistics`: LDS that is no longer read, kSharedPanel for each panel of each wave,
// and what write_statistics() takes for each wave. The caller calls leave_cluster() before the
// workgroup's end: others read its LDS.
template <Config c>
MLA_DEVICE void merge_panels(Attention<c>& a, LdsPtr panels, LdsPtr statistics, int rank,
                             int wave) {
  using H = PerHead<c.mfma>;
  constexpr int kPanels = Attention<c>::kPanels, kPeers = c.cluster - 1;
  static_assert(c.waves * kPanels * kSharedPanel <= query_bytes(c) + tiles_bytes(c));
  const LdsPtr mine = statistics + wave * c.mfma * 4 * kStatistics;
  const LdsPtr first = panels + wave * kPanels * kSharedPanel;
  write_statistics(mine, a.max[0], a.sum[0], a.exact[0]);
  MLA_UNROLL for (int panel = 0; panel < kPanels; ++panel) {
    if (!merges_panel<c>(panel, rank)) write_panel(first + panel * kSharedPanel, a.out[0][panel]);
  }
  share_with_cluster<c>(panels);
  const auto peer = [&](int n) MLA_LAMBDA { return (rank + 1 + n) % c.cluster; };
  H max = a.max[0], maxima[kPeers], sums[kPeers], exacts[kPeers], factor;
  MLA_UNROLL for (int n = 0; n < kPeers; ++n) {
    read_statistics_of_peer(mine, peer(n), maxima[n], sums[n], exacts[n]);
    MLA_UNROLL for (int i = 0; i < H::kCount; ++i) max.v[i] = maximum(max.v[i], maxima[n].v[i]);
  }
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
    factor.v[i] = exp2_fast(a.max[0].v[i] - or_zero(max.v[i]));
    a.sum[0].v[i] *= factor.v[i];
    a.exact[0].v[i] *= factor.v[i];
  }
  a.max[0] = max;
  MLA_UNROLL for (int panel = 0; panel < kPanels; ++panel) {
    if (merges_panel<c>(panel, rank)) multiply(a.out[0][panel], factor);
  }
  MLA_UNROLL for (int n = 0; n < kPeers; ++n) {
    MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
      factor.v[i] = exp2_fast(maxima[n].v[i] - or_zero(max.v[i]));
      a.sum[0].v[i] += factor.v[i] * sums[n].v[i];
      a.exact[0].v[i] += factor.v[i] * exacts[n].v[i];
    }
    MLA_UNROLL for (int panel = 0; panel < kPanels; ++panel) {
      if (!merges_panel<c>(panel, rank)) continue;
      add_panel_of_peer(first + panel * kSharedPanel, peer(n), a.out[0][panel], factor);
    }
  }
}

}  // namespace mla
