#pragma once

// sm_90: where the waves of WaveSplit::scorers wait for each other. PTX ISA, "barrier.cta".

#include "machine_sm90_roles.hpp"

namespace mla {

// Of all but the last there is one for either group. Who has told need not wait.
enum class Meeting : int {
  weighed = 2,       // a group's tile and its weights are there; multipliers wait for it
  summed = 4,        // the multipliers are done with a group's tile; the group waits for it
  agreed = 6,        // a group has its maxima; the other group waits for it
  weights_used = 8,  // the multipliers are done with weights; the group that writes the next waits
  within = 10,       // a group waits for itself
  all = 12,          // scorers and multipliers
};
MLA_DEVICE constexpr int waves_at(Meeting meeting) {
  return meeting == Meeting::all      ? kMultipliers + kScorerGroups * kScorers
         : meeting == Meeting::within ? kScorers
                                      : 2 * kScorers;
}
MLA_DEVICE void meet(Meeting meeting, int group) {
  asm volatile("barrier.cta.sync %0, %1;" ::"r"(static_cast<int>(meeting) + group),
               "r"(waves_at(meeting) * kLanes)
               : "memory");
}
MLA_DEVICE void tell(Meeting meeting, int group) {
  asm volatile("barrier.cta.arrive %0, %1;" ::"r"(static_cast<int>(meeting) + group),
               "r"(waves_at(meeting) * kLanes)
               : "memory");
}
MLA_DEVICE bool any_of_group(bool condition, int group, LdsPtr /*flags*/) {
  int any;
  asm volatile(
      "{ .reg .pred p, q; setp.ne.b32 p, %1, 0; barrier.cta.red.or.pred q, %2, %3, p; "
      "selp.b32 %0, 1, 0, q; }"
      : "=r"(any)
      : "r"(static_cast<int>(condition)), "r"(static_cast<int>(Meeting::within) + group),
        "n"(kScorers * kLanes)
      : "memory");
  return any != 0;
}
static_assert(kScorers == kMultipliers);

// A number of the workgroup's, which every lane may write.
MLA_DEVICE void write_number(LdsPtr p, float x) { lds_write(p, x); }
MLA_DEVICE float read_number(LdsPtr p) { return lds_read<float>(p); }

}  // namespace mla
