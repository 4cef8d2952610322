#pragma once

// WaveSplit::scorers: who fills a tile also scores it, from the registers that its keys were
// dequantised in, and weighs it, so that the tile is read from LDS once, by PV, and not a second
// time by QK: on a machine that reads both operands from LDS that is what limits it. Groups of
// scorers take turns, each with a stage of its own; multipliers follow them tile by tile.
//
// Weights of a tile are counted from maxima that its group agreed on with the one before, and who
// has summed from others scales what it has: a group its sums, the multipliers the output.

#include "sparse_mla_fetch.hpp"
#include "sparse_mla_weights.hpp"

namespace mla {

// Where the workgroup keeps what it exchanges.
template <Config c>
struct ScorerBoard {
  LdsPtr weights;
  LdsPtr statistics[kScorerGroups];  // of each scorer
  LdsPtr flags[kScorerGroups];       // of each scorer
  LdsPtr maxima[kScorerGroups];      // against which the group's last tile was weighed
  LdsPtr raised[kScorerGroups];      // whether those are not those of the tile before
  LdsPtr shrunk;                     // what scores must be multiplied with
};
template <Config c>
MLA_DEVICE ScorerBoard<c> scorer_board(LdsPtr exchange) {
  ScorerBoard<c> b;
  b.weights = exchange;
  LdsPtr next = exchange + c.block_k * c.block_h * 4;
  MLA_UNROLL for (int group = 0; group < kScorerGroups; ++group) {
    b.statistics[group] = next;
    b.maxima[group] = next + kScorers * c.block_h * 8;
    b.flags[group] = b.maxima[group] + c.block_h * 4;
    next = b.flags[group] + kScorers * 4;
  }
  MLA_UNROLL for (int group = 0; group < kScorerGroups; ++group) b.raised[group] = next + 4 * group;
  b.shrunk = next + 4 * kScorerGroups;
  return b;
}
MLA_DEVICE LdsPtr of_group(const LdsPtr (&all)[kScorerGroups], int group) {
  return group == 0 ? all[0] : all[1];
}

MLA_DEVICE int tiles_in(const TileWalk& walk) {
  return (walk.end - walk.next + walk.step - 1) / walk.step;
}

// What a scorer knows of its own keys. The maxima are its group's.
template <Config c>
struct Scored {
  OwnHeads<c> max;
  OwnHeads<c> sum;    // of its weights as PV has them, in bf16; partial until the end
  OwnHeads<c> exact;  // of the weights before rounding, for LSE alone; partial until the end
};
// Counts from other maxima from now on.
template <Config c, typename Heads>
MLA_DEVICE void count_from(Scored<c>& s, const Heads& max) {
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kCount; ++i) {
    const float factor = exp2_fast(s.max.v[i] - or_zero(max.v[i]));
    s.max.v[i] = max.v[i];
    s.sum.v[i] *= factor;
    s.exact.v[i] *= factor;
  }
}
// Raises the group's maxima where a score needs it; whether they were.
template <Config c>
MLA_DEVICE bool raise_group(Scored<c>& s, OwnHeads<c>& largest, bool first, LdsPtr statistics,
                            LdsPtr flags, int group, int strip) {
  using Own = OwnHeads<c>;
  bool grew = first;
  MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) {
    grew |= largest.v[i] > s.max.v[i] + static_cast<float>(c.rescale_threshold);
  }
  if (!any_of_group(grew, group, flags)) return false;
  combine_max<c>(largest);
  write_heads<c>(statistics + strip * Own::kHeads * 4, largest);
  meet(Meeting::within, group);
  AllHeads<c> found = merge_heads<c>(statistics, Own::kHeads * 4,
                                     [](float a, float b) MLA_LAMBDA { return maximum(a, b); });
  MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) found.v[i] = maximum(found.v[i], s.max.v[i]);
  count_from<c>(s, found);
  return true;
}

