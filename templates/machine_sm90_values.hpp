#pragma once

// sm_90: PV of WaveSplit::rows, out of registers: out^T (columns x heads) += V^T P, V being
// dequantised from the rows as they came.
//
// Two teams of four warps have half of the columns each, in four blocks of 64, a lane two columns
// of each block: those that it can load together, as rows of a block may be any columns. So the
// first team's lanes have eight columns next to each other; the second's have four of groups 4 and
// 5, two of group 6 and two of RoPE, whose block must be one as it is of another type.

#include "machine_sm90_weights.hpp"

namespace mla {

// The first column of a pair of blocks or of a block, and how many of a lane's columns follow each
// other there.
MLA_DEVICE unsigned value_column(int wave, int block) {
  if (wave / 4 == 0) return static_cast<unsigned>(block / 2 * 4);
  return block < 2 ? 256u : block == 2 ? 384u : 448u;
}
MLA_DEVICE unsigned value_run(int wave, int block) {
  return wave / 4 == 0 ? 8u : block < 2 ? 4u : 2u;
}
// Of a strip, a lane's operand A of each of its blocks.
struct ValueFragment {
  uint4 blocks[4];
};
// Two keys' e4m3 of four columns next to each other, times each key's scale: two blocks' pairs of
// keys, of either of a lane's columns.
struct TwoBlocks {
  uint2 pairs[2];
};
MLA_DEVICE uint2 pair_f16(unsigned a, unsigned b, unsigned columns, unsigned scales) {
  const uint2 wide = e4m3_to_f16(__byte_perm(a, b, columns));
  return {multiply_f16(wide.x, scales), multiply_f16(wide.y, scales)};
}
MLA_DEVICE TwoBlocks two_blocks(unsigned a, unsigned b, unsigned scales) {
  return {{pair_f16(a, b, 0x5140u, scales), pair_f16(a, b, 0x7362u, scales)}};
}
// The rows of a strip that PV's operand wants of a lane, in its order along the contraction.
struct ValueRows {
  LdsPtr row[4];
};
template <Config c>
MLA_DEVICE ValueRows value_rows(LdsPtr rows) {
  ValueRows v;
  const int part = here(lane_id()) % 4;
  MLA_UNROLL for (int i = 0; i < 4; ++i) v.row[i] =
      rows + (place_of_row<c>(2 * part + i % 2) + static_cast<unsigned>(i / 2 * 8)) * row_pitch(c);
  return v;
}
// A strip's scales of a group, for rows 2 lane_part() and the next, and those eight further on.
template <Config c>
MLA_DEVICE LdsPtr scales_at(LdsPtr scales, int g, int strip, int part) {
  return scales + static_cast<unsigned>(((g * strips_per_tile(c) + strip) * 8 + 2 * part) * 4);
}
// A strip's scales in f16, a lane those of its keys of two groups.
template <Config c>
MLA_DEVICE void leave_scales(LdsPtr scales, int strip, const RawStrip<c>& raw) {
  const int lane = here(lane_id()), row = lane / 4, part = lane % 4;
  MLA_UNROLL for (int r = 0; r < 2; ++r) {
    const LdsPtr to =
        scales_at<c>(scales, part, strip, row / 2) + static_cast<unsigned>(4 * r + row % 2 * 2);
    lds_write(to, static_cast<unsigned short>(scale_f16(raw.scales[r].x, part)));
    if (part < 3)
      lds_write(to + 4 * strips_per_tile(c) * 32,
                static_cast<unsigned short>(scale_f16(raw.scales[r].y, part)));
  }
}
// What a lane's fragment is made of: of four keys, two words of the first team's eight columns, or
// one of four, a half of two and one of RoPE; and scales.
template <int kTeam>
struct ValueWords {
  static constexpr int kScales = kTeam == 0 ? 1 : 2;
  uint2 nope[kTeam == 0 ? 4 : 1];
  unsigned words[kTeam == 0 ? 1 : 4], last[kTeam == 0 ? 1 : 4], rope[kTeam == 0 ? 1 : 4];
  uint2 scales[kScales];
};
template <Config c, int kTeam>
MLA_DEVICE ValueWords<kTeam> read_values(LdsPtr rows, LdsPtr scales, int strip, int wave) {
  const int lane = here(lane_id());
  const unsigned place = static_cast<unsigned>(wave % 4 * 8 + lane / 4);
  const ValueRows v = value_rows<c>(rows);
  const auto factors = [&](int g) MLA_LAMBDA {
    return lds_read<uint2>(scales_at<c>(scales, g, strip, lane % 4));
  };
  ValueWords<kTeam> w;
  if constexpr (kTeam == 0) {
    MLA_UNROLL for (int i = 0; i < 4; ++i) w.nope[i] = lds_read<uint2>(v.row[i] + 8 * place);
    w.scales[0] = factors(wave % 4);
  } else {
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      w.words[i] = lds_read<unsigned>(v.row[i] + 256 + 4 * place);
      w.last[i] = lds_read<unsigned short>(v.row[i] + 384 + 2 * place);
      w.rope[i] = lds_read<unsigned>(v.row[i] + kNopeDim + 4 * place);
    }
    w.scales[0] = factors(4 + wave % 4 / 2);
    w.scales[1] = factors(6);
  }
  return w;
}
template <int kTeam>
MLA_DEVICE void make_values(ValueFragment& f, const ValueWords<kTeam>& w) {
  const auto two = [&](int block, unsigned a, unsigned b, unsigned d, unsigned e) MLA_LAMBDA {
    const TwoBlocks low = two_blocks(a, b, w.scales[0].x), high = two_blocks(d, e, w.scales[0].y);
    MLA_UNROLL for (int n = 0; n < 2; ++n)
        f.blocks[block + n] = {low.pairs[n].x, low.pairs[n].y, high.pairs[n].x, high.pairs[n].y};
  };
  if constexpr (kTeam == 0) {
    two(0, w.nope[0].x, w.nope[1].x, w.nope[2].x, w.nope[3].x);
    two(2, w.nope[0].y, w.nope[1].y, w.nope[2].y, w.nope[3].y);
  } else {
    two(0, w.words[0], w.words[1], w.words[2], w.words[3]);
    const uint2 x = pair_f16(w.last[0], w.last[1], 0x5140u, w.scales[1].x),
                y = pair_f16(w.last[2], w.last[3], 0x5140u, w.scales[1].y);
    f.blocks[2] = {x.x, x.y, y.x, y.y};
    f.blocks[3] = {
        __byte_perm(w.rope[0], w.rope[1], 0x5410u), __byte_perm(w.rope[0], w.rope[1], 0x7632u),
        __byte_perm(w.rope[2], w.rope[3], 0x5410u), __byte_perm(w.rope[2], w.rope[3], 0x7632u)};
  }
}
// Waits until at most kPending strips are under way, that of `f` not among them.
template <int kPending>
MLA_DEVICE void settle_values(ValueFragment& f) {
  matrix_wait<kPending>();
  MLA_UNROLL for (uint4& w : f.blocks) asm volatile("" : "+r"(w.x), "+r"(w.y), "+r"(w.z),
                                                    "+r"(w.w)::"memory");
}
// out^T += V^T P over a tile, for the columns of this warp's team; done when finish() has been
// called. rows(strip): where a strip's rows are, which are there then. `scales` and `weights` are
// the tile's.
template <Config c, int kTeam, typename Rows>
MLA_DEVICE void accumulate_rows(HeadColumns<c>& o, LdsPtr scales, LdsPtr weights, int wave,
                                Fp8Format /*format*/, Rows rows) {
  constexpr int kStrips = strips_per_tile(c);
  const Operand b = weights_operand<c>(weights),
                rope_weights = weights_operand<c>(weights + kRopeWeights<c>);
  ValueFragment f[2] = {};
  ValueWords<kTeam> words = read_values<c, kTeam>(rows(0), scales, 0, wave);
  MLA_UNROLL for (int strip = 0; strip < kStrips; ++strip) {
    ValueFragment& mine = f[strip % 2];
    settle_values<1>(mine);
    make_values<kTeam>(mine, words);
    if (strip + 1 < kStrips)
      words = read_values<c, kTeam>(rows(strip + 1), scales, strip + 1, wave);
    matrix_fence();
    MLA_UNROLL for (int n = 0; n < 4; ++n) {
      if (kTeam == 1 && n == 3) {
        wgmma_registers<c.block_h, MatrixType::bf16, true>(o.v[n], mine.blocks[n],
                                                           weights_of_step<c>(rope_weights, strip));
      } else {
        wgmma_registers<c.block_h, MatrixType::f16, true>(o.v[n], mine.blocks[n],
                                                          weights_of_step<c>(b, strip));
      }
    }
    matrix_commit();
  }
  MLA_UNROLL for (ValueFragment& mine : f) settle_values<0>(mine);
}

}  // namespace mla
