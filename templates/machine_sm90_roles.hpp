#pragma once

// sm_90: the verbs of WaveSplit::roles. Tiles are filled as with WaveSplit::blocks; queries,
// weights and output lie as with WaveSplit::weights, but for the order of columns, and QK takes
// keys from LDS too.

#include "machine_sm90_bulk.hpp"

namespace mla {

// Where multiplying takes more registers than an equal share of all (168 a lane for twelve waves,
// 128 for sixteen), each group of four waves has as many as what it does takes.
enum class Role { multiplying, filling, fetching };
// 0: an equal share.
MLA_HOST_DEVICE constexpr int registers_of(const Config& c, Role role) {
  if (role == Role::fetching) return 56;
  const bool multiplying = role == Role::multiplying;
  if (c.wave_split == WaveSplit::blocks) return 224;
  if (c.wave_split == WaveSplit::rows) return multiplying ? 144 : 160;
  if (c.wave_split == WaveSplit::scorers) return multiplying ? 168 : 144;
  if (c.waves == 16) return multiplying ? 232 : 112;
  if (c.waves == 12 && c.block_h == 32) return multiplying ? 232 : 136;
  return 0;
}
template <Config c, Role role>
MLA_DEVICE void share_registers() {
  constexpr int kRegisters = registers_of(c, role), kEqual = c.waves == 16 ? 128 : 168;
  if constexpr (kRegisters > kEqual) {
    asm volatile("setmaxnreg.inc.sync.aligned.u32 %0;" ::"n"(kRegisters));
  } else if constexpr (kRegisters != 0) {
    asm volatile("setmaxnreg.dec.sync.aligned.u32 %0;" ::"n"(kRegisters));
  }
}
// Where those meet who work on tiles: not the fetchers.
template <Config c>
MLA_DEVICE void tile_barrier() {
  if constexpr (c.load_path == LoadPath::bulk) {
    asm volatile("barrier.cta.sync 2, %0;" ::"n"((c.waves - kFetchers) * kLanes) : "memory");
  } else {
    barrier();
  }
}

// Begins to score the wave's strip with all heads. Under way until finish_scores().
template <Config c>
MLA_DEVICE void begin_scores(StripScores<c>& s, LdsPtr queries, LdsPtr tile, int /*wave*/) {
  static_assert(c.waves == 4 && c.block_k == 64, "four waves score 64 keys: choose block_k 64");
  const Operand a = operand_at(tile, 16, 1024, Swizzle::of_128);
  const Operand b = operand_at(queries, 16, 1024, Swizzle::of_128);
  clear<c>(s);
  matrix_fence();
  MLA_UNROLL for (int g = 0; g < kGroups; ++g) {
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      const auto keys = descriptor(a, g * c.block_k * 8 + 2 * i),
                 heads = descriptor(b, g * c.block_h * 8 + 2 * i);
      if (g == kGroups - 1) {
        wgmma_lds<c.block_h, MatrixType::bf16, false, false>(s.v, keys, heads);
      } else {
        wgmma_lds<c.block_h, MatrixType::f16, false, false>(s.v, keys, heads);
      }
    }
  }
  matrix_commit();
}
// Whatever was under way is done then.
template <Config c>
MLA_DEVICE void finish_scores(StripScores<c>& s) {
  matrix_wait<0>();
  MLA_UNROLL for (float& x : s.v) asm volatile("" : "+f"(x)::"memory");
}
template <Config c>
MLA_DEVICE bool has_nan(const OwnScores<c>& s) {
  bool nan = false;
  MLA_UNROLL for (const float x : s.v) nan |= x != x;
  return nan;
}
MLA_DEVICE Lifts read_lifts(LdsPtr lifts, int strip) {
  const LdsPtr mine = lifts + static_cast<unsigned>((strip * 16 + here(lane_id()) / 4) * 4);
  Lifts l;
  l.both = (lds_read<unsigned>(mine) & 0xffffu) | lds_read<unsigned>(mine + 32) << 16;
  return l;
}
// Makes of the scores of shrunk keys those of the keys.
template <Config c>
MLA_DEVICE void take_lifts(StripScores<c>& s, const Lifts& lifts) {
  s.lift = lifts;
  if (!any_lane(s.lift.both != 0)) return;
  MLA_UNROLL for (int i = 0; i < c.block_h / 2; ++i) s.v[i] *= power_of_2(s.lift.of(i / 2 % 2));
}

}  // namespace mla
