#pragma once

// WaveSplit::blocks: the waves fill a tile together, out of rows that others bring, and the matrix
// unit takes both operands of both products from it. A team, half of the waves, weighs half of the
// tile's keys, then multiplies half of the columns with the weights of all keys; within a team each
// wave has its own heads. What a wave holds is little beside its output, so that there may be many
// heads.

#include "sparse_mla_fetch.hpp"
#include "sparse_mla_queries.hpp"
#include "sparse_mla_scores.hpp"
#ifdef MLA_HAS_CLUSTERS
#include "sparse_mla_blocks_cluster.hpp"
#endif

namespace mla {

// Where the workgroup keeps what it exchanges.
template <Config c>
struct BlockBoard {
  LdsPtr weights;
  LdsPtr keys;        // of each strip, which of its keys are there
  LdsPtr lifts;       // of each key, by how much it was shrunk; only where any was
  LdsPtr statistics;  // of each wave
  LdsPtr flags[3];
};
template <Config c>
MLA_DEVICE BlockBoard<c> block_board(LdsPtr exchange) {
  constexpr int kStatisticsOfWave = c.mfma * 4 * kStatistics;
  BlockBoard<c> b;
  b.weights = exchange;
  b.keys = exchange + block_weights_bytes(c);
  b.statistics = b.keys + block_notes_bytes(c);
  b.lifts = b.statistics - c.block_k * 4;
  b.flags[0] = b.statistics + c.waves * kStatisticsOfWave;
  b.flags[1] = b.flags[0] + c.waves * 4;
  b.flags[2] = b.flags[1] + c.waves * 4;
  return b;
}
// The wave of the other team that has the same heads.
template <Config c>
MLA_DEVICE int counterpart(int wave) {
  constexpr int kTeam = c.waves / kTeams;
  return wave < kTeam ? wave + kTeam : wave - kTeam;
}

// The workgroup's new maxima, from what both teams found; rescales what was summed so far.
template <Config c>
MLA_DEVICE void raise_maxima(Attention<c>& a, PerHead<c.mfma>& largest, LdsPtr statistics,
                             int wave) {
  using H = PerHead<c.mfma>;
  constexpr int kBytes = c.mfma * 4 * kStatistics;
  combine_max(largest);
  write_statistics(statistics + wave * kBytes, largest, a.sum[0], a.exact[0]);
  group_barrier<c>();
  H theirs, factor, unused[2];
  read_statistics(statistics + counterpart<c>(wave) * kBytes, theirs, unused[0], unused[1]);
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
    const float before = a.max[0].v[i];
    a.max[0].v[i] = maximum(before, maximum(largest.v[i], theirs.v[i]));
    factor.v[i] = exp2_fast(before - or_zero(a.max[0].v[i]));
    a.sum[0].v[i] *= factor.v[i];
    a.exact[0].v[i] *= factor.v[i];
  }
  MLA_UNROLL for (auto& panel : a.out[0]) multiply(panel, factor);
}

// Scores of the wave's heads with the keys of its team, and the largest of each head, in base 2.
// `shrunk`: some key of the tile is.
template <Config c, int kScored>
MLA_DEVICE void score_keys(ScoreTile<c.mfma> (&scores)[kScored], PerHead<c.mfma>& largest,
                           LdsPtr queries, LdsPtr tile, float scale, bool shrunk,
                           const BlockBoard<c>& board, int strip0, int wave) {
  score_block<c>(scores, queries, tile, board.weights, wave);
  MLA_UNROLL for (float& x : largest.v) x = -infinity();
  MLA_UNROLL for (int n = 0; n < kScored; ++n) {
    if (shrunk) lift_scores(scores[n], board.lifts + (strip0 + n) * c.mfma * 4, scale);
    mask(scores[n], read_mask(board.keys + 4 * (strip0 + n)));
    raise_to_max(largest, scores[n]);
  }
  MLA_UNROLL for (float& x : largest.v) x *= scale;
}

// Scores a tile's keys and multiplies its values with what they weigh. What a maximum has grown by,
// and NaN, are asked for at one barrier.
template <Config c>
MLA_DEVICE void attend_to_block(Attention<c>& a, LdsPtr queries, LdsPtr tile, float scale,
                                bool shrunk, const BlockBoard<c>& board, int wave) {
  using H = PerHead<c.mfma>;
  constexpr int kScored = strips_per_tile(c) / kTeams;
  const int strip0 = wave / (c.waves / kTeams) * kScored;
  ScoreTile<c.mfma> scores[kScored];
  H largest, offset;
  score_keys<c>(scores, largest, queries, tile, scale, shrunk, board, strip0, wave);
  bool grew = c.rescale_threshold < 0, nan = false;
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) grew |=
      largest.v[i] > a.max[0].v[i] + static_cast<float>(c.rescale_threshold);
  MLA_UNROLL for (const auto& strip : scores) nan |= has_nan(strip);
  if (any_wave<c>(grew || nan, board.flags[1])) {
    if (any_wave<c>(nan, board.flags[2])) {
      clear_nan<c>(tile, wave);
      publish_to_matrix_unit();
      group_barrier<c>();
      score_keys<c>(scores, largest, queries, tile, scale, shrunk, board, strip0, wave);
    }
    raise_maxima(a, largest, board.statistics, wave);
  }
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) offset.v[i] = or_zero(a.max[0].v[i]);
  MLA_UNROLL for (int n = 0; n < kScored; ++n) {
    H unlifted_sum = a.sum[0], unlifted_exact = a.exact[0];
    const auto w = weigh(scores[n], scale, offset, a.sum[0], a.exact[0]);
    if (shrunk) {
      add_dropped(scores[n], board.lifts + (strip0 + n) * c.mfma * 4, scale, offset, unlifted_sum,
                  unlifted_exact);
      a.sum[0] = unlifted_sum;
      a.exact[0] = unlifted_exact;
    }
    share_weights<c>(board.weights, strip0 + n, w, wave);
  }
  publish_to_matrix_unit();
  group_barrier<c>();
  accumulate<c>(a.out[0], tile, board.weights, wave);
}

