#pragma once

// The host: where the waves of WaveSplit::scorers wait for each other.

#include "machine_host_roles.hpp"
#include "sparse_mla_meetings.hpp"

namespace mla {

MLA_DEVICE void meet(Meeting meeting, int group) {
  mla_host_wave->meet(mla_host_wave, host::kFirstMeetingPlace + static_cast<int>(meeting) + group,
                      waves_at(meeting));
}
// The same for who has nothing to wait for; here all wait, which is stricter than need be.
MLA_DEVICE void tell(Meeting meeting, int group) { meet(meeting, group); }
// Whether any wave of the group says so. `flags`: 4 bytes a wave.
MLA_DEVICE bool any_of_group(bool condition, int group, LdsPtr flags) {
  const int scorer = (mla_host_wave->index - kMultipliers) % kScorers;
  write_as(flags + 4 * scorer, condition ? 1u : 0u);
  meet(Meeting::within, group);
  unsigned any = 0;
  for (int i = 0; i < kScorers; ++i) any |= read_as<unsigned>(flags + 4 * i);
  return any != 0;
}

// A number of the workgroup's.
MLA_DEVICE void write_number(LdsPtr p, float x) { write_as(p, x); }
MLA_DEVICE float read_number(LdsPtr p) { return read_as<float>(p); }

}  // namespace mla
