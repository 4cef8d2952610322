#pragma once

// sm_90: how tiles lie over the 32 lanes of a warp, and how a strip of cache rows comes into them.
//
// Both products use mma.m16n8k16 with heads as its 16 rows: scores = Q K^T (columns are keys, two
// tiles of 8 a strip) and out = P V (columns are output columns). Lane l holds the rows l / 4 and l
// / 4 + 8 of results and of operand A, and the row l / 4 of operand B, transposed; its part j = l %
// 4 is columns 2j, 2j + 1 of results and a quarter of the contraction. So scores lie in the very
// lanes in which PV wants P, and a head's statistics are spread over four lanes. The contraction
// over a head's 512 columns may run in any order that both operands share: a lane takes `width`
// consecutive columns of each run, 4 * width columns long, which lets it load 16 bytes at a time.
// Lane layouts: PTX ISA, "matrix fragments for mma.m16n8k16" and "ldmatrix".

#include "machine_sm90_halves.hpp"

namespace mla {

template <int M>
struct PerHead {
  static constexpr int kCount = 2;  // heads lane_row() and lane_row() + 8
  float v[2];
};

template <Config c>
struct Shape {
  static_assert(c.mfma == 16, "sm_90 multiplies tiles of 16 heads and 16 keys: choose mfma 16");
  static_assert(
      c.value_read != ValueRead::permuting,
      "sm_90 has nothing to gain from permuting values: choose value_read transposing or strided");
  static constexpr bool kKeysThroughLds = c.wave_split == WaveSplit::heads;
  static constexpr bool kDirect = c.load_path == LoadPath::direct;
  static constexpr bool kBulk = c.load_path == LoadPath::bulk;
  static constexpr bool kInLds = kDirect || kBulk;  // where rows wait for their use
  // What the direct path leaves to registers where LDS is short: RoPE, which needs no dequantising,
  // and the scales.
  static constexpr bool kRopeHeld = kDirect && weighs_by_key(c);
  static constexpr int kStagedRow = kRopeHeld ? kNopeDim : row_pitch(c);
  // e4m3 bytes a lane takes from a run; direct loads always build 16.
  static constexpr int kLoad = kInLds ? 16 : c.load_width;
  static constexpr int kRows = gathered_rows(c) * 4 / kLanes;  // of a strip that a lane has
  static_assert(kInLds || c.load_width >= 8, "sm_90 loads 8 or 16 bytes into registers");
};

MLA_DEVICE int lane_row() { return lane_id() / 4; }
MLA_DEVICE int lane_part() { return lane_id() % 4; }

// Columns that follow each other in a lane's fragment of group g as the QK operands hold it.
template <Config c>
MLA_DEVICE constexpr int operand_width(bool rope) {
  return Shape<c>::kKeysThroughLds ? 8 : (rope ? Shape<c>::kLoad / 2 : Shape<c>::kLoad);
}

// ---- gathering ----

// One scope as a wave reads it for one token.
struct ScopeView {
  GlobalPtr cache;
  GlobalPtr indices;  // of this token
  int length;
  long long page_stride;
  int page_size;
  int rows;
  Fp8Format format;
};

MLA_DEVICE ScopeView open_scope(const CacheScope& scope, int token) {
  // What comes straight from the arguments needs no register: only the length says "absent".
  ScopeView v;
  int first = 0, last = 0;
  if (scope.indptr != nullptr) {
    first = scope.indptr[token];
    last = scope.indptr[token + 1];
  }
  v.cache = scope.cache;
  v.indices = reinterpret_cast<GlobalPtr>(scope.indices + first);
  v.length = last - first;
  v.page_stride = scope.page_stride;
  v.page_size = scope.page_size;
  v.rows = scope.rows;
  v.format = scope.format;
  return v;
}

// Rows lane_row() and lane_row() + 8 of a strip, or of what the wave gathers of it. With direct
// loads the words stay in LDS, where each lane reads only what it copied itself (with kRopeHeld,
// RoPE's are words[0]); in registers NoPE groups use the first half of `words`.
template <Config c>
struct RawStrip {
  static constexpr int kUnits = gathered_groups(c);
  uint4 words[Shape<c>::kInLds ? 1 : kUnits][2][2];
  uint2 scales[Shape<c>::kRows];  // 7 scale bytes and the pad byte of each row
  GlobalPtr rows[2];              // where the words came from, for scrub()
  unsigned keys;                  // one bit for each row that is there
  unsigned nan;                   // bit 7 of a byte set: dequantise() met an OCP NaN
  bool large;        // some scale of the strip is_large(); where keys become f16, far_scales()
  Fp8Format format;  // the same for the whole strip
  LdsPtr staged;     // where direct loads put the strip
};

// The slots of the strip that begins at `position` of the list: lane l has that of row l % 16; -1
// past the end.
template <Config c>
using Slots = int;
template <Config c>
MLA_DEVICE Slots<c> load_slots(const ScopeView& scope, int position) {
  const int p = position + lane_id() % 16;
  return read_slot(scope.indices + 4ll * p, p >= 0 && p < scope.length);
}

// Where a lane's 16 bytes of group g lie in a row of 576 bytes; RoPE's group has 32.
template <Config c>
MLA_DEVICE int run_offset(int g, int i) {
  return g * kGroupDim + (i * 4 + lane_part()) * 16;
}
// Where row `row` of a strip lies among its rows in LDS. With WaveSplit::rows not in turn: QK's
// loads have rows 2n and 2n + 1 at once, which must be an odd multiple of two places apart to meet
// in no bank, and PV's have rows 0, 2, 4 and 6 or 1, 3, 5 and 7, which must differ in their place
// modulo four.
template <Config c>
MLA_DEVICE unsigned place_of_row(int row) {
  const unsigned r = static_cast<unsigned>(row);
  if constexpr (c.wave_split != WaveSplit::rows) return r;
  return (r & 12u) | ((r ^ r >> 2) & 1u) << 1 | (r >> 1 & 1u);
}
// A lane's bytes of row r from LDS.
template <Config c>
MLA_DEVICE LdsPtr staged_at(LdsPtr staged, int r, int g, int i) {
  return staged + (place_of_row<c>(lane_row()) + 8 * r) * Shape<c>::kStagedRow +
         run_offset<c>(g, i);
}
template <Config c>
MLA_DEVICE LdsPtr staged_scales(LdsPtr staged, int r) {
  return staged + c.mfma * kRowBytes + (r * kLanes + lane_id()) * kScaleBytes;
}

template <Config c>
MLA_DEVICE uint4 load_run(GlobalPtr group, int i) {
  if constexpr (Shape<c>::kLoad == 16) {
    return stream_16(group + (i * 4 + lane_part()) * 16);
  } else {
    const uint2 low = stream_8(group + (2 * i * 4 + lane_part()) * 8);
    const uint2 high = stream_8(group + ((2 * i + 1) * 4 + lane_part()) * 8);
    return {low.x, low.y, high.x, high.y};
  }
}

// Where the row of a slot lies.
struct RowPlace {
  GlobalPtr row;
  GlobalPtr scales;
};
MLA_DEVICE RowPlace place_of(const ScopeView& scope, int slot, bool there) {
  int page, in_page;
  if ((scope.page_size & (scope.page_size - 1)) == 0) {
    page = slot >> (__ffs(scope.page_size) - 1);
    in_page = slot & (scope.page_size - 1);
  } else {
    page = static_cast<int>(static_cast<unsigned>(slot) / static_cast<unsigned>(scope.page_size));
    in_page = slot - page * scope.page_size;
  }
  const GlobalPtr base = scope.cache + page * scope.page_stride;
  return {there ? base + in_page * kRowBytes : row_of_zeros(),
          there ? base + scope.page_size * kRowBytes + in_page * kScaleBytes : scales_of_one()};
}

// Whether unit u of the groups that a wave gathers is RoPE, which none but the last can be.
template <Config c>
MLA_DEVICE bool is_rope(int first_group, int u) {
  return u == gathered_groups(c) - 1 && first_group + u == kGroups - 1;
}
template <Config c>
MLA_DEVICE void load_words(RawStrip<c>& raw, int r, int first_group) {
  MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
    const GlobalPtr group = raw.rows[r] + (first_group + u) * kGroupDim;
    raw.words[u][r][0] = load_run<c>(group, 0);
    if (is_rope<c>(first_group, u)) raw.words[u][r][1] = load_run<c>(group, 1);
  }
}

