#pragma once

// WaveSplit::scorers: who fills a tile also scores it, from the registers that its keys were
// dequantised in, so that the tile is read from LDS once, by PV, and not a second time by QK: on a
// machine that reads both operands from LDS that is what limits it. Groups of scorers take turns,
// each with a stage of its own; multipliers follow them tile by tile, weigh what was scored, and
// sum. Scores go through LDS, where the weights will lie that they become.

#include "sparse_mla_fetch.hpp"
#include "sparse_mla_roles.hpp"
#include "sparse_mla_weights.hpp"

namespace mla {

// Where the workgroup keeps what it exchanges. A group's stage has the group's number.
template <Config c>
struct ScorerBoard {
  LdsPtr weights[c.stages];  // scores, then weights
  LdsPtr statistics;         // of each multiplier
  LdsPtr flags;              // of each multiplier
  LdsPtr keys[c.stages];     // of each strip, which of its keys are there
  LdsPtr lifts[c.stages];    // of each key, by how much it was shrunk
};
template <Config c>
MLA_DEVICE ScorerBoard<c> scorer_board(LdsPtr exchange) {
  constexpr int kOfGroup = c.block_k * c.block_h * 4;
  ScorerBoard<c> b;
  b.statistics = exchange + kScorerGroups * kOfGroup;
  b.flags = b.statistics + kMultipliers * c.block_h * 8;
  const LdsPtr notes = b.statistics + statistics_bytes(of_multipliers(c));
  MLA_UNROLL for (int group = 0; group < kScorerGroups; ++group) {
    b.weights[group] = exchange + group * kOfGroup;
    b.lifts[group] = notes + group * scorer_notes_bytes(c);
    b.keys[group] = b.lifts[group] + c.block_k * 2;
  }
  return b;
}
MLA_DEVICE int tiles_in(const TileWalk& walk) {
  return (walk.end - walk.next + walk.step - 1) / walk.step;
}

// What a scorer does; `wave` is counted among them.
template <Config c>
MLA_DEVICE void score_tiles(const SplitTiles& s, LdsPtr queries, LdsPtr raw, LdsPtr tiles,
                            const ScorerBoard<c>& board, int wave) {
  constexpr Config kScoring = of_fillers(c);
  const int group = wave / kScorers, strip = wave % kScorers;
  const LdsPtr tile = tiles + group * tile_bytes(c), scores = of_stage<c>(board.weights, group),
               keys = of_stage<c>(board.keys, group) + 4 * strip,
               lifts = of_stage<c>(board.lifts, group);
  const int count = tiles_in(s.walk);
  meet<c>(Meeting::queries, 0);
  for (int n = group; n < count; n += kScorerGroups) {
    const bool in_main = s.walk.next + n * s.walk.step < s.walk.main_tiles;
    if (n >= kScorerGroups) meet<c>(Meeting::summed, group);
    RawStrip<kScoring> rows =
        await_rows<kScoring>(raw, n, strip, in_main ? s.main.format : s.extra.format);
    StripScores<kScoring> scored;
    // The sooner the rows' place is free, the sooner others are on their way to it.
    const bool kept = wants_rows<kScoring>(rows);
    score_strip<kScoring>(rows, queries, tile, strip, 0, scored, [&]() MLA_LAMBDA {
      if (!kept) leave_buffer<kScoring>(raw, n, strip);
    });
    leave_scores<kScoring>(scores, strip, scored);
    leave_lifts<kScoring>(lifts, strip, scored.lift);
    write_mask(keys, rows.keys);
    publish_to_matrix_unit();
    if (kept) leave_buffer<kScoring>(raw, n, strip);
    tell<c>(Meeting::scored, group);
  }
}

// What a multiplier does.
template <Config c>
MLA_DEVICE void multiply_scored(Weighing<of_multipliers(c)>& w, const TileWalk& walk, float scale,
                                LdsPtr tiles, const ScorerBoard<c>& board, int wave) {
  constexpr Config kMultiplying = of_multipliers(c);
  const int count = tiles_in(walk);
  for (int n = 0; n < count; ++n) {
    const int group = n % kScorerGroups;
    const LdsPtr weights = of_stage<c>(board.weights, group);
    meet<c>(Meeting::scored, group);
    OwnScores<kMultiplying> scores;
    take_scores<kMultiplying>(weights, wave, scores);
    take_lifts<kMultiplying>(of_stage<c>(board.lifts, group), wave, scores);
    lift<kMultiplying>(scores, scale);
    mask<kMultiplying>(scores, read_mask(of_stage<c>(board.keys, group) + 4 * wave));
    auto largest = largest_of<kMultiplying>(scores, scale);
    weigh_or_raise<kMultiplying>(
        w, scores, largest, scale, n == 0, weights, board.statistics, board.flags, wave,
        [](bool) MLA_LAMBDA {},
        [&](const AllHeads<kMultiplying>& factor)
            MLA_LAMBDA { multiply<kMultiplying>(w.out, factor); });
    begin_accumulate<kMultiplying>(w.out, tiles + group * tile_bytes(c), weights, wave);
    finish<kMultiplying>(w.out);
    if (n + kScorerGroups < count) tell<c>(Meeting::summed, group);
  }
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_scorers(const DecodeArgs& args) {
  constexpr Config kMultiplying = of_multipliers(c);
  const auto [token, head0, split, splits] = task_of_workgroup<c>(args);
  const int wave = wave_id();
  const LdsPtr queries = lds_region<lds_bytes(c)>(), tiles = queries + query_bytes(c),
               exchange = tiles + tiles_bytes(c), raw = exchange + exchange_bytes(c);
  const ScorerBoard<c> board = scorer_board<c>(exchange);
  constexpr int kWorking = kMultipliers + kScorerGroups * kScorers;
  if (wave >= kWorking) {
    fetch_rows<c>(args, token, split, raw, wave - kWorking);
    return;
  }
  if (wave >= kMultipliers) {
    await_buffers<c>();
    const SplitTiles tiles_of = open_split<c>(args, token, split);
    share_registers<c, Role::filling>();
    score_tiles<c>(tiles_of, queries, raw, tiles, board, wave - kMultipliers);
    return;
  }
  // Before registers are shared, for which fetchers are waited for.
  const float scale = bring_queries<kMultiplying>(args, token, head0, queries, wave);
  await_buffers<c>();
  share_registers<c, Role::multiplying>();
  tell<c>(Meeting::queries, 0);
  Weighing<kMultiplying> w;
  clear<kMultiplying>(w);
  const AllHeads<kMultiplying> sinks = read_sinks<kMultiplying>(args, head0);
  const TileWalk walk = open_split<c>(args, token, split).walk;
  multiply_scored<c>(w, walk, scale, tiles, board, wave);
  const Sums<kMultiplying> sums = sum_waves<kMultiplying>(w, board.statistics, wave);
  write_weighed<kMultiplying>(reload(args), w, sums, sinks, token, head0, split, splits, wave,
                              walk.next < walk.end, tiles, board.weights[0]);
  if constexpr (c.merge == Merge::last)
    merge_if_last<kMultiplying>(reload(args), token, head0, split, splits, queries, wave);
}

}  // namespace mla
