#pragma once

// WaveSplit::blocks: the waves fill a tile together, and the matrix unit takes both operands of
// both products from it. A team, half of the waves, scores half of the tile's keys, then multiplies
// half of the columns with the weights of all keys; within a team each wave has its own heads. What
// a wave holds is little beside its output, so that there may be many heads.

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
  barrier();
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

// Scores the wave's heads with the keys of its team, and shares what they weigh. `shrunk`: some key
// of the tile is. Whether NaN in a key got into the sums of some wave; `sum` and `exact` are the
// sums without this tile.
template <Config c, int kScored>
MLA_DEVICE bool weigh_tile(Attention<c>& a, PerHead<c.mfma>& sum, PerHead<c.mfma>& exact,
                           ScoreTile<c.mfma> (&scores)[kScored], float scale, bool shrunk,
                           const BlockBoard<c>& board, int strip0, int wave) {
  using H = PerHead<c.mfma>;
  H largest, offset;
  bool grew = false;
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) largest.v[i] = -infinity();
  MLA_UNROLL for (int n = 0; n < kScored; ++n) {
    if (shrunk) lift_scores(scores[n], board.lifts + (strip0 + n) * c.mfma * 4, scale);
    mask(scores[n], read_mask(board.keys + 4 * (strip0 + n)));
    raise_to_max(largest, scores[n]);
  }
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
    largest.v[i] *= scale;
    grew |= largest.v[i] > a.max[0].v[i] + static_cast<float>(c.rescale_threshold);
  }
  if (any_wave<c>(c.rescale_threshold < 0 || grew, board.flags[1]))
    raise_maxima(a, largest, board.statistics, wave);
  MLA_UNROLL for (int i = 0; i < H::kCount; ++i) offset.v[i] = or_zero(a.max[0].v[i]);
  sum = a.sum[0];
  exact = a.exact[0];
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
  bool nan = false;
  MLA_UNROLL for (const float x : a.sum[0].v) nan |= x != x;
  publish_to_matrix_unit();
  return any_wave<c>(nan, board.flags[2]);
}

// Puts what the wave gathered into the tile, and starts the gathering of the next one. Whether keys
// were shrunk.
template <Config c>
MLA_DEVICE bool fill(Pipeline<c>& pipeline, LdsPtr tile, const BlockBoard<c>& board) {
  bool shrunk = false;
  MLA_UNROLL for (int n = 0; n < gathered_strips(c); ++n) {
    const int strip = pipeline.first_strip + n;
    RawStrip<c>& raw = pipeline.raw[0][n];
    fetch<c>(raw);
    shrunk |= fill_tile<c>(tile, raw, strip * c.mfma, first_group(pipeline), board.lifts);
    if (first_group(pipeline) == 0) write_mask(board.keys + 4 * strip, raw.keys);
  }
  publish_to_matrix_unit();
  refill<c>(pipeline, 0);
  return shrunk;
}

// The next tile is filled while the matrix unit multiplies values, which so ends where it began: in
// one turn of the loop.
template <Config c>
MLA_DEVICE void attend_by_blocks(Attention<c>& a, Pipeline<c>& pipeline, TileWalk walk, float scale,
                                 LdsPtr queries, LdsPtr tiles, const BlockBoard<c>& board,
                                 int wave) {
  using H = PerHead<c.mfma>;
  constexpr int kScored = strips_per_tile(c) / kTeams;
  const int strip0 = wave / (c.waves / kTeams) * kScored;
  if (walk.next >= walk.end) return;
  bool shrunk = fill<c>(pipeline, tiles, board);
  for (int stage = 0;;) {
    const LdsPtr tile = tiles + stage * tile_bytes(c);
    shrunk = any_wave<c>(shrunk, board.flags[0]);
    H sum, exact;
    ScoreTile<c.mfma> scores[kScored];
    score_block<c>(scores, queries, tile, wave);
    if (weigh_tile<c>(a, sum, exact, scores, scale, shrunk, board, strip0, wave)) {
      a.sum[0] = sum;
      a.exact[0] = exact;
      clear_nan<c>(tile, wave);
      publish_to_matrix_unit();
      barrier();
      score_block<c>(scores, queries, tile, wave);
      weigh_tile<c>(a, sum, exact, scores, scale, shrunk, board, strip0, wave);
    }
    begin_accumulate<c>(a.out[0], tile, board.weights, wave);
    walk.next += walk.step;
    const bool more = walk.next < walk.end;
    if constexpr (c.stages == 1) {
      finish(a.out[0]);
      barrier();
      if (more) shrunk = fill<c>(pipeline, tile, board);
    } else {
      stage ^= 1;
      if (more) shrunk = fill<c>(pipeline, tiles + stage * tile_bytes(c), board);
      finish(a.out[0]);
    }
    if (!more) break;
  }
}

