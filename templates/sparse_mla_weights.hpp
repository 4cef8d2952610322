#pragma once

// WaveSplit::weights: the waves share a tile's QK by keys and PV by output columns, as with
// columns, but what they exchange are the weights. A wave weighs its own keys alone, for all heads
// of the workgroup, against a maximum that the workgroup agrees on; PV then reads keys and weights
// from LDS, which suits a matrix unit that takes operands from there.

#include "sparse_mla_last.hpp"
#include "sparse_mla_pipeline.hpp"
#include "sparse_mla_queries.hpp"
#ifdef MLA_HAS_CLUSTERS
#include "sparse_mla_cluster.hpp"
#endif

namespace mla {

// What a wave knows so far of the softmax. The maxima are the workgroup's.
template <Config c>
struct Softmax {
  AllHeads<c> max;    // running maximum, base 2
  OwnHeads<c> sum;    // of this wave's weights as PV has them, in bf16; partial until the end
  OwnHeads<c> exact;  // of the weights before rounding, for LSE alone; partial until the end
};
// The same of a wave that sums too.
template <Config c>
struct Weighing : Softmax<c> {
  HeadColumns<c> out;  // this wave's columns, over all keys
};

template <Config c>
MLA_DEVICE void clear(Softmax<c>& s) {
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) { s.max.v[i] = -infinity(); }
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kCount; ++i) s.sum.v[i] = s.exact.v[i] = 0;
}
template <Config c>
MLA_DEVICE void clear(Weighing<c>& w) {
  clear<c>(static_cast<Softmax<c>&>(w));
  clear<c>(w.out);
}

// Does again what score_strip() did, of a strip with NaN in it or with scales beyond the common,
// without the waves that the wave multiplies with.
template <Config c>
MLA_DEVICE void score_with_care(RawStrip<c>& raw, LdsPtr queries, LdsPtr tile, int strip,
                                int group0, StripScores<c>& scores) {
  constexpr int kMine = gathered_groups(c);
  clear<c>(scores);
  if constexpr (c.wave_split == WaveSplit::rows) {
    mend_rows<c>(raw, scores.lift);
    MLA_ROLLED for (int u = 0; u < kMine; ++u)
        multiply_alone<c>(scores, prepare_keys<c>(raw, take_words<c>(raw, 0, u), 0, u), queries, u);
    return;
  }
  if (c.wave_split == WaveSplit::scorers && !wants_rows<c>(raw)) {
    scrub_kept<c>(tile, strip);
  } else {
    const Care care = take_care<c>(raw, scores.lift);
    MLA_ROLLED for (int u = 0; u < kMine - 1; ++u) {
      const auto clean = prepare_with_care<c, false>(raw, care, scores.lift, group0, u);
      keep_keys<c>(tile, strip, group0 + u, clean);
    }
    const auto clean = prepare_with_care<c, true>(raw, care, scores.lift, group0, kMine - 1);
    keep_keys<c>(tile, strip, group0 + kMine - 1, clean);
  }
  MLA_ROLLED for (int u = 0; u < kMine; ++u)
      multiply_kept<c>(scores, tile, strip, queries, group0 + u);
}
// Scores of what the wave gathered of a strip with all heads; it is written to the tile on the way,
// but with WaveSplit::rows, whose rows are mended where they lie if need be. Calls `taken` when the
// rows have been read, if c.unroll is not 1: who waits for it is `scorers`. Rows that wants_rows()
// are read again after that.
template <Config c, typename Taken>
MLA_DEVICE void score_strip(RawStrip<c>& raw, LdsPtr queries, LdsPtr tile, int strip, int group0,
                            StripScores<c>& scores, Taken taken) {
  constexpr int kMine = gathered_groups(c);
  clear<c>(scores);
  const auto begin = [&](KeyFragment<c>& keys, const GroupWords& words, int u) MLA_LAMBDA {
    keys = prepare_keys<c>(raw, words, group0, u);
    if constexpr (c.wave_split != WaveSplit::rows) keep_keys<c>(tile, strip, group0 + u, keys);
    begin_multiply<c>(scores, keys, queries, group0, u);
  };
  if constexpr (c.unroll == 1) {
    const auto whole = [&](int u) MLA_LAMBDA {
      KeyFragment<c> keys;
      begin(keys, take_words<c>(raw, group0, u), u);
      settle<c, 0>(scores, keys);
    };
    MLA_ROLLED for (int u = 0; u < kMine - 1; ++u) whole(u);
    whole(kMine - 1);
  } else {
    KeyFragment<c> keys[2] = {};  // one is multiplied while the other is made
    constexpr int kAhead = words_ahead<c>;
    GroupWords words[kAhead];
    MLA_UNROLL for (int u = 0; u < kAhead; ++u) words[u] = take_words<c>(raw, group0, u);
    MLA_UNROLL for (int u = 0; u < kMine; ++u) {
      settle<c, 1>(scores, keys[u % 2]);
      begin(keys[u % 2], words[u % kAhead], u);
      if (u + kAhead < kMine) words[u % kAhead] = take_words<c>(raw, group0, u + kAhead);
      if (u == kMine - kAhead) {  // the last were asked for a turn before
        await_words<c>(words);
        taken();
      }
    }
    MLA_UNROLL for (auto& k : keys) settle<c, 0>(scores, k);
  }
  if (needs_care<c>(raw, scores)) score_with_care<c>(raw, queries, tile, strip, group0, scores);
}

