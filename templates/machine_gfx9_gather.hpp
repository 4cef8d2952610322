#pragma once

// gfx950 and gfx942: how tiles lie over the 64 lanes of a wave, and gathering cache rows into them.
//
// With M = Config::mfma, lane l holds of every operand the row (key, head or column) r = l % M and,
// of the contraction, the part j = l / M of kParts = 64 / M. Results hold column r = l % M and the
// rows result_row(j, i), i = 0 .. M*M/64-1. QK computes scores^T = K Q^T (rows are keys, columns
// heads) and PV computes out^T = V^T P^T (rows are output columns, columns heads), so that P leaves
// QK in the very lanes in which PV wants it, and a head's statistics stay in its lanes. The
// contraction over a head's 512 columns may run in any order that both operands share: a lane takes
// `width` consecutive columns of each run, width * kParts columns long, which lets it load 16 bytes
// at a time. Lane layouts of the matrix instructions: AMD CDNA 3 and CDNA 4 ISA guides, "matrix
// arithmetic instructions".

#include "machine_gfx9.hpp"

namespace mla {

template <int M>
struct PerHead {
  static constexpr int kCount = 1;
  float v[1];
};

template <Config c>
struct Shape {
  static constexpr int M = c.mfma;
  static constexpr int kParts = kLanes / M;
  static constexpr int kValues = M * M / kLanes;  // results a lane holds: 4 or 16
  static constexpr int kWords = M / 2;            // 32-bit words of bf16 a lane holds of 64 columns
  static constexpr bool kKeysThroughLds = c.wave_split == WaveSplit::heads;
  // e4m3 bytes a lane takes from a run; direct loads always build 16.
  static constexpr int kLoad = c.load_path == LoadPath::direct ? 16 : c.load_width;
};

template <int M>
MLA_DEVICE int lane_row() {
  return lane_id() % M;
}
template <int M>
MLA_DEVICE int lane_part() {
  return lane_id() / M;
}
// Row of result i, less the 4 * lane_part() that every result has.
template <int M>
MLA_DEVICE constexpr int result_row(int i) {
  return M == 16 ? i : 8 * (i / 4) + i % 4;
}

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
  ScopeView v{};
  if (scope.indptr == nullptr) return v;
  const GlobalPtr indptr = (GlobalPtr)scope.indptr + 4ll * token;
  const int first = __builtin_amdgcn_readfirstlane(global_read<int>(indptr));
  const int last = __builtin_amdgcn_readfirstlane(global_read<int>(indptr + 4));
  v.cache = (GlobalPtr)scope.cache;
  v.indices = (GlobalPtr)scope.indices + 4ll * first;
  v.length = last - first;
  v.page_stride = scope.page_stride;
  v.page_size = scope.page_size;
  v.rows = scope.rows;
  v.format = scope.format;
  return v;
}

template <Config c>
struct RawStrip {
  static constexpr int kUnits = gathered_groups(c);
  u32x4 words[kUnits][Shape<c>::kWords / 4] = {};  // NoPE groups use the first half
  u32x2 scales = {};                               // the row's 7 scale bytes and its pad byte
  unsigned keys;                                   // one bit for each row that is there
  Fp8Format format = Fp8Format::ocp;               // of the words: the same for the whole strip
  LdsPtr staged;                                   // where direct loads put the strip
};

// The slots of the strip that begins at `position` of the list: each lane its row's; -1 past the
// end.
template <Config c>
using Slots = int;
template <Config c>
MLA_DEVICE Slots<c> load_slots(const ScopeView& scope, int position) {
  const int p = position + lane_row<c.mfma>();
  return p < scope.length && p >= 0 ? global_read<int>(scope.indices + 4ll * p) : -1;
}

template <Config c>
MLA_DEVICE void direct_load(GlobalPtr from, LdsPtr to) {
#if defined(__gfx950__)
  if constexpr (c.load_width == 16) {
    __builtin_amdgcn_global_load_lds((__attribute__((address_space(1))) void*)from, to, 16, 0, 0);
    return;
  }
#endif
  MLA_UNROLL for (int i = 0; i < 4; ++i) {
    __builtin_amdgcn_global_load_lds((__attribute__((address_space(1))) void*)(from + 4 * i),
                                     to + 256 * i, 4, 0, 0);
  }
}

// This lane's kBytes of one group of its row.
template <Config c, int kBytes>
MLA_DEVICE void load_group(u32x4 (&words)[Shape<c>::kWords / 4], GlobalPtr from) {
  using S = Shape<c>;
  MLA_UNROLL for (int i = 0; i < kBytes / 16; ++i) {
    if constexpr (S::kLoad == 16) {
      words[i] = global_read<u32x4>(from + i * 16 * S::kParts);
    } else {
      const u32x2 low = global_read<u32x2>(from + 2 * i * 8 * S::kParts);
      const u32x2 high = global_read<u32x2>(from + (2 * i + 1) * 8 * S::kParts);
      words[i] = u32x4{low.x, low.y, high.x, high.y};
    }
  }
}

