#pragma once

// Where the waves of WaveSplit::scorers wait for each other.

#include "sparse_mla_config.hpp"

namespace mla {

// Of all but the last there is one for either group, `group` further on.
enum class Meeting : int {
  weighed = 0,       // a group's tile and its weights are there; multipliers wait for it
  summed = 2,        // the multipliers are done with a group's tile; the group waits for it
  agreed = 4,        // a group has its maxima; the other group waits for it
  weights_used = 6,  // the multipliers are done with weights; the group that writes the next waits
  within = 8,        // a group waits for itself
  all = 10,          // scorers and multipliers
};
constexpr int kMeetings = 11;

// Who waits there, and who has nothing to wait for but says so.
MLA_HOST_DEVICE constexpr int waves_at(Meeting meeting) {
  return meeting == Meeting::all      ? kMultipliers + kScorerGroups * kScorers
         : meeting == Meeting::within ? kScorers
                                      : kMultipliers + kScorers;
}

}  // namespace mla
