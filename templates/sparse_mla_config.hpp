#pragma once

// The geometry that follows from the parameters of a variant, and which parameters fit each other.
//
// Read by the kernels (hipRTC, NVRTC, the host compiler) and by the tuner and the dispatcher, so
// that a launch can never disagree with the code it launches. It includes no standard header:
// hipRTC and NVRTC have none.

#include "sparse_mla_grid.hpp"

namespace mla {

// Whether waves do different things all along.
MLA_HOST_DEVICE constexpr bool has_roles(const Config& c) {
  return c.wave_split == WaveSplit::roles || c.wave_split == WaveSplit::scorers ||
         c.wave_split == WaveSplit::rows;
}
// Waves that sum what those of other roles have made ready.
MLA_HOST_DEVICE constexpr int multipliers(const Config& c) {
  return c.wave_split == WaveSplit::rows ? kSummers : kMultipliers;
}
// With roles or LoadPath::bulk, the Config by which each kind of waves works, as if there were no
// other; of those who fill tiles with WaveSplit::scorers, a group. With WaveSplit::rows nobody
// does, and who scores stands for them.
MLA_HOST_DEVICE constexpr Config of_multipliers(Config c) {
  c.waves = multipliers(c);
  return c;
}
MLA_HOST_DEVICE constexpr Config of_fillers(Config c) {
  if (c.wave_split == WaveSplit::scorers || c.wave_split == WaveSplit::rows) {
    c.waves = kScorers;
    return c;
  }
  const int multipliers = has_roles(c) ? kMultipliers : 0;
  c.waves -= multipliers + (c.load_path == LoadPath::bulk ? kFetchers : 0);
  return c;
}
// Whether waves weigh keys of their own with all heads.
MLA_HOST_DEVICE constexpr bool weighs_by_key(const Config& c) {
  return c.wave_split == WaveSplit::weights || has_roles(c);
}
// Waves that exchange what they score and weigh, as there are others that do not; 0: all do. Of the
// Config of those who do.
MLA_HOST_DEVICE constexpr int meeting_waves(const Config& c) {
  if (c.wave_split == WaveSplit::rows) return c.waves;
  if (has_roles(c)) return kMultipliers;
  return c.load_path == LoadPath::bulk ? c.waves : 0;
}
// Whether queries' and a tile's columns lie in the order in which those who score multiply them out
// of registers.
MLA_HOST_DEVICE constexpr bool in_operand_order(const Config& c) {
  return c.wave_split == WaveSplit::weights || c.wave_split == WaveSplit::scorers ||
         c.wave_split == WaveSplit::rows;
}

// Whether each workgroup of a cluster merges some rows for all of it, not some columns.
MLA_HOST_DEVICE constexpr bool merges_by_rank(const Config& c) {
  return c.cluster > 1 && c.wave_split != WaveSplit::blocks;
}
// How many, of the Config of those who write: the waves of the cluster take whole quarters of rows,
// as many each.
MLA_HOST_DEVICE constexpr int cluster_rows(const Config& c) {
  const int waves = c.cluster * c.waves;
  return (4 * c.block_h + waves - 1) / waves * c.waves / 4;
}

// Strips are the mfma keys, head tiles the mfma heads, and panels the 4*mfma output columns that
// one group of matrix instructions covers. These say how many of each a wave works on.
MLA_HOST_DEVICE constexpr int strips_per_tile(const Config& c) { return c.block_k / c.mfma; }
MLA_HOST_DEVICE constexpr int head_tiles(const Config& c) {
  return c.block_h / c.mfma /
         (c.wave_split == WaveSplit::heads    ? c.waves
          : c.wave_split == WaveSplit::blocks ? c.block_h / c.mfma
                                              : 1);
}
MLA_HOST_DEVICE constexpr int panel_columns(const Config& c) { return 4 * c.mfma; }
MLA_HOST_DEVICE constexpr int panels(const Config& c) {
  return kHeadDim / panel_columns(c) /
         (c.wave_split == WaveSplit::columns  ? c.waves
          : c.wave_split == WaveSplit::blocks ? kTeams
                                              : 1);
}
// Strips that a wave gathers of each tile; with fewer strips than waves, several waves share one
// strip by groups.
MLA_HOST_DEVICE constexpr int gathered_strips(const Config& c) {
  if (c.wave_split == WaveSplit::keys) return strips_per_tile(c);
  return strips_per_tile(c) >= c.waves ? strips_per_tile(c) / c.waves : 1;
}
// Groups of 64 columns that a wave gathers of each of its strips.
MLA_HOST_DEVICE constexpr int gathered_groups(const Config& c) {
  if (c.wave_split == WaveSplit::keys || strips_per_tile(c) >= c.waves) return kGroups;
  if (c.load_path == LoadPath::bulk) return kGroups;
  return kGroups * strips_per_tile(c) / c.waves;
}

// Waves that share each strip, each taking some of its groups, or with LoadPath::bulk of its rows.
MLA_HOST_DEVICE constexpr int sharers(const Config& c) {
  return c.wave_split == WaveSplit::keys || strips_per_tile(c) >= c.waves
             ? 1
             : c.waves / strips_per_tile(c);
}

// Rows of each of its strips that a wave gathers.
MLA_HOST_DEVICE constexpr int gathered_rows(const Config& c) {
  return c.load_path == LoadPath::bulk ? c.mfma / sharers(c) : c.mfma;
}

// Sets of strips that are loading or waiting for their use. What is dequantised at once frees its
// set in time for the load of the tile after next.
MLA_HOST_DEVICE constexpr int sets_in_flight(const Config& c) {
  return c.dequantise == Dequantise::at_store && c.prefetch > 1 ? c.prefetch - 1 : c.prefetch;
}

// LDS, in the order in which its regions lie. Every region is a multiple of 16 bytes.
MLA_HOST_DEVICE constexpr int tile_row_bytes(const Config& c) {
  const int columns = c.dequantise == Dequantise::at_use ? panel_columns(c) : kHeadDim;
  return 2 * columns + (c.lds_layout == LdsLayout::padded ? 32 : 0);
}
MLA_HOST_DEVICE constexpr int tile_bytes(const Config& c) { return c.block_k * tile_row_bytes(c); }
MLA_HOST_DEVICE constexpr int query_bytes(const Config& c) {
  return c.query_in == QueryIn::lds ? c.block_h * kHeadDim * 2 : 0;
}
// One strip as it came from memory, past the registers: rows, then 8 scale bytes for each of 64
// lanes; with WaveSplit::weights and roles the NoPE columns alone.
MLA_HOST_DEVICE constexpr int raw_strip_bytes(const Config& c) {
  if (weighs_by_key(c)) return c.mfma * kNopeDim;
  return c.mfma * kRowBytes + 512;
}
// Rows are copied to multiples of 64 bytes, from such: what lies before them ends at one of 128.
MLA_HOST_DEVICE constexpr int before_rows(int bytes) { return (bytes + 127) / 128 * 128; }
// From one row to the next in a buffer. With WaveSplit::rows both products read them there, and
// what is added keeps four rows at the same columns out of each other's banks.
MLA_HOST_DEVICE constexpr int row_pitch(const Config& c) {
  return kRowBytes + (c.wave_split == WaveSplit::rows ? 32 : 0);
}
// Waves that read a buffer.
MLA_HOST_DEVICE constexpr int readers(const Config& c) {
  return c.wave_split == WaveSplit::rows ? 1 + kSummers : 1;
}
// With LoadPath::bulk, what one wave fills a tile from: its rows, their scales, which of the
// strip's keys are there, and two places of 8 bytes where arrivals are counted.
MLA_HOST_DEVICE constexpr int row_buffer_bytes(const Config& filling) {
  return before_rows(gathered_rows(filling) * (row_pitch(filling) + kScaleBytes) + 16 + 16);
}
MLA_HOST_DEVICE constexpr int raw_bytes(const Config& c) {
  if (c.load_path == LoadPath::bulk) {
    const Config filling = of_fillers(c);
    return sets_in_flight(c) * filling.waves * row_buffer_bytes(filling);
  }
  if (c.load_path != LoadPath::direct) return 0;
  const int strips = weighs_by_key(c) ? strips_per_tile(c) : c.waves * gathered_strips(c);
  return sets_in_flight(c) * strips * raw_strip_bytes(c);
}
// Tiles: private to each wave with WaveSplit::keys, shared otherwise.
MLA_HOST_DEVICE constexpr int tiles_bytes(const Config& c) {
  if (c.wave_split == WaveSplit::rows) return 0;
  return (c.wave_split == WaveSplit::keys ? c.waves : c.stages) * tile_bytes(c);
}
// With WaveSplit::weights: the weights of a tile, two forms of 2 bytes each (before them, what
// waves that share a strip scored of each other's heads), then each wave's statistics of its heads,
// and a flag of each.
MLA_HOST_DEVICE constexpr int weights_bytes(const Config& c) {
  return c.stages * c.block_k * c.block_h * 4;
}
MLA_HOST_DEVICE constexpr int statistics_bytes(const Config& c) {
  return c.waves * c.block_h / sharers(c) * 4 * 2 + (c.waves * 4 + 15) / 16 * 16;
}
// With WaveSplit::blocks: the weights of a tile in two forms of 2 bytes each;
// for each strip which keys are there, and by how much each key was shrunk; each wave's statistics
// of its heads, and three flags.
MLA_HOST_DEVICE constexpr int block_weights_bytes(const Config& c) {
  return c.block_k * c.block_h * 4;
}
MLA_HOST_DEVICE constexpr int block_notes_bytes(const Config& c) {
  return (strips_per_tile(c) * 4 + 15) / 16 * 16 + c.block_k * 4;
}
MLA_HOST_DEVICE constexpr int block_board_bytes(const Config& c) {
  return of_fillers(c).waves * (c.mfma * 4 * kStatistics + 12);
}
// With WaveSplit::roles: the weights of a tile and statistics, as the multipliers have them with
// WaveSplit::weights, and a second flag of each; then for each stage which keys of its strips are
// there, and by how much each key was shrunk.
MLA_HOST_DEVICE constexpr int role_weights_bytes(const Config& c) {
  return c.block_k * c.block_h * 4;
}
MLA_HOST_DEVICE constexpr int role_notes_bytes(const Config& c) {
  return (strips_per_tile(c) * 4 + 15) / 16 * 16 + c.block_k * 4;
}
MLA_HOST_DEVICE constexpr int role_board_bytes(const Config& c) {
  return before_rows(role_weights_bytes(c) + statistics_bytes(of_multipliers(c)) +
                     kMultipliers * 4 + c.stages * role_notes_bytes(c));
}
// With WaveSplit::scorers, for each group: which keys of its strips are there, and two bytes a key
// for how much it was shrunk.
MLA_HOST_DEVICE constexpr int scorer_notes_bytes(const Config& c) {
  return (strips_per_tile(c) * 4 + 15) / 16 * 16 + c.block_k * 2;
}
// With WaveSplit::scorers: for each group the scores of its tile, which become weights where they
// lie; statistics as the multipliers have them with WaveSplit::weights; then notes as with roles.
MLA_HOST_DEVICE constexpr int scorer_board_bytes(const Config& c) {
  return before_rows(kScorerGroups * c.block_k * c.block_h * 4 +
                     statistics_bytes(of_multipliers(c)) + kScorerGroups * scorer_notes_bytes(c));
}
// With WaveSplit::rows: for each stage the weights of a tile in two forms of 2 bytes each, and of
// each key NoPE's seven scales in 2 bytes each; for each stage whether a maximum has grown and by
// how much, of each head; statistics of the scorers as with WaveSplit::weights; in the end 16 bytes
// a head for the summers.
MLA_HOST_DEVICE constexpr int row_weights_bytes(const Config& c) {
  return c.block_k * c.block_h * 4;
}
MLA_HOST_DEVICE constexpr int row_scales_bytes(const Config& c) {
  return c.block_k * (kGroups - 1) * 2;
}
MLA_HOST_DEVICE constexpr int row_growth_bytes(const Config& c) { return 16 + c.block_h * 4; }
MLA_HOST_DEVICE constexpr int row_board_bytes(const Config& c) {
  return before_rows(c.stages * (row_weights_bytes(c) + row_scales_bytes(c) + row_growth_bytes(c)) +
                     statistics_bytes(of_fillers(c)) + c.block_h * 16);
}
// Scores that the waves exchange (columns), their weights, or the masks of the keys (heads).
MLA_HOST_DEVICE constexpr int exchange_bytes(const Config& c) {
  if (c.wave_split == WaveSplit::columns && c.waves > 1)
    return c.stages * c.block_k * c.block_h * 4;
  if (c.wave_split == WaveSplit::weights) return weights_bytes(c) + statistics_bytes(c);
  if (c.wave_split == WaveSplit::heads) return c.stages * 16 * ((strips_per_tile(c) + 3) / 4);
  if (c.wave_split == WaveSplit::roles) return role_board_bytes(c);
  if (c.wave_split == WaveSplit::scorers) return scorer_board_bytes(c);
  if (c.wave_split == WaveSplit::rows) return row_board_bytes(c);
  if (c.wave_split == WaveSplit::blocks)
    return block_weights_bytes(c) + block_notes_bytes(c) + block_board_bytes(c);
  return 0;
}
// With WaveSplit::keys, after the loop, over the tiles: each wave hands over one panel at a time,
// then its statistics.
MLA_HOST_DEVICE constexpr int merge_bytes(const Config& c) {
  if (c.wave_split != WaveSplit::keys || c.waves == 1) return 0;
  return c.waves * (c.block_h * panel_columns(c) * 4 + c.block_h * 4 * kStatistics);
}
// Where rows are written that leave by whole lines: LDS that is no longer read then.
MLA_HOST_DEVICE constexpr int scratch_bytes(const Config& c) {
  return c.wave_split == WaveSplit::rows ? raw_bytes(c) : tiles_bytes(c);
}
MLA_HOST_DEVICE constexpr int lds_bytes(const Config& c) {
  const int loop = raw_bytes(c) + tiles_bytes(c) + exchange_bytes(c);
  return query_bytes(c) + (loop > merge_bytes(c) ? loop : merge_bytes(c));
}

// Whether the kernel can be instantiated at all, whatever the arch: no forgotten field, shapes that
// divide.
MLA_HOST_DEVICE constexpr bool valid(const Config& c) {
  const bool eight = c.block_h == 8 && weighs_by_key(c);
  const bool known =
      (eight || c.block_h == 16 || c.block_h == 32 || c.block_h == 64 || c.block_h == 128) &&
      (c.block_k == 16 || c.block_k == 32 || c.block_k == 64 || c.block_k == 128) &&
      (c.waves == 1 || c.waves == 2 || c.waves == 4 || c.waves == 8 ||
       (c.waves == 12 && (c.wave_split == WaveSplit::roles || c.wave_split == WaveSplit::blocks)) ||
       (c.waves == 16 && has_roles(c))) &&
      (c.mfma == 16 || c.mfma == 32) && (c.stages == 1 || c.stages == 2) &&
      (c.prefetch >= 1 && c.prefetch <= (c.wave_split == WaveSplit::rows ? 5 : 3)) &&
      (c.load_width == 4 || c.load_width == 8 || c.load_width == 16) &&
      (c.waves_per_eu >= 1 && c.waves_per_eu <= 8) &&
      (c.unroll == 8 ||
       (c.unroll == 1 && c.wave_split == WaveSplit::weights && c.load_path == LoadPath::direct)) &&
      (c.rescale_threshold == -1 || c.rescale_threshold >= 1) &&
      (c.cluster == 1 || c.cluster == 2 || c.cluster == 4 || c.cluster == 8 || c.cluster == 10 ||
       c.cluster == 16);
  const bool chosen = static_cast<int>(c.wave_split) != 0 && static_cast<int>(c.dequantise) != 0 &&
                      static_cast<int>(c.load_path) != 0 && static_cast<int>(c.lds_layout) != 0 &&
                      static_cast<int>(c.query_in) != 0 && static_cast<int>(c.value_read) != 0 &&
                      static_cast<int>(c.merge) != 0;
  if (!known || !chosen) return false;
  if (c.block_k < c.mfma || (c.block_h < c.mfma && !eight)) return false;
  const bool at_use = c.wave_split == WaveSplit::rows || c.wave_split == WaveSplit::keys;
  if (c.dequantise == Dequantise::at_use && !at_use) return false;
  if (c.load_path == LoadPath::registers && c.load_width == 4) return false;
  if (c.load_path == LoadPath::bulk && !has_roles(c) && c.wave_split != WaveSplit::blocks) {
    return false;
  }
  const bool in_panels = c.wave_split == WaveSplit::blocks && panels(c) % c.cluster == 0;
  if (c.cluster > 1 && !in_panels && (!weighs_by_key(c) || c.block_h > 32)) return false;
  // Deeper needs more registers, or scalar registers for addresses, than a wave has.
  if (c.prefetch == 3 && c.load_path != LoadPath::bulk &&
      (c.load_path == LoadPath::direct || c.dequantise == Dequantise::at_use)) {
    return false;
  }
  const int fillers = of_fillers(c).waves;
  switch (c.wave_split) {
    case WaveSplit::keys:
      return c.stages == 1;
    case WaveSplit::heads:
      return c.waves > 1 && c.block_h / c.mfma % c.waves == 0 &&
             c.waves <= kGroups * strips_per_tile(c) &&
             (c.load_path == LoadPath::registers || strips_per_tile(c) >= c.waves);
    case WaveSplit::columns:
      return c.waves > 1 && strips_per_tile(c) % c.waves == 0 &&
             kHeadDim / panel_columns(c) % c.waves == 0;
    case WaveSplit::weights:
      return c.waves > 1 && c.query_in == QueryIn::lds &&
             (strips_per_tile(c) % c.waves == 0 ||
              (c.waves == 2 * strips_per_tile(c) && c.block_h >= 16));
    case WaveSplit::roles:
      return (c.load_path == LoadPath::bulk
                  ? c.waves == 4 * kMultipliers
                  : c.waves == 2 * kMultipliers || c.waves == 3 * kMultipliers) &&
             strips_per_tile(c) == kMultipliers && c.query_in == QueryIn::lds &&
             c.load_width == 16 && c.stages == 2 && c.prefetch >= 2 && c.rescale_threshold > 0;
    case WaveSplit::scorers:
      return c.waves == 16 && c.load_path == LoadPath::bulk && c.block_h <= 16 &&
             strips_per_tile(c) == kScorers && c.query_in == QueryIn::lds && c.load_width == 16 &&
             c.stages == kScorerGroups && sets_in_flight(c) == kScorerGroups &&
             c.rescale_threshold > 0;
    case WaveSplit::rows:
      return c.waves == kScorers + kSummers + kFetchers && c.load_path == LoadPath::bulk &&
             c.dequantise == Dequantise::at_use && c.block_h <= 32 &&
             strips_per_tile(c) == kScorers && c.query_in == QueryIn::lds && c.load_width == 16 &&
             c.stages == 2 && c.prefetch >= 3 && c.rescale_threshold > 0;
    case WaveSplit::blocks:
      return c.query_in == QueryIn::lds && c.load_path == LoadPath::bulk && c.load_width == 16 &&
             c.prefetch >= 2 && c.stages == 1 && strips_per_tile(c) == kFetchers &&
             (fillers == kFetchers || fillers == 2 * kFetchers) &&
             c.block_h == c.mfma * fillers / kTeams && kHeadDim / panel_columns(c) % kTeams == 0;
  }
  return false;
}
// Whether such code can be launched in such splits.
MLA_HOST_DEVICE constexpr bool valid(const Config& c, const Splits& s) {
  return s.split_main >= 0 && s.split_extra >= 1 &&
         (c.cluster == 1 || (s.split_main == 0 && s.split_extra % c.cluster == 0));
}
MLA_HOST_DEVICE constexpr bool valid(const ReduceConfig& c) {
  return (c.block_h == 1 || c.block_h == 2 || c.block_h == 4 || c.block_h == 8 ||
          c.block_h == 16) &&
         (c.waves == 1 || c.waves == 2 || c.waves == 4);
}

}  // namespace mla