// Starts loading the rows of the slots; kUnits groups from `first_group` on. Rows of slots that are
// not there become zeros, and are not read.
template <Config c>
MLA_DEVICE void gather(RawStrip<c>& raw, const ScopeView& scope, Slots<c> slot, int first_group,
                       LdsPtr staging) {
  const unsigned lanes = __ballot_sync(kAllLanes, slot >= 0 && slot < scope.rows);
  raw.keys = lanes & 0xffffu;
  raw.nan = 0;
  raw.format = scope.format;
  raw.staged = staging;
  // Both before the loads: an exchange would queue behind them.
  const int both[2] = {__shfl_sync(kAllLanes, slot, lane_row()),
                       __shfl_sync(kAllLanes, slot, lane_row() + 8)};
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    const bool there = (raw.keys >> (lane_row() + 8 * r) & 1u) != 0;
    const RowPlace place = place_of(scope, both[r], there);
    const GlobalPtr row = place.row, scales = place.scales;
    if constexpr (!Shape<c>::kDirect || Shape<c>::kRopeHeld) {
      raw.scales[r] = stream_8(scales);
    } else {
      copy_to_lds<kScaleBytes>(staged_scales<c>(staging, r), scales, there);
    }
    if constexpr (Shape<c>::kRopeHeld) {
      const int lane = here(lane_id());
      const GlobalPtr mine = row + first_group * kGroupDim + lane % 4 * 16;
      const LdsPtr to = staging + static_cast<unsigned>((lane / 4 + 8 * r) * Shape<c>::kStagedRow +
                                                        first_group * kGroupDim + lane % 4 * 16);
      constexpr int kLast = gathered_groups(c) - 1;
      const bool rope = first_group + kLast == kGroups - 1;
      MLA_UNROLL for (int i = 0; i < 2; ++i)
          stream_16_if(rope, raw.words[0][r][i], mine + kLast * kGroupDim + i * kGroupDim);
      MLA_UNROLL for (int u = 0; u <= kLast; ++u) {
        if (u == kLast && rope) break;
        MLA_UNROLL for (int b = 0; b < 16; b += c.load_width)
            copy_to_lds<c.load_width>(to + u * kGroupDim + b, mine + u * kGroupDim + b, there);
      }
    } else if constexpr (Shape<c>::kDirect) {
      MLA_UNROLL for (int g = 0; g < kGroups; ++g) {
        MLA_UNROLL for (int i = 0; i < (g == kGroups - 1 ? 2 : 1); ++i) {
          const LdsPtr to = staged_at<c>(staging, r, g, i);
          const GlobalPtr from = row + run_offset<c>(g, i);
          MLA_UNROLL for (int b = 0; b < 16; b += c.load_width)
              copy_to_lds<c.load_width>(to + b, from + b, there);
        }
      }
    } else {
      raw.rows[r] = row;
      load_words<c>(raw, r, first_group);
    }
  }
  if constexpr (Shape<c>::kDirect) close_copies();
}

