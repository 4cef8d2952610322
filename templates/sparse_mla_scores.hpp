#pragma once

// Sparse MLA decode where each wave weighs all scores that it multiplies values with: its own
// (WaveSplit::keys), those of its own heads (heads), or those of all waves (columns).

#include "sparse_mla_last.hpp"
#include "sparse_mla_pipeline.hpp"

namespace mla {

// What a wave knows of its heads so far.
template <Config c>
struct Attention {
  static constexpr int kHeadTiles = head_tiles(c);
  static constexpr int kPanels = panels(c);
  PerHead<c.mfma> max[kHeadTiles];     // running maximum, base 2
  PerHead<c.mfma> offset[kHeadTiles];  // the same, or 0 while there is no key
  PerHead<c.mfma> sum[kHeadTiles];  // of the weights as PV has them, in bf16; partial until the end
  PerHead<c.mfma>
      exact[kHeadTiles];  // of the weights before rounding, for LSE alone; partial until the end
  OutputPanel<c.mfma> out[kHeadTiles][kPanels];
  Queries<c> queries[kHeadTiles];
};

// Folds scores into the running statistics; `weights` are what PV multiplies the rows with.
template <Config c, int kStrips>
MLA_DEVICE void soften(Attention<c>& a, float scale,
                       const ScoreTile<c.mfma> (&scores)[kStrips][head_tiles(c)],
                       WeightTile<c.mfma> (&weights)[kStrips][head_tiles(c)]) {
  using A = Attention<c>;
  using H = PerHead<c.mfma>;
  H largest[A::kHeadTiles];
  bool grew = false;
  MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
    MLA_UNROLL for (int i = 0; i < H::kCount; ++i) largest[h].v[i] = -infinity();
    MLA_UNROLL for (int n = 0; n < kStrips; ++n) raise_to_max(largest[h], scores[n][h]);
    MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
      largest[h].v[i] *= scale;
      grew |= largest[h].v[i] > a.max[h].v[i] + static_cast<float>(c.rescale_threshold);
    }
  }
  if (c.rescale_threshold < 0 || any_lane(grew)) {
    MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
      combine_max(largest[h]);
      H factor;
      MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
        const float before = a.max[h].v[i];
        a.max[h].v[i] = maximum(before, largest[h].v[i]);
        a.offset[h].v[i] = or_zero(a.max[h].v[i]);
        factor.v[i] = exp2_fast(before - a.offset[h].v[i]);
        a.sum[h].v[i] *= factor.v[i];
        a.exact[h].v[i] *= factor.v[i];
      }
      MLA_UNROLL for (auto& panel : a.out[h]) multiply(panel, factor);
    }
  }
  MLA_UNROLL for (int n = 0; n < kStrips; ++n) {
    MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
      weights[n][h] = weigh(scores[n][h], scale, a.offset[h], a.sum[h], a.exact[h]);
    }
  }
}

template <Config c, int kStrips>
MLA_DEVICE void accumulate_panel(Attention<c>& a, int panel, LdsPtr tile, int column0,
                                 const WeightTile<c.mfma> (&weights)[kStrips][head_tiles(c)]) {
  OutputPanel<c.mfma>* out[head_tiles(c)];
  MLA_UNROLL for (int h = 0; h < head_tiles(c); ++h) out[h] = &a.out[h][panel];
  accumulate<c, kStrips, head_tiles(c)>(out, tile, column0, weights);
}

