#pragma once

// sm_90: rows by the copy engine (PTX ISA, "cp.async.bulk" and "mbarrier"), for LoadPath::bulk.
//
// A row buffer is what one wave fills its part of a tile from. A fetching wave serves the buffers
// of all sharers of its strip, a lane a row. Whatever comes is counted at `full`: of each row its
// lane's arrival, which is that of its scales, and once how many bytes of rows are to come. Each
// who has read all counts that at `empty`. Of both, one waits for the next change by naming its
// parity.

#include "machine_sm90_blocks.hpp"

namespace mla {

// Offsets in a buffer. `c`: that of the fillers.
template <Config c>
struct RowBuffer {
  static constexpr int kRows = gathered_rows(c);
  static constexpr unsigned kScales = kRows * row_pitch(c);
  static constexpr unsigned kKeys = kScales + kRows * kScaleBytes;  // of the whole strip
  static constexpr unsigned kFull = kKeys + 16, kEmpty = kFull + 8;
  static_assert(before_rows(kEmpty + 8) == row_buffer_bytes(c));
};

MLA_DEVICE void count_arrivals(LdsPtr place, int expected) {
  asm volatile("mbarrier.init.shared::cta.b64 [%0], %1;" ::"r"(place), "r"(expected) : "memory");
}
MLA_DEVICE void arrive(LdsPtr place) {
  asm volatile("mbarrier.arrive.shared::cta.b64 _, [%0];" ::"r"(place) : "memory");
}
MLA_DEVICE void arrive_expecting(LdsPtr place, int bytes) {
  asm volatile("mbarrier.arrive.expect_tx.shared::cta.b64 _, [%0], %1;" ::"r"(place), "r"(bytes)
               : "memory");
}
// This lane arrives when its copies to LDS so far have.
MLA_DEVICE void arrive_with_copies(LdsPtr place) {
  asm volatile("cp.async.mbarrier.arrive.noinc.shared::cta.b64 [%0];" ::"r"(place) : "memory");
}
MLA_DEVICE void wait_for_arrivals(LdsPtr place, unsigned parity) {
  asm volatile(
      "{ .reg .pred done; again: mbarrier.try_wait.parity.shared::cta.b64 done, [%0], %1; "
      "@!done bra again; }" ::"r"(place),
      "r"(parity)
      : "memory");
}
MLA_DEVICE void copy_row(LdsPtr to, GlobalPtr row, LdsPtr full) {
  asm volatile(
      "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes [%0], [%1], %2, [%3];" ::
          "r"(to),
      "l"(row), "n"(kRowBytes), "r"(full)
      : "memory");
}

// Has kBytes bytes brought into L2, from a multiple of 16 on.
template <int kBytes>
MLA_DEVICE void will_copy(GlobalPtr from) {
  asm volatile("cp.async.bulk.prefetch.L2.global [%0], %1;" ::"l"(from), "n"(kBytes) : "memory");
}
// Has rows of 512 bf16 brought into L2, of which there are at most as many as lanes.
MLA_DEVICE void will_read_rows(GlobalPtr first, long long stride, int rows) {
  if (lane_id() < rows) will_copy<2 * kHeadDim>(first + lane_id() * stride);
}
// The same with the rows of a strip's slots.
template <Config c>
MLA_DEVICE void will_fetch(const ScopeView& scope, Slots<c> slot) {
  if (lane_id() < 16 && slot >= 0 && slot < scope.rows)
    will_copy<kRowBytes>(place_of(scope, slot, true).row);
}

// Makes ready the buffers that a fetching wave is to fill, which need wait for nobody then. `c`:
// that of the workgroup.
template <Config c>
MLA_DEVICE void open_buffers(LdsPtr buffers, int wave) {
  constexpr Config kFilling = of_fillers(c);
  using Buffer = RowBuffer<kFilling>;
  constexpr int kSharers = sharers(kFilling);
  const int lane = lane_id();
  if (lane < sets_in_flight(c) * kSharers) {
    const int filler = wave + lane % kSharers * strips_per_tile(c);
    const LdsPtr buffer =
        buffers + static_cast<unsigned>((lane / kSharers * kFilling.waves + filler) *
                                        row_buffer_bytes(kFilling));
    count_arrivals(buffer + Buffer::kFull, Buffer::kRows + 1);
    count_arrivals(buffer + Buffer::kEmpty, readers(kFilling));
  }
  publish_to_matrix_unit();  // to whatever else goes past this lane: the copy engine too
  __syncwarp();
  asm volatile("barrier.cta.arrive 0, %0;" ::"n"(threads(c, kLanes)) : "memory");
}
// Waits until all are ready; for all who do not fetch.
template <Config c>
MLA_DEVICE void await_buffers() {
  asm volatile("barrier.cta.sync 0, %0;" ::"n"(threads(c, kLanes)) : "memory");
}
template <Config c>
MLA_DEVICE LdsPtr buffer_of(LdsPtr buffers, int tile, int filler) {
  const int set = tile % sets_in_flight(c);
  return buffers + static_cast<unsigned>((set * c.waves + filler) * row_buffer_bytes(c));
}
// How often something was brought to the buffers of the tile before.
template <Config c>
MLA_DEVICE int turn_of(int tile) {
  return tile / sets_in_flight(c);
}
// Starts bringing the rows of a strip's slots into its sharers' buffers of the tile, tiles being
// counted from 0, once they have left them. A row that is not there becomes zeros; were it copied
// too, all workgroups would queue for the same ones.
template <Config c>
MLA_DEVICE void fetch_strip(LdsPtr buffers, int tile, int strip, const ScopeView& scope,
                            Slots<c> slot) {
  using Buffer = RowBuffer<c>;
  const int lane = lane_id(), share = lane % 16 / Buffer::kRows, row = lane % Buffer::kRows;
  const int turn = turn_of<c>(tile);
  const LdsPtr mine = buffer_of<c>(buffers, tile, strip + share * strips_per_tile(c));
  const unsigned keys = __ballot_sync(kAllLanes, slot >= 0 && slot < scope.rows) & 0xffffu;
  const bool there = (keys >> lane % 16 & 1u) != 0;
  const RowPlace place = place_of(scope, slot, there);
  if (turn > 0) wait_for_arrivals(mine + Buffer::kEmpty, static_cast<unsigned>(turn - 1) & 1u);
  if (lane < 16) {
    if (row == 0) {
      constexpr unsigned kMine = (1u << Buffer::kRows) - 1u;
      lds_write(mine + Buffer::kKeys, keys);
      arrive_expecting(mine + Buffer::kFull,
                       __popc(keys >> share * Buffer::kRows & kMine) * kRowBytes);
    }
    const LdsPtr to = mine + place_of_row<c>(row) * row_pitch(c),
                 scales = mine + Buffer::kScales + static_cast<unsigned>(row * kScaleBytes);
    if (there) {
      copy_row(to, place.row, mine + Buffer::kFull);
      copy_to_lds<kScaleBytes>(scales, place.scales, true);
      arrive_with_copies(mine + Buffer::kFull);
    } else {
      MLA_ROLLED for (unsigned i = 0; i < kRowBytes; i += 16) lds_write(to + i, uint4{0, 0, 0, 0});
      lds_write(scales, uint2{0x7f7f7f7fu, 0x007f7f7fu});
      arrive(mine + Buffer::kFull);
    }
  }
  __syncwarp();
}
// Waits for what this lane has begun to copy, rows apart, which are waited for where they are used.
MLA_DEVICE void await_fetched() { asm volatile("cp.async.wait_all;" ::: "memory"); }
// Waits for what was brought for a wave.
template <Config c>
MLA_DEVICE RawStrip<c> await_rows(LdsPtr buffers, int tile, int filler, Fp8Format format) {
  using Buffer = RowBuffer<c>;
  const LdsPtr buffer = buffer_of<c>(buffers, tile, filler);
  wait_for_arrivals(buffer + Buffer::kFull, static_cast<unsigned>(turn_of<c>(tile)) & 1u);
  RawStrip<c> raw;
  raw.format = format;
  raw.staged = buffer;
  raw.keys = lds_read<unsigned>(buffer + Buffer::kKeys);
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) raw.scales[r] = lds_read<uint2>(
      buffer + Buffer::kScales + static_cast<unsigned>((lane_row() + 8 * r) * kScaleBytes));
  look_at_scales<c>(raw);
  return raw;
}
// Fills a wave's part of a tile from it, and says which of its strip's keys are there. Whether any
// was shrunk, `lifts` then saying each one's.
template <Config c>
MLA_DEVICE bool fill_from_buffer(LdsPtr to, LdsPtr buffers, int tile, int filler, Fp8Format format,
                                 LdsPtr lifts, LdsPtr keys) {
  const int row0 =
      filler % strips_per_tile(c) * 16 + filler / strips_per_tile(c) * gathered_rows(c);
  RawStrip<c> raw = await_rows<c>(buffers, tile, filler, format);
  Lifts lift;
  if (raw.large || raw.format != Fp8Format::ocp) {
    lift = fill_with_care<c>(to, raw, row0, 0);
  } else {
    GroupWords words[kGroups];
    MLA_UNROLL for (int g = 0; g < kGroups; ++g) words[g] = take_words<c>(raw, 0, g);
    MLA_UNROLL for (int g = 0; g < kGroups; ++g)
        fill_group<c>(to, row0, 0, g, prepare_keys<c>(raw, words[g], 0, g));
  }
  write_lifts<c>(lifts, row0, lift);
  if (filler < strips_per_tile(c)) write_mask(keys + static_cast<unsigned>(4 * filler), raw.keys);
  return lift.both != 0;
}

// Lets the buffer be used again. What was read from it must have arrived, not only been asked for,
// and a fence must be between: the copy engine does not wait for this wave's loads.
template <Config c>
MLA_DEVICE void leave_buffer(LdsPtr buffers, int tile, int filler) {
  __syncwarp();
  if (lane_id() == 0) arrive(buffer_of<c>(buffers, tile, filler) + RowBuffer<c>::kEmpty);
}

}  // namespace mla