// Tiles whose copies may still be under way when the oldest one's are needed.
MLA_HOST_DEVICE constexpr int tiles_behind(const Config& c) {
  return c.dequantise == Dequantise::at_store && c.prefetch > 1 ? c.prefetch - 2 : c.prefetch - 1;
}

// Whether any scale is out of the ordinary; not the eighth byte, which is nobody's and may be
// anything.
template <Config c>
MLA_DEVICE void look_at_scales(RawStrip<c>& raw) {
  unsigned far = 0;
  bool large = false;
  MLA_UNROLL for (const uint2& s : raw.scales) {
    far |= far_scales(s.x) | far_scales(s.y & 0x00ffffffu | 0x7f000000u);
    large |= is_large(s.x | (s.y & 0x00ffffffu));
  }
  const bool narrow = weighs_by_key(c) || c.wave_split == WaveSplit::blocks;
  raw.large = any_lane(narrow ? far != 0 : large);
}

// Completes the loads of a strip.
template <Config c>
MLA_DEVICE void fetch(RawStrip<c>& raw) {
  if constexpr (Shape<c>::kDirect) wait_for_copies<tiles_behind(c) * gathered_strips(c)>();
  if constexpr (Shape<c>::kDirect && !Shape<c>::kRopeHeld) {
    MLA_UNROLL for (int r = 0; r < 2; ++r) raw.scales[r] =
        lds_read<uint2>(staged_scales<c>(raw.staged, r));
  }
  look_at_scales<c>(raw);
}

// Keeps the optimizer from holding on to what it has already made of the strip: at_use dequantises
// twice because the result of the first time would not fit in registers until the second.
template <Config c>
MLA_DEVICE void forget_results(RawStrip<c>& raw) {
  if constexpr (!Shape<c>::kInLds) {
    MLA_UNROLL for (auto& unit : raw.words) {
      MLA_UNROLL for (auto& row : unit) {
        MLA_UNROLL for (uint4& w : row) asm volatile("" : "+r"(w.x), "+r"(w.y), "+r"(w.z),
                                                     "+r"(w.w));
      }
    }
  }
}

// ---- what must not be NaN ----