// Scores of one gathered strip with all head tiles, straight from registers; `keep` also writes it
// to the tile. Comes back to the start once when the strip turns out to hold NaN.
template <Config c>
MLA_DEVICE void score_strip(Attention<c>& a, RawStrip<c>& raw, LdsPtr tile, int row0,
                            ScoreTile<c.mfma> (&scores)[head_tiles(c)]) {
  constexpr bool kKeep = c.dequantise == Dequantise::at_store;
  for (bool scrubbed = false;;) {
    MLA_UNROLL for (auto& s : scores) clear(s);
    MLA_UNROLL for (int g = 0; g < kGroups; ++g) {
      const KeyFragment<c> keys = dequantise<c>(raw, 0, g);
      MLA_UNROLL for (int h = 0; h < head_tiles(c); ++h)
          multiply<c>(scores[h], keys, query_group<c>(a.queries[h], g));
      if constexpr (kKeep) store_keys<c>(tile, row0, g * kGroupDim, g == kGroups - 1, keys);
    }
    if (scrubbed || !needs_scrub<c>(raw, scores[0])) break;
    scrub<c>(raw, 0);
    scrubbed = true;
  }
  MLA_UNROLL for (auto& s : scores) mask(s, raw.keys);
}

// WaveSplit::keys: a wave's tile is its own; no other wave is waited for.
template <Config c>
MLA_DEVICE void attend_by_keys(Attention<c>& a, Pipeline<c>& pipeline, float scale, LdsPtr tile) {
  constexpr int kStrips = gathered_strips(c);
  for_each_tile<c>(pipeline, [&](RawStrip<c>(&raw)[kStrips], int set) MLA_LAMBDA {
    ScoreTile<c.mfma> scores[kStrips][head_tiles(c)];
    WeightTile<c.mfma> weights[kStrips][head_tiles(c)];
    MLA_UNROLL for (int n = 0; n < kStrips; ++n) {
      fetch<c>(raw[n]);
      score_strip<c>(a, raw[n], tile, n * c.mfma, scores[n]);
    }
    refill<c>(pipeline, set);
    if constexpr (c.dequantise == Dequantise::at_use) {
      MLA_UNROLL for (auto& strip : raw) forget_results<c>(strip);
    }
    soften<c, kStrips>(a, scale, scores, weights);
    MLA_UNROLL for (int panel = 0; panel < panels(c); ++panel) {
      if constexpr (c.dequantise == Dequantise::at_use) {
        constexpr int kPerPanel = panel_columns(c) / kGroupDim;
        MLA_UNROLL for (int n = 0; n < kStrips; ++n) {
          MLA_UNROLL for (int i = 0; i < kPerPanel; ++i) {
            const int g = panel * kPerPanel + i;
            store_keys<c>(tile, n * c.mfma, i * kGroupDim, g == kGroups - 1,
                          dequantise<c>(raw[n], 0, g));
          }
        }
        accumulate_panel<c, kStrips>(a, panel, tile, 0, weights);
      } else {
        accumulate_panel<c, kStrips>(a, panel, tile, panel * panel_columns(c), weights);
      }
    }
  });
}

// WaveSplit::columns: each wave scores its strips, all waves see all scores, each multiplies its
// own columns.
template <Config c>
MLA_DEVICE void attend_by_columns(Attention<c>& a, Pipeline<c>& pipeline, float scale, LdsPtr tiles,
                                  LdsPtr exchange, int wave) {
  constexpr int kMine = gathered_strips(c), kAll = strips_per_tile(c),
                kTileBytes = c.mfma * c.mfma * 4;
  int stage = 0;
  for_each_tile<c>(pipeline, [&](RawStrip<c>(&raw)[kMine], int set) MLA_LAMBDA {
    const LdsPtr tile = tiles + stage * tile_bytes(c);
    const LdsPtr board = exchange + stage * (c.block_k * c.block_h * 4);
    MLA_UNROLL for (int n = 0; n < kMine; ++n) {
      ScoreTile<c.mfma> mine[head_tiles(c)];
      const int strip = wave * kMine + n;
      fetch<c>(raw[n]);
      score_strip<c>(a, raw[n], tile, strip * c.mfma, mine);
      MLA_UNROLL for (int h = 0; h < head_tiles(c); ++h)
          write_scores(board + (strip * head_tiles(c) + h) * kTileBytes, mine[h]);
    }
    refill<c>(pipeline, set);
    barrier();
    ScoreTile<c.mfma> scores[kAll][head_tiles(c)];
    WeightTile<c.mfma> weights[kAll][head_tiles(c)];
    MLA_UNROLL for (int n = 0; n < kAll; ++n) {
      MLA_UNROLL for (int h = 0; h < head_tiles(c); ++h)
          read_scores(board + (n * head_tiles(c) + h) * kTileBytes, scores[n][h]);
    }
    soften<c, kAll>(a, scale, scores, weights);
    MLA_UNROLL for (int panel = 0; panel < panels(c); ++panel) {
      accumulate_panel<c, kAll>(a, panel, tile, (wave * panels(c) + panel) * panel_columns(c),
                                weights);
    }
    if constexpr (c.stages == 1) {
      barrier();
    } else {
      stage ^= 1;
    }
  });
}

