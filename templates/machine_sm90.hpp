#pragma once

// sm_90 (Hopper): the wave (a warp), its memories, and e4m3 to bf16. Built-in types and inline PTX
// only: NVRTC has no standard headers.

#include "sparse_mla_config.hpp"

#define MLA_DEVICE static __device__ __forceinline__
#define MLA_LAMBDA __attribute__((always_inline))
#define MLA_UNROLL _Pragma("unroll")
#define MLA_ROLLED _Pragma("unroll 1")
#define MLA_KERNEL(config) \
  __global__ __launch_bounds__(::mla::threads(config, 32), ::mla::workgroups_per_sm(config))
#define MLA_CLUSTER_KERNEL(config) MLA_KERNEL(config) __cluster_dims__(1, 1, (config).cluster)

namespace mla {

// waves_per_eu counts warps for each of an SM's four schedulers; what the compiler takes is
// workgroups an SM, rounded up. 65536 registers an SM make that 255 registers a lane for 1 and 2,
// 168 for 3, 128 for 4 and 80 for 6.
MLA_HOST_DEVICE constexpr int workgroups_per_sm(const Config& c) {
  return (4 * c.waves_per_eu + c.waves - 1) / c.waves;
}
MLA_HOST_DEVICE constexpr int workgroups_per_sm(const ReduceConfig&) { return 1; }

constexpr int kLanes = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

using LdsPtr = unsigned;  // the address in shared memory itself: half the registers of a pointer
using GlobalPtr = const unsigned char*;

// Counted rather than read: ptxas reads special registers again and again to save a register, each
// time some 30 cycles late.
MLA_DEVICE int lane_id() { return __popc(~(kAllLanes << (threadIdx.x & 31u))) & 31; }
// From lane 0, so that the compiler knows it to be the same in every lane.
MLA_DEVICE int wave_id() { return __shfl_sync(kAllLanes, static_cast<int>(threadIdx.x >> 5), 0); }
// A number that the compiler must take as new. What is worked out from it is worked out again in
// each tile: kept instead, a lane's dozen addresses would cost as many registers all through the
// loop.
MLA_DEVICE int here(int value) {
  asm volatile("" : "+r"(value));
  return value;
}
// Lets a kernel begin that was launched as one that waits by await_kernel_before(); PTX ISA,
// "griddepcontrol". Only what this one has done when it has ended is seen by it.
MLA_DEVICE void let_next_kernel_begin() {
  asm volatile("griddepcontrol.launch_dependents;" ::: "memory");
}
MLA_DEVICE void await_kernel_before() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
// A hint: there may be fewer that work.
MLA_DEVICE int compute_units() {
  unsigned n;
  asm("mov.u32 %0, %%nsmid;" : "=r"(n));
  return static_cast<int>(n);
}
constexpr int kDies = 1;
MLA_DEVICE Dim3 workgroup_id() { return {blockIdx.x, blockIdx.y, blockIdx.z}; }
// Waits for every wave of the workgroup; what they wrote to LDS before it is visible after it.
MLA_DEVICE void barrier() { __syncthreads(); }
MLA_DEVICE bool any_lane(bool condition) { return __any_sync(kAllLanes, condition) != 0; }
// Returns when a loaded word has arrived: a use that no compiler leaves out or puts off, of no
// consequence.
MLA_DEVICE void await_word(unsigned word) {
  if (any_lane(word == 0x9e3779b9u)) asm volatile("nanosleep.u32 0;" ::: "memory");
}
MLA_DEVICE float exp2_fast(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
MLA_DEVICE float log2_fast(float x) {
  float y;
  asm("lg2.approx.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
// To the last place or so.
MLA_DEVICE float reciprocal(float x) {
  float y;
  asm("rcp.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
MLA_DEVICE float infinity() { return __int_as_float(0x7f800000); }
MLA_DEVICE float maximum(float a, float b) { return fmaxf(a, b); }
// The kernel's arguments once more; they are constant memory, which costs no register.
template <typename Args>
MLA_DEVICE const Args& reload(const Args& args) {
  return args;
}
// The value of the lane whose number differs in one bit.
MLA_DEVICE float from_lane_xor(float value, int bit) {
  return __shfl_xor_sync(kAllLanes, value, bit);
}
MLA_DEVICE unsigned from_lane_xor(unsigned value, int bit) {
  return __shfl_xor_sync(kAllLanes, value, bit);
}

// LDS beyond 48 KiB exists only as dynamic shared memory: the launch names lds_bytes().
template <int kBytes>
MLA_DEVICE LdsPtr lds_region() {
  extern __shared__ __align__(1024) unsigned char region[];
  return static_cast<LdsPtr>(__cvta_generic_to_shared(region));
}
// In PTX, for the sake of the 32-bit address: ptxas folds what is added to it into the instruction.
template <typename T>
MLA_DEVICE T lds_read(LdsPtr p) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
  union {
    T value;
    unsigned short half;
    unsigned words[sizeof(T) / 4 + 1];
  } u;
  if constexpr (sizeof(T) == 2) {
    asm volatile("ld.shared.u16 %0, [%1];" : "=h"(u.half) : "r"(p) : "memory");
  } else if constexpr (sizeof(T) == 4) {
    asm volatile("ld.shared.u32 %0, [%1];" : "=r"(u.words[0]) : "r"(p) : "memory");
  } else if constexpr (sizeof(T) == 8) {
    asm volatile("ld.shared.v2.u32 {%0, %1}, [%2];"
                 : "=r"(u.words[0]), "=r"(u.words[1])
                 : "r"(p)
                 : "memory");
  } else {
    asm volatile("ld.shared.v4.u32 {%0, %1, %2, %3}, [%4];"
                 : "=r"(u.words[0]), "=r"(u.words[1]), "=r"(u.words[2]), "=r"(u.words[3])
                 : "r"(p)
                 : "memory");
  }
  return u.value;
}
template <typename T>
MLA_DEVICE void lds_write(LdsPtr p, T value) {
  static_assert(sizeof(T) == 2 || sizeof(T) == 4 || sizeof(T) == 8 || sizeof(T) == 16);
  union {
    T value;
    unsigned short half;
    unsigned words[(sizeof(T) + 3) / 4];
  } u{value};
  if constexpr (sizeof(T) == 2) {
    asm volatile("st.shared.u16 [%0], %1;" ::"r"(p), "h"(u.half) : "memory");
  } else if constexpr (sizeof(T) == 4) {
    asm volatile("st.shared.u32 [%0], %1;" ::"r"(p), "r"(u.words[0]) : "memory");
  } else if constexpr (sizeof(T) == 8) {
    asm volatile("st.shared.v2.u32 [%0], {%1, %2};" ::"r"(p), "r"(u.words[0]), "r"(u.words[1])
                 : "memory");
  } else {
    asm volatile("st.shared.v4.u32 [%0], {%1, %2, %3, %4};" ::"r"(p), "r"(u.words[0]),
                 "r"(u.words[1]), "r"(u.words[2]), "r"(u.words[3])
                 : "memory");
  }
}
template <typename T>
MLA_DEVICE T global_read(GlobalPtr p) {
  return *reinterpret_cast<const T*>(p);
}
template <typename T>
MLA_DEVICE void global_write(void* base, long long byte, T value) {
  *reinterpret_cast<T*>(static_cast<unsigned char*>(base) + byte) = value;
}
// The int at p, or -1 without touching it; nothing waits for it but its use.
MLA_DEVICE int read_slot(GlobalPtr p, bool there) {
  int slot;
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %2, 0; mov.b32 %0, -1; @p ld.global.nc.b32 %0, [%1]; }"
      : "=r"(slot)
      : "l"(p), "r"(static_cast<int>(there)));
  return slot;
}
// Rows of the cache: issued where they stand, and past L1, as no other wave of the SM wants them.
MLA_DEVICE uint4 stream_16(GlobalPtr p) {
  uint4 v;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "l"(p));
  return v;
}
MLA_DEVICE uint2 stream_8(GlobalPtr p) {
  uint2 v;
  asm volatile("ld.global.nc.L1::no_allocate.v2.u32 {%0, %1}, [%2];"
               : "=r"(v.x), "=r"(v.y)
               : "l"(p));
  return v;
}
// Leaves `v` as it is, whatever that be, unless `wanted`.
MLA_DEVICE void stream_16_if(bool wanted, uint4& v, GlobalPtr p) {
  asm volatile(
      "{ .reg .pred p; setp.ne.b32 p, %5, 0; "
      "@p ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4]; }"
      : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
      : "l"(p), "r"(static_cast<int>(wanted)));
}
// What is read in place of a row that is not there. A branch around the load, or a predicate on it,
// would make the other loads wait where it ends.
static __device__ uint4 no_row[kRowBytes / 16];
MLA_DEVICE GlobalPtr row_of_zeros() { return reinterpret_cast<GlobalPtr>(no_row); }
static __device__ uint2 ones_as_scales = {0x7f7f7f7fu, 0x007f7f7fu};
MLA_DEVICE GlobalPtr scales_of_one() { return reinterpret_cast<GlobalPtr>(&ones_as_scales); }
// Global memory to LDS, past the registers; without `there` the bytes become 0 and nothing is read.
template <int kBytes>
MLA_DEVICE void copy_to_lds(LdsPtr to, GlobalPtr from, bool there) {
  const unsigned bytes = there ? kBytes : 0;
  if constexpr (kBytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(kBytes),
                 "r"(bytes)
                 : "memory");
  }
}
// Closes the group of copies begun since the last one.
MLA_DEVICE void close_copies() { asm volatile("cp.async.commit_group;" ::: "memory"); }
// Waits until at most kGroups groups of this lane's copies are under way.
template <int kPending>
MLA_DEVICE void wait_for_copies() {
  asm volatile("cp.async.wait_group %0;" ::"n"(kPending) : "memory");
}

// Two fp32 to bf16, round to nearest even, the first in the low half.
MLA_DEVICE unsigned pack_bf16(float low, float high) {
  unsigned pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}
MLA_DEVICE unsigned multiply_bf16(unsigned a, unsigned b) {
  unsigned pair;
  asm("mul.rn.bf16x2 %0, %1, %2;" : "=r"(pair) : "r"(a), "r"(b));
  return pair;
}

// Four e4m3 bytes with their exponents where bf16 has the low end of its own: values times 2^-120
// (OCP) or 2^-119 (FNUZ), exactly, subnormals included. Bytes that mean NaN become numbers: see
// nan_bytes(). Sums instead of unions, so that half of the work is on the multiplier's pipe.
MLA_DEVICE uint2 widen_e4m3(unsigned word) {
  const unsigned magnitude = word & 0x7f7f7f7fu, sign = word & 0x80808080u;
  return {__byte_perm(magnitude, 0, 0x4140) * 16u + __byte_perm(sign, 0, 0x1404),
          __byte_perm(magnitude, 0, 0x4342) * 16u + __byte_perm(sign, 0, 0x3424)};
}
// What makes such values those of the cache, as bf16 in both halves: 2^120 (119) times the scale
// 2^(byte - 127). `byte_twice` is 0x00bb00bb. Large bytes would overflow: those of a strip that has
// any take two factors.
MLA_DEVICE bool is_large(unsigned scale_bytes) { return (scale_bytes & 0x80808080u) != 0; }
constexpr unsigned kLargeShift = 120;
MLA_DEVICE unsigned scale_factor(unsigned byte_twice, Fp8Format format, bool any_large) {
  if (any_large && is_large(byte_twice)) byte_twice -= kLargeShift * 0x00010001u;
  return byte_twice * 128u + (format == Fp8Format::ocp ? 120u : 119u) * 0x00800080u;
}
MLA_DEVICE unsigned large_scale_factor(unsigned byte_twice) {
  return (is_large(byte_twice) ? kLargeShift + 127u : 127u) * 0x00800080u;
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

// D (16 x 8) += A (16 x 16) B (16 x 8).
MLA_DEVICE void mma(float* d, const uint4& a, unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, "
      "{%8, %9}, {%0, %1, %2, %3};"
      : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
      : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
}
// Four 8 x 8 tiles of bf16, each transposed: lane t names row t % 8 of tile t / 8.
MLA_DEVICE uint4 read_transposed(LdsPtr row) {
  uint4 v;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(row)
               : "memory");
  return v;
}

// Has a number brought near that is going to be read, if it is there at all.
MLA_DEVICE void will_read(const float* p) {
  if (p != nullptr) asm volatile("prefetch.global.L2 [%0];" ::"l"(p));
}
// A number that every lane reads, and that no kernel running now writes.
MLA_DEVICE float read_uniform(const float* p) { return __ldg(p); }
// The same of what others of the same kernel wrote, after see_device().
MLA_DEVICE float read_fresh(const float* p) { return *p; }
// Handing memory on between workgroups. Order is transitive (PTX ISA, "causality order"), so that
// one lane's release and acquire, with barriers on both sides, are those of the workgroup.
MLA_DEVICE void publish_to_device() {}
MLA_DEVICE unsigned count_arrival(unsigned* counter) {
  unsigned before = 0;
  if (lane_id() == 0)
    asm volatile("atom.acq_rel.gpu.global.add.u32 %0, [%1], 1;"
                 : "=r"(before)
                 : "l"(counter)
                 : "memory");
  return __shfl_sync(kAllLanes, before, 0);
}
MLA_DEVICE void see_device() {}

}  // namespace mla
