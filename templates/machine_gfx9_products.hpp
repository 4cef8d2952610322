#pragma once

// gfx950 and gfx942: the two products, the softmax between them, and what becomes of the output.

#include "machine_gfx9_tiles.hpp"

namespace mla {

// ---- scores ----

template <int M>
struct ScoreTile {
  typename Accumulator<M>::type v;
};
template <int M>
struct WeightTile {
  u32x2 chunks[M * M / kLanes / 4];  // 4 keys each
};

template <int M>
MLA_DEVICE void clear(ScoreTile<M>& s) {
  MLA_UNROLL for (int i = 0; i < M * M / kLanes; ++i) s.v[i] = 0;
}
// scores += K Q^T over one group of 64 columns.
template <Config c>
MLA_DEVICE void multiply(ScoreTile<c.mfma>& s, const KeyFragment<c>& k, const QueryFragment<c>& q) {
  MLA_UNROLL for (int i = 0; i < c.mfma / 8; ++i) mma8<c.mfma>(s.v, k.steps[i], q.steps[i]);
}
// Whether the strip must be scrubbed: a NaN in a key makes each of its scores NaN, so the scores
// tell, and only what does not show in them is searched for.
template <Config c>
MLA_DEVICE bool needs_scrub(const RawStrip<c>& raw, const ScoreTile<c.mfma>& s) {
  bool nan = false;
  MLA_UNROLL for (int i = 0; i < Shape<c>::kValues; ++i) nan |= s.v[i] != s.v[i];
  if (any_lane(nan) || has_bad_scale<c>(raw)) return true;
  return !kReadsOcp && raw.format == Fp8Format::ocp && has_nan<c>(raw, 0);
}
// Scores of keys that are not there become -inf.
template <int M>
MLA_DEVICE void mask(ScoreTile<M>& s, unsigned keys) {
  if (keys == (M == 32 ? 0xffffffffu : 0xffffu)) return;
  const unsigned mine = keys >> (4 * lane_part<M>());
  MLA_UNROLL for (int i = 0; i < M * M / kLanes; ++i) {
    s.v[i] = (mine >> result_row<M>(i) & 1u) != 0 ? s.v[i] : -infinity();
  }
}
template <int M>
MLA_DEVICE void write_scores(LdsPtr p, const ScoreTile<M>& s) {
  MLA_UNROLL for (int q = 0; q < M * M / kLanes / 4; ++q) {
    lds_write(p + (q * kLanes + lane_id()) * 16,
              f32x4{s.v[4 * q], s.v[4 * q + 1], s.v[4 * q + 2], s.v[4 * q + 3]});
  }
}
template <int M>
MLA_DEVICE void read_scores(LdsPtr p, ScoreTile<M>& s) {
  MLA_UNROLL for (int q = 0; q < M * M / kLanes / 4; ++q) {
    const f32x4 v = lds_read<f32x4>(p + (q * kLanes + lane_id()) * 16);
    MLA_UNROLL for (int i = 0; i < 4; ++i) s.v[4 * q + i] = v[i];
  }
}

// Raises `partial` to the largest of this lane's scores of each head.
template <int M>
MLA_DEVICE void raise_to_max(PerHead<M>& partial, const ScoreTile<M>& s) {
  MLA_UNROLL for (int i = 0; i < M * M / kLanes; ++i) partial.v[0] = maximum(partial.v[0], s.v[i]);
}
template <int M>
MLA_DEVICE void combine_max(PerHead<M>& p) {
  MLA_UNROLL for (int bit = M; bit < kLanes; bit *= 2) p.v[0] =
      maximum(p.v[0], from_lane_xor(p.v[0], bit));
}
template <int M>
MLA_DEVICE void combine_sum(PerHead<M>& p) {
  MLA_UNROLL for (int bit = M; bit < kLanes; bit *= 2) p.v[0] += from_lane_xor(p.v[0], bit);
}
// exp2(score * scale - offset) as bf16. The lane's share of `sum` grows by what bf16 kept, that of
// `exact` by the whole.
template <int M>
MLA_DEVICE WeightTile<M> weigh(const ScoreTile<M>& s, float scale, const PerHead<M>& offset,
                               PerHead<M>& sum, PerHead<M>& exact) {
  WeightTile<M> w;
  MLA_UNROLL for (int q = 0; q < M * M / kLanes / 4; ++q) {
    MLA_UNROLL for (int i = 0; i < 2; ++i) {
      const float x = exp2_fast(__builtin_fmaf(s.v[4 * q + 2 * i], scale, -offset.v[0]));
      const float y = exp2_fast(__builtin_fmaf(s.v[4 * q + 2 * i + 1], scale, -offset.v[0]));
      exact.v[0] += x;
      exact.v[0] += y;
      w.chunks[q][i] = pack_bf16(x, y);
      sum.v[0] = add_pair(sum.v[0], w.chunks[q][i]);
    }
  }
  return w;
}
// The head of the tile that element i of a PerHead belongs to, and whether this lane is the one to
// write it.
template <int M>
MLA_DEVICE int head_of(int) {
  return lane_row<M>();
}
template <int M>
MLA_DEVICE bool speaks_for_head() {
  return lane_part<M>() == 0;
}

// Statistics of a head tile through LDS, [head][max, sum, exact].
template <int M>
MLA_DEVICE void write_statistics(LdsPtr p, const PerHead<M>& max, const PerHead<M>& sum,
                                 const PerHead<M>& exact) {
  if (!speaks_for_head<M>()) return;
  lds_write(p + 12 * lane_row<M>(), max.v[0]);
  lds_write(p + 12 * lane_row<M>() + 4, sum.v[0]);
  lds_write(p + 12 * lane_row<M>() + 8, exact.v[0]);
}
template <int M>
MLA_DEVICE void read_statistics(LdsPtr p, PerHead<M>& max, PerHead<M>& sum, PerHead<M>& exact) {
  max.v[0] = lds_read<float>(p + 12 * lane_row<M>());
  sum.v[0] = lds_read<float>(p + 12 * lane_row<M>() + 4);
  exact.v[0] = lds_read<float>(p + 12 * lane_row<M>() + 8);
}
// Which keys of a strip are there, through LDS.
MLA_DEVICE void write_mask(LdsPtr p, unsigned keys) { lds_write(p, keys); }
MLA_DEVICE unsigned read_mask(LdsPtr p) {
  return static_cast<unsigned>(
      __builtin_amdgcn_readfirstlane(static_cast<int>(lds_read<unsigned>(p))));
}

// ---- values ----

// 4 keys (from `row0`, less 4 * lane_part) at this lane's column of each of the panel's four column
// tiles.
struct ValueChunk {
  u32x2 tiles[4];
};

template <Config c>
MLA_DEVICE ValueChunk read_values(LdsPtr tile, int row0, int column0) {
  constexpr int M = c.mfma;
  const int row = row0 + 4 * lane_part<M>();
  ValueChunk v;
  if constexpr (c.value_read == ValueRead::transposing) {
#if defined(__gfx950__)
    // Each 16 lanes read 4 rows x 16 columns, lane t the columns 4 (t % 4) of row t / 4, and get
    // column t of the 4 rows.
    using i16x4 = short __attribute__((ext_vector_type(4)));
    const int t = lane_id() % 16, half = M == 32 ? lane_id() / 16 % 2 : 0;
    MLA_UNROLL for (int n = 0; n < 4; ++n) {
      const LdsPtr p = tile_at<c>(tile, row + t / 4, column0, n * M + 16 * half + 4 * (t % 4));
      v.tiles[n] = __builtin_bit_cast(u32x2, __builtin_amdgcn_ds_read_tr16_b64_v4i16(
                                                 (__attribute__((address_space(3))) i16x4*)p));
    }
#else
    static_assert(c.value_read != ValueRead::transposing,
                  "this arch has no transposing LDS read: choose permuting");
#endif
  } else if constexpr (c.value_read == ValueRead::permuting) {
    u32x2 rows[4];
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      rows[i] = lds_read<u32x2>(tile_at<c>(tile, row + i, column0, 4 * lane_row<M>()));
    }
    MLA_UNROLL for (int n = 0; n < 4; ++n) {
      const unsigned half = n % 2 == 0 ? 0x05040100u : 0x07060302u;
      MLA_UNROLL for (int i = 0; i < 2; ++i) {
        v.tiles[n][i] = __builtin_amdgcn_perm(rows[2 * i + 1][n / 2], rows[2 * i][n / 2], half);
      }
    }
  } else {
    MLA_UNROLL for (int n = 0; n < 4; ++n) {
      unsigned short e[4];
      MLA_UNROLL for (int i = 0; i < 4; ++i) {
        e[i] = lds_read<unsigned short>(tile_at<c>(tile, row + i, column0, n * M + lane_row<M>()));
      }
      v.tiles[n] =
          u32x2{e[0] | static_cast<unsigned>(e[1]) << 16, e[2] | static_cast<unsigned>(e[3]) << 16};
    }
  }
  return v;
}

