#pragma once

// sm_90: where the waves of WaveSplit::scorers wait for each other. PTX ISA, "barrier.cta".

#include "machine_sm90_roles.hpp"
#include "sparse_mla_meetings.hpp"

namespace mla {

// Of the barriers of a workgroup the first two are that of all and that of the multipliers.
MLA_DEVICE int barrier_of(Meeting meeting, int group) {
  return 2 + static_cast<int>(meeting) + group;
}
MLA_DEVICE void meet(Meeting meeting, int group) {
  asm volatile("barrier.cta.sync %0, %1;" ::"r"(barrier_of(meeting, group)),
               "r"(waves_at(meeting) * kLanes)
               : "memory");
}
MLA_DEVICE void tell(Meeting meeting, int group) {
  asm volatile("barrier.cta.arrive %0, %1;" ::"r"(barrier_of(meeting, group)),
               "r"(waves_at(meeting) * kLanes)
               : "memory");
}
MLA_DEVICE bool any_of_group(bool condition, int group, LdsPtr /*flags*/) {
  int any;
  asm volatile(
      "{ .reg .pred p, q; setp.ne.b32 p, %1, 0; barrier.cta.red.or.pred q, %2, %3, p; "
      "selp.b32 %0, 1, 0, q; }"
      : "=r"(any)
      : "r"(static_cast<int>(condition)), "r"(barrier_of(Meeting::within, group)),
        "n"(kScorers * kLanes)
      : "memory");
  return any != 0;
}
// A number of the workgroup's, which every lane may write.
MLA_DEVICE void write_number(LdsPtr p, float x) { lds_write(p, x); }
MLA_DEVICE float read_number(LdsPtr p) { return lds_read<float>(p); }

}  // namespace mla