// What a scorer does; `wave` is counted among them.
template <Config c>
MLA_DEVICE void score_tiles(const SplitTiles& s, float scale, LdsPtr queries, LdsPtr raw,
                            LdsPtr tiles, const ScorerBoard<c>& board, int wave) {
  constexpr Config kScoring = of_fillers(c);
  using Own = OwnHeads<kScoring>;
  const int group = wave / kScorers, other = 1 - group, strip = wave % kScorers;
  const LdsPtr tile = tiles + group * tile_bytes(c), statistics = of_group(board.statistics, group),
               maxima = of_group(board.maxima, group);
  Scored<kScoring> mine;
  MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) {
    mine.max.v[i] = -infinity();
    mine.sum.v[i] = mine.exact.v[i] = 0;
  }
  if (strip == 0) write_heads<kScoring>(maxima, mine.max);
  meet(Meeting::all, 0);
  scale *= read_number(board.shrunk);
  const int count = tiles_in(s.walk);
  for (int n = group; n < count; n += kScorerGroups) {
    const bool in_main = s.walk.next + n * s.walk.step < s.walk.main_tiles;
    if (n >= kScorerGroups) meet(Meeting::summed, group);
    RawStrip<kScoring> rows =
        await_rows<kScoring>(raw, n, strip, in_main ? s.main.format : s.extra.format);
    StripScores<kScoring> scored;
    // The sooner the rows' place is free, the sooner others are on their way to it.
    const bool kept = wants_rows<kScoring>(rows);
    score_strip<kScoring>(rows, queries, tile, strip, 0, scored, [&]() MLA_LAMBDA {
      if (!kept) leave_buffer<kScoring>(raw, n, strip);
    });
    publish_to_matrix_unit();
    if (kept) leave_buffer<kScoring>(raw, n, strip);
    OwnScores<kScoring> scores;
    receive_scores<kScoring>(tile, scored, scores, strip, 0);  // nobody shares the strip
    lift<kScoring>(scores, scale);
    mask<kScoring>(scores, rows.keys);
    Own largest;
    MLA_UNROLL for (float& x : largest.v) x = -infinity();
    raise_to_max<kScoring>(largest, scores);
    MLA_UNROLL for (float& x : largest.v) x *= scale;
    if (n > 0) {
      meet(Meeting::agreed, other);
      count_from<kScoring>(mine, read_heads<kScoring>(of_group(board.maxima, other)));
    }
    const bool raised = raise_group<kScoring>(mine, largest, n == 0, statistics,
                                              of_group(board.flags, group), group, strip);
    if (strip == 0) {
      write_heads<kScoring>(maxima, mine.max);
      write_mask(of_group(board.raised, group), raised ? 1u : 0u);
    }
    if (n + 1 < count) tell(Meeting::agreed, group);
    if (n > 0) meet(Meeting::weights_used, group);
    Own offset = mine.max;
    MLA_UNROLL for (float& x : offset.v) x = or_zero(x);
    weigh<kScoring>(scores, scale, offset, mine.sum, mine.exact, board.weights, strip, 0);
    publish_to_matrix_unit();
    tell(Meeting::weighed, group);
  }
  combine_sum<kScoring>(mine.sum);
  combine_sum<kScoring>(mine.exact);
  meet(Meeting::within, group);  // nobody reads statistics any more
  const LdsPtr sums = statistics + strip * 2 * Own::kHeads * 4;
  write_heads<kScoring>(sums, mine.sum);
  write_heads<kScoring>(sums + Own::kHeads * 4, mine.exact);
  tell(Meeting::all, 0);
}