// A number for all heads, of which each wave left those of its own heads on the board.
template <Config c, typename Merge>
MLA_DEVICE AllHeads<c> merge_heads(LdsPtr board, int bytes, Merge merge) {
  using Own = OwnHeads<c>;
  constexpr int kWaves = c.waves / sharers(c);
  AllHeads<c> all;
  MLA_UNROLL for (int share = 0; share < sharers(c); ++share) {
    Own own = read_heads<Own>(board + share * kWaves * bytes);
    MLA_UNROLL for (int other = 1; other < kWaves; ++other) {
      const Own theirs = read_heads<Own>(board + (share * kWaves + other) * bytes);
      MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) own.v[i] = merge(own.v[i], theirs.v[i]);
    }
    set_part<c>(all, share, own);
  }
  return all;
}

// The workgroup's new maxima, from what its waves found; rescales the sums so far. Returns what the
// output so far is to be multiplied with.
template <Config c>
MLA_DEVICE AllHeads<c> raise_maxima(Softmax<c>& w, OwnHeads<c>& largest, LdsPtr board, int wave,
                                    int share) {
  using Own = OwnHeads<c>;
  combine_max<c>(largest);
  write_heads(board + wave * Own::kHeads * 4, largest);
  group_barrier<c>();
  const AllHeads<c> found = merge_heads<c>(
      board, Own::kHeads * 4, [](float a, float b) MLA_LAMBDA { return maximum(a, b); });
  AllHeads<c> factor;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) {
    const float before = w.max.v[i];
    w.max.v[i] = maximum(before, found.v[i]);
    factor.v[i] = exp2_fast(before - or_zero(w.max.v[i]));
  }
  const Own own = own_part<c>(factor, share);
  MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) {
    w.sum.v[i] *= own.v[i];
    w.exact.v[i] *= own.v[i];
  }
  return factor;
}

