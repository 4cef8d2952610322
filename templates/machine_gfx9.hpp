#pragma once

// gfx950 (CDNA 4) and gfx942 (CDNA 3): the wave, its memories, and e4m3 to bf16.

#define MLA_DEVICE static __device__ inline __attribute__((always_inline))
#include "sparse_mla_config.hpp"

#define MLA_LAMBDA __attribute__((always_inline))
#define MLA_UNROLL _Pragma("unroll")
#define MLA_ROLLED _Pragma("unroll 1")
#define MLA_KERNEL(config)                                                                 \
  __global__ __attribute__((                                                               \
      amdgpu_flat_work_group_size(::mla::threads(config, 64), ::mla::threads(config, 64)), \
      amdgpu_waves_per_eu(::mla::waves_per_simd(config))))

namespace mla {

constexpr int waves_per_simd(const Config& c) { return c.waves_per_eu; }
constexpr int waves_per_simd(const ReduceConfig&) { return 1; }

constexpr int kLanes = 64;
#if defined(__gfx950__)
constexpr bool kHasWideMfma =
    true;  // K = 32 (16x16) and 16 (32x32), ds_read_b64_tr_b16, scaled conversions
#else
constexpr bool kHasWideMfma = false;
#endif
constexpr bool kReadsOcp = kHasWideMfma;  // otherwise the e4m3 converter knows FNUZ only

using u32x2 = unsigned __attribute__((ext_vector_type(2)));
using u32x4 = unsigned __attribute__((ext_vector_type(4)));
using f32x2 = float __attribute__((ext_vector_type(2)));
using f32x4 = float __attribute__((ext_vector_type(4)));
using f32x16 = float __attribute__((ext_vector_type(16)));
using s16x4 = short __attribute__((ext_vector_type(4)));
using bf16x2 = __bf16 __attribute__((ext_vector_type(2)));
using bf16x8 = __bf16 __attribute__((ext_vector_type(8)));

using LdsPtr = __attribute__((address_space(3))) unsigned char*;
using GlobalPtr = __attribute__((address_space(1))) const unsigned char*;

MLA_DEVICE int lane_id() { return static_cast<int>(__builtin_amdgcn_workitem_id_x()) & 63; }
MLA_DEVICE int wave_id() {
  return __builtin_amdgcn_readfirstlane(static_cast<int>(__builtin_amdgcn_workitem_id_x()) >> 6);
}
// A kernel begins when the one before it on its stream has ended.
MLA_DEVICE void let_next_kernel_begin() {}
MLA_DEVICE void await_kernel_before() {}
MLA_DEVICE Dim3 workgroup_id() {
  return {__builtin_amdgcn_workgroup_id_x(), __builtin_amdgcn_workgroup_id_y(),
          __builtin_amdgcn_workgroup_id_z()};
}
// Tokens are taken as they come: several workgroups fit a CU, so that those of a batch begin
// together.
constexpr int kBeginAtOnce = 0x7fffffff, kOrdered = 1;
MLA_DEVICE int member_of_rank(const int*, const int*, int /*first*/, int /*count*/, int rank) {
  return rank;
}
// XCDs, among which workgroups are dealt in turn.
constexpr int kDies = 8;
// Waits for every wave of the workgroup; what they wrote to LDS before it is visible after it.
MLA_DEVICE void barrier() {
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup", "local");
  __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup", "local");
}
MLA_DEVICE bool any_lane(bool condition) { return __builtin_amdgcn_ballot_w64(condition) != 0; }
MLA_DEVICE float exp2_fast(float x) { return __builtin_amdgcn_exp2f(x); }
MLA_DEVICE float log2_fast(float x) { return __builtin_amdgcn_logf(x); }
MLA_DEVICE float reciprocal(float x) { return 1.0f / x; }
MLA_DEVICE float infinity() { return __builtin_inff(); }
MLA_DEVICE float maximum(float a, float b) { return __builtin_fmaxf(a, b); }

template <int kBytes>
MLA_DEVICE LdsPtr lds_region() {
  __shared__ __attribute__((aligned(128))) unsigned char region[kBytes];
  return (LdsPtr)region;
}

template <typename T>
MLA_DEVICE T lds_read(LdsPtr p) {
  return *(const __attribute__((address_space(3))) T*)p;
}
template <typename T>
MLA_DEVICE void lds_write(LdsPtr p, T value) {
  *(__attribute__((address_space(3))) T*)p = value;
}
template <typename T>
MLA_DEVICE T global_read(GlobalPtr p) {
  return *(__attribute__((address_space(1))) const T*)p;
}
template <typename T>
MLA_DEVICE void global_write(void* base, long long byte, T value) {
  *(__attribute__((address_space(1)))
    T*)((__attribute__((address_space(1))) unsigned char*)base + byte) = value;
}

// The kernel's arguments once more, from memory: what the end of a kernel needs then takes no
// scalar registers from its loop.
template <typename Args>
MLA_DEVICE Args reload(const Args&) {
  auto segment =
      (__attribute__((address_space(4))) const Args*)__builtin_amdgcn_kernarg_segment_ptr();
  asm volatile("" : "+s"(segment));
  return *segment;
}

// A number that every lane reads, and that no kernel running now writes: through the scalar cache.
MLA_DEVICE float read_uniform(const float* p) {
  return *(__attribute__((address_space(4))) const float*)p;
}
// The same of what others of the same kernel wrote, after see_device(): past the scalar cache,
// which nothing clears within a kernel.
MLA_DEVICE float read_fresh(const float* p) {
  return __builtin_bit_cast(float, __builtin_amdgcn_readfirstlane(
                                       __builtin_bit_cast(int, global_read<float>((GlobalPtr)p))));
}
// Handing memory on between workgroups, of other XCDs too, whose L2 is another. A barrier of the
// workgroup waits for LDS alone, so that every wave releases for itself.
MLA_DEVICE void publish_to_device() { __builtin_amdgcn_fence(__ATOMIC_RELEASE, "agent"); }
MLA_DEVICE unsigned count_arrival(unsigned* counter) {
  unsigned before = 0;
  if (lane_id() == 0)
    before = __hip_atomic_fetch_add((__attribute__((address_space(1))) unsigned*)counter, 1u,
                                    __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT);
  return static_cast<unsigned>(__builtin_amdgcn_readfirstlane(static_cast<int>(before)));
}
MLA_DEVICE void see_device() { __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "agent"); }

