#pragma once

// sm_90a: the warpgroup matrix instruction, which four warps issue together and which reads
// operands from LDS. PTX ISA, "wgmma.mma_async".

#include "machine_sm90.hpp"

namespace mla {

MLA_DEVICE void matrix_fence() { asm volatile("wgmma.fence.sync.aligned;" ::: "memory"); }
MLA_DEVICE void matrix_commit() { asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory"); }
template <int kPending>
MLA_DEVICE void matrix_wait() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(kPending) : "memory");
}
// Makes what this lane wrote to LDS visible to wgmma, once a barrier has been passed.
MLA_DEVICE void publish_to_matrix_unit() {
  asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
}
// meeting_waves() meet without the others.
template <Config c>
MLA_DEVICE bool any_wave(bool condition, LdsPtr /*flags*/) {
  if constexpr (meeting_waves(c) != 0) {
    int any;
    asm volatile(
        "{ .reg .pred p, q; setp.ne.b32 p, %1, 0; barrier.cta.red.or.pred q, 1, %2, p; "
        "selp.b32 %0, 1, 0, q; }"
        : "=r"(any)
        : "r"(static_cast<int>(condition)), "n"(meeting_waves(c) * kLanes)
        : "memory");
    return any != 0;
  }
  return __syncthreads_or(condition) != 0;
}
template <Config c>
MLA_DEVICE void group_barrier() {
  if constexpr (meeting_waves(c) != 0) {
    asm volatile("barrier.cta.sync 1, %0;" ::"n"(meeting_waves(c) * kLanes) : "memory");
  } else {
    barrier();
  }
}

enum class Swizzle : unsigned { none = 0, of_128 = 1, of_64 = 2, of_32 = 3 };
// An operand in LDS: its descriptor in two halves, of which only the address ever changes.
// `leading` and `stride` are the distances in bytes between groups of eight rows, along the
// contiguous dimension and along the other. In a cluster an address says above bit 24 whose LDS it
// is in, which the descriptor has no place for.
struct Operand {
  unsigned low;
  unsigned high;
};
MLA_DEVICE Operand operand_at(LdsPtr p, unsigned leading, unsigned stride, Swizzle swizzle) {
  return {(p & 0x3ffffu) >> 4 | leading >> 4 << 16, stride >> 4 | static_cast<unsigned>(swizzle)
                                                                      << 30};
}
MLA_DEVICE unsigned long long descriptor(const Operand& o, int chunks_on) {
  unsigned long long d;
  asm("mov.b64 %0, {%1, %2};"
      : "=l"(d)
      : "r"(o.low + static_cast<unsigned>(chunks_on)), "r"(o.high));
  return d;
}

enum class MatrixType { bf16, f16 };

// The shapes by their lists of results, a constraint and a placeholder for each.
#define MLA_D4(d) "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
#define MLA_D8(d) MLA_D4(d), MLA_D4((d + 4))
#define MLA_D16(d) MLA_D8(d), MLA_D8((d + 8))
#define MLA_D32(d) MLA_D16(d), MLA_D16((d + 16))
#define MLA_D96(d) MLA_D32(d), MLA_D32((d + 32)), MLA_D32((d + 64))
#define MLA_P4 "%0, %1, %2, %3"
#define MLA_P8 MLA_P4 ", %4, %5, %6, %7"
#define MLA_P16 MLA_P8 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define MLA_P32 \
  MLA_P16 ", %16, %17, %18, %19, %20, %21, %22, %23, %24, %25, %26, %27, %28, %29, %30, %31"
#define MLA_P96                                                                                  \
  MLA_P32                                                                                        \
  ", %32, %33, %34, %35, %36, %37, %38, %39, %40, %41, %42, %43, %44, %45, %46, %47, %48, %49, " \
  "%50, %51, %52, %53, %54, %55, %56, %57, %58, %59, %60, %61, %62, %63, %64, %65, %66, %67, "   \
  "%68, %69, %70, %71, %72, %73, %74, %75, %76, %77, %78, %79, %80, %81, %82, %83, %84, %85, "   \
  "%86, %87, %88, %89, %90, %91, %92, %93, %94, %95"
#define MLA_WGMMA(n, types, results, operands) \
  "wgmma.mma_async.sync.aligned.m64n" n "k16.f32." types " {" results "}, " operands ";"