template <Config c>
MLA_DEVICE void attend_by_weights(Weighing<c>& w, Pipeline<c>& pipeline, const TileWalk& walk,
                                  float scale, LdsPtr queries, LdsPtr tiles, LdsPtr exchange,
                                  int wave) {
  using Own = OwnHeads<c>;
  constexpr int kMine = gathered_strips(c);
  const LdsPtr board = exchange + weights_bytes(c);
  const int share = sharers(c) == 1 ? 0 : wave / strips_per_tile(c);
  const int strip0 = pipeline.first_strip;
  int stage = 0;
  for_each_tile<c>(pipeline, walk, [&](RawStrip<c>(&raw)[kMine], int set) MLA_LAMBDA {
    const LdsPtr tile = tiles + stage * tile_bytes(c);
    const LdsPtr weights = exchange + stage * (weights_bytes(c) / c.stages);
    StripScores<c> scored[kMine];
    unsigned there[kMine];
    MLA_UNROLL for (int n = 0; n < kMine; ++n) {
      fetch<c>(raw[n]);
      there[n] = raw[n].keys;
      score_strip<c>(raw[n], queries, tile, strip0 + n, first_group(pipeline), scored[n],
                     []() MLA_LAMBDA {});
      send_scores<c>(weights, scored[n], wave, share);
    }
    publish_to_matrix_unit();
    // What the waves exchange would queue up behind the loads.
    if constexpr (sharers(c) == 1) refill<c>(pipeline, set);
    if constexpr (sharers(c) > 1) barrier();

    OwnScores<c> scores[kMine];
    Own largest;
    bool grew = false;
    MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) largest.v[i] = -infinity();
    MLA_UNROLL for (int n = 0; n < kMine; ++n) {
      receive_scores<c>(weights, scored[n], scores[n], wave, share);
      lift<c>(scores[n], scale);
      mask<c>(scores[n], there[n]);
      raise_to_max<c>(largest, scores[n]);
    }
    if constexpr (sharers(c) > 1) refill<c>(pipeline, set);
    const Own max = own_part<c>(w.max, share);
    MLA_UNROLL for (int i = 0; i < Own::kCount; ++i) {
      largest.v[i] *= scale;
      grew |= largest.v[i] > max.v[i] + static_cast<float>(c.rescale_threshold);
    }
    finish<c>(w.out);
    if (any_wave<c>(c.rescale_threshold < 0 || grew, board + c.waves * Own::kHeads * 8))
      multiply<c>(w.out, raise_maxima<c>(w, largest, board, wave, share));
    Own offset = own_part<c>(w.max, share);
    MLA_UNROLL for (float& x : offset.v) x = or_zero(x);
    MLA_UNROLL for (int n = 0; n < kMine; ++n) {
      weigh<c>(scores[n], scale, offset, w.sum, w.exact, weights, strip0 + n, share);
    }
    publish_to_matrix_unit();
    barrier();
    begin_accumulate<c>(w.out, tile, weights, wave);
    if constexpr (c.stages == 1) {
      finish<c>(w.out);
      barrier();
    } else {
      stage ^= 1;
    }
  });
  finish<c>(w.out);
}

// Over all keys, for all heads.
template <Config c>
struct Sums {
  AllHeads<c> sum;
  AllHeads<c> exact;
};
template <Config c>
MLA_DEVICE Sums<c> sum_waves(Softmax<c>& w, LdsPtr board, int wave) {
  constexpr int kBytes = OwnHeads<c>::kHeads * 4;
  const auto add = [](float a, float b) MLA_LAMBDA { return a + b; };
  combine_sum<c>(w.sum);
  combine_sum<c>(w.exact);
  group_barrier<c>();
  write_heads(board + wave * 2 * kBytes, w.sum);
  write_heads(board + wave * 2 * kBytes + kBytes, w.exact);
  group_barrier<c>();
  return {merge_heads<c>(board, 2 * kBytes, add), merge_heads<c>(board + kBytes, 2 * kBytes, add)};
}

