#pragma once

// The host: the two products, the softmax between them, and what becomes of the output.

#include "machine_host.hpp"

namespace mla {

template <int M>
struct ScoreTile {
  float v[M][M];  // [key][head]
};
template <int M>
struct WeightTile {
  float v[M][M];
};
template <int M>
struct OutputPanel {
  float v[M][4 * M];  // [head][column]
};

template <int M>
MLA_DEVICE void clear(ScoreTile<M>& s) {
  for (auto& row : s.v) {
    for (float& x : row) x = 0;
  }
}
template <Config c>
MLA_DEVICE void multiply(ScoreTile<c.mfma>& s, const KeyFragment<c>& k, const QueryFragment<c>& q) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int i = 0; i < kGroupDim; ++i) {
      for (int h = 0; h < c.mfma; ++h) s.v[r][h] += k.v[r][i] * q.v[i][h];
    }
  }
}
template <Config c>
MLA_DEVICE bool needs_scrub(const RawStrip<c>& raw, const ScoreTile<c.mfma>& s) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int h = 0; h < c.mfma; ++h) {
      if (s.v[r][h] != s.v[r][h]) return true;
    }
    for (int g = 0; g < kGroups - 1; ++g) {
      if (group_is_nan(raw, r, g)) return true;
    }
  }
  return false;
}
template <int M>
MLA_DEVICE void mask(ScoreTile<M>& s, unsigned keys) {
  for (int r = 0; r < M; ++r) {
    if ((keys >> r & 1u) != 0) continue;
    for (float& x : s.v[r]) x = -infinity();
  }
}
template <int M>
MLA_DEVICE void write_scores(LdsPtr p, const ScoreTile<M>& s) {
  write_as(p, s);
}
template <int M>
MLA_DEVICE void read_scores(LdsPtr p, ScoreTile<M>& s) {
  s = read_as<ScoreTile<M>>(p);
}

template <int M>
MLA_DEVICE void raise_to_max(PerHead<M>& partial, const ScoreTile<M>& s) {
  for (int r = 0; r < M; ++r) {
    for (int h = 0; h < M; ++h) partial.v[h] = maximum(partial.v[h], s.v[r][h]);
  }
}
template <int M>
MLA_DEVICE void combine_max(PerHead<M>&) {}
template <int M>
MLA_DEVICE void combine_sum(PerHead<M>&) {}
template <int M>
MLA_DEVICE WeightTile<M> weigh(const ScoreTile<M>& s, float scale, const PerHead<M>& offset,
                               PerHead<M>& sum, PerHead<M>& exact) {
  WeightTile<M> w;
  for (int r = 0; r < M; ++r) {
    for (int h = 0; h < M; ++h) {
      const float p = exp2_fast(s.v[r][h] * scale - offset.v[h]);
      exact.v[h] += p;
      w.v[r][h] = round_to_bf16(p);
      sum.v[h] += w.v[r][h];
    }
  }
  return w;
}
template <int M>
MLA_DEVICE int head_of(int element) {
  return element;
}
template <int M>
MLA_DEVICE bool speaks_for_head() {
  return true;
}

template <int M>
MLA_DEVICE void write_statistics(LdsPtr p, const PerHead<M>& max, const PerHead<M>& sum,
                                 const PerHead<M>& exact) {
  for (int h = 0; h < M; ++h) {
    write_as(p + 12 * h, max.v[h]);
    write_as(p + 12 * h + 4, sum.v[h]);
    write_as(p + 12 * h + 8, exact.v[h]);
  }
}
template <int M>
MLA_DEVICE void read_statistics(LdsPtr p, PerHead<M>& max, PerHead<M>& sum, PerHead<M>& exact) {
  for (int h = 0; h < M; ++h) {
    max.v[h] = read_as<float>(p + 12 * h);
    sum.v[h] = read_as<float>(p + 12 * h + 4);
    exact.v[h] = read_as<float>(p + 12 * h + 8);
  }
}
MLA_DEVICE void write_mask(LdsPtr p, unsigned keys) { write_as(p, keys); }
MLA_DEVICE unsigned read_mask(LdsPtr p) { return read_as<unsigned>(p); }

