#pragma once

// Where the waves of WaveSplit::scorers and rows wait for each other.

#include "sparse_mla_config.hpp"

namespace mla {

// Of those that come in twos there is one for either group of scorers, or with rows for either
// stage of weights, its number further on.
enum class Meeting : int {
  scored = 0,   // a tile and its scores are there; multipliers wait for it. With rows those who sum
                // wait for the scores of the tile after theirs
  summed = 2,   // the multipliers are done with a group's tile; the group waits for it
  queries = 4,  // the multipliers have put the queries into LDS; scorers wait for it
  weighed = 5,  // with rows: a stage's weights are there; summers wait for it
  spent = 7,    // the summers are done with a stage's weights; scorers wait for it
  ended = 9,    // all are done with tiles and weights, and what the scorers know is on the board
};
constexpr int kMeetings = 10;

// Who waits there, and who has nothing to wait for but says so.
MLA_HOST_DEVICE constexpr int waves_at(const Config& c, Meeting meeting) {
  if (c.wave_split == WaveSplit::rows) return kScorers + kSummers;
  return kMultipliers + (meeting == Meeting::queries ? kScorerGroups : 1) * kScorers;
}

}  // namespace mla
