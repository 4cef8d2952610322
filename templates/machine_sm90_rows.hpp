#pragma once

// sm_90: the verbs of WaveSplit::rows, but for PV, which is in machine_sm90_values.hpp.

#include "machine_sm90_scorers.hpp"

namespace mla {

// FNUZ is half of what the same byte is in OCP, but for its largest, which OCP has no byte for.
// As OCP: of bytes whose scale can be halved the byte itself, of others one with the exponent less,
// where what OCP has no bit for is rounded away: 2^-18 of the largest.
MLA_DEVICE unsigned fnuz_as_ocp(unsigned word) {
  unsigned out = 0;
  MLA_ROLLED for (int i = 0; i < 32; i += 8) {
    const unsigned sign = word >> i & 0x80u, size = word >> i & 0x7fu;
    const unsigned less = size >= 16 ? size - 8 : (size + (size / 2 & 1u)) / 2;
    out |= (sign | less) << i;
  }
  return out;
}
// Whether one of four FNUZ bytes is the largest there is.
MLA_DEVICE bool has_largest(unsigned word) {
  return (((word & 0x7f7f7f7fu) + 0x01010101u) & 0x80808080u) != 0;
}
// Sets every NaN of a strip's rows in LDS to 0, brings each key's scales to where f16 has room for
// them, `lifts` saying how far that was, and makes OCP of FNUZ. The scales in LDS stay as they
// came.
template <Config c>
MLA_DEVICE void mend_rows(RawStrip<c>& raw, Lifts& lifts) {
  const Care care = take_care<c>(raw, lifts);
  const bool fnuz = raw.format != Fp8Format::ocp;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    const unsigned drop = pack_bf16(power_of_2(-lifts.of(r)), power_of_2(-lifts.of(r)));
    MLA_ROLLED for (int g = 0; g < kGroups; ++g) {
      const bool rope = g == kGroups - 1;
      const bool bad =
          (__byte_perm(care.bad[r].x, care.bad[r].y, static_cast<unsigned>(g)) & 255u) != 0;
      const auto clean = [&](unsigned word) MLA_LAMBDA {
        const unsigned w = bad ? 0u : without_nan(word, rope, raw.format);
        return rope ? multiply_bf16(w, drop) : w;
      };
      MLA_ROLLED for (int i = 0; i < (rope ? 2 : 1); ++i) {
        const uint4 w = raw_words<c>(raw, g, g, r, i);
        uint4 words = {clean(w.x), clean(w.y), clean(w.z), clean(w.w)};
        if (fnuz && !rope) {
          const bool largest = has_largest(words.x) || has_largest(words.y) ||
                               has_largest(words.z) || has_largest(words.w);
          // Whether any lane of the row has it, all of which have one scale.
          if ((__ballot_sync(kAllLanes, largest) >> (here(lane_id()) & ~3) & 15u) != 0) {
            words = {fnuz_as_ocp(words.x), fnuz_as_ocp(words.y), fnuz_as_ocp(words.z),
                     fnuz_as_ocp(words.w)};
          } else if (scale_byte<c>(raw, r, g) != 0) {
            raw.scales[r].x -= (g < 4 ? 1u : 0u) << g % 4 * 8;
            raw.scales[r].y -= (g < 4 ? 0u : 1u) << g % 4 * 8;
          }
        }
        replace_words<c>(raw, g, g, r, i, words);
      }
    }
  }
  raw.format = Fp8Format::ocp;
  __syncwarp();
}
// A strip's rows, which whoever scores them has mended.
template <Config c>
MLA_DEVICE LdsPtr await_buffer(LdsPtr buffers, int tile, int strip) {
  const LdsPtr buffer = buffer_of<c>(buffers, tile, strip);
  wait_for_arrivals(buffer + RowBuffer<c>::kFull, static_cast<unsigned>(turn_of<c>(tile)) & 1u);
  return buffer;
}

}  // namespace mla
