#pragma once

// sm_90: PV of WaveSplit::weights, and what becomes of the output.

#include "machine_sm90_values.hpp"

namespace mla {

// out^T += V^T P over the tile, for the columns of this warp's team. Under way until finish().
template <Config c>
MLA_DEVICE void begin_accumulate(HeadColumns<c>& o, LdsPtr tile, LdsPtr weights, int wave) {
  const int first = TeamShape<c>::kTeams == 1 ? 0 : wave / 4 * TeamShape<c>::kBlocks;
  const Operand a = operand_at(tile + static_cast<unsigned>(first * c.block_k * 128),
                               c.block_k * 128, 1024, Swizzle::of_128);
  const bool rope = TeamShape<c>::kTeams == 1 || wave / 4 == TeamShape<c>::kTeams - 1;
  const Operand b = weights_operand<c>(weights),
                rope_weights = weights_operand<c>(weights + kRopeWeights<c>);
  matrix_fence();
  constexpr int kLast = TeamShape<c>::kBlocks - 1;
  const auto columns = [&](int block, int step)
                           MLA_LAMBDA { return descriptor(a, block * c.block_k * 8 + step * 128); };
  MLA_UNROLL for (int step = 0; step < c.block_k / 16; ++step) {
    MLA_UNROLL for (int block = 0; block < kLast; ++block)
        wgmma_lds<c.block_h, MatrixType::f16, true, true>(o.v[block], columns(block, step),
                                                          weights_of_step<c>(b, step));
  }
  if (rope) {
    MLA_UNROLL for (int step = 0; step < c.block_k / 16; ++step)
        wgmma_lds<c.block_h, MatrixType::bf16, true, true>(o.v[kLast], columns(kLast, step),
                                                           weights_of_step<c>(rope_weights, step));
  } else {
    MLA_UNROLL for (int step = 0; step < c.block_k / 16; ++step)
        wgmma_lds<c.block_h, MatrixType::f16, true, true>(o.v[kLast], columns(kLast, step),
                                                          weights_of_step<c>(b, step));
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

// With WaveSplit::rows a lane's two rows of a block are columns next to each other, and where
// blocks come in twos it has both of a pair: four columns of two heads.
template <Config c>
MLA_DEVICE bool in_pairs(int wave, int block) {
  return c.wave_split == WaveSplit::rows && (block < 2 || wave / 4 == 0);
}
// What a lane has of a block's eight heads, as four columns of one head next to each other: its
// run. It comes with two heads of two rows eight apart, and trades with the lane of the row beside
// its own, which leaves either with one head; where columns are in their own order, then with the
// lane two rows on. Of a pair of blocks the run of the first is that of the first head.
template <Config c>
MLA_DEVICE float4 head_run(const HeadColumns<c>& o, int wave, int block, int octet) {
  if (in_pairs<c>(wave, block)) {
    const float* first = o.v[block / 2 * 2] + 4 * octet + block % 2;
    const float* second = o.v[block / 2 * 2 + 1] + 4 * octet + block % 2;
    return {first[0], first[2], second[0], second[2]};
  }
  const auto& v = o.v[block];
  const float a = v[4 * octet], b = v[4 * octet + 1], d = v[4 * octet + 2], e = v[4 * octet + 3];
  const bool odd = lane_row() % 2 != 0;
  const float first = from_lane_xor(odd ? a : b, 4), second = from_lane_xor(odd ? d : e, 4);
  if constexpr (c.wave_split == WaveSplit::rows)
    return {odd ? first : a, odd ? second : d, odd ? b : first, odd ? e : second};
  const float4 run = {odd ? first : a, odd ? b : first, odd ? second : d, odd ? e : second};
  if constexpr (in_operand_order(c)) return run;
  const bool far = (lane_row() & 2) != 0;
  const float x = from_lane_xor(far ? run.x : run.z, 8), y = from_lane_xor(far ? run.y : run.w, 8);
  return {far ? x : run.x, far ? y : run.y, far ? run.z : x, far ? run.w : y};
}
// Whether a lane's run is of the second of its two heads of an octet; the head, counted in the
// workgroup, and the run's first column.
template <Config c>
MLA_DEVICE bool is_second(int wave, int block) {
  return in_pairs<c>(wave, block) ? block % 2 != 0 : lane_row() % 2 != 0;
}
MLA_DEVICE int head_of_run(int octet, bool second) {
  return 8 * octet + 2 * lane_part() + static_cast<int>(second);
}
template <Config c>
MLA_DEVICE unsigned column_of_run(int wave, int block) {
  const unsigned w = static_cast<unsigned>(wave), row = static_cast<unsigned>(lane_row());
  if constexpr (c.wave_split == WaveSplit::rows) {
    const unsigned mine = in_pairs<c>(wave, block) ? row : row & ~1u;
    return value_column(wave, block) + value_run(wave, block) * (w % 4 * 8 + mine);
  }
  const unsigned g = w / 4 * TeamShape<c>::kBlocks + static_cast<unsigned>(block);
  if constexpr (in_operand_order(c))
    return g * kGroupDim + column_at<c>(w % 4 * 16 + (row & ~1u), g == kGroups - 1);
  return g * kGroupDim + w % 4 * 16 + (row & 4u) + (row & 2u) * 4;
}
// A number for each head, of the head of this lane's run.
template <Config c>
MLA_DEVICE float of_run(const AllHeads<c>& all, int octet, bool second) {
  return choose_value(second, all.v[2 * octet + 1], all.v[2 * octet]);
}
MLA_DEVICE uint2 round_run(const float4& v, float factor) {
  return {pack_bf16(v.x * factor, v.y * factor), pack_bf16(v.z * factor, v.w * factor)};
}

// A row of 512 elements in LDS is so long: what is added spreads heads over banks.
template <typename Run>
constexpr unsigned kRunRow = kHeadDim / 4 * sizeof(Run) + 16;
// The rows of `octets` octets from the first on into LDS, `value` making a Run of four columns.
template <Config c, typename Run, typename Value>
MLA_DEVICE void share_rows(LdsPtr rows, const HeadColumns<c>& o, int first, int octets, int wave,
                           Value value) {
  MLA_UNROLL for (int block = 0; block < TeamShape<c>::kBlocks; ++block) {
    const LdsPtr at = rows + column_of_run<c>(wave, block) * (sizeof(Run) / 4);
    const bool second = is_second<c>(wave, block);
    MLA_UNROLL for (int octet = first; octet < first + octets; ++octet) {
      lds_write(at + static_cast<unsigned>(head_of_run(octet - first, second)) * kRunRow<Run>,
                value(head_run<c>(o, wave, block, octet), octet, second));
    }
  }
}
// Rows through LDS, as many at a time as the tiles' place holds, so that they leave in whole lines;
// the first `heads` of them, `row_bytes` apart, a Run being four columns. All that are read at a
// time are asked for before any is waited for.
template <Config c, typename Run, typename Value>
MLA_DEVICE void write_rows(void* to, long long row_bytes, int heads, const HeadColumns<c>& o,
                           LdsPtr scratch, int wave, Value value) {
  constexpr int kFit = scratch_bytes(c) / static_cast<int>(kRunRow<Run>) / 8 * 8;
  constexpr int kRows = kFit < c.block_h ? (kFit >= 32 ? 32 : kFit >= 16 ? 16 : 8) : c.block_h;
  constexpr int kRuns = kHeadDim / 4, kStep = c.waves * kLanes / kRuns, kMine = kRows / kStep;
  const int thread = wave * kLanes + lane_id(), row0 = thread / kRuns, run0 = thread % kRuns;
  const LdsPtr from = scratch + static_cast<unsigned>(row0) * kRunRow<Run> +
                      static_cast<unsigned>(run0) * sizeof(Run);
  unsigned char* at = static_cast<unsigned char*>(to) + row0 * row_bytes + run0 * sizeof(Run);
  MLA_UNROLL for (int first = 0; first < c.block_h; first += kRows) {
    if (first != 0) group_barrier<c>();
    share_rows<c, Run>(scratch, o, first / 8, kRows / 8, wave, value);
    group_barrier<c>();
    Run runs[kMine];
    MLA_UNROLL for (int n = 0; n < kMine; ++n) runs[n] =
        lds_read<Run>(from + static_cast<unsigned>(n * kStep) * kRunRow<Run>);
    MLA_UNROLL for (int n = 0; n < kMine; ++n) {
      if (first + n * kStep + row0 < heads) global_write(at, 0, runs[n]);
      at += kStep * row_bytes;
    }
  }
}
// Writes the rows of the first `heads` heads as bf16, times a factor a head. `scratch`: the tiles'
// place in LDS.
template <Config c>
MLA_DEVICE void write_output(void* out, long long row, long long head_stride, int heads,
                             const HeadColumns<c>& o, const AllHeads<c>& factor, LdsPtr scratch,
                             int wave) {
  write_rows<c, uint2>(static_cast<unsigned char*>(out) + 2 * row, 2 * head_stride, heads, o,
                       scratch, wave, [&](const float4& run, int octet, bool second) MLA_LAMBDA {
                         return round_run(run, of_run<c>(factor, octet, second));
                       });
}
// The same as fp32 and as it stands, for a split's partial result.
template <Config c>
MLA_DEVICE void write_partial(float* out, long long row, long long head_stride, int heads,
                              const HeadColumns<c>& o, LdsPtr scratch, int wave) {
  write_rows<c, float4>(out + row, 4 * head_stride, heads, o, scratch, wave,
                        [](const float4& run, int, bool) MLA_LAMBDA { return run; });
}

}  // namespace mla
