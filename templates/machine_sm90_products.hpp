#pragma once

// sm_90: the two products, the softmax between them, and what becomes of the output.

#include "machine_sm90_tiles.hpp"

namespace mla {

// ---- scores ----

template <int M>
struct ScoreTile {
  float v[8];  // [tile of 8 keys][head lane_row(), the same + 8][key 2 * lane_part(), the same + 1]
};
template <int M>
struct WeightTile {
  uint4 operand;  // A of one step of the contraction
};

template <int M>
MLA_DEVICE void clear(ScoreTile<M>& s) {
  MLA_UNROLL for (float& x : s.v) x = 0;
}
// scores += Q K^T over one group of 64 columns.
template <Config c>
MLA_DEVICE void multiply(ScoreTile<c.mfma>& s, const KeyFragment<c>& k, const QueryFragment<c>& q) {
  MLA_UNROLL for (int i = 0; i < 4; ++i) {
    MLA_UNROLL for (int n = 0; n < 2; ++n)
        mma(s.v + 4 * n, q.steps[i], k.steps[n][i].x, k.steps[n][i].y);
  }
}
// Whether the strip must be scrubbed: OCP NaN bytes were met on the way, a NaN in RoPE makes each
// of its key's scores NaN, and the rest is searched for.
template <Config c>
MLA_DEVICE bool needs_scrub(const RawStrip<c>& raw, const ScoreTile<c.mfma>& s) {
  bool nan = has_bad_scale<c>(raw);
  MLA_UNROLL for (float x : s.v) nan |= x != x;
  if (raw.format != Fp8Format::ocp) return any_lane(nan) || has_nan<c>(raw, 0);
  return any_lane(nan || (raw.nan & 0x80808080u) != 0);
}
// Scores of keys that are not there become -inf.
template <int M>
MLA_DEVICE void mask(ScoreTile<M>& s, unsigned keys) {
  if (keys == 0xffffu) return;
  const unsigned mine = keys >> (2 * lane_part());
  MLA_UNROLL for (int i = 0; i < 8; ++i) s.v[i] =
      (mine >> (i / 4 * 8 + i % 2) & 1u) != 0 ? s.v[i] : -infinity();
}
template <int M>
MLA_DEVICE void write_scores(LdsPtr p, const ScoreTile<M>& s) {
  MLA_UNROLL for (int n = 0; n < 2; ++n) {
    const float* v = s.v + 4 * n;
    lds_write(p + (n * kLanes + lane_id()) * 16, float4{v[0], v[1], v[2], v[3]});
  }
}
template <int M>
MLA_DEVICE void read_scores(LdsPtr p, ScoreTile<M>& s) {
  MLA_UNROLL for (int n = 0; n < 2; ++n) {
    const float4 v = lds_read<float4>(p + (n * kLanes + lane_id()) * 16);
    s.v[4 * n] = v.x;
    s.v[4 * n + 1] = v.y;
    s.v[4 * n + 2] = v.z;
    s.v[4 * n + 3] = v.w;
  }
}

// Raises `partial` to the largest of this lane's scores of each head.
template <int M>
MLA_DEVICE void raise_to_max(PerHead<M>& partial, const ScoreTile<M>& s) {
  MLA_UNROLL for (int i = 0; i < 8; ++i) partial.v[i / 2 % 2] =
      maximum(partial.v[i / 2 % 2], s.v[i]);
}
template <int M>
MLA_DEVICE void combine_max(PerHead<M>& p) {
  MLA_UNROLL for (float& x : p.v) {
    x = maximum(x, from_lane_xor(x, 1));
    x = maximum(x, from_lane_xor(x, 2));
  }
}
template <int M>
MLA_DEVICE void combine_sum(PerHead<M>& p) {
  MLA_UNROLL for (float& x : p.v) {
    x += from_lane_xor(x, 1);
    x += from_lane_xor(x, 2);
  }
}
// exp2(score * scale - offset) as bf16. The lane's share of `sum` grows by what bf16 kept, that of
// `exact` by the whole.
template <int M>
MLA_DEVICE WeightTile<M> weigh(const ScoreTile<M>& s, float scale, const PerHead<M>& offset,
                               PerHead<M>& sum, PerHead<M>& exact) {
  unsigned pairs[4];
  MLA_UNROLL for (int i = 0; i < 4; ++i) {
    const float low = exp2_fast(fmaf(s.v[2 * i], scale, -offset.v[i % 2]));
    const float high = exp2_fast(fmaf(s.v[2 * i + 1], scale, -offset.v[i % 2]));
    pairs[i] = pack_bf16(low, high);
    exact.v[i % 2] += low + high;
    sum.v[i % 2] += __uint_as_float(pairs[i] << 16) + __uint_as_float(pairs[i] & 0xffff0000u);
  }
  return {{pairs[0], pairs[1], pairs[2], pairs[3]}};
}
// The head of the tile that element i of a PerHead belongs to, and whether this lane is the one to
// write it.
template <int M>
MLA_DEVICE int head_of(int i) {
  return lane_row() + 8 * i;
}
template <int M>
MLA_DEVICE bool speaks_for_head() {
  return lane_part() == 0;
}

// Statistics of a head tile through LDS, [head][max, sum, exact].
template <int M>
MLA_DEVICE void write_statistics(LdsPtr p, const PerHead<M>& max, const PerHead<M>& sum,
                                 const PerHead<M>& exact) {
  if (!speaks_for_head<M>()) return;
  MLA_UNROLL for (int i = 0; i < 2; ++i) {
    const LdsPtr mine = p + 12 * head_of<M>(i);
    lds_write(mine, max.v[i]);
    lds_write(mine + 4, sum.v[i]);
    lds_write(mine + 8, exact.v[i]);
  }
}
template <int M>
MLA_DEVICE void read_statistics(LdsPtr p, PerHead<M>& max, PerHead<M>& sum, PerHead<M>& exact) {
  MLA_UNROLL for (int i = 0; i < 2; ++i) {
    const LdsPtr mine = p + 12 * head_of<M>(i);
    max.v[i] = lds_read<float>(mine);
    sum.v[i] = lds_read<float>(mine + 4);
    exact.v[i] = lds_read<float>(mine + 8);
  }
}
// Which keys of a strip are there, through LDS.
MLA_DEVICE void write_mask(LdsPtr p, unsigned keys) { lds_write(p, keys); }
MLA_DEVICE unsigned read_mask(LdsPtr p) { return lds_read<unsigned>(p); }

// ---- values ----

// Operand B of one step, 16 keys from `row0` on, for two tiles of 8 columns from column0 + column
// on.
template <Config c>
MLA_DEVICE uint4 read_values(LdsPtr tile, int row0, int column0, int column) {
  if constexpr (c.value_read == ValueRead::transposing) {
    const unsigned second_rows = lane_id() / 8 % 2 * 8 * kRowStride<c>;
    return read_transposed(
        tile_at<c>(tile + second_rows, row0, column0, lane_id() % 8, column + lane_id() / 16 * 8));
  } else {
    unsigned words[4];
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      const auto element = [&](int key) MLA_LAMBDA {
        return static_cast<unsigned>(lds_read<unsigned short>(
            tile_at<c>(tile, row0 + i % 2 * 8, column0, 2 * lane_part() + key,
                       column + i / 2 * 8 + lane_row())));
      };
      words[i] = element(0) | element(1) << 16;
    }
    return {words[0], words[1], words[2], words[3]};
  }
}

