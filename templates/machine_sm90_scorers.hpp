#pragma once

// sm_90: where the waves of WaveSplit::scorers wait for each other. PTX ISA, "barrier.cta".

#include "machine_sm90_roles.hpp"
#include "sparse_mla_meetings.hpp"

namespace mla {

// Of the barriers of a workgroup the first three are that of all, that of the multipliers and
// tile_barrier().
MLA_DEVICE int barrier_of(Meeting meeting, int group) {
  return 3 + static_cast<int>(meeting) + group;
}
template <Config c>
MLA_DEVICE void meet(Meeting meeting, int group) {
  asm volatile("barrier.cta.sync %0, %1;" ::"r"(barrier_of(meeting, group)),
               "r"(waves_at(c, meeting) * kLanes)
               : "memory");
}
template <Config c>
MLA_DEVICE void tell(Meeting meeting, int group) {
  asm volatile("barrier.cta.arrive %0, %1;" ::"r"(barrier_of(meeting, group)),
               "r"(waves_at(c, meeting) * kLanes)
               : "memory");
}
// What a scorer found of its strip, for the multiplier that has it next, whose lanes take what the
// same lanes left. `region`: that of the tile's weights; each strip's scores lie just where its
// weights will, so that the one who reads them may write those.
template <Config c>
MLA_DEVICE LdsPtr scores_at(LdsPtr region, int strip, int half) {
  constexpr unsigned kLane = c.block_h;  // bytes in either half
  return region + kRopeWeights<c> * static_cast<unsigned>(half) +
         static_cast<unsigned>(strip * 16 * c.block_h * 2) +
         static_cast<unsigned>(here(lane_id())) * kLane;
}
template <Config c>
MLA_DEVICE void leave_scores(LdsPtr region, int strip, const StripScores<c>& s) {
  MLA_UNROLL for (int half = 0; half < 2; ++half) {
    const LdsPtr to = scores_at<c>(region, strip, half);
    if constexpr (c.block_h == 8) {
      lds_write(to, float2{s.v[2 * half], s.v[2 * half + 1]});
    } else {
      static_assert(c.block_h == 16);
      const float* v = s.v + 4 * half;
      lds_write(to, float4{v[0], v[1], v[2], v[3]});
    }
  }
}
template <Config c>
MLA_DEVICE void take_scores(LdsPtr region, int strip, OwnScores<c>& s) {
  MLA_UNROLL for (int half = 0; half < 2; ++half) {
    const LdsPtr from = scores_at<c>(region, strip, half);
    if constexpr (c.block_h == 8) {
      const float2 v = lds_read<float2>(from);
      s.v[2 * half] = v.x;
      s.v[2 * half + 1] = v.y;
    } else {
      const float4 v = lds_read<float4>(from);
      s.v[4 * half] = v.x;
      s.v[4 * half + 1] = v.y;
      s.v[4 * half + 2] = v.z;
      s.v[4 * half + 3] = v.w;
    }
  }
  __syncwarp();  // all have read before any writes weights there
}
// Likewise by how much a strip's keys were shrunk, two bytes a key.
MLA_DEVICE LdsPtr lifts_at(LdsPtr lifts, int strip) {
  return lifts + static_cast<unsigned>(strip * 32 + here(lane_id()) / 4 * 4);
}
template <Config c>
MLA_DEVICE void leave_lifts(LdsPtr lifts, int strip, const Lifts& lift) {
  if (lane_part() == 0) lds_write(lifts_at(lifts, strip), lift.both);
}
template <Config c>
MLA_DEVICE void take_lifts(LdsPtr lifts, int strip, OwnScores<c>& s) {
  s.lift.both = lds_read<unsigned>(lifts_at(lifts, strip));
}

}  // namespace mla