// What a multiplier does.
template <Config c>
MLA_DEVICE void sum_values(Weighing<of_multipliers(c)>& w, const TileWalk& walk, LdsPtr tiles,
                           const ScorerBoard<c>& board, int wave) {
  constexpr Config kMultiplying = of_multipliers(c);
  const int count = tiles_in(walk);
  for (int n = 0; n < count; ++n) {
    const int group = n % kScorerGroups;
    meet(Meeting::weighed, group);
    if (read_mask(of_group(board.raised, group)) != 0) {
      const auto max = read_heads<kMultiplying>(of_group(board.maxima, group));
      AllHeads<kMultiplying> factor;
      MLA_UNROLL for (int i = 0; i < AllHeads<kMultiplying>::kCount; ++i) {
        factor.v[i] = exp2_fast(w.max.v[i] - or_zero(max.v[i]));
        w.max.v[i] = max.v[i];
      }
      multiply<kMultiplying>(w.out, factor);
    }
    begin_accumulate<kMultiplying>(w.out, tiles + group * tile_bytes(c), board.weights, wave);
    finish<kMultiplying>(w.out);
    if (n + kScorerGroups < count) tell(Meeting::summed, group);
    if (n + 1 < count) tell(Meeting::weights_used, 1 - group);
  }
}
// The sums of all scorers, counted from the last maxima.
template <Config c>
MLA_DEVICE Sums<of_multipliers(c)> sum_scorers(const AllHeads<of_multipliers(c)>& max,
                                               const ScorerBoard<c>& board) {
  constexpr Config kMultiplying = of_multipliers(c);
  constexpr int kBytes = c.block_h * 4, kCount = AllHeads<kMultiplying>::kCount;
  const auto add = [](float a, float b) MLA_LAMBDA { return a + b; };
  meet(Meeting::all, 0);
  Sums<kMultiplying> all;
  MLA_UNROLL for (int i = 0; i < kCount; ++i) all.sum.v[i] = all.exact.v[i] = 0;
  MLA_UNROLL for (int group = 0; group < kScorerGroups; ++group) {
    const auto from = read_heads<kMultiplying>(board.maxima[group]);
    const auto sum = merge_heads<kMultiplying>(board.statistics[group], 2 * kBytes, add),
               exact = merge_heads<kMultiplying>(board.statistics[group] + kBytes, 2 * kBytes, add);
    MLA_UNROLL for (int i = 0; i < kCount; ++i) {
      const float factor = exp2_fast(from.v[i] - or_zero(max.v[i]));
      all.sum.v[i] += factor * sum.v[i];
      all.exact.v[i] += factor * exact.v[i];
    }
  }
  return all;
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_scorers(const DecodeArgs& args) {
  constexpr Config kMultiplying = of_multipliers(c), kScoring = of_fillers(c);
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), split = static_cast<int>(group.z), wave = wave_id();
  const int head0 = static_cast<int>(group.y) * c.block_h;
  // First of all, as everything waits for it.
  const SplitTiles tiles_of = open_split<c>(args, token, split);
  const int splits = total_splits({args.split_main, args.split_extra, args.split_map},
                                  args.extra.indptr != nullptr);
  const LdsPtr queries = lds_region<lds_bytes(c)>(), raw = queries + query_bytes(c),
               tiles = raw + raw_bytes(c);
  const ScorerBoard<c> board = scorer_board<c>(tiles + tiles_bytes(c));
  constexpr int kWorking = kMultipliers + kScorerGroups * kScorers;
  if (wave == kWorking) open_buffers<kScoring>(raw, sets_in_flight(c) * kScorers);
  barrier();
  if (wave >= kWorking) {
    share_registers<c, Role::fetching>();
    fetch_tiles<c>(tiles_of, raw, wave - kWorking);
    return;
  }
  if (wave >= kMultipliers) {
    share_registers<c, Role::filling>();
    score_tiles<c>(tiles_of, args.scale * kLog2E, queries, raw, tiles, board, wave - kMultipliers);
    return;
  }
  share_registers<c, Role::multiplying>();
  Weighing<kMultiplying> w;
  clear<kMultiplying>(w);
  const float shrunk = share_queries<kMultiplying>(
      static_cast<const unsigned char*>(args.q) +
          2 * (token * args.q_token_stride + head0 * args.q_head_stride),
      args.q_head_stride, args.heads - head0, queries, wave);
  if (wave == 0) write_number(board.shrunk, shrunk);
  meet(Meeting::all, 0);
  sum_values<c>(w, tiles_of.walk, tiles, board, wave);
  const AllHeads<kMultiplying> sinks = read_sinks<kMultiplying>(reload(args), head0);
  const Sums<kMultiplying> sums = sum_scorers<c>(w.max, board);
  write_weighed<kMultiplying>(reload(args), w, sums, sinks, token, head0, split, splits, wave,
                              tiles_of.walk.next < tiles_of.walk.end, tiles, board.weights);
}

}  // namespace mla
