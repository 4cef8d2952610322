#pragma once

// WaveSplit::roles: kMultipliers waves work on a tile as with WaveSplit::weights while the others
// fill the next, so that loading and dequantising hide behind both products and the softmax, and
// these behind those. All meet once a tile.

#include "sparse_mla_blocks.hpp"
#include "sparse_mla_fetch.hpp"
#include "sparse_mla_weights.hpp"

namespace mla {

// Where the workgroup keeps what it exchanges.
template <Config c>
struct RoleBoard {
  LdsPtr weights;
  LdsPtr statistics;  // of each multiplier, and behind them its flag
  LdsPtr flags[2];
  LdsPtr keys[c.stages];   // of each strip, which of its keys are there
  LdsPtr lifts[c.stages];  // of each key, by how much it was shrunk
};
template <Config c>
MLA_DEVICE RoleBoard<c> role_board(LdsPtr exchange) {
  constexpr Config kMultiplying = of_multipliers(c);
  RoleBoard<c> b;
  b.weights = exchange;
  b.statistics = exchange + role_weights_bytes(c);
  b.flags[0] = b.statistics + c.block_h * kMultipliers * 8;
  b.flags[1] = b.statistics + statistics_bytes(kMultiplying);
  MLA_UNROLL for (int stage = 0; stage < c.stages; ++stage) {
    b.lifts[stage] = b.flags[1] + kMultipliers * 4 + stage * role_notes_bytes(c);
    b.keys[stage] = b.lifts[stage] + c.block_k * 4;
  }
  return b;
}

template <Config c>
MLA_DEVICE LdsPtr of_stage(const LdsPtr (&all)[c.stages], int stage) {
  return stage == 0 ? all[0] : all[1];
}

// What the waves do that are not multipliers; `wave` is counted among them.
template <Config c>
MLA_DEVICE void fill_tiles(const SplitTiles& s, LdsPtr raw, LdsPtr tiles, const RoleBoard<c>& board,
                           int wave) {
  constexpr Config kFilling = of_fillers(c);
  constexpr int kMine = gathered_strips(kFilling);
  Pipeline<kFilling> pipeline;
  pipeline.split = s;
  const TileWalk walk = s.walk;
  if (walk.next >= walk.end) return;
  place_by_key<kFilling>(pipeline, raw, wave);
  start<kFilling>(pipeline);
  int stage = 0;
  for_each_tile<kFilling>(
      pipeline, walk, [&](RawStrip<kFilling>(&strips)[kMine], int set) MLA_LAMBDA {
        MLA_UNROLL for (int n = 0; n < kMine; ++n) {
          const int strip = pipeline.first_strip + n;
          fetch<kFilling>(strips[n]);
          fill_tile<kFilling>(tiles + stage * tile_bytes(c), strips[n], strip * c.mfma,
                              first_group(pipeline), of_stage<c>(board.lifts, stage));
          if (first_group(pipeline) == 0)
            write_mask(of_stage<c>(board.keys, stage) + 4 * strip, strips[n].keys);
        }
        publish_to_matrix_unit();
        refill<kFilling>(pipeline, set);
        tile_barrier<c>();
        stage ^= 1;
      });
  tile_barrier<c>();
}

// What fillers do with LoadPath::bulk.
template <Config c>
MLA_DEVICE void fill_from_buffers(SplitTiles s, LdsPtr raw, LdsPtr tiles, const RoleBoard<c>& board,
                                  int wave) {
  constexpr Config kFilling = of_fillers(c);
  if (s.walk.next >= s.walk.end) return;
  for (int n = 0, stage = 0; s.walk.next < s.walk.end;
       s.walk.next += s.walk.step, ++n, stage ^= 1) {
    const Fp8Format format = s.walk.next < s.walk.main_tiles ? s.main.format : s.extra.format;
    fill_from_buffer<kFilling>(tiles + stage * tile_bytes(c), raw, n, wave, format,
                               of_stage<c>(board.lifts, stage), of_stage<c>(board.keys, stage));
    publish_to_matrix_unit();
    leave_buffer<kFilling>(raw, n, wave);
    tile_barrier<c>();
  }
  tile_barrier<c>();
}

// The largest scores of each head, in base 2, of those that this lane has.
template <Config c>
MLA_DEVICE OwnHeads<c> largest_of(const OwnScores<c>& scores, float scale) {
  OwnHeads<c> largest;
  MLA_UNROLL for (float& x : largest.v) x = -infinity();
  raise_to_max<c>(largest, scores);
  MLA_UNROLL for (float& x : largest.v) x *= scale;
  return largest;
}
// Scores of the wave's strip, and their largest of each head.
template <Config c>
MLA_DEVICE void score_tile(OwnScores<c>& scores, OwnHeads<c>& largest, LdsPtr queries, LdsPtr tile,
                           LdsPtr keys, LdsPtr lifts, float scale, int wave) {
  StripScores<c> scored;
  begin_scores<c>(scored, queries, tile, wave);
  const unsigned there = read_mask(keys + 4 * wave);
  const auto lifted = read_lifts(lifts, wave);
  finish_scores<c>(scored);
  take_lifts<c>(scored, lifted);
  receive_scores<c>(tile, scored, scores, wave, 0);  // nobody shares the strip
  lift<c>(scores, scale);
  mask<c>(scores, there);
  largest = largest_of<c>(scores, scale);
}
template <Config c>
MLA_DEVICE OwnHeads<c> offset_from(const AllHeads<c>& max) {
  OwnHeads<c> offset = own_part<c>(max, 0);
  MLA_UNROLL for (float& x : offset.v) x = or_zero(x);
  return offset;
}

// Weighs what a multiplier scored, and shares it. But for the first tile, weights are made before
// it is known whether they will do: whether the maximum has grown too much, or with roles a score
// is NaN, is asked at the barrier that they need anyway. Calls rescore(whether this wave saw NaN)
// where they will not, for scores and `largest` to be made again, and then rescale(what the output
// so far is to be multiplied with).
template <Config c, typename Rescore, typename Rescale>
MLA_DEVICE void weigh_or_raise(Softmax<c>& w, OwnScores<c>& scores, OwnHeads<c>& largest,
                               float scale, bool first, LdsPtr weights, LdsPtr statistics,
                               LdsPtr flags, int wave, Rescore rescore, Rescale rescale) {
  using Own = OwnHeads<c>;
  constexpr bool kMayBeNan = c.wave_split == WaveSplit::roles;
  const Own max = own_part<c>(w.max, 0), sum = w.sum, exact = w.exact;
  bool grew = first, nan = false;
  if (!first) {
    weigh<c>(scores, scale, offset_from<c>(w.max), w.sum, w.exact, weights, wave, 0);
    MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) {
      grew |= largest.v[i] > max.v[i] + static_cast<float>(c.rescale_threshold);
      nan |= kMayBeNan && w.sum.v[i] != w.sum.v[i];
    }
    publish_to_matrix_unit();
  } else if constexpr (kMayBeNan) {
    nan = has_nan<c>(scores);
  }
  if (!any_wave<c>(grew || nan, flags)) return;
  w.sum = sum;
  w.exact = exact;
  rescore(nan);
  rescale(raise_maxima<c>(w, largest, statistics, wave, 0));
  weigh<c>(scores, scale, offset_from<c>(w.max), w.sum, w.exact, weights, wave, 0);
  publish_to_matrix_unit();
  group_barrier<c>();
}

