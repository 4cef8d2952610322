#pragma once

// sm_90: the verbs of WaveSplit::blocks, by the warpgroup matrix instruction (wgmma).
//
// A team is the four warps that multiply together. Heads are the 64 rows of both products:
//   scores (heads x keys) += Q (heads x the team's columns) K^T (the team's columns x keys)
//   out (heads x columns) += P (heads x keys) V (keys x the team's columns)
// all four operands in LDS, in groups of 64 columns, 128 bytes a row, in the 128-byte swizzle. What
// comes out lies over a warp's lanes as with mma.sync, heads being its 16 rows.

#include "machine_sm90_cluster.hpp"

namespace mla {

// Group `first_group + u` of a strip into the tile from row0 on, columns in their own order.
template <Config c>
MLA_DEVICE void fill_group(LdsPtr tile, int row0, int first_group, int u, const KeyFragment<c>& k) {
  const int lane = here(lane_id()), row = lane / 4, part = lane % 4;
  const LdsPtr to =
      tile + static_cast<unsigned>((row0 + row) * 128 + (first_group + u) * c.block_k * 128);
  const bool rope = is_rope<c>(first_group, u);
  const int low = rope ? part : 2 * part, high = rope ? part + 4 : 2 * part + 1;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r) {
    const uint2(&s)[4] = k.steps[r];
    const LdsPtr key = to + static_cast<unsigned>(r * 1024);
    lds_write(key + static_cast<unsigned>((low ^ row) * 16), uint4{s[0].x, s[0].y, s[1].x, s[1].y});
    lds_write(key + static_cast<unsigned>((high ^ row) * 16),
              uint4{s[2].x, s[2].y, s[3].x, s[3].y});
  }
}
// The strip's groups into the tile whatever they hold but NaN; returns each key's lift.
template <Config c>
MLA_DEVICE Lifts fill_with_care(LdsPtr tile, RawStrip<c>& raw, int row0, int first_group) {
  Lifts lift;
  const Care care = take_care<c>(raw, lift);
  constexpr int kLast = gathered_groups(c) - 1;
  MLA_ROLLED for (int u = 0; u < kLast; ++u) fill_group<c>(
      tile, row0, first_group, u, prepare_with_care<c, false>(raw, care, lift, first_group, u));
  fill_group<c>(tile, row0, first_group, kLast,
                prepare_with_care<c, true>(raw, care, lift, first_group, kLast));
  return lift;
}
template <Config c>
MLA_DEVICE void write_lifts(LdsPtr lifts, int row0, const Lifts& lift) {
  if (lane_part() != 0) return;
  MLA_UNROLL for (int r = 0; r < Shape<c>::kRows; ++r)
      lds_write(lifts + static_cast<unsigned>((row0 + lane_row() + 8 * r) * 4), lift.of(r));
}
// The strip's groups into the tile, and each key's lift; whether any is not 0.
template <Config c>
MLA_DEVICE bool fill_tile(LdsPtr tile, RawStrip<c>& raw, int row0, int first_group, LdsPtr lifts) {
  Lifts lift;
  if (raw.large || raw.format != Fp8Format::ocp) {
    lift = fill_with_care<c>(tile, raw, row0, first_group);
  } else {
    MLA_UNROLL for (int u = 0; u < gathered_groups(c); ++u)
        fill_group<c>(tile, row0, first_group, u,
                      prepare_keys<c>(raw, take_words<c>(raw, first_group, u), first_group, u));
  }
  if (first_group == 0) write_lifts<c>(lifts, row0, lift);
  return lift.both != 0;
}
// Sets every NaN of the tile to 0.
template <Config c>
MLA_DEVICE void clear_nan(LdsPtr tile, int wave) {
  constexpr int kChunks = c.block_k * kHeadDim * 2 / 16, kRope = kChunks / kGroups * (kGroups - 1);
  MLA_ROLLED for (int i = wave * kLanes + lane_id(); i < kChunks; i += c.waves * kLanes) {
    clear_nan_at(tile + static_cast<unsigned>(i * 16), i >= kRope);
  }
}