// ---- output ----

template <int M>
struct OutputPanel {
  typename Accumulator<M>::type tiles[4];
};
template <int M>
MLA_DEVICE void clear(OutputPanel<M>& o) {
  MLA_UNROLL for (auto& tile : o.tiles) {
    MLA_UNROLL for (int i = 0; i < M * M / kLanes; ++i) tile[i] = 0;
  }
}
template <int M>
MLA_DEVICE void multiply(OutputPanel<M>& o, const PerHead<M>& factor) {
  MLA_UNROLL for (auto& tile : o.tiles) tile *= factor.v[0];
}

// out += P V over kStrips strips of the tile, for the panel that begins at the tile's column0, for
// every head tile.
template <Config c, int kStrips, int kHeadTiles>
MLA_DEVICE void accumulate(OutputPanel<c.mfma>* const (&out)[kHeadTiles], LdsPtr tile, int column0,
                           const WeightTile<c.mfma> (&weights)[kStrips][kHeadTiles]) {
  constexpr int M = c.mfma;
  constexpr int kPerStrip = M * M / kLanes / 4, kChunks = kStrips * kPerStrip;
  const auto row = [](int chunk)
                       MLA_LAMBDA { return chunk / kPerStrip * M + chunk % kPerStrip * 8; };
  const auto weight = [&](int chunk, int h) MLA_LAMBDA {
    return weights[chunk / kPerStrip][h].chunks[chunk % kPerStrip];
  };
  MLA_UNROLL for (int i = 0; i + 1 < kChunks; i += 2) {
    const ValueChunk a = read_values<c>(tile, row(i), column0),
                     b = read_values<c>(tile, row(i + 1), column0);
    MLA_UNROLL for (int n = 0; n < 4; ++n) {
      const u32x4 v{a.tiles[n].x, a.tiles[n].y, b.tiles[n].x, b.tiles[n].y};
      MLA_UNROLL for (int h = 0; h < kHeadTiles; ++h) {
        const u32x2 p = weight(i, h), q = weight(i + 1, h);
        mma8<M>(out[h]->tiles[n], v, u32x4{p.x, p.y, q.x, q.y});
      }
    }
  }
  if constexpr (kChunks % 2 != 0) {
    const ValueChunk a = read_values<c>(tile, row(kChunks - 1), column0);
    MLA_UNROLL for (int n = 0; n < 4; ++n) {
      MLA_UNROLL for (int h = 0; h < kHeadTiles; ++h)
          mma4<M>(out[h]->tiles[n], a.tiles[n], weight(kChunks - 1, h));
    }
  }
}