template <int M>
MLA_DEVICE void clear(OutputPanel<M>& o) {
  for (auto& row : o.v) {
    for (float& x : row) x = 0;
  }
}
template <int M>
MLA_DEVICE void multiply(OutputPanel<M>& o, const PerHead<M>& factor) {
  for (int h = 0; h < M; ++h) {
    for (float& x : o.v[h]) x *= factor.v[h];
  }
}
template <Config c, int kStrips, int kHeadTiles>
MLA_DEVICE void accumulate(OutputPanel<c.mfma>* const (&out)[kHeadTiles], LdsPtr tile, int column0,
                           const WeightTile<c.mfma> (&weights)[kStrips][kHeadTiles]) {
  constexpr int M = c.mfma;
  for (int n = 0; n < kStrips; ++n) {
    for (int r = 0; r < M; ++r) {
      float row[4 * M];
      for (int i = 0; i < 4 * M; ++i) row[i] = read_bf16(tile_at<c>(tile, n * M + r, column0 + i));
      for (int t = 0; t < kHeadTiles; ++t) {
        for (int h = 0; h < M; ++h) {
          for (int i = 0; i < 4 * M; ++i) out[t]->v[h][i] += weights[n][t].v[r][h] * row[i];
        }
      }
    }
  }
}

template <Config c>
MLA_DEVICE void write_output(void* out, long long row, long long head_stride, int heads,
                             int column0, const OutputPanel<c.mfma>& o,
                             const PerHead<c.mfma>& factor) {
  for (int h = 0; h < c.mfma && h < heads; ++h) {
    unsigned char* to = static_cast<unsigned char*>(out) + 2 * (row + h * head_stride + column0);
    for (int i = 0; i < panel_columns(c); ++i)
      write_as(to + 2 * i, to_bf16(o.v[h][i] * factor.v[h]));
  }
}
template <Config c>
MLA_DEVICE void write_partial(float* out, long long row, long long head_stride, int heads,
                              int column0, const OutputPanel<c.mfma>& o) {
  for (int h = 0; h < c.mfma && h < heads; ++h) {
    for (int i = 0; i < panel_columns(c); ++i) out[row + h * head_stride + column0 + i] = o.v[h][i];
  }
}
template <int M>
MLA_DEVICE void write_panel(LdsPtr p, const OutputPanel<M>& o) {
  write_as(p, o);
}
template <int M>
MLA_DEVICE void add_panel(LdsPtr p, OutputPanel<M>& o) {
  for (int h = 0; h < M; ++h) {
    for (int i = 0; i < 4 * M; ++i) o.v[h][i] += read_as<float>(p + 4 * (h * 4 * M + i));
  }
}

template <int kColumns>
struct RowPart {
  float v[kColumns];
};
template <int kColumns>
MLA_DEVICE void clear(RowPart<kColumns>& row) {
  for (float& x : row.v) x = 0;
}
// Quarters of rows, one of each split, that a wave of sparse_mla_reduce has on their way at once.
constexpr int kQuarterRowsAtOnce = 4;
template <int kColumns>
MLA_DEVICE void load(RowPart<kColumns>& row, const float* from) {
  for (int i = 0; i < kColumns; ++i) row.v[i] = from[i];
}
template <int kColumns>
MLA_DEVICE void add_scaled(RowPart<kColumns>& sum, const RowPart<kColumns>& row, float factor) {
  for (int i = 0; i < kColumns; ++i) sum.v[i] += row.v[i] * factor;
}
template <int kColumns>
MLA_DEVICE void write_row(void* out, long long element, const RowPart<kColumns>& row,
                          float factor) {
  for (int i = 0; i < kColumns; ++i) {
    write_as(static_cast<unsigned char*>(out) + 2 * (element + i), to_bf16(row.v[i] * factor));
  }
}

}  // namespace mla
