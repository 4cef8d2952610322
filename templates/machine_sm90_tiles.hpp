#pragma once

// sm_90: the bf16 tile in LDS, and the fragments of keys and queries. Lane layouts are those of
// machine_sm90_gather.hpp.

#include "machine_sm90_gather.hpp"

namespace mla {

// ---- the bf16 tile in LDS: row-major, one row a key ----

// Shifts or permutes the 16-byte chunks of a row, so that neither 8 rows at one chunk (transposing
// reads) nor 2 rows at every other chunk (writes) meet in a bank. A shift of 16 bytes a row does
// it; what more padding there is goes unused.
template <Config c>
constexpr int kRowStride = tile_row_bytes(c) / 64 * 64 +
                           (c.lds_layout == LdsLayout::padded ? 16 : 0);
// Where (row, column) of a tile lies: `row0` is a multiple of 8 and `column0` of 64, so that what a
// lane adds, for row < 8 and column < 64, is the same wherever the two point to.
template <Config c>
MLA_DEVICE LdsPtr tile_at(LdsPtr tile, int row0, int column0, int row, int column) {
  const int byte = c.lds_layout == LdsLayout::swizzled ? 2 * column ^ row * 16 : 2 * column;
  return (tile + static_cast<unsigned>(row * kRowStride<c> + byte)) +
         static_cast<unsigned>(row0 * kRowStride<c> + 2 * column0);
}

// ---- fragments ----

// Of rows lane_row() and lane_row() + 8, 16 columns each: two words for each of four steps of the
// contraction.
template <Config c>
struct KeyFragment {
  uint2 steps[2][4];
};
// Operand A of four steps.
template <Config c>
struct QueryFragment {
  uint4 steps[4];
};

// A lane's bytes of one group, of both its rows.
struct GroupWords {
  uint4 v[2][2];  // NoPE groups use the first half
};
template <Config c>
MLA_DEVICE GroupWords take_words(const RawStrip<c>& raw, int first_group, int u) {
  const int g = first_group + u;
  GroupWords words;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    words.v[r][0] = raw_words<c>(raw, u, g, r, 0);
    if (is_rope<c>(first_group, u)) words.v[r][1] = raw_words<c>(raw, u, g, r, 1);
  }
  return words;
}
// Group g of the strip as bf16. NaN bytes come out as numbers, and are told to needs_scrub().
template <Config c, bool kMayBeRope = true>
MLA_DEVICE KeyFragment<c> dequantise_words(RawStrip<c>& raw, const GroupWords& group, int g) {
  KeyFragment<c> k;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    const uint4 w = group.v[r][0];
    if (kMayBeRope && g == kGroups - 1) {
      k.steps[r][0] = {w.x, w.y};
      k.steps[r][1] = {w.z, w.w};
      k.steps[r][2] = {group.v[r][1].x, group.v[r][1].y};
      k.steps[r][3] = {group.v[r][1].z, group.v[r][1].w};
      continue;
    }
    const unsigned words[4] = {w.x, w.y, w.z, w.w};
    const unsigned factor = scale_factor(scale_byte_twice<c>(raw, r, g), raw.format, raw.large);
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      const uint2 wide = widen_e4m3(words[i]);
      k.steps[r][i] = {multiply_bf16(wide.x, factor), multiply_bf16(wide.y, factor)};
      if (c.wave_split == WaveSplit::columns) raw.nan |= (words[i] & 0x7f7f7f7fu) + 0x01010101u;
    }
  }
  if (raw.large && !(kMayBeRope && g == kGroups - 1)) {
    MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
      const unsigned factor = large_scale_factor(scale_byte_twice<c>(raw, r, g));
      MLA_UNROLL for (uint2& s : k.steps[r])
          s = {multiply_bf16(s.x, factor), multiply_bf16(s.y, factor)};
    }
  }
  return k;
}
// Group `first_group + u`.
template <Config c>
MLA_DEVICE KeyFragment<c> dequantise(RawStrip<c>& raw, int first_group, int u) {
  return dequantise_words<c>(raw, take_words<c>(raw, first_group, u), first_group + u);
}

