#pragma once

// The host: where the waves of WaveSplit::scorers and rows wait for each other.

#include "machine_host_roles.hpp"
#include "sparse_mla_meetings.hpp"

namespace mla {

template <Config c>
MLA_DEVICE void meet(Meeting meeting, int group) {
  mla_host_wave->meet(mla_host_wave, host::kFirstMeetingPlace + static_cast<int>(meeting) + group,
                      waves_at(c, meeting));
}
// The same for who has nothing to wait for.
template <Config c>
MLA_DEVICE void tell(Meeting meeting, int group) {
  mla_host_wave->arrive(mla_host_wave, host::kFirstMeetingPlace + static_cast<int>(meeting) + group,
                        waves_at(c, meeting));
}
// What a scorer found of its strip, for the multiplier that has it next. `region`: that of the
// tile's weights; each strip's scores lie just where its weights will and as much behind those of
// all, so that the one who reads them may write those.
template <Config c>
MLA_DEVICE LdsPtr scores_at(LdsPtr region, int strip, int half) {
  return region + (half * c.block_k + strip * c.mfma) * c.block_h * 2;
}
template <Config c>
MLA_DEVICE void leave_scores(LdsPtr region, int strip, const StripScores<c>& s) {
  for (int half = 0; half < 2; ++half)
    __builtin_memcpy(scores_at<c>(region, strip, half), s.v[half * c.mfma / 2], sizeof s.v / 2);
}
template <Config c>
MLA_DEVICE void take_scores(LdsPtr region, int strip, OwnScores<c>& s) {
  for (int half = 0; half < 2; ++half)
    __builtin_memcpy(s.v[half * c.mfma / 2], scores_at<c>(region, strip, half), sizeof s.v / 2);
}
// Likewise by how much a strip's keys were shrunk: here they never are.
template <Config c>
MLA_DEVICE void leave_lifts(LdsPtr /*lifts*/, int /*strip*/, const Lift&) {}
template <Config c>
MLA_DEVICE void take_lifts(LdsPtr /*lifts*/, int /*strip*/, OwnScores<c>&) {}

}  // namespace mla
