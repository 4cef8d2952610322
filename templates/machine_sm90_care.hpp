#pragma once

// sm_90: keys with NoPE in f16, quickly, and with care where a strip holds NaN or scales that f16
// has no room for; for WaveSplit::weights and WaveSplit::blocks. See machine_sm90_halves.hpp.

#include "machine_sm90_tiles.hpp"

namespace mla {

// Group `first_group + u` of the strip, NoPE in f16, which keeps NaN, RoPE in bf16.
template <Config c>
MLA_DEVICE KeyFragment<c> prepare_keys(const RawStrip<c>& raw, const GroupWords& group,
                                       int first_group, int u) {
  const int g = first_group + u;
  KeyFragment<c> k;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    const uint4 w = group.v[r][0];
    if (is_rope<c>(first_group, u)) {
      // Times one: what is only moved, the compiler moves as soon as it is loaded, and so waits
      // for.
      const uint4 more = group.v[r][1];
      const unsigned both[8] = {w.x, w.y, w.z, w.w, more.x, more.y, more.z, more.w};
      MLA_UNROLL for (int i = 0; i < 4; ++i) k.steps[r][i] = {
          multiply_bf16(both[2 * i], 0x3f803f80u), multiply_bf16(both[2 * i + 1], 0x3f803f80u)};
      continue;
    }
    const unsigned factor = scale_f16(g < 4 ? raw.scales[r].x : raw.scales[r].y, g);
    const unsigned words[4] = {w.x, w.y, w.z, w.w};
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      const uint2 wide = e4m3_to_f16(words[i]);
      k.steps[r][i] = {multiply_f16(wide.x, factor), multiply_f16(wide.y, factor)};
    }
  }
  return k;
}
// Sets every NaN of a tile's 16 bytes to 0, of NoPE in f16 or RoPE in bf16.
MLA_DEVICE void clear_nan_at(LdsPtr at, bool rope) {
  const uint4 v = lds_read<uint4>(at);
  const unsigned beyond = rope ? 0x007f007fu : 0x03ff03ffu;  // added to infinity: bit 15
  const auto clean = [&](unsigned pair) MLA_LAMBDA {
    const unsigned nan = ((pair & 0x7fff7fffu) + beyond) & 0x80008000u;
    return pair & ~((nan >> 15) * 0xffffu);
  };
  lds_write(at, uint4{clean(v.x), clean(v.y), clean(v.z), clean(v.w)});
}
// What a strip needs that has NaN in it, or scales that f16 has no room for.
struct Care {
  uint2 bad[2];  // 0x80 in each scale byte that was 255; it is a scale of one now
};
// Brings each key's largest scale to where f16 has room for it; `lifts` says how far that was.
template <Config c>
MLA_DEVICE Care take_care(RawStrip<c>& raw, Lifts& lifts) {
  Care care;
  lifts = {};
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    care.bad[r] = nan_scales(raw.scales[r]);
    raw.scales[r] = {raw.scales[r].x ^ care.bad[r].x, raw.scales[r].y ^ care.bad[r].y};
    unsigned largest = 0;
    MLA_ROLLED for (int g = 0; g < kGroups - 1; ++g) largest =
        max(largest, scale_byte<c>(raw, r, g));
    // WaveSplit::rows has no other way to tell FNUZ, which is half as much, than by its scale.
    if (c.wave_split == WaveSplit::rows && raw.format != Fp8Format::ocp && largest > 0) --largest;
    const int lift = lift_of(largest);
    lifts.both |= (static_cast<unsigned>(lift) & 0xffffu) << 16 * r;
    uint2 lowered = {0, 0};
    MLA_ROLLED for (int g = kGroups - 2; g >= 0; --g) {
      const int byte = static_cast<int>(scale_byte<c>(raw, r, g)) - lift;
      lowered.y = lowered.y << 8 | lowered.x >> 24;
      lowered.x = lowered.x << 8 | static_cast<unsigned>(byte < 0 ? 0 : byte);
    }
    raw.scales[r] = lowered;
  }
  raw.large = true;  // bytes from 128 to kFarthest are still there
  return care;
}
// Group `first_group + u` as prepare_keys() would, without NaN. What was loaded into registers
// comes from memory again: were it kept for this rare case, it would hold registers all through QK.
template <Config c, bool kLast>
MLA_DEVICE KeyFragment<c> prepare_with_care(RawStrip<c>& raw, const Care& care, const Lifts& lifts,
                                            int first_group, int u) {
  const int g = first_group + u;
  const bool rope = kLast && g == kGroups - 1;
  GroupWords group;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    const uint2 bad = care.bad[r];
    const bool bad_group =
        !rope && (__byte_perm(bad.x, bad.y, static_cast<unsigned>(g)) & 255u) != 0;
    MLA_UNROLL for (int i = 0; i < 2; ++i) {
      if (i == 1 && !rope) continue;
      uint4 w;
      if constexpr (Shape<c>::kInLds) {
        w = raw_words<c>(raw, u, g, r, i);
      } else {
        w = load_run<c>(raw.rows[r] + g * kGroupDim, i);
      }
      const auto clean = [&](unsigned word) MLA_LAMBDA {
        return bad_group ? 0u : without_nan(word, rope, raw.format);
      };
      group.v[r][i] = {clean(w.x), clean(w.y), clean(w.z), clean(w.w)};
    }
  }
  KeyFragment<c> k = dequantise_words<c, kLast>(raw, group, g);
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    const unsigned drop = pack_bf16(power_of_2(-lifts.of(r)), power_of_2(-lifts.of(r)));
    MLA_UNROLL for (uint2& w : k.steps[r]) {
      if (rope) {
        w = {multiply_bf16(w.x, drop), multiply_bf16(w.y, drop)};
      } else {
        w = {bf16_to_f16(w.x), bf16_to_f16(w.y)};
      }
    }
  }
  return k;
}
}  // namespace mla