// Adds what the other team summed up over its keys.
template <Config c>
MLA_DEVICE void sum_teams(Attention<c>& a, LdsPtr statistics, int wave) {
  constexpr int kBytes = c.mfma * 4 * kStatistics;
  combine_sum(a.sum[0]);
  combine_sum(a.exact[0]);
  barrier();
  write_statistics(statistics + wave * kBytes, a.max[0], a.sum[0], a.exact[0]);
  barrier();
  PerHead<c.mfma> max, sum, exact;
  read_statistics(statistics + counterpart<c>(wave) * kBytes, max, sum, exact);
  MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) {
    a.sum[0].v[i] += sum.v[i];
    a.exact[0].v[i] += exact.v[i];
  }
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_blocks(const DecodeArgs& args) {
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), split = static_cast<int>(group.z), wave = wave_id();
  const int group_head0 = static_cast<int>(group.y) * c.block_h;
  const int splits = total_splits({args.split_main, args.split_extra, args.split_map},
                                  args.extra.indptr != nullptr);
  const LdsPtr lds = lds_region<lds_bytes(c)>(), tiles = lds + query_bytes(c);
  const BlockBoard<c> board = block_board<c>(tiles + tiles_bytes(c));

  Pipeline<c> pipeline;
  pipeline.main = open_scope(args.main, token);
  pipeline.extra = open_scope(args.extra, token);
  pipeline.walk = tiles_of_split<c>(args, pipeline.main.length, pipeline.extra.length, split);
  const TileWalk walk = pipeline.walk;
  const bool has_tiles = walk.next < walk.end;
  pipeline.first_strip = sharers(c) == 1 ? wave * gathered_strips(c) : wave % strips_per_tile(c);
  pipeline.shared_group = sharers(c) == 1 ? 0 : wave / strips_per_tile(c) * gathered_groups(c);
  pipeline.staging = tiles;
  start<c>(pipeline);

  Attention<c> a;
  MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) {
    a.max[0].v[i] = -infinity();
    a.sum[0].v[i] = a.exact[0].v[i] = 0;
  }
  MLA_UNROLL for (auto& panel : a.out[0]) clear(panel);
  const float scale = bring_queries<c>(args, token, group_head0, lds, wave);
  if (wave == 0) will_read(args.sink);
  attend_by_blocks<c>(a, pipeline, walk, scale, lds, tiles, board, wave);
  sum_teams<c>(a, board.statistics, wave);
  MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) a.offset[0].v[i] =
      or_zero(a.max[0].v[i]);
  const int first_head = wave % (c.waves / kTeams) * c.mfma, team = wave / (c.waves / kTeams);
  const int rank = split % c.cluster;
#ifdef MLA_HAS_CLUSTERS
  if constexpr (c.cluster > 1) merge_panels<c>(a, lds, board.weights, rank, wave);
#endif
  write_result<c>(reload(args), a, token, group_head0 + first_head, split / c.cluster,
                  splits / c.cluster, rank, team == 0 && rank == 0, team * panels(c),
                  has_tiles || c.cluster > 1);
#ifdef MLA_HAS_CLUSTERS
  if constexpr (c.cluster > 1) cluster_barrier();  // nobody leaves whose LDS is being read
#endif
}

}  // namespace mla