// The value of the lane whose number differs in one bit.
MLA_DEVICE float from_lane_xor(float value, int bit) {
  return __builtin_bit_cast(
      float, __builtin_amdgcn_ds_bpermute((lane_id() ^ bit) << 2, __builtin_bit_cast(int, value)));
}

// Two fp32 to bf16, round to nearest even, the first in the low half.
MLA_DEVICE unsigned pack_bf16(float low, float high) {
#if defined(__gfx950__)
  return __builtin_bit_cast(unsigned, __builtin_convertvector(f32x2{low, high}, bf16x2));
#else
  const auto round = [](float x) MLA_LAMBDA {
    const unsigned bits = __builtin_bit_cast(unsigned, x);
    return x != x ? 0x7fc00000u : bits + 0x7fffu + ((bits >> 16) & 1u);
  };
  return __builtin_amdgcn_perm(round(high), round(low), 0x07060302u);
#endif
}

// sum + both halves of a bf16 pair.
MLA_DEVICE float add_pair(float sum, unsigned pair) {
#if defined(__gfx950__)
  return __builtin_amdgcn_fdot2_f32_bf16(__builtin_bit_cast(bf16x2, pair),
                                         __builtin_bit_cast(bf16x2, 0x3f803f80u), sum, false);
#else
  sum += __builtin_bit_cast(float, pair << 16);
  return sum + __builtin_bit_cast(float, pair & 0xffff0000u);
#endif
}