// A lane's 16 bytes, or of RoPE's 32 the half i.
template <Config c>
MLA_DEVICE uint4 raw_words(const RawStrip<c>& raw, int u, int g, int r, int i) {
  if constexpr (Shape<c>::kInLds) {
    if (Shape<c>::kRopeHeld && g == kGroups - 1) return raw.words[0][r][i];
    return lds_read<uint4>(staged_at<c>(raw.staged, r, g, i));
  } else {
    return raw.words[u][r][i];
  }
}
template <Config c>
MLA_DEVICE void replace_words(RawStrip<c>& raw, int u, int g, int r, int i, const uint4& words) {
  if constexpr (Shape<c>::kInLds) {
    lds_write(staged_at<c>(raw.staged, r, g, i), words);
  } else {
    raw.words[u][r][i] = words;
  }
}
// 0x80 in each of the seven scale bytes that is 255.
MLA_DEVICE uint2 nan_scales(uint2 scales) {
  return {((scales.x & 0x7f7f7f7fu) + 0x01010101u) & scales.x & 0x80808080u,
          ((scales.y & 0x7f7f7f7fu) + 0x01010101u) & scales.y & 0x00808080u};
}
template <Config c>
MLA_DEVICE bool has_bad_scale(const RawStrip<c>& raw) {
  const uint2 a = nan_scales(raw.scales[0]), b = nan_scales(raw.scales[1]);
  return (a.x | a.y | b.x | b.y) != 0;
}
template <Config c>
MLA_DEVICE unsigned scale_byte(const RawStrip<c>& raw, int r, int g) {
  return __byte_perm(g < 4 ? raw.scales[r].x : raw.scales[r].y, 0,
                     0x4440u | static_cast<unsigned>(g % 4));
}
// The scale byte of row r and group g in both halves of a word.
template <Config c>
MLA_DEVICE unsigned scale_byte_twice(const RawStrip<c>& raw, int r, int g) {
  return __byte_perm(raw.scales[r].x, raw.scales[r].y, 0x0101u * static_cast<unsigned>(g)) &
         0x00ff00ffu;
}
MLA_DEVICE unsigned nan_of(const uint4& w, bool rope, Fp8Format format) {
  if (rope) return nan_halves(w.x) | nan_halves(w.y) | nan_halves(w.z) | nan_halves(w.w);
  return nan_bytes(w.x, format) | nan_bytes(w.y, format) | nan_bytes(w.z, format) |
         nan_bytes(w.w, format);
}
MLA_DEVICE unsigned without_nan(unsigned w, bool rope, Fp8Format format) {
  return w & ~(rope ? (nan_halves(w) >> 15) * 0xffffu : (nan_bytes(w, format) >> 7) * 0xffu);
}
// Whether a byte, half or scale of the strip is NaN.
template <Config c>
MLA_DEVICE bool has_nan(const RawStrip<c>& raw, int first_group) {
  unsigned found = 0;
  MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
    const int g = first_group + u;
    MLA_UNROLL for (int r = 0; r < 2; ++r) {
      found |= nan_of(raw_words<c>(raw, u, g, r, 0), g == kGroups - 1, raw.format);
      if (is_rope<c>(first_group, u))
        found |= nan_of(raw_words<c>(raw, u, g, r, 1), true, raw.format);
    }
  }
  return any_lane(found != 0 || has_bad_scale<c>(raw));
}
// Sets every NaN of the strip to 0: an element, or a whole group of 64 where the scale is NaN.
// Loads the words again: were they kept for this rare case, they would hold registers all through
// QK.
template <Config c>
MLA_DEVICE void scrub(RawStrip<c>& raw, int first_group) {
  raw.nan = 0;
  if (raw.keys == 0) return;
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    if constexpr (!Shape<c>::kDirect) load_words<c>(raw, r, first_group);
    MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
      const int g = first_group + u;
      const bool rope = g == kGroups - 1,
                 bad = !rope && (scale_byte_twice<c>(raw, r, g) & 255u) == 255u;
      MLA_UNROLL for (int i = 0; i < 2; ++i) {
        if (i == 1 && !is_rope<c>(first_group, u)) continue;
        const uint4 w = raw_words<c>(raw, u, g, r, i);
        const auto clean = [&](unsigned word) MLA_LAMBDA {
          return bad ? 0u : without_nan(word, rope, raw.format);
        };
        replace_words<c>(raw, u, g, r, i, {clean(w.x), clean(w.y), clean(w.z), clean(w.w)});
      }
    }
    const uint2 bad = nan_scales(raw.scales[r]);  // 255 becomes 127, a scale of one
    raw.scales[r] = {raw.scales[r].x ^ bad.x, raw.scales[r].y ^ bad.y};
  }
}

}  // namespace mla