// Writes a fragment of group g to the tile, at `column` (the group's first column in that tile).
template <Config c>
MLA_DEVICE void store_keys(LdsPtr tile, int row0, int column, bool rope, const KeyFragment<c>& k) {
  const int width = rope ? Shape<c>::kLoad / 2 : Shape<c>::kLoad;
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    const auto& s = k.steps[r];
    const auto at = [&](int e) MLA_LAMBDA {
      return tile_at<c>(tile, row0 + 8 * r, column, lane_row(),
                        (e / width * 4 + lane_part()) * width + e % width);
    };
    if (width >= 8) {
      lds_write(at(0), uint4{s[0].x, s[0].y, s[1].x, s[1].y});
      lds_write(at(8), uint4{s[2].x, s[2].y, s[3].x, s[3].y});
    } else {
      MLA_UNROLL for (int i = 0; i < 4; ++i) lds_write(at(4 * i), s[i]);
    }
  }
}

// Reads 16 keys x group g back from a tile, in the order of operand_width() = 8.
template <Config c>
MLA_DEVICE KeyFragment<c> load_keys(LdsPtr tile, int row0, int g) {
  KeyFragment<c> k;
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    MLA_UNROLL for (int i = 0; i < 2; ++i) {
      const uint4 w = lds_read<uint4>(
          tile_at<c>(tile, row0 + 8 * r, g * kGroupDim, lane_row(), (i * 4 + lane_part()) * 8));
      k.steps[r][2 * i] = {w.x, w.y};
      k.steps[r][2 * i + 1] = {w.z, w.w};
    }
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
MLA_DEVICE QueryFragment<c> read_query(const GlobalPtr (&rows)[2], int g) {
  const int width = operand_width<c>(g == kGroups - 1);
  unsigned words[2][8];
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    const auto at = [&](int e) MLA_LAMBDA {
      return rows[r] + 2 * (g * kGroupDim + (e / width * 4 + lane_part()) * width + e % width);
    };
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      const uint2 four = global_read<uint2>(at(4 * i));
      words[r][2 * i] = four.x;
      words[r][2 * i + 1] = four.y;
    }
  }
  QueryFragment<c> q;
  MLA_UNROLL for (int i = 0; i < 4; ++i) {
    q.steps[i] = {words[0][2 * i], words[1][2 * i], words[0][2 * i + 1], words[1][2 * i + 1]};
  }
  return q;
}
// q: bf16 rows of the head tile, `head_stride` elements apart, `heads` >= 1 of them there; what the
// rows past them hold is not used. Waves that share a region of LDS each load the groups g with g %
// sharers == sharer; the caller puts a barrier behind.
template <Config c>
MLA_DEVICE void load_queries(Queries<c>& queries, const void* q, long long head_stride, int heads,
                             LdsPtr region, int sharer, int sharers) {
  GlobalPtr rows[2];
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    const int head = lane_row() + 8 * r < heads ? lane_row() + 8 * r : heads - 1;
    rows[r] = static_cast<GlobalPtr>(q) + 2 * head_stride * head;
  }
  queries.region = region;
  MLA_UNROLL for (int g = 0; g < kGroups; ++g) {
    if constexpr (c.query_in == QueryIn::registers) {
      queries.held[g] = read_query<c>(rows, g);
    } else if (g % sharers == sharer) {
      const QueryFragment<c> fragment = read_query<c>(rows, g);
      MLA_UNROLL for (int i = 0; i < 4; ++i)
          lds_write(region + ((g * 4 + i) * kLanes + lane_id()) * 16, fragment.steps[i]);
    }
  }
}
template <Config c>
MLA_DEVICE QueryFragment<c> query_group(const Queries<c>& queries, int g) {
  if constexpr (c.query_in == QueryIn::registers) {
    return queries.held[g];
  } else {
    QueryFragment<c> q;
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      q.steps[i] = lds_read<uint4>(queries.region + ((g * 4 + i) * kLanes + lane_id()) * 16);
    }
    return q;
  }
}

}  // namespace mla