// Four e4m3 bytes times a scale, as four bf16. Exact: 3 mantissa bits times a power of two.
// NaN bytes come out as NaN, except OCP NaN on gfx942, whose converter knows FNUZ only: see
// needs_scrub().
MLA_DEVICE u32x2 dequantise_word(unsigned word, float scale, Fp8Format format) {
#if defined(__gfx950__)
  const bf16x2 low = __builtin_amdgcn_cvt_scalef32_pk_bf16_fp8(word, scale, false);
  const bf16x2 high = __builtin_amdgcn_cvt_scalef32_pk_bf16_fp8(word, scale, true);
  return {__builtin_bit_cast(unsigned, low), __builtin_bit_cast(unsigned, high)};
#else
  if (format == Fp8Format::ocp) {
    // FNUZ reads an OCP byte as half its value, and OCP's -0 (0x80) as NaN: drop the sign of zeros,
    // double the scale. scrub() keeps 2^127 away, whose double is no float.
    word &= ((word & 0x7f7f7f7fu) + 0x7f7f7f7fu) | 0x7f7f7f7fu;
    scale *= 2.0f;
  }
  const f32x2 low = __builtin_amdgcn_cvt_pk_f32_fp8(static_cast<int>(word), false) * scale;
  const f32x2 high = __builtin_amdgcn_cvt_pk_f32_fp8(static_cast<int>(word), true) * scale;
  // The pair is cast as a whole: __builtin_bit_cast of one element of a vector reads the first.
  const auto pack = [](f32x2 v) MLA_LAMBDA {
    const u32x2 bits = __builtin_bit_cast(u32x2, v);
    return __builtin_amdgcn_perm(bits.y, bits.x, 0x07060302u);
  };
  return {pack(low), pack(high)};
#endif
}

// Four OCP bytes, none NaN, as FNUZ bytes of the same values; from 2 on as the largest, 240, which
// times 2^127 is infinity too.
MLA_DEVICE unsigned ocp_to_fnuz(unsigned word) {
  const unsigned magnitude = word & 0x7f7f7f7fu;
  // A subnormal (below 8) doubles, a normal number's exponent grows by one: add min(byte, 8).
  const unsigned normal = ((magnitude + 0x78787878u) >> 7 & 0x01010101u) * 0xffu;
  const unsigned sum = magnitude + ((magnitude & ~normal) | (0x08080808u & normal));
  const unsigned large = (magnitude >> 6 & 0x01010101u) * 0x7fu;  // 2 and above
  return (word & 0x80808080u) | (sum & 0x7f7f7f7fu) | large;
}

// 0x80 in each byte of an e4m3 word that is NaN.
MLA_DEVICE unsigned nan_bytes(unsigned word, Fp8Format format) {
  if (format == Fp8Format::ocp) return ((word & 0x7f7f7f7fu) + 0x01010101u) & 0x80808080u;
  // FNUZ: 0x80 alone. A byte is 0x80 when its sign is set and its magnitude is zero.
  return word & ~((word & 0x7f7f7f7fu) + 0x7f7f7f7fu) & 0x80808080u;
}
// 0x8000 in each half of a bf16 pair that is NaN: magnitude above 0x7f80.
MLA_DEVICE unsigned nan_halves(unsigned pair) {
  return ((pair & 0x7fff7fffu) + 0x007f007fu) & 0x80008000u;
}

// D += A B, both operands 4 (k = 4 per lane) or 8 bf16 a lane, M x M results.
template <int M>
struct Accumulator;
template <>
struct Accumulator<16> {
  using type = f32x4;
};
template <>
struct Accumulator<32> {
  using type = f32x16;
};

template <int M>
MLA_DEVICE void mma4(typename Accumulator<M>::type& d, u32x2 a, u32x2 b) {
  const s16x4 x = __builtin_bit_cast(s16x4, a), y = __builtin_bit_cast(s16x4, b);
  if constexpr (M == 16) {
    d = __builtin_amdgcn_mfma_f32_16x16x16bf16_1k(x, y, d, 0, 0, 0);
  } else {
    d = __builtin_amdgcn_mfma_f32_32x32x8bf16_1k(x, y, d, 0, 0, 0);
  }
}
template <int M>
MLA_DEVICE void mma8(typename Accumulator<M>::type& d, u32x4 a, u32x4 b) {
#if defined(__gfx950__)
  const bf16x8 x = __builtin_bit_cast(bf16x8, a), y = __builtin_bit_cast(bf16x8, b);
  if constexpr (M == 16) {
    d = __builtin_amdgcn_mfma_f32_16x16x32_bf16(x, y, d, 0, 0, 0);
  } else {
    d = __builtin_amdgcn_mfma_f32_32x32x16_bf16(x, y, d, 0, 0, 0);
  }
#else
  // The contraction's order does not matter as long as both operands agree on it.
  mma4<M>(d, u32x2{a.x, a.y}, u32x2{b.x, b.y});
  mma4<M>(d, u32x2{a.z, a.w}, u32x2{b.z, b.w});
#endif
}

}  // namespace mla