// Puts the wave's part of tile `n` of the workgroup's into its place, from where others brought the
// rows. Whether keys were shrunk.
template <Config c>
MLA_DEVICE bool fill(LdsPtr tile, LdsPtr raw, int n, Fp8Format format, const BlockBoard<c>& board,
                     int wave) {
  const bool shrunk = fill_from_buffer<c>(tile, raw, n, wave, format, board.lifts, board.keys);
  publish_to_matrix_unit();
  leave_buffer<c>(raw, n, wave);
  return shrunk;
}

// All tiles of a walk. `formats`: of the main scope and of the extra one.
template <Config c>
MLA_DEVICE void attend_by_blocks(Attention<c>& a, TileWalk walk, const Fp8Format (&formats)[2],
                                 float scale, LdsPtr queries, LdsPtr raw, LdsPtr tile,
                                 const BlockBoard<c>& board, int wave) {
  for (int n = 0; walk.next < walk.end; walk.next += walk.step, ++n) {
    const Fp8Format format = walk.next < walk.main_tiles ? formats[0] : formats[1];
    bool shrunk = fill<c>(tile, raw, n, format, board, wave);
    shrunk = any_wave<c>(shrunk, board.flags[0]);
    attend_to_block<c>(a, queries, tile, scale, shrunk, board, wave);
    group_barrier<c>();
  }
}

// Adds what the other team summed up over its keys.
template <Config c>
MLA_DEVICE void sum_teams(Attention<c>& a, LdsPtr statistics, int wave) {
  constexpr int kBytes = c.mfma * 4 * kStatistics;
  combine_sum(a.sum[0]);
  combine_sum(a.exact[0]);
  write_statistics(statistics + wave * kBytes, a.max[0], a.sum[0], a.exact[0]);
  group_barrier<c>();
  PerHead<c.mfma> max, sum, exact;
  read_statistics(statistics + counterpart<c>(wave) * kBytes, max, sum, exact);
  MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) {
    a.sum[0].v[i] += sum.v[i];
    a.exact[0].v[i] += exact.v[i];
  }
}

template <Config c>
MLA_DEVICE void clear(Attention<c>& a) {
  MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) {
    a.max[0].v[i] = -infinity();
    a.sum[0].v[i] = a.exact[0].v[i] = 0;
  }
  MLA_UNROLL for (auto& panel : a.out[0]) clear(panel);
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_blocks(const DecodeArgs& args) {
  constexpr Config kWorking = of_fillers(c);
  constexpr int kTeam = kWorking.waves / kTeams;
  const auto [token, head0, split, splits] = task_of_workgroup<c>(args);
  const int wave = wave_id();
  const LdsPtr queries = lds_region<lds_bytes(c)>(), tile = queries + query_bytes(c),
               raw = tile + tiles_bytes(c);
  const BlockBoard<kWorking> board = block_board<kWorking>(raw + raw_bytes(c));
  if (wave >= kWorking.waves) {
    fetch_rows<c>(args, token, split, raw, wave - kWorking.waves);
    return;
  }
  const TileWalk walk = open_split<c>(args, token, split).walk;
  // Before registers are shared, for which fetchers are waited for.
  const float scale = bring_queries<kWorking>(args, token, head0, queries, wave);
  await_buffers<c>();
  share_registers<c, Role::multiplying>();
  Attention<kWorking> a;
  clear<kWorking>(a);
  if (wave == 0) will_read(args.sink);
  attend_by_blocks<kWorking>(a, walk, {args.main.format, args.extra.format}, scale, queries, raw,
                             tile, board, wave);
  sum_teams<kWorking>(a, board.statistics, wave);
  MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) a.offset[0].v[i] =
      or_zero(a.max[0].v[i]);
  const int team = wave / kTeam, rank = split % c.cluster;
#ifdef MLA_HAS_CLUSTERS
  if constexpr (c.cluster > 1) merge_panels<kWorking>(a, queries, board.weights, rank, wave);
#endif
  write_result<kWorking>(reload(args), a, token, head0 + wave % kTeam * c.mfma, split / c.cluster,
                         splits / c.cluster, rank, team == 0 && rank == 0, team * panels(kWorking),
                         walk.next < walk.end || c.cluster > 1);
#ifdef MLA_HAS_CLUSTERS
  if constexpr (c.cluster > 1) leave_cluster();
#endif
  if constexpr (c.merge == Merge::last)
    merge_if_last<kWorking>(reload(args), token, head0, split, splits, queries, wave);
}

}  // namespace mla