// WaveSplit::heads: the waves fill the tile together, then each works on its own heads.
template <Config c>
MLA_DEVICE void attend_by_heads(Attention<c>& a, Pipeline<c>& pipeline, float scale, LdsPtr tiles,
                                LdsPtr exchange) {
  constexpr int kMine = gathered_strips(c), kAll = strips_per_tile(c);
  int stage = 0;
  for_each_tile<c>(pipeline, [&](RawStrip<c>(&raw)[kMine], int set) MLA_LAMBDA {
    const LdsPtr tile = tiles + stage * tile_bytes(c);
    const LdsPtr board = exchange + stage * (exchange_bytes(c) / c.stages);
    MLA_UNROLL for (int n = 0; n < kMine; ++n) {
      const int strip = pipeline.first_strip + n;
      fetch<c>(raw[n]);
      if (has_nan<c>(raw[n], first_group(pipeline))) scrub<c>(raw[n], first_group(pipeline));
      MLA_UNROLL for (int u = 0; u < gathered_groups(c); ++u) {
        const int g = first_group(pipeline) + u;
        store_keys<c>(tile, strip * c.mfma, g * kGroupDim, g == kGroups - 1,
                      dequantise<c>(raw[n], first_group(pipeline), u));
      }
      write_mask(board + 4 * strip, raw[n].keys);
    }
    refill<c>(pipeline, set);
    barrier();
    ScoreTile<c.mfma> scores[kAll][head_tiles(c)];
    WeightTile<c.mfma> weights[kAll][head_tiles(c)];
    MLA_UNROLL for (int n = 0; n < kAll; ++n) {
      MLA_UNROLL for (auto& s : scores[n]) clear(s);
      MLA_UNROLL for (int g = 0; g < kGroups; ++g) {
        const KeyFragment<c> keys = load_keys<c>(tile, n * c.mfma, g);
        MLA_UNROLL for (int h = 0; h < head_tiles(c); ++h)
            multiply<c>(scores[n][h], keys, query_group<c>(a.queries[h], g));
      }
      const unsigned there = read_mask(board + 4 * n);
      MLA_UNROLL for (auto& s : scores[n]) mask(s, there);
    }
    soften<c, kAll>(a, scale, scores, weights);
    MLA_UNROLL for (int panel = 0; panel < panels(c); ++panel) {
      accumulate_panel<c, kAll>(a, panel, tile, panel * panel_columns(c), weights);
    }
    if constexpr (c.stages == 1) {
      barrier();
    } else {
      stage ^= 1;
    }
  });
}

