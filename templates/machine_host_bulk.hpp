#pragma once

// The host: the verbs of LoadPath::bulk.

#include "machine_host_blocks.hpp"

namespace mla {

template <Config c>
MLA_DEVICE int buffer_number(int tile, int filler) {
  return tile % sets_in_flight(c) * c.waves + filler;
}
template <Config c>
MLA_DEVICE LdsPtr buffer_of(LdsPtr buffers, int tile, int filler) {
  return buffers + buffer_number<c>(tile, filler) * row_buffer_bytes(c);
}
// How often something was brought to the buffers of the tile before.
template <Config c>
MLA_DEVICE int turn_of(int tile) {
  return tile / sets_in_flight(c);
}
// Where a filler and who fetches for it meet when its rows are there, and all who read them when
// they have been read.
template <Config c>
MLA_DEVICE int full_place(int tile, int filler) {
  static_assert(sets_in_flight(c) * c.waves <= host::kMostBuffers);
  return host::kFirstBufferPlace + 2 * buffer_number<c>(tile, filler);
}
template <Config c>
MLA_DEVICE int empty_place(int tile, int filler) {
  return full_place<c>(tile, filler) + 1;
}
// Elsewhere hints of what is going to be read.
MLA_DEVICE int compute_units() { return 1; }
MLA_DEVICE void will_read_rows(const unsigned char* /*first*/, long long /*stride*/, int /*rows*/) {
}
template <Config c>
MLA_DEVICE void will_fetch(const ScopeView&, const Slots<c>&) {}

// Makes ready the buffers that a fetching wave is to fill; `c`: that of the workgroup. Others wait
// for that, here all do.
template <Config c>
MLA_DEVICE void open_buffers(LdsPtr /*buffers*/, int /*wave*/) {
  barrier();
}
template <Config c>
MLA_DEVICE void await_buffers() {
  barrier();
}

// Brings the rows of a strip's slots into its sharers' buffers of the tile, tiles being counted
// from 0, once they have left them; a row that is not there becomes zeros.
template <Config c>
MLA_DEVICE void fetch_strip(LdsPtr buffers, int tile, int strip, const ScopeView& scope,
                            const Slots<c>& slots) {
  constexpr int kRows = gathered_rows(c);
  for (int filler = strip; filler < c.waves && turn_of<c>(tile) > 0; filler += strips_per_tile(c))
    mla_host_wave->meet(mla_host_wave, empty_place<c>(tile, filler), readers(c) + 1);
  unsigned keys = 0;
  for (int i = 0; i < c.mfma; ++i) {
    const int slot = slots.v[i];
    const LdsPtr buffer = buffer_of<c>(buffers, tile, strip + i / kRows * strips_per_tile(c));
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
    write_as(buffer_of<c>(buffers, tile, filler) + kRows * (kRowBytes + kScaleBytes), keys);
    mla_host_wave->arrive(mla_host_wave, full_place<c>(tile, filler), 2);
  }
}
// Waits for what a fetching wave has begun.
MLA_DEVICE void await_fetched() {}
// Waits for what was brought for a wave.
template <Config c>
MLA_DEVICE RawStrip<c> await_rows(LdsPtr buffers, int tile, int filler, Fp8Format format) {
  constexpr int kRows = gathered_rows(c);
  const LdsPtr buffer = buffer_of<c>(buffers, tile, filler);
  mla_host_wave->meet(mla_host_wave, full_place<c>(tile, filler), 2);
  RawStrip<c> raw;
  raw.format = format;
  raw.staged = buffer;
  raw.keys = read_as<unsigned>(buffer + kRows * (kRowBytes + kScaleBytes));
  __builtin_memcpy(raw.rows, buffer, sizeof raw.rows);
  __builtin_memcpy(raw.scales, buffer + kRows * kRowBytes, sizeof raw.scales);
  return raw;
}
// Fills a wave's part of a tile from it, and says which of its strip's keys are there. Whether any
// was shrunk, `lifts` then saying each one's.
template <Config c>
MLA_DEVICE bool fill_from_buffer(LdsPtr to, LdsPtr buffers, int tile, int filler, Fp8Format format,
                                 LdsPtr lifts, LdsPtr keys) {
  RawStrip<c> raw = await_rows<c>(buffers, tile, filler, format);
  const int strip = filler % strips_per_tile(c), share = filler / strips_per_tile(c);
  if (share == 0) write_mask(keys + 4 * strip, raw.keys);
  return fill_tile<c>(to, raw, strip * c.mfma + share * gathered_rows(c), 0, lifts);
}

// Lets the buffer be used again.
template <Config c>
MLA_DEVICE void leave_buffer(LdsPtr /*buffers*/, int tile, int filler) {
  mla_host_wave->arrive(mla_host_wave, empty_place<c>(tile, filler), readers(c) + 1);
}

}  // namespace mla