// Starts loading the rows of the slots; kUnits groups from `first_group` on. A row of a slot that
// is not there holds what another of the strip does, and a strip without any row, which loads
// nothing, what it held before, in the format that it had: read as OCP, large FNUZ values are
// infinite. Scrubbed as that is, or zero, a weight of 0 cancels it.
template <Config c>
MLA_DEVICE void gather(RawStrip<c>& raw, const ScopeView& scope, Slots<c> slot, int first_group,
                       LdsPtr staging) {
  using S = Shape<c>;
  const bool there = slot >= 0 && slot < scope.rows;
  const unsigned long long lanes = __builtin_amdgcn_ballot_w64(there);
  raw.keys = static_cast<unsigned>(lanes) & (S::M == 32 ? 0xffffffffu : 0xffffu);
  raw.staged = staging;
  if (raw.keys == 0) return;
  raw.format = scope.format;
  // Lanes without a row read a neighbour's instead of branching. Its slot is read while all lanes
  // are active: within a branch the compiler may move the slots of the active ones alone.
  const int neighbour = __builtin_amdgcn_readlane(slot, __builtin_ctz(raw.keys));
  slot = there ? slot : neighbour;
  int page, in_page;
  if ((scope.page_size & (scope.page_size - 1)) == 0) {
    page = slot >> __builtin_ctz(static_cast<unsigned>(scope.page_size));
    in_page = slot & (scope.page_size - 1);
  } else {
    page = static_cast<int>(static_cast<unsigned>(slot) / static_cast<unsigned>(scope.page_size));
    in_page = slot - page * scope.page_size;
  }
  const GlobalPtr base = scope.cache + page * scope.page_stride;
  const GlobalPtr row = base + in_page * kRowBytes + lane_part<S::M>() * S::kLoad;
  const GlobalPtr scales = base + scope.page_size * kRowBytes + in_page * kScaleBytes;
  if constexpr (c.load_path == LoadPath::direct) {
    // Hidden from the optimizer, which would keep the address of every load in a scalar register
    // across the loop.
    unsigned base = (unsigned)staging;
    asm volatile("" : "+s"(base));
    const LdsPtr to = (LdsPtr)base;
    MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
      const int bytes = u == kGroups - 1 ? 2 * S::M : S::M;
      MLA_UNROLL for (int i = 0; i < bytes / 16; ++i) {
        direct_load<c>(row + u * kGroupDim + i * 16 * S::kParts,
                       to + u * S::M * kGroupDim + i * 1024);
      }
    }
    MLA_UNROLL for (int i = 0; i < 2; ++i) {
      __builtin_amdgcn_global_load_lds((__attribute__((address_space(1))) void*)(scales + 4 * i),
                                       to + S::M * kRowBytes + 256 * i, 4, 0, 0);
    }
  } else {
    raw.scales = global_read<u32x2>(scales);
    MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
      if (first_group + u == kGroups - 1) {
        load_group<c, 2 * S::M>(raw.words[u], row + (kGroups - 1) * kGroupDim);
      } else {
        load_group<c, S::M>(raw.words[u], row + (first_group + u) * kGroupDim);
      }
    }
  }
}

// Completes the loads of a strip: its words are in registers.
template <Config c>
MLA_DEVICE void fetch(RawStrip<c>& raw) {
  using S = Shape<c>;
  if constexpr (c.load_path == LoadPath::direct) {
    if (raw.keys != 0) {
      __builtin_amdgcn_s_waitcnt(0x0f70);  // vmcnt(0): what this wave loads into LDS it alone reads
      const LdsPtr mine = raw.staged + lane_id() * (c.load_width == 16 ? 16 : 4);
      MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
        const int bytes = u == kGroups - 1 ? 2 * S::M : S::M;
        MLA_UNROLL for (int i = 0; i < bytes / 16; ++i) {
          const LdsPtr from = mine + u * S::M * kGroupDim + i * 1024;
          if constexpr (c.load_width == 16) {
            raw.words[u][i] = lds_read<u32x4>(from);
          } else {
            MLA_UNROLL for (int k = 0; k < 4; ++k) raw.words[u][i][k] =
                lds_read<unsigned>(from + 256 * k);
          }
        }
      }
      const LdsPtr scales = raw.staged + S::M * kRowBytes + lane_id() * 4;
      raw.scales = u32x2{lds_read<unsigned>(scales), lds_read<unsigned>(scales + 256)};
    }
  }
}

// Keeps the optimizer from holding on to what it has already made of the strip: at_use dequantises
// twice because the result of the first time would not fit in registers until the second.
template <Config c>
MLA_DEVICE void forget_results(RawStrip<c>& raw) {
  MLA_UNROLL for (auto& unit : raw.words) {
    MLA_UNROLL for (u32x4& words : unit) asm volatile("" : "+v"(words));
  }
}