// d (64 x keys) = Q K^T over half of the groups, the last of which is of type kLast.
template <Config c, MatrixType kLast>
MLA_DEVICE void multiply_half(float (&d)[c.block_k / 2], const Operand& queries,
                              const Operand& keys) {
  constexpr int kHalf = kGroups / kTeams;
  MLA_UNROLL for (float& x : d) x = 0;
  matrix_fence();
  MLA_UNROLL for (int g = 0; g < kHalf; ++g) {
    MLA_UNROLL for (int i = 0; i < 4; ++i) {
      const auto rows = descriptor(queries, g * c.block_h * 8 + 2 * i),
                 columns = descriptor(keys, g * c.block_k * 8 + 2 * i);
      if (g == kHalf - 1) {
        wgmma_lds<c.block_k, kLast, false, false>(d, rows, columns);
      } else {
        wgmma_lds<c.block_k, MatrixType::f16, false, false>(d, rows, columns);
      }
    }
  }
  matrix_commit();
  matrix_wait<0>();
  MLA_UNROLL for (float& x : d) asm volatile("" : "+f"(x)::"memory");
}
// The scores of the wave's heads with the keys of its team. A team multiplies all keys, but half of
// their columns: two thirds of what the matrix unit would read for half of the keys, as it reads
// queries once. What the other team wants of it goes by `exchange`, where the weights will lie.
template <Config c, int kStrips>
MLA_DEVICE void score_block(ScoreTile<16> (&s)[kStrips], LdsPtr queries, LdsPtr tile,
                            LdsPtr exchange, int wave) {
  static_assert(c.waves == 4 * kTeams && c.mfma == 16,
                "sm_90 multiplies with four waves at a time: choose waves 12, block_h 64");
  static_assert(c.block_k == 64,
                "the weights of a head are one row of 128 bytes: choose block_k 64");
  static_assert(c.load_width == 16, "a lane fills whole chunks of 16 bytes: choose load_width 16");
  static_assert(c.lds_layout == LdsLayout::swizzled && c.value_read == ValueRead::transposing,
                "sm_90 reads swizzled tiles, transposing, with wave_split blocks");
  constexpr int kMine = kStrips * 8, kTeam = c.waves / kTeams, kHalf = kGroups / kTeams * 128;
  static_assert(2 * kMine == c.block_k / 2);
  const int team = wave / kTeam;
  const Operand rows = operand_at(queries + static_cast<unsigned>(team * kHalf * c.block_h), 16,
                                  1024, Swizzle::of_128),
                columns = operand_at(tile + static_cast<unsigned>(team * kHalf * c.block_k), 16,
                                     1024, Swizzle::of_128);
  float d[2 * kMine];
  // Each a whole: the compiler waits for what is under way wherever ways meet.
  if (team == kTeams - 1) {
    multiply_half<c, MatrixType::bf16>(d, rows, columns);
  } else {
    multiply_half<c, MatrixType::f16>(d, rows, columns);
  }
  const auto at = [&](int receiver, int n) MLA_LAMBDA {
    return exchange + static_cast<unsigned>(((receiver * kMine / 4 + n) * kLanes + lane_id()) * 16);
  };
  const auto mine = [&](int i) MLA_LAMBDA { return choose_value(team == 0, d[i], d[kMine + i]); };
  const auto theirs = [&](int i) MLA_LAMBDA { return choose_value(team != 0, d[i], d[kMine + i]); };
  MLA_UNROLL for (int n = 0; n < kMine / 4; ++n)
      lds_write(at(wave ^ kTeam, n),
                float4{theirs(4 * n), theirs(4 * n + 1), theirs(4 * n + 2), theirs(4 * n + 3)});
  group_barrier<c>();
  MLA_UNROLL for (int n = 0; n < kMine / 4; ++n) {
    const float4 other = lds_read<float4>(at(wave, n));
    float* to = &s[n / 2].v[n % 2 * 4];
    to[0] = mine(4 * n) + other.x;
    to[1] = mine(4 * n + 1) + other.y;
    to[2] = mine(4 * n + 2) + other.z;
    to[3] = mine(4 * n + 3) + other.w;
  }
}
MLA_DEVICE bool has_nan(const ScoreTile<16>& s) {
  bool nan = false;
  MLA_UNROLL for (const float x : s.v) nan |= x != x;
  return nan;
}
// The key of a strip that element i of a ScoreTile belongs to.
MLA_DEVICE int key_of_score(int i) { return i / 4 * 8 + 2 * lane_part() + i % 2; }
// Makes of the scores of shrunk keys those of the keys, with lift added in base 2.
MLA_DEVICE void lift_scores(ScoreTile<16>& s, LdsPtr lifts, float scale) {
  MLA_UNROLL for (int i = 0; i < 8; ++i) {
    const int lift = lds_read<int>(lifts + static_cast<unsigned>(4 * key_of_score(i)));
    s.v[i] = fmaf(s.v[i], power_of_2(lift), static_cast<float>(lift) / scale);
  }
}
// What weigh() adds to the sums, had it been without the lifts.
MLA_DEVICE void add_dropped(const ScoreTile<16>& s, LdsPtr lifts, float scale,
                            const PerHead<16>& offset, PerHead<16>& sum, PerHead<16>& exact) {
  MLA_UNROLL for (int i = 0; i < 8; ++i) {
    const float drop =
        power_of_2(-lds_read<int>(lifts + static_cast<unsigned>(4 * key_of_score(i))));
    const float weight = exp2_fast(fmaf(s.v[i], scale, -offset.v[i / 2 % 2]));
    exact.v[i / 2 % 2] += weight * drop;
    sum.v[i / 2 % 2] += low_bf16(pack_bf16(weight, 0)) * drop;
  }
}
// The wave's weights of a strip as operand A: a head a row of all keys, in f16 and again in bf16.
template <Config c>
MLA_DEVICE void share_weights(LdsPtr weights, int strip, const WeightTile<16>& w, int wave) {
  const int lane = here(lane_id()), head = wave % 4 * 16 + lane % 16, half = lane / 16;
  const LdsPtr to =
      weights + static_cast<unsigned>(head * 128 + ((strip * 2 + half) ^ head % 8) * 16);
  const uint4& p = w.operand;
  write_matrices(to, {bf16_to_f16(p.x), bf16_to_f16(p.y), bf16_to_f16(p.z), bf16_to_f16(p.w)});
  write_matrices(to + kRopeWeights<c>, p);
}
// out += P V for the columns of the wave's team.
template <Config c, int kPanels>
MLA_DEVICE void accumulate(OutputPanel<16> (&out)[kPanels], LdsPtr tile, LdsPtr weights, int wave) {
  static_assert(kPanels == 4);
  constexpr int kGroup = c.block_k * 128, kSteps = c.block_k / 16;
  const int team = wave / 4;
  const Operand v = operand_at(tile + static_cast<unsigned>(team * kPanels * kGroup), kGroup, 1024,
                               Swizzle::of_128);
  const Operand p = operand_at(weights, 16, 1024, Swizzle::of_128);
  const Operand rope_p = operand_at(weights + kRopeWeights<c>, 16, 1024, Swizzle::of_128);
  float *first = &out[0].tiles[0][0], *last = &out[kPanels - 1].tiles[0][0];
  const auto rows = [](const Operand& o, int step) MLA_LAMBDA { return descriptor(o, 2 * step); };
  const auto columns = [&](int panel, int step)
                           MLA_LAMBDA { return descriptor(v, panel * (kGroup / 16) + step * 128); };
  matrix_fence();
  MLA_UNROLL for (int step = 0; step < kSteps; ++step)
      wgmma_lds<192, MatrixType::f16, false, true>(first, rows(p, step), columns(0, step));
  if (team == kTeams - 1) {
    MLA_UNROLL for (int step = 0; step < kSteps; ++step)
        wgmma_lds<64, MatrixType::bf16, false, true>(last, rows(rope_p, step),
                                                     columns(kPanels - 1, step));
  } else {
    MLA_UNROLL for (int step = 0; step < kSteps; ++step)
        wgmma_lds<64, MatrixType::f16, false, true>(last, rows(p, step),
                                                    columns(kPanels - 1, step));
  }
  matrix_commit();
  matrix_wait<0>();
  MLA_UNROLL for (auto& panel : out) {
    MLA_UNROLL for (auto& tile : panel.tiles) {
      MLA_UNROLL for (float& x : tile) asm volatile("" : "+f"(x)::"memory");
    }
  }
}

}  // namespace mla