// WaveSplit::keys, after the loop: brings all waves to the common maximum; panel p ends up, summed,
// in wave p % waves.
template <Config c>
MLA_DEVICE void merge_waves(Attention<c>& a, LdsPtr region, int wave) {
  using A = Attention<c>;
  using H = PerHead<c.mfma>;
  constexpr int kPanelBytes = c.mfma * panel_columns(c) * 4,
                kWaveBytes = A::kHeadTiles * kPanelBytes;
  const auto statistics = [&](int w, int h) MLA_LAMBDA {
    return region + c.waves * kWaveBytes + (w * A::kHeadTiles + h) * c.mfma * 4 * kStatistics;
  };
  barrier();  // the tiles that the region lies over are no longer read
  MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h)
      write_statistics(statistics(wave, h), a.max[h], a.sum[h], a.exact[h]);
  barrier();
  MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
    const H mine = a.max[h];
    H theirs, sum, exact;
    MLA_UNROLL for (int w = 0; w < c.waves; ++w) {
      read_statistics(statistics(w, h), theirs, sum, exact);
      MLA_UNROLL for (int i = 0; i < H::kCount; ++i) a.max[h].v[i] =
          maximum(a.max[h].v[i], theirs.v[i]);
    }
    H factor;
    MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
      a.offset[h].v[i] = or_zero(a.max[h].v[i]);
      factor.v[i] = exp2_fast(mine.v[i] - a.offset[h].v[i]);
      a.sum[h].v[i] = a.exact[h].v[i] = 0;
    }
    MLA_UNROLL for (int w = 0; w < c.waves; ++w) {
      read_statistics(statistics(w, h), theirs, sum, exact);
      MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
        const float factor = exp2_fast(theirs.v[i] - a.offset[h].v[i]);
        a.sum[h].v[i] += sum.v[i] * factor;
        a.exact[h].v[i] += exact.v[i] * factor;
      }
    }
    MLA_UNROLL for (auto& panel : a.out[h]) multiply(panel, factor);
  }
  MLA_UNROLL for (int panel = 0; panel < A::kPanels; ++panel) {
    const int owner = panel % c.waves;
    MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
      if (wave != owner) write_panel(region + wave * kWaveBytes + h * kPanelBytes, a.out[h][panel]);
    }
    barrier();
    if (wave == owner) {
      MLA_UNROLL for (int w = 0; w < c.waves; ++w) {
        if (w == owner) continue;
        MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h)
            add_panel(region + w * kWaveBytes + h * kPanelBytes, a.out[h][panel]);
      }
    }
    barrier();
  }
}

// Applies the sink and writes out and LSE, or with several splits the partial result. `speaks`: no
// other wave has these statistics to write. `first_panel` is the first of a.out. `writer`: the
// number of this wave, or of its workgroup, among those that have the panels between them.
template <Config c>
MLA_DEVICE void write_result(const DecodeArgs& args, const Attention<c>& a, int token, int head0,
                             int split, int splits, int writer, bool speaks, int first_panel,
                             bool has_tiles) {
  constexpr int kWriters = c.wave_split == WaveSplit::keys ? c.waves : c.cluster;
  using A = Attention<c>;
  using H = PerHead<c.mfma>;
  MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
    const int first = head0 + h * c.mfma, heads = args.heads - first;
    const long long row = static_cast<long long>(token) * args.heads + first;
    H factor;
    MLA_UNROLL for (int i = 0; i < H::kCount; ++i) {
      const int head = head_of<c.mfma>(i);
      const float max = a.max[h].v[i], sum = a.sum[h].v[i];
      factor.v[i] = 0;
      if (head >= heads) continue;
      if (splits == 1) factor.v[i] = normaliser(max, sum, sink_of(args.sink, first + head));
      if (speaks && speaks_for_head<c.mfma>())
        write_lse_or_statistics(args, token, first + head, split, splits, max, sum,
                                a.exact[h].v[i]);
    }
    if (splits > 1 && !has_tiles) continue;  // the reduce reads no row of a split whose sum is 0
    MLA_UNROLL for (int panel = 0; panel < A::kPanels; ++panel) {
      if (kWriters > 1 && panel % kWriters != writer) continue;
      const int column0 = (first_panel + panel) * panel_columns(c);
      if (splits == 1) {
        write_output<c>(args.out, token * args.out_token_stride + first * args.out_head_stride,
                        args.out_head_stride, heads, column0, a.out[h][panel], factor);
      } else {
        write_partial<c>(args.workspace, (row * splits + split) * kHeadDim,
                         static_cast<long long>(splits) * kHeadDim, heads, column0,
                         a.out[h][panel]);
      }
    }
  }
}

