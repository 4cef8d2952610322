#pragma once

// Where the waves of WaveSplit::scorers wait for each other.

#include "sparse_mla_config.hpp"

namespace mla {

// Of the first two there is one for either group, `group` further on.
enum class Meeting : int {
  scored = 0,   // a group's tile and its scores are there; multipliers wait for it
  summed = 2,   // the multipliers are done with a group's tile; the group waits for it
  queries = 4,  // the multipliers have put the queries into LDS; scorers wait for it
};
constexpr int kMeetings = 5;

// Who waits there, and who has nothing to wait for but says so.
MLA_HOST_DEVICE constexpr int waves_at(Meeting meeting) {
  return meeting == Meeting::queries ? kMultipliers + kScorerGroups * kScorers
                                     : kMultipliers + kScorers;
}

}  // namespace mla
