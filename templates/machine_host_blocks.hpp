#pragma once

// The host: the verbs of WaveSplit::blocks.

#include "machine_host_weights.hpp"

namespace mla {

// Groups `first_group` and on of a strip's rows into the tile from row0 on, by the wave that
// gathered them. Returns whether keys were shrunk, `lifts` then saying each key's.
template <Config c>
MLA_DEVICE bool fill_tile(LdsPtr tile, RawStrip<c>& raw, int row0, int first_group,
                          LdsPtr /*lifts*/) {
  for (int u = 0; u < gathered_groups(c); ++u) {
    const int g = first_group + u;
    store_keys<c>(tile, row0, g * kGroupDim, g == kGroups - 1, dequantise<c>(raw, first_group, u));
  }
  return false;
}
// Sets every NaN of the tile to 0, the waves each a part of it.
template <Config c>
MLA_DEVICE void clear_nan(LdsPtr tile, int wave) {
  for (int key = wave; key < c.block_k; key += c.waves) {
    for (int column = 0; column < kHeadDim; ++column) {
      const float x = read_bf16(tile_at<c>(tile, key, column));
      if (x != x) write_as<unsigned short>(tile_at<c>(tile, key, column), 0);
    }
  }
}
// Scores of the wave's heads with the keys of its team. `exchange`: block_weights_bytes(c) by which
// teams may help each other.
template <Config c, int kStrips>
MLA_DEVICE void score_block(ScoreTile<c.mfma> (&s)[kStrips], LdsPtr queries, LdsPtr tile,
                            LdsPtr /*exchange*/, int wave) {
  constexpr int kTeamWaves = c.waves / kTeams;
  const int head0 = wave % kTeamWaves * c.mfma, key0 = wave / kTeamWaves * kStrips * c.mfma;
  for (int n = 0; n < kStrips; ++n) {
    clear(s[n]);
    for (int column = 0; column < kHeadDim; ++column) {
      for (int r = 0; r < c.mfma; ++r) {
        const float k = read_bf16(tile_at<c>(tile, key0 + n * c.mfma + r, column));
        for (int h = 0; h < c.mfma; ++h)
          s[n].v[r][h] += k * read_bf16(queries + 2 * (column * c.block_h + head0 + h));
      }
    }
  }
}
// Of scores by key and head.
template <typename Scores>
MLA_DEVICE bool any_nan(const Scores& s) {
  for (const auto& key : s.v) {
    for (const float x : key) {
      if (x != x) return true;
    }
  }
  return false;
}
template <int M>
MLA_DEVICE bool has_nan(const ScoreTile<M>& s) {
  return any_nan(s);
}
// What becomes of scores and sums where keys were shrunk, which they are not here.
template <int M>
MLA_DEVICE void lift_scores(ScoreTile<M>&, LdsPtr /*lifts*/, float /*scale*/) {}
template <int M>
MLA_DEVICE void add_dropped(const ScoreTile<M>&, LdsPtr /*lifts*/, float /*scale*/,
                            const PerHead<M>& /*offset*/, PerHead<M>& /*sum*/,
                            PerHead<M>& /*exact*/) {}
// The wave's weights of a strip, for both teams: [head][key].
template <Config c>
MLA_DEVICE void share_weights(LdsPtr weights, int strip, const WeightTile<c.mfma>& w, int wave) {
  const int head0 = wave % (c.waves / kTeams) * c.mfma;
  for (int r = 0; r < c.mfma; ++r) {
    for (int h = 0; h < c.mfma; ++h)
      write_as(weights + 2 * ((head0 + h) * c.block_k + strip * c.mfma + r), to_bf16(w.v[r][h]));
  }
}
// out += P V for the columns of the wave's team.
template <Config c, int kPanels>
MLA_DEVICE void accumulate(OutputPanel<c.mfma> (&out)[kPanels], LdsPtr tile, LdsPtr weights,
                           int wave) {
  constexpr int kTeamWaves = c.waves / kTeams;
  const int head0 = wave % kTeamWaves * c.mfma, panel0 = wave / kTeamWaves * kPanels;
  for (int panel = 0; panel < kPanels; ++panel) {
    for (int key = 0; key < c.block_k; ++key) {
      float row[panel_columns(c)];
      for (int i = 0; i < panel_columns(c); ++i)
        row[i] = read_bf16(tile_at<c>(tile, key, (panel0 + panel) * panel_columns(c) + i));
      for (int h = 0; h < c.mfma; ++h) {
        const float weight = read_bf16(weights + 2 * ((head0 + h) * c.block_k + key));
        for (int i = 0; i < panel_columns(c); ++i) out[panel].v[h][i] += weight * row[i];
      }
    }
  }
}
}  // namespace mla