// As sparse_mla_decode().
template <Config c>
MLA_DEVICE void decode_by_scores(const DecodeArgs& args) {
  using A = Attention<c>;
  const Task task = task_of_workgroup<c>(args);
  const int token = task.token, split = task.split, splits = task.splits, wave = wave_id();
  const int head0 =
      task.head0 + (c.wave_split == WaveSplit::heads ? wave * A::kHeadTiles * c.mfma : 0);
  const LdsPtr lds = lds_region<lds_bytes(c)>();
  const LdsPtr raw = lds + query_bytes(c), tiles = raw + raw_bytes(c),
               exchange = tiles + tiles_bytes(c);

  A a;
  MLA_UNROLL for (int h = 0; h < A::kHeadTiles; ++h) {
    MLA_UNROLL for (int i = 0; i < PerHead<c.mfma>::kCount; ++i) {
      a.max[h].v[i] = -infinity();
      a.offset[h].v[i] = 0;
      a.sum[h].v[i] = a.exact[h].v[i] = 0;
    }
    MLA_UNROLL for (auto& panel : a.out[h]) clear(panel);
    const int first = head0 + h * c.mfma;
    const int tile = c.wave_split == WaveSplit::heads ? wave * A::kHeadTiles + h : h;
    const bool shared = c.wave_split != WaveSplit::heads;
    const bool any =
        first <
        args.heads;  // a tile past the last head computes the first head, and writes nothing
    load_queries<c>(a.queries[h],
                    static_cast<const unsigned char*>(args.q) +
                        2 * (token * args.q_token_stride + (any ? first : 0) * args.q_head_stride),
                    args.q_head_stride, any ? args.heads - first : 1,
                    lds + tile * c.mfma * kHeadDim * 2, shared ? wave : 0, shared ? c.waves : 1);
  }
  if constexpr (c.query_in == QueryIn::lds) barrier();

  Pipeline<c> pipeline;
  pipeline.split = open_split<c>(args, token, split);
  const bool has_tiles = pipeline.split.walk.next < pipeline.split.walk.end;
  constexpr int kSharers = c.wave_split == WaveSplit::keys ? 1 : kGroups / gathered_groups(c);
  pipeline.first_strip = c.wave_split == WaveSplit::keys ? 0 : wave / kSharers * gathered_strips(c);
  pipeline.shared_group = wave % kSharers * gathered_groups(c);
  pipeline.staging = raw + wave * sets_in_flight(c) * gathered_strips(c) * raw_strip_bytes(c);
  if constexpr (c.wave_split == WaveSplit::keys) {
    pipeline.split.walk.next += wave * pipeline.split.walk.step;
    pipeline.split.walk.step *= c.waves;
  }

  const float scale = args.scale * kLog2E;
  if constexpr (c.wave_split == WaveSplit::keys) {
    attend_by_keys<c>(a, pipeline, scale, tiles + wave * tile_bytes(c));
  } else if constexpr (c.wave_split == WaveSplit::columns) {
    attend_by_columns<c>(a, pipeline, scale, tiles, exchange, wave);
  } else {
    attend_by_heads<c>(a, pipeline, scale, tiles, exchange);
  }
  MLA_UNROLL for (auto& sum : a.sum) combine_sum(sum);
  MLA_UNROLL for (auto& sum : a.exact) combine_sum(sum);
  if constexpr (c.wave_split == WaveSplit::keys && c.waves > 1) merge_waves<c>(a, raw, wave);
  write_result<c>(reload(args), a, token, head0, split, splits, wave,
                  c.wave_split == WaveSplit::heads || wave == 0,
                  c.wave_split == WaveSplit::columns ? wave * A::kPanels : 0, has_tiles);
  if constexpr (c.merge == Merge::last)
    merge_if_last<c>(reload(args), token, task.head0, split, splits, lds, wave);
}

}  // namespace mla