// ---- output ----

template <int M>
struct OutputPanel {
  float tiles[8][4];  // [8 columns][head lane_row(), the same + 8][column 2 * lane_part(), the same
                      // + 1]
};
template <int M>
MLA_DEVICE void clear(OutputPanel<M>& o) {
  MLA_UNROLL for (auto& tile : o.tiles) { MLA_UNROLL for (float& x : tile) x = 0; }
}
template <int M>
MLA_DEVICE void multiply(OutputPanel<M>& o, const PerHead<M>& factor) {
  MLA_UNROLL for (auto& tile : o.tiles) {
    MLA_UNROLL for (int i = 0; i < 4; ++i) tile[i] *= factor.v[i / 2];
  }
}

// out += P V over kStrips strips of the tile, for the panel that begins at the tile's column0, for
// every head tile.
template <Config c, int kStrips, int kHeadTiles>
MLA_DEVICE void accumulate(OutputPanel<c.mfma>* const (&out)[kHeadTiles], LdsPtr tile, int column0,
                           const WeightTile<c.mfma> (&weights)[kStrips][kHeadTiles]) {
  // A tile that only this wave fills has no barrier around its use.
  if constexpr (c.wave_split == WaveSplit::keys) __syncwarp();
  MLA_UNROLL for (int n = 0; n < kStrips; ++n) {
    MLA_UNROLL for (int q = 0; q < 4; ++q) {
      const uint4 v = read_values<c>(tile, n * c.mfma, column0, q * 16);
      MLA_UNROLL for (int h = 0; h < kHeadTiles; ++h) {
        mma(out[h]->tiles[2 * q], weights[n][h].operand, v.x, v.y);
        mma(out[h]->tiles[2 * q + 1], weights[n][h].operand, v.z, v.w);
      }
    }
  }
  if constexpr (c.wave_split == WaveSplit::keys) __syncwarp();
}