// The sinks of the workgroup's heads as they come, for nothing to wait for them: to be asked for
// long before they are needed.
template <Config c>
MLA_DEVICE AllHeads<c> read_sinks(const DecodeArgs& args, int head0) {
  AllHeads<c> sinks;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) {
    const int head = head0 + head_of_all(i);
    sinks.v[i] = args.sink == nullptr ? -infinity() : args.sink[head < args.heads ? head : 0];
  }
  return sinks;
}
// LSE of each head, or with several splits its statistics, the waves each some of them: all of them
// one wave would still be at when the others have written their rows.
template <Config c>
MLA_DEVICE void write_head_statistics(const DecodeArgs& args, const AllHeads<c>& max,
                                      const Sums<c>& sums, int token, int head0, int split,
                                      int splits, int wave) {
  if (!speaks_for_all_heads()) return;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) {
    const int head = head0 + head_of_all(i);
    if (i % c.waves != wave || head >= args.heads) continue;
    write_lse_or_statistics(args, token, head, split, splits, max.v[i], sums.sum.v[i],
                            sums.exact.v[i]);
  }
}
// What each head's output is multiplied with in the end.
template <Config c>
MLA_DEVICE AllHeads<c> normalisers(const AllHeads<c>& max, const AllHeads<c>& sum,
                                   const AllHeads<c>& sinks) {
  AllHeads<c> factor;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) factor.v[i] =
      normaliser(max.v[i], sum.v[i], sinks.v[i] * kLog2E);
  return factor;
}
// Writes out, or with several splits the partial result as it stands.
template <Config c>
MLA_DEVICE void write_rows_of_heads(const DecodeArgs& args, const HeadColumns<c>& out,
                                    const AllHeads<c>& factor, int token, int head0, int split,
                                    int splits, bool has_tiles, LdsPtr scratch, int wave) {
  const int heads = args.heads - head0;
  const long long row = static_cast<long long>(token) * args.heads + head0;
  if (splits == 1) {
    write_output<c>(args.out, token * args.out_token_stride + head0 * args.out_head_stride,
                    args.out_head_stride, heads, out, factor, scratch, wave);
  } else if (has_tiles) {  // the reduce reads no row of a split whose sum is 0
    write_partial<c>(args.workspace, (row * splits + split) * kHeadDim,
                     static_cast<long long>(splits) * kHeadDim, heads, out, scratch, wave);
  }
}
// Applies the sinks and writes out and LSE, or with several splits the partial result. `tiles` and
// `weights`: LDS that is no longer read.
template <Config c>
MLA_DEVICE void write_weighed(const DecodeArgs& args, const Weighing<c>& w, const Sums<c>& sums,
                              const AllHeads<c>& sinks, int token, int head0, int split, int splits,
                              int wave, bool has_tiles, LdsPtr tiles, LdsPtr weights) {
#ifdef MLA_HAS_CLUSTERS
  if constexpr (c.cluster > 1) {
    if (wave == 0) share_statistics<c>(weights, w.max, sums.sum, sums.exact, sinks);
    merge_cluster<c>(args, w.out, token, head0, split, splits, weights, tiles, wave);
    return;
  }
#else
  static_assert(c.cluster == 1,
                "this machine's workgroups do not see each other's LDS: choose "
                "cluster 1");
#endif
  const AllHeads<c> factor = splits == 1 ? normalisers<c>(w.max, sums.sum, sinks) : AllHeads<c>{};
  write_rows_of_heads<c>(args, w.out, factor, token, head0, split, splits, has_tiles, tiles, wave);
  write_head_statistics<c>(args, w.max, sums, token, head0, split, splits, wave);
}

// Which strips, and groups of them, the wave gathers. Waves next to each other gather strips next
// to each other: a group of four multiplies 64 keys.
template <Config c>
MLA_DEVICE void place_by_key(Pipeline<c>& pipeline, LdsPtr raw, int wave) {
  pipeline.first_strip = sharers(c) == 1 ? wave * gathered_strips(c) : wave % strips_per_tile(c);
  pipeline.shared_group = sharers(c) == 1 ? 0 : wave / strips_per_tile(c) * gathered_groups(c);
  pipeline.staging = raw + pipeline.first_strip * sets_in_flight(c) * raw_strip_bytes(c);
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_weights(const DecodeArgs& args) {
  const auto [token, head0, split, splits] = task_of_workgroup<c>(args);
  const int wave = wave_id();
  const LdsPtr lds = lds_region<lds_bytes(c)>();
  const LdsPtr raw = lds + query_bytes(c), tiles = raw + raw_bytes(c),
               exchange = tiles + tiles_bytes(c);

  Pipeline<c> pipeline;
  pipeline.split = open_split<c>(args, token, split);
  const TileWalk walk = pipeline.split.walk;
  const bool has_tiles = walk.next < walk.end;
  place_by_key<c>(pipeline, raw, wave);
  start<c>(pipeline);

  Weighing<c> w;
  clear<c>(w);
  const float scale = bring_queries<c>(args, token, head0, lds, wave);

  attend_by_weights<c>(w, pipeline, walk, scale, lds, tiles, exchange, wave);
  const AllHeads<c> sinks = read_sinks<c>(reload(args), head0);
  const Sums<c> sums = sum_waves<c>(w, exchange + weights_bytes(c), wave);
  write_weighed<c>(reload(args), w, sums, sinks, token, head0, split, splits, wave, has_tiles,
                   tiles, exchange);
  if constexpr (c.merge == Merge::last)
    merge_if_last<c>(reload(args), token, head0, split, splits, lds, wave);
}

}  // namespace mla
