#pragma once

// sm_90: PV of WaveSplit::weights, and what becomes of the output.

#include "machine_sm90_weights.hpp"

namespace mla {

// out^T += V^T P over the tile, for the columns of this warp's team. Under way until finish().
template <Config c>
MLA_DEVICE void begin_accumulate(HeadColumns<c>& o, LdsPtr tile, LdsPtr weights, int wave) {
  constexpr unsigned kRow = c.block_h * 2;
  // Without a swizzle the two distances of a contiguous-by-columns operand change places.
  constexpr unsigned kLeading = kWeightSwizzle<c> == Swizzle::none ? 8 * kRow : 16;
  constexpr unsigned kStride = kWeightSwizzle<c> == Swizzle::none ? 16 : 8 * kRow;
  const int first = TeamShape<c>::kTeams == 1 ? 0 : wave / 4 * TeamShape<c>::kBlocks;
  const Operand a = operand_at(tile + static_cast<unsigned>(first * c.block_k * 128),
                               c.block_k * 128, 1024, Swizzle::of_128);
  const bool rope = TeamShape<c>::kTeams == 1 || wave / 4 == TeamShape<c>::kTeams - 1;
  const Operand b = operand_at(weights, kLeading, kStride, kWeightSwizzle<c>);
  const Operand rope_weights =
      operand_at(weights + kRopeWeights<c>, kLeading, kStride, kWeightSwizzle<c>);
  const auto at = [](const Operand& o, int step)
                      MLA_LAMBDA { return descriptor(o, step * static_cast<int>(kRow)); };
  matrix_fence();
  constexpr int kLast = TeamShape<c>::kBlocks - 1;
  const auto columns = [&](int block, int step)
                           MLA_LAMBDA { return descriptor(a, block * c.block_k * 8 + step * 128); };
  MLA_UNROLL for (int step = 0; step < c.block_k / 16; ++step) {
    MLA_UNROLL for (int block = 0; block < kLast; ++block)
        wgmma_lds<c.block_h, MatrixType::f16, true, true>(o.v[block], columns(block, step),
                                                          at(b, step));
  }
  if (rope) {
    MLA_UNROLL for (int step = 0; step < c.block_k / 16; ++step)
        wgmma_lds<c.block_h, MatrixType::bf16, true, true>(o.v[kLast], columns(kLast, step),
                                                           at(rope_weights, step));
  } else {
    MLA_UNROLL for (int step = 0; step < c.block_k / 16; ++step)
        wgmma_lds<c.block_h, MatrixType::f16, true, true>(o.v[kLast], columns(kLast, step),
                                                          at(b, step));
  }
  matrix_commit();
}
template <Config c>
MLA_DEVICE void finish(HeadColumns<c>& o) {
  matrix_wait<0>();
  MLA_UNROLL for (auto& block : o.v) {
    MLA_UNROLL for (float& x : block) asm volatile("" : "+f"(x)::"memory");
  }
}

// The column that element i of a block belongs to.
template <Config c>
MLA_DEVICE unsigned column_of(int wave, int block, int i) {
  const unsigned w = static_cast<unsigned>(wave), row = static_cast<unsigned>(lane_row());
  const unsigned g = w / 4 * TeamShape<c>::kBlocks + static_cast<unsigned>(block);
  return g * kGroupDim +
         column_at<c>(w % 4 * 16 + row + static_cast<unsigned>(i / 2 % 2 * 8), g == kGroups - 1);
}
// Rows of `Element` through LDS, as many at a time as the tiles' place holds, so that they leave in
// whole runs; `value` makes one of a number and its place in AllHeads, `write` takes four of a row.
template <Config c, typename Element, typename Value, typename Write>
MLA_DEVICE void write_rows(const HeadColumns<c>& o, int heads, LdsPtr scratch, int wave,
                           Value value, Write write) {
  constexpr unsigned kElement = sizeof(Element), kRow = kHeadDim * kElement + 16;
  constexpr int kFit = tiles_bytes(c) / static_cast<int>(kRow) / 8 * 8;
  constexpr int kRows = kFit < c.block_h ? (kFit >= 32 ? 32 : kFit >= 16 ? 16 : 8) : c.block_h;
  constexpr unsigned kQuads = kHeadDim / 4, kStep = c.waves * kLanes / kQuads;
  const unsigned thread = static_cast<unsigned>(wave * kLanes + lane_id());
  MLA_UNROLL for (int first = 0; first < c.block_h; first += kRows) {
    if (first != 0) group_barrier<c>();
    MLA_UNROLL for (int block = 0; block < TeamShape<c>::kBlocks; ++block) {
      MLA_UNROLL for (int i = first / 2; i < (first + kRows) / 2; ++i) {
        const int place = i / 4 * 2 + i % 2;
        const unsigned row = static_cast<unsigned>(head_of_all(place) - first);
        lds_write(scratch + row * kRow + column_of<c>(wave, block, i) * kElement,
                  static_cast<Element>(value(o.v[block][i], place)));
      }
    }
    group_barrier<c>();
    MLA_UNROLL for (unsigned n = 0; n < kRows / kStep; ++n) {
      const unsigned row = n * kStep + thread / kQuads, column = thread % kQuads * 4;
      if (first + static_cast<int>(row) >= heads) continue;
      write(first + static_cast<int>(row), static_cast<int>(column),
            scratch + row * kRow + column * kElement);
    }
  }
}
// Writes the rows of the first `heads` heads as bf16, times a factor a head.
template <Config c>
MLA_DEVICE void write_output(void* out, long long row, long long head_stride, int heads,
                             const HeadColumns<c>& o, const AllHeads<c>& factor, LdsPtr scratch,
                             int wave) {
  write_rows<c, unsigned short>(
      o, heads, scratch, wave,
      [&](float x, int place) MLA_LAMBDA { return pack_bf16(x * factor.v[place], 0) & 0xffffu; },
      [&](int head, int column, LdsPtr from) MLA_LAMBDA {
        global_write(out, 2 * (row + head * head_stride + column), lds_read<uint2>(from));
      });
}
// The same as fp32 and as it stands, for a split's partial result.
template <Config c>
MLA_DEVICE void write_partial(float* out, long long row, long long head_stride, int heads,
                              const HeadColumns<c>& o, LdsPtr scratch, int wave) {
  write_rows<c, float>(
      o, heads, scratch, wave, [&](float x, int) MLA_LAMBDA { return x; },
      [&](int head, int column, LdsPtr from) MLA_LAMBDA {
        global_write(out, 4 * (row + head * head_stride + column), lds_read<uint4>(from));
      });
}

}  // namespace mla