// Writes the panel's rows of the first `heads` heads as bf16, times a factor a head. `row` is the
// first head's row.
template <Config c>
MLA_DEVICE void write_output(void* out, long long row, long long head_stride, int heads,
                             int column0, const OutputPanel<c.mfma>& o,
                             const PerHead<c.mfma>& factor) {
  const bool odd = lane_part() % 2 != 0;
  MLA_UNROLL for (int i = 0; i < 2; ++i) {
    const long long base = row + head_of<c.mfma>(i) * head_stride + column0;
    MLA_UNROLL for (int n = 0; n < 8; n += 2) {
      // Of two tiles, a pair of lanes holds 2 columns each: it trades them for 4 columns of one.
      const float *a = o.tiles[n] + 2 * i, *b = o.tiles[n + 1] + 2 * i;
      const unsigned first = pack_bf16(a[0] * factor.v[i], a[1] * factor.v[i]);
      const unsigned second = pack_bf16(b[0] * factor.v[i], b[1] * factor.v[i]);
      const unsigned theirs = from_lane_xor(odd ? first : second, 1);
      const int column = (odd ? n + 1 : n) * 8 + lane_part() / 2 * 4;
      if (head_of<c.mfma>(i) < heads) {
        global_write(out, 2 * (base + column), odd ? uint2{theirs, second} : uint2{first, theirs});
      }
    }
  }
}
// The same as fp32 and as it stands, for a split's partial result.
template <Config c>
MLA_DEVICE void write_partial(float* out, long long row, long long head_stride, int heads,
                              int column0, const OutputPanel<c.mfma>& o) {
  MLA_UNROLL for (int i = 0; i < 2; ++i) {
    if (head_of<c.mfma>(i) >= heads) continue;
    const long long base = row + head_of<c.mfma>(i) * head_stride + column0 + 2 * lane_part();
    MLA_UNROLL for (int n = 0; n < 8; ++n) {
      global_write(out, 4 * (base + 8 * n), float2{o.tiles[n][2 * i], o.tiles[n][2 * i + 1]});
    }
  }
}

// A panel through LDS, from one wave to the same lanes of another.
template <int M>
MLA_DEVICE void write_panel(LdsPtr p, const OutputPanel<M>& o) {
  MLA_UNROLL for (int n = 0; n < 8; ++n) {
    const auto& t = o.tiles[n];
    lds_write(p + (n * kLanes + lane_id()) * 16, float4{t[0], t[1], t[2], t[3]});
  }
}
template <int M>
MLA_DEVICE void add_panel(LdsPtr p, OutputPanel<M>& o) {
  MLA_UNROLL for (int n = 0; n < 8; ++n) {
    const float4 v = lds_read<float4>(p + (n * kLanes + lane_id()) * 16);
    o.tiles[n][0] += v.x;
    o.tiles[n][1] += v.y;
    o.tiles[n][2] += v.z;
    o.tiles[n][3] += v.w;
  }
}

// ---- rows, for the reduce ----

// kColumns of one row over the wave, each lane with runs of four.
template <int kColumns>
struct RowPart {
  static_assert(kColumns % (4 * kLanes) == 0);
  float4 v[kColumns / kLanes / 4];
};
template <int kColumns>
MLA_DEVICE void clear(RowPart<kColumns>& row) {
  MLA_UNROLL for (float4& x : row.v) x = float4{0, 0, 0, 0};
}
// Quarters of rows, one of each split, that a wave of sparse_mla_reduce has on their way at once.
constexpr int kQuarterRowsAtOnce = 8;
template <int kColumns>
MLA_DEVICE void load(RowPart<kColumns>& row, const float* from) {
  MLA_UNROLL for (int i = 0; i < kColumns / kLanes / 4; ++i) row.v[i] =
      global_read<float4>(reinterpret_cast<GlobalPtr>(from) + 16 * (i * kLanes + lane_id()));
}
template <int kColumns>
MLA_DEVICE void add_scaled(RowPart<kColumns>& sum, const RowPart<kColumns>& row, float factor) {
  MLA_UNROLL for (int i = 0; i < kColumns / kLanes / 4; ++i) {
    const float4& x = row.v[i];
    float4& s = sum.v[i];
    s = {fmaf(x.x, factor, s.x), fmaf(x.y, factor, s.y), fmaf(x.z, factor, s.z),
         fmaf(x.w, factor, s.w)};
  }
}
template <int kColumns>
MLA_DEVICE void write_row(void* out, long long element, const RowPart<kColumns>& row,
                          float factor) {
  MLA_UNROLL for (int i = 0; i < kColumns / kLanes / 4; ++i) {
    const float4& x = row.v[i];
    global_write(
        out, 2 * (element + 4 * (i * kLanes + lane_id())),
        uint2{pack_bf16(x.x * factor, x.y * factor), pack_bf16(x.z * factor, x.w * factor)});
  }
}
MLA_DEVICE bool speaks_for_wave() { return lane_id() == 0; }

}  // namespace mla
