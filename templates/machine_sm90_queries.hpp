#pragma once

// sm_90: the queries of a workgroup in LDS, as an operand of the warpgroup matrix instruction
// (wgmma), for WaveSplit::weights and WaveSplit::blocks.

#include "machine_sm90_tiles.hpp"
#include "machine_sm90_wgmma.hpp"

namespace mla {

// The largest of a number below 256 that each lane of the waves that work together has.
template <Config c>
MLA_DEVICE unsigned largest_of_group(unsigned mine) {
  unsigned bound = 0;
  MLA_ROLLED for (unsigned bit = 128; bit != 0; bit /= 2) {
    if (any_wave<c>(mine >= bound + bit, 0)) bound += bit;
  }
  return bound;
}
// Queries as an operand: eight groups, a head 128 bytes, swizzled, NoPE in f16; the columns of a
// group in the order in which lanes hold those of the keys, or with WaveSplit::blocks and roles in
// their own. Rows past the last head repeat it.
template <Config c>
MLA_DEVICE float share_queries(const void* q, long long head_stride, int heads, LdsPtr region,
                               int wave) {
  // A thread takes the same four columns of every so manieth head.
  constexpr unsigned kQuads = kHeadDim / 4, kStep = c.waves * kLanes / kQuads;
  const unsigned thread = static_cast<unsigned>(wave * kLanes + lane_id()), quad = thread % kQuads;
  const unsigned g = quad / 16, i = quad / 4 % 4, part = quad % 4;
  const unsigned width = static_cast<unsigned>(operand_width<c>(g == kGroups - 1));
  constexpr bool kOwnOrder = !in_operand_order(c);
  const unsigned column =
      kOwnOrder ? 4 * (quad % 16) : (4 * i / width * 4 + part) * width + 4 * i % width;
  const GlobalPtr from = static_cast<GlobalPtr>(q) + 2 * (g * kGroupDim + column);
  const auto read = [&](unsigned n) MLA_LAMBDA {
    const unsigned head = n * kStep + thread / kQuads, last = static_cast<unsigned>(heads - 1);
    return global_read<uint2>(from + 2 * head_stride * (head < last ? head : last));
  };
  const auto write = [&](unsigned n, uint2 four) MLA_LAMBDA {
    const unsigned head = n * kStep + thread / kQuads;
    const LdsPtr row = region + g * c.block_h * 128 + head * 128;
    if (g != kGroups - 1) four = {bf16_to_f16(four.x), bf16_to_f16(four.y)};
    if constexpr (kOwnOrder) {
      lds_write(row + (8 * (quad % 16) ^ head % 8 * 16), four);
      return;
    }
    lds_write(row + ((32 * i + 4 * part) ^ head % 8 * 16), four.x);
    lds_write(row + ((32 * i + 16 + 4 * part) ^ head % 8 * 16), four.y);
  };
  unsigned large = 0;  // bit 15 of each half whose magnitude is 2^15 or more
  MLA_UNROLL for (unsigned n = 0; n < c.block_h / kStep; ++n) {
    const uint2 four = read(n);
    large |= ((four.x & 0x7fff7fffu) + 0x39003900u) | ((four.y & 0x7fff7fffu) + 0x39003900u);
    write(n, four);
  }
  publish_to_matrix_unit();
  if (!any_wave<c>((large & 0x80008000u) != 0, 0)) return 1;

  unsigned exponent = 0;
  MLA_ROLLED for (unsigned n = 0; n < c.block_h / kStep; ++n) {
    const uint2 four = read(n);
    MLA_UNROLL for (const unsigned pair : {four.x, four.y}) {
      exponent = max(exponent, max(pair >> 7 & 255u, pair >> 23 & 255u));
    }
  }
  // The largest comes to lie between 2^14 and 2^15.
  const int shrunk = static_cast<int>(largest_of_group<c>(exponent)) - (127 + 14);
  const unsigned factor = pack_bf16(power_of_2(-shrunk), power_of_2(-shrunk));
  MLA_ROLLED for (unsigned n = 0; n < c.block_h / kStep; ++n) {
    const uint2 four = read(n);
    write(n, {multiply_bf16(four.x, factor), multiply_bf16(four.y, factor)});
  }
  publish_to_matrix_unit();
  group_barrier<c>();
  return power_of_2(shrunk);
}
}  // namespace mla