// d (64 x N) += A (64 x 16) B (16 x N); A four registers, B in LDS. kTransposedB: of a B that lies
// with its columns contiguous, rather than the contraction.
template <int N, MatrixType kType, bool kTransposedB = false>
MLA_DEVICE void wgmma_registers(float* d, const uint4& a, unsigned long long b) {
#define MLA_A_B "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "l"(b), "n"(kTransposedB)
#define MLA_SHAPES(types)                                                                   \
  if constexpr (N == 8) {                                                                   \
    asm volatile(MLA_WGMMA("8", types, MLA_P4, "{%4, %5, %6, %7}, %8, 1, 1, 1, %9")         \
                 : MLA_D4(d)                                                                \
                 : MLA_A_B);                                                                \
  } else if constexpr (N == 16) {                                                           \
    asm volatile(MLA_WGMMA("16", types, MLA_P8, "{%8, %9, %10, %11}, %12, 1, 1, 1, %13")    \
                 : MLA_D8(d)                                                                \
                 : MLA_A_B);                                                                \
  } else if constexpr (N == 32) {                                                           \
    asm volatile(MLA_WGMMA("32", types, MLA_P16, "{%16, %17, %18, %19}, %20, 1, 1, 1, %21") \
                 : MLA_D16(d)                                                               \
                 : MLA_A_B);                                                                \
  } else {                                                                                  \
    static_assert(N == 64);                                                                 \
    asm volatile(MLA_WGMMA("64", types, MLA_P32, "{%32, %33, %34, %35}, %36, 1, 1, 1, %37") \
                 : MLA_D32(d)                                                               \
                 : MLA_A_B);                                                                \
  }
  if constexpr (kType == MatrixType::f16) {
    MLA_SHAPES("f16.f16")
  } else {
    MLA_SHAPES("bf16.bf16")
  }
#undef MLA_SHAPES
#undef MLA_A_B
}
// The same with A and B in LDS. kTransposed: of an operand that lies with its rows (A) or columns
// (B) contiguous, rather than the contraction.
template <int N, MatrixType kType, bool kTransposedA, bool kTransposedB>
MLA_DEVICE void wgmma_lds(float* d, unsigned long long a, unsigned long long b) {
#define MLA_A_B "l"(a), "l"(b), "n"(kTransposedA), "n"(kTransposedB)
#define MLA_SHAPES(types)                                                                         \
  if constexpr (N == 8) {                                                                         \
    asm volatile(MLA_WGMMA("8", types, MLA_P4, "%4, %5, 1, 1, 1, %6, %7") : MLA_D4(d) : MLA_A_B); \
  } else if constexpr (N == 16) {                                                                 \
    asm volatile(MLA_WGMMA("16", types, MLA_P8, "%8, %9, 1, 1, 1, %10, %11")                      \
                 : MLA_D8(d)                                                                      \
                 : MLA_A_B);                                                                      \
  } else if constexpr (N == 32) {                                                                 \
    asm volatile(MLA_WGMMA("32", types, MLA_P16, "%16, %17, 1, 1, 1, %18, %19")                   \
                 : MLA_D16(d)                                                                     \
                 : MLA_A_B);                                                                      \
  } else if constexpr (N == 64) {                                                                 \
    asm volatile(MLA_WGMMA("64", types, MLA_P32, "%32, %33, 1, 1, 1, %34, %35")                   \
                 : MLA_D32(d)                                                                     \
                 : MLA_A_B);                                                                      \
  } else {                                                                                        \
    static_assert(N == 192);                                                                      \
    asm volatile(MLA_WGMMA("192", types, MLA_P96, "%96, %97, 1, 1, 1, %98, %99")                  \
                 : MLA_D96(d)                                                                     \
                 : MLA_A_B);                                                                      \
  }
  if constexpr (kType == MatrixType::f16) {
    MLA_SHAPES("f16.f16")
  } else {
    MLA_SHAPES("bf16.bf16")
  }
#undef MLA_SHAPES
#undef MLA_A_B
}
#undef MLA_WGMMA
#undef MLA_D4
#undef MLA_D8
#undef MLA_D16
#undef MLA_D32
#undef MLA_D96
#undef MLA_P4
#undef MLA_P8
#undef MLA_P16
#undef MLA_P32
#undef MLA_P96

}  // namespace mla
