#pragma once

// WaveSplit::rows: a tile stays rows as they came from memory, and both products dequantise what
// they multiply in registers, so that LDS, which limits the others, carries a tile's bytes three
// times instead of moving them in a wider type. kScorers waves score a strip each and weigh it,
// kSummers sum columns, and kFetchers bring rows. While weights are made, which is mostly waiting,
// summers are at the tile before.

#include "sparse_mla_scorers.hpp"

namespace mla {

// Where the workgroup keeps what it exchanges.
template <Config c>
struct RowBoard {
  LdsPtr weights[c.stages];
  LdsPtr scales[c.stages];
  LdsPtr growth[c.stages];  // whether a maximum has grown, and from 16 on by how much
  LdsPtr statistics;        // of each scorer
  LdsPtr flags;             // of each scorer
  LdsPtr ending;            // what the scorers know in the end
};
template <Config c>
MLA_DEVICE RowBoard<c> row_board(LdsPtr exchange) {
  RowBoard<c> b;
  const LdsPtr scales = exchange + c.stages * row_weights_bytes(c),
               growth = scales + c.stages * row_scales_bytes(c);
  MLA_UNROLL for (int stage = 0; stage < c.stages; ++stage) {
    b.weights[stage] = exchange + stage * row_weights_bytes(c);
    b.scales[stage] = scales + stage * row_scales_bytes(c);
    b.growth[stage] = growth + stage * row_growth_bytes(c);
  }
  b.statistics = growth + c.stages * row_growth_bytes(c);
  b.flags = b.statistics + kScorers * c.block_h * 8;
  b.ending = b.statistics + statistics_bytes(of_fillers(c));
  return b;
}

// What a scorer does: of each tile its strip's weights.
template <Config c>
MLA_DEVICE void weigh_tiles(Softmax<of_fillers(c)>& w, const SplitTiles& s, float scale,
                            LdsPtr queries, LdsPtr raw, const RowBoard<c>& board, int wave) {
  constexpr Config kScoring = of_fillers(c);
  const int count = tiles_in(s.walk);
  const auto rows_of = [&](int n) MLA_LAMBDA {
    const bool in_main = s.walk.next + n * s.walk.step < s.walk.main_tiles;
    return await_rows<kScoring>(raw, n, wave, in_main ? s.main.format : s.extra.format);
  };
  for (int n = 0; n < count; ++n) {
    const int stage = n % c.stages;
    const LdsPtr weights = of_stage<c>(board.weights, stage),
                 growth = of_stage<c>(board.growth, stage);
    RawStrip<kScoring> rows = rows_of(n);
    StripScores<kScoring> scored;
    score_strip<kScoring>(rows, queries, 0, wave, 0, scored, []() MLA_LAMBDA {});
    tell<c>(Meeting::scored, stage);
    OwnScores<kScoring> scores;
    receive_scores<kScoring>(weights, scored, scores, wave, 0);  // nobody shares the strip
    lift<kScoring>(scores, scale);
    mask<kScoring>(scores, rows.keys);
    auto largest = largest_of<kScoring>(scores, scale);
    // What is told of the next tile but one must not be taken for what is told of this one: who
    // waits here knows that those who sum have come for the tile before.
    if (n > 0) meet<c>(Meeting::spent, stage);
    leave_scales<kScoring>(of_stage<c>(board.scales, stage), wave, rows);
    bool grew = false;
    weigh_or_raise<kScoring>(
        w, scores, largest, scale, n == 0, weights, board.statistics, board.flags, wave,
        [](bool) MLA_LAMBDA {},
        [&](const AllHeads<kScoring>& factor) MLA_LAMBDA {
          grew = true;
          if (wave == 0) write_heads(growth + 16, factor);
        });
    if (wave == 0) write_mask(growth, grew ? 1u : 0u);
    tell<c>(Meeting::weighed, stage);
    leave_buffer<kScoring>(raw, n, wave);
  }
}

// What a summer does; `wave` is counted among them, kTeam says whose columns are its. It begins
// with a tile when the next has been scored: before, it would be in the scorers' way, and later it
// has the time that they spend on weights.
template <Config c, int kTeam>
MLA_DEVICE void sum_tiles(HeadColumns<of_multipliers(c)>& out, const SplitTiles& s, LdsPtr raw,
                          const RowBoard<c>& board, int wave) {
  constexpr Config kSumming = of_multipliers(c), kScoring = of_fillers(c);
  const int count = tiles_in(s.walk);
  if (count > 0) meet<c>(Meeting::scored, 0);
  if (count > 1) tell<c>(Meeting::spent, 1);  // it never was in use
  for (int n = 0; n < count; ++n) {
    const bool in_main = s.walk.next + n * s.walk.step < s.walk.main_tiles;
    const int stage = n % c.stages;
    const LdsPtr growth = of_stage<c>(board.growth, stage);
    meet<c>(Meeting::weighed, stage);
    if (n + 1 < count) meet<c>(Meeting::scored, (n + 1) % c.stages);
    if (read_mask(growth) != 0)
      multiply<kSumming>(out, read_heads<AllHeads<kSumming>>(growth + 16));
    accumulate_rows<kSumming, kTeam>(
        out, of_stage<c>(board.scales, stage), of_stage<c>(board.weights, stage), wave,
        in_main ? s.main.format : s.extra.format,
        [&](int strip) MLA_LAMBDA { return await_buffer<kScoring>(raw, n, strip); });
    finish<kSumming>(out);
    publish_to_matrix_unit();
    MLA_UNROLL for (int strip = 0; strip < strips_per_tile(c); ++strip)
        leave_buffer<kScoring>(raw, n, strip);
    if (n + c.stages < count) tell<c>(Meeting::spent, stage);
  }
}

// All that a scorer does.
template <Config c>
MLA_DEVICE void decode_as_scorer(const DecodeArgs& args, int token, int head0, int split,
                                 int splits, LdsPtr queries, LdsPtr raw, const RowBoard<c>& board,
                                 int wave) {
  constexpr Config kScoring = of_fillers(c);
  const float scale = bring_queries<kScoring>(args, token, head0, queries, wave);
  await_buffers<c>();
  share_registers<c, Role::filling>();
  Softmax<kScoring> w;
  clear<kScoring>(w);
  weigh_tiles<c>(w, open_split<c>(args, token, split), scale, queries, raw, board, wave);
  const Sums<kScoring> sums = sum_waves<kScoring>(w, board.statistics, wave);
  if (wave == 0) {
#ifdef MLA_HAS_CLUSTERS
    if constexpr (c.cluster > 1) {
      share_statistics<kScoring>(board.ending, w.max, sums.sum, sums.exact, {});
    }
#endif
    if constexpr (c.cluster == 1) {
      write_heads(board.ending, w.max);
      write_heads(board.ending + 4 * c.block_h, sums.sum);
    }
  }
  const auto write = [&]() MLA_LAMBDA {
    write_head_statistics<kScoring>(reload(args), w.max, sums, token, head0, split, splits, wave);
  };
  // Where the summers hand them on, before they go on.
  if constexpr (c.cluster == 1 && c.merge == Merge::last) write();
  tell<c>(Meeting::ended, 0);
  if constexpr (c.cluster == 1 && c.merge == Merge::kernel) write();
}
// All that a summer does; `wave` is counted among them.
template <Config c>
MLA_DEVICE void decode_as_summer(const DecodeArgs& args, int token, int head0, int split,
                                 int splits, LdsPtr raw, const RowBoard<c>& board, int wave) {
  constexpr Config kSumming = of_multipliers(c);
  await_buffers<c>();
  share_registers<c, Role::multiplying>();
  const SplitTiles tiles = open_split<c>(args, token, split);
  HeadColumns<kSumming> out;
  clear<kSumming>(out);
  const AllHeads<kSumming> sinks = read_sinks<kSumming>(args, head0);
  if (wave < kSummers / 2) {
    sum_tiles<c, 0>(out, tiles, raw, board, wave);
  } else {
    sum_tiles<c, 1>(out, tiles, raw, board, wave);
  }
  meet<c>(Meeting::ended, 0);
#ifdef MLA_HAS_CLUSTERS
  if constexpr (c.cluster > 1) {
    if (wave == 0) share_sinks<kSumming>(board.ending, sinks);
    merge_cluster<kSumming>(reload(args), out, token, head0, split, splits, board.ending, raw,
                            wave);
  }
#endif
  if constexpr (c.cluster == 1) {
    const auto factor =
        normalisers<kSumming>(read_heads<AllHeads<kSumming>>(board.ending),
                              read_heads<AllHeads<kSumming>>(board.ending + 4 * c.block_h), sinks);
    write_rows_of_heads<kSumming>(reload(args), out, factor, token, head0, split, splits,
                                  tiles.walk.next < tiles.walk.end, raw, wave);
  }
  if constexpr (c.merge == Merge::last)
    merge_if_last<kSumming>(reload(args), token, head0, split, splits, board.ending, wave);
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_rows(const DecodeArgs& args) {
  constexpr int kWorking = kScorers + kSummers;
  const auto [token, head0, split, splits] = task_of_workgroup<c>(args);
  const int wave = wave_id();
  const LdsPtr queries = lds_region<lds_bytes(c)>(), exchange = queries + query_bytes(c),
               raw = exchange + exchange_bytes(c);
  const RowBoard<c> board = row_board<c>(exchange);
  if (wave >= kWorking) {
    fetch_rows<c>(args, token, split, raw, wave - kWorking);
  } else if (wave >= kScorers) {
    decode_as_summer<c>(args, token, head0, split, splits, raw, board, wave - kScorers);
  } else {
    decode_as_scorer<c>(args, token, head0, split, splits, queries, raw, board, wave);
  }
}

}  // namespace mla
