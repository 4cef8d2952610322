#pragma once

// The host: the verbs of LoadPath::bulk. Who brings rows waits until they have been used, which is
// stricter than need be.

#include "machine_host_blocks.hpp"

namespace mla {

template <Config c>
MLA_DEVICE LdsPtr buffer_of(LdsPtr buffers, int set, int filler) {
  return buffers + (set * c.waves + filler) * row_buffer_bytes(c);
}
// Where a filler and who fetches for it wait for each other.
MLA_DEVICE void meet_at_buffer(int filler) {
  mla_host_wave->meet(mla_host_wave, host::kFirstBufferPlace + filler, 2);
}
// For one wave to call, of the fillers' `c`, before a barrier of all.
template <Config c>
MLA_DEVICE void open_buffers(LdsPtr /*buffers*/, int /*count*/) {}

// Brings the rows of a strip's slots into `set` of its sharers' buffers; a row that is not there
// becomes zeros.
template <Config c>
MLA_DEVICE void fetch_strip(LdsPtr buffers, int set, int strip, const ScopeView& scope,
                            const Slots<c>& slots, int /*turn*/) {
  constexpr int kRows = gathered_rows(c);
  unsigned keys = 0;
  for (int i = 0; i < c.mfma; ++i) {
    const int slot = slots.v[i];
    const LdsPtr buffer = buffer_of<c>(buffers, set, strip + i / kRows * strips_per_tile(c));
    const LdsPtr row = buffer + i % kRows * kRowBytes,
                 scales = buffer + kRows * kRowBytes + i % kRows * kScaleBytes;
    if (slot < 0 || slot >= scope.rows) {
      __builtin_memset(row, 0, kRowBytes);
      __builtin_memset(scales, 127, kScaleBytes);
      continue;
    }
    keys |= 1u << i;
    const RowPlace from = place_of(scope, slot);
    __builtin_memcpy(row, from.row, kRowBytes);
    __builtin_memcpy(scales, from.scales, kScaleBytes);
  }
  for (int filler = strip; filler < c.waves; filler += strips_per_tile(c)) {
    write_as(buffer_of<c>(buffers, set, filler) + kRows * (kRowBytes + kScaleBytes), keys);
    meet_at_buffer(filler);
  }
  for (int filler = strip; filler < c.waves; filler += strips_per_tile(c)) meet_at_buffer(filler);
}
// Waits for what a fetching wave has begun.
MLA_DEVICE void await_fetched() {}
// Fills a wave's part of a tile from what was brought for it. Returns which of its strip's keys are
// there.
template <Config c>
MLA_DEVICE unsigned fill_from_buffer(LdsPtr tile, LdsPtr buffers, int set, int filler,
                                     Fp8Format format, LdsPtr lifts, int /*turn*/) {
  constexpr int kRows = gathered_rows(c);
  const LdsPtr buffer = buffer_of<c>(buffers, set, filler);
  meet_at_buffer(filler);
  RawStrip<c> raw;
  raw.format = format;
  raw.keys = read_as<unsigned>(buffer + kRows * (kRowBytes + kScaleBytes));
  __builtin_memcpy(raw.rows, buffer, sizeof raw.rows);
  __builtin_memcpy(raw.scales, buffer + kRows * kRowBytes, sizeof raw.scales);
  const int strip = filler % strips_per_tile(c), share = filler / strips_per_tile(c);
  fill_tile<c>(tile, raw, strip * c.mfma + share * kRows, 0, lifts);
  return raw.keys;
}

// Lets the buffer be used again.
template <Config c>
MLA_DEVICE void leave_buffer(LdsPtr /*buffers*/, int /*set*/, int filler) {
  meet_at_buffer(filler);
}

}  // namespace mla
