#pragma once

// sm_90: f16, in which WaveSplit::weights keeps NoPE. One instruction makes two f16 of two e4m3,
// exactly and NaN included; bf16 takes five. f16 has the bits that e4m3 and weights need but not
// bf16's range, so
//   - scales from 2^-24 to 2^7 are multiplied with; a key that has others is kept as 2^-lift of
//     itself, and what it takes part in is lifted again: lift_of();
//   - queries of 2^15 and more are shrunk, and the scores' scale grows: share_queries().

#include "machine_sm90.hpp"

namespace mla {

// Two values of a pair, the first in the low half.
MLA_DEVICE unsigned pack_f16(float low, float high) {
  unsigned pair;
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
MLA_DEVICE float low_bf16(unsigned pair) { return __uint_as_float(pair << 16); }
MLA_DEVICE float high_bf16(unsigned pair) { return __uint_as_float(pair & 0xffff0000u); }
MLA_DEVICE unsigned bf16_to_f16(unsigned pair) { return pack_f16(low_bf16(pair), high_bf16(pair)); }
MLA_DEVICE unsigned multiply_f16(unsigned a, unsigned b) {
  unsigned pair;
  asm("mul.rn.f16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}
// Four OCP e4m3 bytes.
MLA_DEVICE uint2 e4m3_to_f16(unsigned word) {
  uint2 wide;
  asm("{ .reg .b16 low, high; mov.b32 {low, high}, %2; cvt.rn.f16x2.e4m3x2 %0, low; "
      "cvt.rn.f16x2.e4m3x2 %1, high; }"
      : "=r"(wide.x), "=r"(wide.y)
      : "r"(word));
  return wide;
}

// Bits in each of four scale bytes outside [103, 134], the scales that f16 has room for beside
// e4m3's largest: 448 * 2^7 < 65504. A carry can only reach the neighbour of a byte that is
// outside.
constexpr unsigned kNearest = 103, kFarthest = 134;
MLA_DEVICE unsigned far_scales(unsigned bytes) {
  return ((bytes + (128u - kNearest) * 0x01010101u) ^ 0x80808080u) & 0xe0e0e0e0u;
}
static_assert(kFarthest - kNearest == 31);
// 2^(byte - 127) in both halves of a pair, of byte g % 4 of `bytes`.
MLA_DEVICE unsigned scale_f16(unsigned bytes, int g) {
  const unsigned in_top = __byte_perm(bytes, 0, 0x0444u | static_cast<unsigned>(g % 4) << 12);
  const float scale = __uint_as_float(in_top >> 1);
  return pack_f16(scale, scale);
}

// By how many octaves a key whose largest scale byte is `largest` exceeds what f16 has room for, or
// falls short of it. Bounded, so that 2^-lift times a sum of weights stays a number.
MLA_DEVICE int lift_of(unsigned largest) {
  if (largest >= kNearest && largest <= kFarthest) return 0;
  const int lift = static_cast<int>(largest) - static_cast<int>(kFarthest);
  return lift > -60 ? lift : -60;
}
// The lifts of a lane's two keys, in one register.
struct Lifts {
  unsigned both = 0;
  __device__ __forceinline__ int of(int r) const { return static_cast<short>(both >> 16 * r); }
};
MLA_DEVICE float power_of_2(int exponent) {
  return __uint_as_float(static_cast<unsigned>(exponent + 127) << 23);
}

// D (16 x 8) += A (16 x 16) B (16 x 8), in f16.
MLA_DEVICE void mma_f16(float* d, const uint4& a, unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}

}  // namespace mla