// What a multiplier does.
template <Config c>
MLA_DEVICE void multiply_tiles(Weighing<of_multipliers(c)>& w, TileWalk walk, float scale,
                               LdsPtr queries, LdsPtr tiles, const RoleBoard<c>& board, int wave) {
  constexpr Config kMultiplying = of_multipliers(c);
  if (walk.next >= walk.end) return;
  tile_barrier<c>();
  bool first = true;
  for (int stage = 0; walk.next < walk.end; walk.next += walk.step, stage ^= 1) {
    const LdsPtr tile = tiles + stage * tile_bytes(c), keys = of_stage<c>(board.keys, stage),
                 lifts = of_stage<c>(board.lifts, stage);
    OwnScores<kMultiplying> scores;
    OwnHeads<kMultiplying> largest;
    score_tile<kMultiplying>(scores, largest, queries, tile, keys, lifts, scale, wave);
    weigh_or_raise<kMultiplying>(
        w, scores, largest, scale, first, board.weights, board.statistics, board.flags[0], wave,
        [&](bool nan) MLA_LAMBDA {
          if (!any_wave<kMultiplying>(nan, board.flags[1])) return;
          clear_nan<kMultiplying>(tile, wave);
          publish_to_matrix_unit();
          group_barrier<kMultiplying>();
          score_tile<kMultiplying>(scores, largest, queries, tile, keys, lifts, scale, wave);
        },
        [&](const AllHeads<kMultiplying>& factor)
            MLA_LAMBDA { multiply<kMultiplying>(w.out, factor); });
    first = false;
    begin_accumulate<kMultiplying>(w.out, tile, board.weights, wave);
    finish<kMultiplying>(w.out);
    tile_barrier<c>();
  }
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_roles(const DecodeArgs& args) {
  constexpr Config kMultiplying = of_multipliers(c);
  const auto [token, head0, split, splits] = task_of_workgroup<c>(args);
  const int wave = wave_id();
  const LdsPtr queries = lds_region<lds_bytes(c)>(), tiles = queries + query_bytes(c),
               exchange = tiles + tiles_bytes(c), raw = exchange + exchange_bytes(c);
  const RoleBoard<c> board = role_board<c>(exchange);
  constexpr bool kBulk = c.load_path == LoadPath::bulk;
  constexpr int kWorking = kMultipliers + of_fillers(c).waves;
  if constexpr (kBulk) {
    if (wave >= kWorking) {
      fetch_rows<c>(args, token, split, raw, wave - kWorking);
      return;
    }
  }
  // First of all, as everything waits for it.
  const SplitTiles tiles_of = open_split<c>(args, token, split);
  if (wave >= kMultipliers) {
    if constexpr (kBulk) {
      await_buffers<c>();
      share_registers<c, Role::filling>();
      fill_from_buffers<c>(tiles_of, raw, tiles, board, wave - kMultipliers);
    } else {
      share_registers<c, Role::filling>();
      fill_tiles<c>(tiles_of, raw, tiles, board, wave - kMultipliers);
    }
    return;
  }
  // Before registers are shared, for which fetchers are waited for.
  const float scale = bring_queries<kMultiplying>(args, token, head0, queries, wave);
  if constexpr (kBulk) await_buffers<c>();
  share_registers<c, Role::multiplying>();
  const TileWalk walk = tiles_of.walk;
  Weighing<kMultiplying> w;
  clear<kMultiplying>(w);
  multiply_tiles<c>(w, walk, scale, queries, tiles, board, wave);
  const AllHeads<kMultiplying> sinks = read_sinks<kMultiplying>(reload(args), head0);
  const Sums<kMultiplying> sums = sum_waves<kMultiplying>(w, board.statistics, wave);
  write_weighed<kMultiplying>(reload(args), w, sums, sinks, token, head0, split, splits, wave,
                              walk.next < walk.end, tiles, board.weights);
  if constexpr (c.merge == Merge::last)
    merge_if_last<kMultiplying>(reload(args), token, head0, split, splits, queries, wave);
}

}  // namespace mla
