#pragma once

// The host: the verbs of WaveSplit::roles.

#include "machine_host_bulk.hpp"

namespace mla {

// Elsewhere waves have registers by what they do.
enum class Role { multiplying, filling, fetching };
template <Config c, Role role>
MLA_DEVICE void share_registers() {}
// Where those meet who work on tiles: not the fetchers.
template <Config c>
MLA_DEVICE void tile_barrier() {
  if constexpr (c.load_path == LoadPath::bulk) {
    mla_host_wave->meet(mla_host_wave, host::kTilePlace, c.waves - kFetchers);
  } else {
    barrier();
  }
}

// Scores of the wave's strip, which others filled, with all heads.
template <Config c>
MLA_DEVICE void score_filled(StripScores<c>& s, LdsPtr queries, LdsPtr tile, int wave) {
  clear<c>(s);
  for (int g = 0; g < kGroups; ++g) multiply_kept<c>(s, tile, wave, queries, g);
}
// What becomes of scores where keys were shrunk, which they are not here.
template <Config c>
MLA_DEVICE void take_lifts(StripScores<c>&, LdsPtr /*lifts*/, int /*strip*/) {}

}  // namespace mla
