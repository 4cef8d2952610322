#pragma once

// The host: the verbs of WaveSplit::rows.

#include "machine_host_scorers.hpp"

namespace mla {

// Sets every NaN of a strip's rows in LDS to 0. Elsewhere, also brings each key's scales to where
// the matrix unit has room for them, and makes OCP of FNUZ.
template <Config c>
MLA_DEVICE void mend_rows(RawStrip<c>& raw, Lift&) {
  scrub<c>(raw, 0);
  __builtin_memcpy(raw.staged, raw.rows, sizeof raw.rows);
  __builtin_memcpy(raw.staged + sizeof raw.rows, raw.scales, sizeof raw.scales);
}
// scores += K Q^T over group g, without other waves, done at once.
template <Config c>
MLA_DEVICE void multiply_alone(StripScores<c>& s, const KeyFragment<c>& k, LdsPtr queries, int g) {
  begin_multiply<c>(s, k, queries, g, 0);
}
// A strip's scales for those who sum: here they find them in the rows' buffer.
template <Config c>
MLA_DEVICE void leave_scales(LdsPtr /*scales*/, int /*strip*/, const RawStrip<c>&) {}
// A strip's rows, which whoever scores them has mended.
template <Config c>
MLA_DEVICE LdsPtr await_buffer(LdsPtr buffers, int tile, int strip) {
  return buffer_of<c>(buffers, tile, strip);
}
// out += P V over a tile, for this wave's columns; done when finish() has been called. rows(strip):
// where a strip's rows are. `scales` and `weights` are the tile's.
template <Config c, int kTeam, typename Rows>
MLA_DEVICE void accumulate_rows(HeadColumns<c>& o, LdsPtr /*scales*/, LdsPtr weights, int wave,
                                Fp8Format format, Rows rows) {
  constexpr Config kScoring = of_fillers(c);
  static_assert(HeadColumns<c>::kColumns == kGroupDim);
  for (int strip = 0; strip < strips_per_tile(c); ++strip) {
    const LdsPtr at = rows(strip);
    RawStrip<kScoring> raw;
    raw.format = format;
    __builtin_memcpy(raw.rows, at, sizeof raw.rows);
    __builtin_memcpy(raw.scales, at + sizeof raw.rows, sizeof raw.scales);
    const KeyFragment<kScoring> values = dequantise<kScoring>(raw, 0, wave);
    for (int r = 0; r < c.mfma; ++r) accumulate_key<c>(o, values.v[r], weights, strip * c.mfma + r);
  }
}

}  // namespace mla