// A lane's results of a panel as runs of four columns of its head: run x begins at column
// run_column(x) of the panel.
template <int M>
constexpr int kRuns = M* M / kLanes;
template <Config c>
MLA_DEVICE f32x4 run_of(const OutputPanel<c.mfma>& o, int x) {
  constexpr int M = c.mfma;
  if constexpr (c.value_read == ValueRead::permuting) {
    return {o.tiles[0][x], o.tiles[1][x], o.tiles[2][x], o.tiles[3][x]};
  } else {
    constexpr int kPerTile = kRuns<M> / 4;
    const auto& t = o.tiles[x / kPerTile];
    const int i = 4 * (x % kPerTile);
    return {t[i], t[i + 1], t[i + 2], t[i + 3]};
  }
}
template <Config c>
MLA_DEVICE int run_column(int x) {
  constexpr int M = c.mfma;
  if constexpr (c.value_read == ValueRead::permuting) {
    return 4 * (result_row<M>(x) + 4 * lane_part<M>());
  } else {
    constexpr int kPerTile = kRuns<M> / 4;
    return x / kPerTile * M + 8 * (x % kPerTile) + 4 * lane_part<M>();
  }
}

// Writes the panel's rows of the first `heads` heads as bf16, times a factor a head. `row` is the
// first head's row.
template <Config c>
MLA_DEVICE void write_output(void* out, long long row, long long head_stride, int heads,
                             int column0, const OutputPanel<c.mfma>& o,
                             const PerHead<c.mfma>& factor) {
  constexpr int M = c.mfma;
  if (lane_row<M>() >= heads) return;
  const long long base = row + lane_row<M>() * head_stride + column0;
  MLA_UNROLL for (int x = 0; x < kRuns<M>; ++x) {
    const f32x4 v = run_of<c>(o, x) * factor.v[0];
    global_write(out, 2 * (base + run_column<c>(x)),
                 u32x2{pack_bf16(v[0], v[1]), pack_bf16(v[2], v[3])});
  }
}
// The same as fp32 and as it stands, for a split's partial result.
template <Config c>
MLA_DEVICE void write_partial(float* out, long long row, long long head_stride, int heads,
                              int column0, const OutputPanel<c.mfma>& o) {
  constexpr int M = c.mfma;
  if (lane_row<M>() >= heads) return;
  const long long base = row + lane_row<M>() * head_stride + column0;
  MLA_UNROLL for (int x = 0; x < kRuns<M>; ++x)
      global_write(out, 4 * (base + run_column<c>(x)), run_of<c>(o, x));
}

