#pragma once

// gfx950 and gfx942: bf16 fragments of keys and queries, and the tile of keys in LDS.

#include "machine_gfx9_gather.hpp"

namespace mla {

// ---- the bf16 tile in LDS: row-major, one row a key ----

// Permutes the 16-byte chunks of a row, so that neither 16 rows at one chunk (writes, QK reads) nor
// 4 rows at two chunks (transposing reads) meet in a bank.
template <Config c>
MLA_DEVICE int swizzle(int row) {
  if constexpr (tile_row_bytes(c) >= 256) return 2 * (row % 8) + row / 8 % 2;
  return 2 * (row / 2 % 4) + row / 8 % 2;
}
// The element `column` columns behind `first`, within the 64 of a group or the panel that begins
// there. Lanes agree on `first`: what the permutation leaves of it becomes the instruction's own
// offset, so that few addresses serve a whole row.
template <Config c>
MLA_DEVICE LdsPtr tile_at(LdsPtr tile, int row, int first, int column) {
  constexpr int kPermuted = 128;  // columns that the permutation stays within
  int byte = 2 * ((first & (kPermuted - 1)) + column);
  if constexpr (c.lds_layout == LdsLayout::swizzled) byte ^= swizzle<c>(row) << 4;
  return tile + 2 * (first & ~(kPermuted - 1)) + (row * tile_row_bytes(c) + byte);
}

// ---- fragments ----

template <Config c>
struct KeyFragment {
  u32x4 steps[c.mfma / 8];  // 8 bf16 each
};
template <Config c>
struct QueryFragment {
  u32x4 steps[c.mfma / 8];
};

// Group `first_group + u` of the strip as bf16.
template <Config c>
MLA_DEVICE KeyFragment<c> dequantise(const RawStrip<c>& raw, int first_group, int u) {
  using S = Shape<c>;
  const int g = first_group + u;
  KeyFragment<c> k;
  if (g == kGroups - 1) {
    MLA_UNROLL for (int i = 0; i < S::kWords / 4; ++i) k.steps[i] = raw.words[u][i];
  } else {
    const float scale = group_scale<c>(raw, g);
    MLA_UNROLL for (int i = 0; i < S::kWords / 2; ++i) {
      const u32x2 pair = dequantise_word(raw.words[u][i / 4][i % 4], scale, raw.format);
      k.steps[i / 2][2 * (i % 2)] = pair.x;
      k.steps[i / 2][2 * (i % 2) + 1] = pair.y;
    }
  }
  return k;
}

// Writes a lane's columns of a group, which it holds in runs of kWidth.
template <Config c, int kWidth>
MLA_DEVICE void store_runs(LdsPtr tile, int row, int column, const KeyFragment<c>& k) {
  using S = Shape<c>;
  MLA_UNROLL for (int i = 0; i < S::M / kWidth; ++i) {
    const int at = (i * S::kParts + lane_part<S::M>()) * kWidth;
    if constexpr (kWidth == 4) {
      lds_write(tile_at<c>(tile, row, column, at),
                u32x2{k.steps[i / 2][2 * (i % 2)], k.steps[i / 2][2 * (i % 2) + 1]});
    } else {
      MLA_UNROLL for (int w = 0; w < kWidth; w += 8) {
        lds_write(tile_at<c>(tile, row, column, at + w), k.steps[(i * kWidth + w) / 8]);
      }
    }
  }
}

// Writes a fragment of group g to the tile, at `column` (the group's first column in that tile).
template <Config c>
MLA_DEVICE void store_keys(LdsPtr tile, int row0, int column, bool rope, const KeyFragment<c>& k) {
  using S = Shape<c>;
  if (rope) {
    store_runs<c, S::kLoad / 2>(tile, row0 + lane_row<S::M>(), column, k);
  } else {
    store_runs<c, S::kLoad>(tile, row0 + lane_row<S::M>(), column, k);
  }
}

// Reads M keys x group g back from a tile, in the order of operand_width() = 8.
template <Config c>
MLA_DEVICE KeyFragment<c> load_keys(LdsPtr tile, int row0, int g) {
  using S = Shape<c>;
  KeyFragment<c> k;
  MLA_UNROLL for (int i = 0; i < S::M / 8; ++i) {
    const int at = (i * S::kParts + lane_part<S::M>()) * 8;
    k.steps[i] = lds_read<u32x4>(tile_at<c>(tile, row0 + lane_row<S::M>(), g * kGroupDim, at));
  }
  return k;
}

// One head tile of queries.
template <Config c>
struct Queries {
  QueryFragment<c> held[c.query_in == QueryIn::registers ? kGroups : 1];
  LdsPtr region;  // of this head tile, in the order of the fragments
};
template <Config c>
MLA_DEVICE QueryFragment<c> read_query(GlobalPtr row, int g) {
  using S = Shape<c>;
  QueryFragment<c> q;
  const int width = operand_width<c>(g == kGroups - 1);
  const auto column = [&](int e) MLA_LAMBDA {
    return g * kGroupDim + (e / width * S::kParts + lane_part<S::M>()) * width + e % width;
  };
  MLA_UNROLL for (int i = 0; i < S::M / 8; ++i) {
    if (width >= 8) {
      q.steps[i] = global_read<u32x4>(row + 2 * column(8 * i));
    } else {  // 8 elements of a fragment lie in two runs
      const u32x2 low = global_read<u32x2>(row + 2 * column(8 * i));
      const u32x2 high = global_read<u32x2>(row + 2 * column(8 * i + 4));
      q.steps[i] = u32x4{low.x, low.y, high.x, high.y};
    }
  }
  return q;
}
// q: bf16 rows of the head tile, `head_stride` elements apart, `heads` >= 1 of them there; what the
// rows past them hold is not used. Waves that share a region of LDS each load the groups g with g %
// sharers == sharer; the caller puts a barrier behind.
template <Config c>
MLA_DEVICE void load_queries(Queries<c>& queries, const void* q, long long head_stride, int heads,
                             LdsPtr region, int sharer, int sharers) {
  using S = Shape<c>;
  const int head = lane_row<S::M>() < heads ? lane_row<S::M>() : heads - 1;
  const GlobalPtr row = (GlobalPtr)q + 2 * head_stride * head;
  queries.region = region;
  MLA_UNROLL for (int g = 0; g < kGroups; ++g) {
    if constexpr (c.query_in == QueryIn::registers) {
      queries.held[g] = read_query<c>(row, g);
    } else if (g % sharers == sharer) {
      const QueryFragment<c> fragment = read_query<c>(row, g);
      MLA_UNROLL for (int i = 0; i < S::M / 8; ++i) {
        lds_write(region + ((g * (S::M / 8) + i) * kLanes + lane_id()) * 16, fragment.steps[i]);
      }
    }
  }
}
template <Config c>
MLA_DEVICE QueryFragment<c> query_group(const Queries<c>& queries, int g) {
  using S = Shape<c>;
  if constexpr (c.query_in == QueryIn::registers) return queries.held[g];
  QueryFragment<c> q;
  MLA_UNROLL for (int i = 0; i < S::M / 8; ++i) {
    q.steps[i] = lds_read<u32x4>(queries.region + ((g * (S::M / 8) + i) * kLanes + lane_id()) * 16);
  }
  return q;
}

}  // namespace mla
