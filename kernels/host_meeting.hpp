#pragma once

#include <array>

#include "templates/host_abi.hpp"

namespace mla {

// Where the waves of one workgroup wait for each other: its barriers. Not for several threads.
class HostMeetings {
 public:
  // What a wave waits for; of a wave that waits for nothing, place is -1.
  struct Wait {
    int place = -1;
    unsigned turn = 0;
  };

  // A wave arrives, `count` being expected. Nothing to wait for: it was the last.
  Wait arrive(int place, int count) {
    Place& p = places_[static_cast<std::size_t>(place)];
    if (++p.arrived < count) return {place, p.turn};
    p.arrived = 0;
    ++p.turn;
    return {};
  }
  bool is_over(const Wait& wait) const {
    return wait.place < 0 || places_[static_cast<std::size_t>(wait.place)].turn != wait.turn;
  }

 private:
  struct Place {
    int arrived = 0;
    unsigned turn = 0;
  };
  std::array<Place, host::kMeetingPlaces> places_{};
};

}  // namespace mla
