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

// Begins to score the wave's strip, which others filled, with all heads; what follows may lie in
// the shadow of that until finish_scores().
template <Config c>
MLA_DEVICE void begin_scores(StripScores<c>& s, LdsPtr queries, LdsPtr tile, int wave) {
  clear<c>(s);
  for (int g = 0; g < kGroups; ++g) multiply_kept<c>(s, tile, wave, queries, g);
}
template <Config c>
MLA_DEVICE void finish_scores(StripScores<c>&) {}
template <Config c>
MLA_DEVICE bool has_nan(const OwnScores<c>& s) {
  return any_nan(s);
}
// How much each key of a strip was shrunk, and what becomes of its scores: here it never is.
MLA_DEVICE Lift read_lifts(LdsPtr /*lifts*/, int /*strip*/) { return {}; }
template <Config c>
MLA_DEVICE void take_lifts(StripScores<c>&, const Lift&) {}

}  // namespace mla