// A panel through LDS, from one wave to the same lanes of another.
template <int M>
MLA_DEVICE void write_panel(LdsPtr p, const OutputPanel<M>& o) {
  MLA_UNROLL for (int n = 0; n < 4; ++n) {
    MLA_UNROLL for (int q = 0; q < kRuns<M> / 4; ++q) {
      const auto& t = o.tiles[n];
      lds_write(p + ((n * (kRuns<M> / 4) + q) * kLanes + lane_id()) * 16,
                f32x4{t[4 * q], t[4 * q + 1], t[4 * q + 2], t[4 * q + 3]});
    }
  }
}
template <int M>
MLA_DEVICE void add_panel(LdsPtr p, OutputPanel<M>& o) {
  MLA_UNROLL for (int n = 0; n < 4; ++n) {
    MLA_UNROLL for (int q = 0; q < kRuns<M> / 4; ++q) {
      const f32x4 v = lds_read<f32x4>(p + ((n * (kRuns<M> / 4) + q) * kLanes + lane_id()) * 16);
      MLA_UNROLL for (int i = 0; i < 4; ++i) o.tiles[n][4 * q + i] += v[i];
    }
  }
}

// ---- rows, for the reduce ----

// kColumns of one row over the wave, each lane with columns that follow each other.
template <int kColumns>
struct RowPart {
  static constexpr int kMine = kColumns / kLanes;
  float v[kMine];
};
template <int kColumns>
MLA_DEVICE void clear(RowPart<kColumns>& row) {
  MLA_UNROLL for (float& x : row.v) x = 0;
}
// Quarters of rows, one of each split, that a wave of sparse_mla_reduce has on their way at once.
// Of splits that are not there it takes as many instructions as of those that are.
constexpr int kQuarterRowsAtOnce = 4;
template <int kColumns>
MLA_DEVICE void load(RowPart<kColumns>& row, const float* from) {
  constexpr int kMine = RowPart<kColumns>::kMine, kVector = kMine < 4 ? kMine : 4;
  using Vector = float __attribute__((ext_vector_type(kVector)));
  const GlobalPtr p = (GlobalPtr)from + 4 * kMine * lane_id();
  MLA_UNROLL for (int i = 0; i < kMine; i += kVector) {
    const Vector x = global_read<Vector>(p + 4 * i);
    MLA_UNROLL for (int k = 0; k < kVector; ++k) row.v[i + k] = x[k];
  }
}
template <int kColumns>
MLA_DEVICE void add_scaled(RowPart<kColumns>& sum, const RowPart<kColumns>& row, float factor) {
  MLA_UNROLL for (int i = 0; i < RowPart<kColumns>::kMine; ++i) sum.v[i] =
      __builtin_fmaf(row.v[i], factor, sum.v[i]);
}
template <int kColumns>
MLA_DEVICE void write_row(void* out, long long element, const RowPart<kColumns>& row,
                          float factor) {
  constexpr int kMine = RowPart<kColumns>::kMine;
  MLA_UNROLL for (int i = 0; i < kMine; i += 2) {
    global_write(out, 2 * (element + kMine * lane_id() + i),
                 pack_bf16(row.v[i] * factor, row.v[i + 1] * factor));
  }
}
MLA_DEVICE bool speaks_for_wave() { return lane_id() == 0; }

}  // namespace mla