// ---- what must not be NaN ----

// 0x80 in each of the seven scale bytes that is 255.
MLA_DEVICE u32x2 nan_scales(u32x2 scales) {
  return ((scales & 0x7f7f7f7fu) + 0x01010101u) & scales & u32x2{0x80808080u, 0x00808080u};
}
// Whether a scale is NaN, or one that dequantise_word() would double but cannot.
template <Config c>
MLA_DEVICE bool has_bad_scale(const RawStrip<c>& raw) {
  u32x2 bad = nan_scales(raw.scales);
  if constexpr (!kReadsOcp) {
    if (raw.format == Fp8Format::ocp) bad = nan_scales(raw.scales | 0x01010101u);
  }
  return any_lane((bad.x | bad.y) != 0);
}
template <Config c>
MLA_DEVICE unsigned scale_byte(const RawStrip<c>& raw, int g) {
  return (g < 4 ? raw.scales.x : raw.scales.y) >> (8 * (g % 4)) & 255u;
}
// The scale of group g. On gfx950 the exponent alone is right, which is all that the scaled
// conversion reads (CDNA 4 ISA guide: exponent(S1.f32)).
template <Config c>
MLA_DEVICE float group_scale(const RawStrip<c>& raw, int g) {
#if defined(__gfx950__)
  const unsigned word = g < 4 ? raw.scales.x : raw.scales.y;
  const int k = g % 4;
  return __builtin_bit_cast(float, k == 3 ? word >> 1 : word << (23 - 8 * k));
#else
  const unsigned byte = scale_byte<c>(raw, g);  // 2^(byte - 127); 0 is the subnormal 2^-127
  return __builtin_bit_cast(float, byte == 0 ? 0x00400000u : byte << 23);
#endif
}
// Whether a byte, half or scale of the strip is NaN.
template <Config c>
MLA_DEVICE bool has_nan(const RawStrip<c>& raw, int first_group) {
  using S = Shape<c>;
  unsigned found = 0;
  MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
    if (first_group + u == kGroups - 1) {
      MLA_UNROLL for (int k = 0; k < S::kWords; ++k) found |=
          nan_halves(raw.words[u][k / 4][k % 4]);
    } else {
      MLA_UNROLL for (int k = 0; k < S::kWords / 2; ++k) found |=
          nan_bytes(raw.words[u][k / 4][k % 4], raw.format);
    }
  }
  return any_lane(found != 0) || has_bad_scale<c>(raw);
}
// Where the scale is 2^127, makes it 2^126 and the OCP bytes FNUZ's of the same values, which
// dequantise_word() takes for half of theirs. Nothing may be NaN any more.
template <Config c>
MLA_DEVICE void halve_huge_scales(RawStrip<c>& raw, int first_group) {
  MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
    if (first_group + u == kGroups - 1) continue;
    const bool huge = scale_byte<c>(raw, first_group + u) == 254u;
    MLA_UNROLL for (int k = 0; k < Shape<c>::kWords / 2; ++k) {
      const unsigned w = raw.words[u][k / 4][k % 4];
      raw.words[u][k / 4][k % 4] = huge ? ocp_to_fnuz(w) : w;
    }
  }
  raw.scales ^= (nan_scales(raw.scales | 0x01010101u) >> 7) * 3u;  // 254 becomes 253
}
// Sets every NaN of the strip to 0: an element, or a whole group of 64 where the scale is NaN.
template <Config c>
MLA_DEVICE void scrub(RawStrip<c>& raw, int first_group) {
  using S = Shape<c>;
  MLA_UNROLL for (int u = 0; u < RawStrip<c>::kUnits; ++u) {
    const int g = first_group + u;
    if (g == kGroups - 1) {
      MLA_UNROLL for (int k = 0; k < S::kWords; ++k) {
        const unsigned w = raw.words[u][k / 4][k % 4];
        raw.words[u][k / 4][k % 4] = w & ~((nan_halves(w) >> 15) * 0xffffu);
      }
    } else {
      const bool bad = scale_byte<c>(raw, g) == 255u;
      MLA_UNROLL for (int k = 0; k < S::kWords / 2; ++k) {
        const unsigned w = raw.words[u][k / 4][k % 4];
        raw.words[u][k / 4][k % 4] = bad ? 0u : w & ~((nan_bytes(w, raw.format) >> 7) * 0xffu);
      }
    }
  }
  raw.scales ^= nan_scales(raw.scales);  // 255 becomes 127, a scale of one
  if constexpr (!kReadsOcp) {
    if (raw.format == Fp8Format::ocp) halve_huge_scales<c>(raw, first_group);
  }
}

}  // namespace mla
