#pragma once

// sm_90: the verbs of WaveSplit::weights, by the warpgroup matrix instruction (wgmma).
//
// Four warps multiply together. Both products are transposed, so that the 64 rows of the
// instruction are keys or output columns and its columns are the heads, of which there are few:
//   scores (keys x heads)  = K (keys x 512, from registers) Q^T (512 x heads, from LDS)
//   out^T (columns x heads) += V^T (columns x keys, from LDS) P (keys x heads, from LDS)
// Lane l of the group's warp w holds rows 16 w + l / 4 and that + 8, and heads 8 t + 2 (l % 4) and
// the next, for each t. The tile lies in LDS as eight groups of 64 columns, 128 bytes a key, in the
// 128-byte swizzle; the same bytes would serve as either operand. Layouts of registers, of LDS and
// of its descriptors: PTX ISA, "wgmma.mma_async".

#include "machine_sm90_care.hpp"
#include "machine_sm90_products.hpp"
#include "machine_sm90_queries.hpp"

namespace mla {

template <Config c>
struct TeamShape {
  static_assert(c.waves % 4 == 0,
                "sm_90 multiplies with four waves at a time: choose waves 4 or 8");
  static_assert(strips_per_tile(c) % 4 == 0,
                "the four waves share the queries' columns: choose block_k 64 or 128");
  static_assert(c.lds_layout == LdsLayout::swizzled && c.value_read == ValueRead::transposing,
                "sm_90 reads swizzled tiles, transposing, with wave_split weights");
  static_assert(c.block_h <= 64);
  static constexpr int kTeams = c.waves / 4;
  static constexpr int kBlocks = kGroups / kTeams;  // blocks of 64 columns of a warp's team
};

// Four 8 x 8 tiles of bf16 as operand A holds them: lane l names row l % 8 of tile l / 8.
MLA_DEVICE void write_matrices(LdsPtr row, const uint4& v) {
  asm volatile("stmatrix.sync.aligned.m8n8.x4.shared.b16 [%0], {%1, %2, %3, %4};" ::"r"(row),
               "r"(v.x), "r"(v.y), "r"(v.z), "r"(v.w)
               : "memory");
}

MLA_DEVICE uint4 read_matrices(LdsPtr row) {
  uint4 v;
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
               : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w)
               : "r"(row)
               : "memory");
  return v;
}

// ---- what a lane holds ----

template <Config c>
struct AllHeads {
  static constexpr int kCount = c.block_h / 4;  // heads 8 (i / 2) + 2 lane_part() + i % 2
  float v[kCount];
};
// The heads whose weights this wave makes, counted from the first of them.
template <Config c>
struct OwnHeads {
  static constexpr int kHeads = c.block_h / sharers(c);
  static constexpr int kCount = kHeads / 4;
  float v[kCount];
};
template <Config c>
struct StripScores {
  float v[c.block_h / 2];  // [eight heads][key lane_row(), the same + 8][head 2 lane_part(), next]
  Lifts lift;              // of the keys lane_row() and lane_row() + 8
};
template <Config c>
struct OwnScores {
  float v[OwnHeads<c>::kHeads / 2];
  Lifts lift;
};
template <Config c>
struct HeadColumns {
  float v[TeamShape<c>::kBlocks][c.block_h / 2];  // [block of 64 columns], rows being columns
};
MLA_DEVICE int head_of_all(int i) { return i / 2 * 8 + 2 * lane_part() + i % 2; }
MLA_DEVICE bool speaks_for_all_heads() { return lane_row() == 0; }
// By value: a choice between elements of an array would put the array in memory.
MLA_DEVICE float choose_value(bool first, float a, float b) { return first ? a : b; }
// Of all heads, the own ones of the waves whose number among the sharers of their strip is `share`.
template <Config c>
MLA_DEVICE OwnHeads<c> own_part(const AllHeads<c>& all, int share) {
  OwnHeads<c> own;
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kCount; ++i) {
    own.v[i] = choose_value(sharers(c) == 1 || share == 0, all.v[i],
                            all.v[i + OwnHeads<c>::kCount * (sharers(c) - 1)]);
  }
  return own;
}
template <Config c>
MLA_DEVICE void set_part(AllHeads<c>& all, int share, const OwnHeads<c>& own) {
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kCount; ++i) all.v[share * OwnHeads<c>::kCount + i] =
      own.v[i];
}

template <Config c>
MLA_DEVICE void clear(StripScores<c>& s) {
  MLA_UNROLL for (float& x : s.v) x = 0;
  s.lift = {};
}
template <Config c>
MLA_DEVICE void clear(HeadColumns<c>& o) {
  MLA_UNROLL for (auto& block : o.v) { MLA_UNROLL for (float& x : block) x = 0; }
}
template <Config c>
MLA_DEVICE void multiply(HeadColumns<c>& o, const AllHeads<c>& factor) {
  MLA_UNROLL for (auto& block : o.v) {
    MLA_UNROLL for (int i = 0; i < c.block_h / 2; ++i) block[i] *= factor.v[i / 4 * 2 + i % 2];
  }
}

// ---- scores ----

template <Config c>
MLA_DEVICE void lift(OwnScores<c>& s, float scale) {
  if (!any_lane(s.lift.both != 0)) return;
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kHeads / 2; ++i) s.v[i] +=
      static_cast<float>(s.lift.of(i / 2 % 2)) / scale;
}
// The column of a group that lies at `place` of its 64 in the tile: the order in which a lane's
// fragment is multiplied is kept in the tile, so that the same registers serve both. With
// WaveSplit::roles they are in their own order.
template <Config c>
MLA_DEVICE unsigned column_at(unsigned place, bool rope) {
  if constexpr (!in_operand_order(c)) return place;
  const unsigned width = static_cast<unsigned>(operand_width<c>(rope));
  const unsigned e = place / 16 * 4 + place / 8 % 2 * 2 + place % 2, part = place / 2 % 4;
  return (e / width * 4 + part) * width + e % width;
}
// Operand A of step i.
template <Config c>
MLA_DEVICE uint4 operand_a(const KeyFragment<c>& k, int i) {
  return {k.steps[0][i].x, k.steps[1][i].x, k.steps[0][i].y, k.steps[1][i].y};
}
// Where operand A of step i of group g of a strip begins for this lane, as matrices are written and
// read.
template <Config c>
MLA_DEVICE LdsPtr kept_at(LdsPtr tile, int strip, int g, int i) {
  const int lane = here(lane_id()), key = lane % 16, half = lane / 16;
  const LdsPtr row = tile + static_cast<unsigned>((strip * 16 + key) * 128 + g * c.block_k * 128);
  return row + (static_cast<unsigned>((2 * i + half) * 16) ^ static_cast<unsigned>(key % 8 * 16));
}
// Group g of a strip into the tile.
template <Config c>
MLA_DEVICE void keep_keys(LdsPtr tile, int strip, int g, const KeyFragment<c>& k) {
  MLA_UNROLL for (int i = 0; i < 4; ++i) {
    write_matrices(kept_at<c>(tile, strip, g, i), operand_a<c>(k, i));
  }
}
// How many groups are read before they are needed: with scorers as many as registers allow, as the
// sooner all are read, the sooner the next rows can come.
template <Config c>
constexpr int words_ahead = c.wave_split == WaveSplit::scorers ? kGroups : 2;
// Returns when what take_words() read last has arrived. With others than scorers nobody asks.
template <Config c>
MLA_DEVICE void await_words(const GroupWords (&words)[words_ahead<c>]) {
  if constexpr (c.wave_split != WaveSplit::scorers) return;
  unsigned mixed = words[(kGroups - 1) % words_ahead<c>].v[0][1].x ^
                   words[(kGroups - 1) % words_ahead<c>].v[1][1].x;
  MLA_UNROLL for (const GroupWords& w : words) mixed ^= w.v[0][0].x ^ w.v[1][0].x;
  await_word(mixed);
}
// Sets every NaN of a strip in the tile to 0.
template <Config c>
MLA_DEVICE void scrub_kept(LdsPtr tile, int strip) {
  __syncwarp();
  MLA_ROLLED for (int g = 0; g < kGroups; ++g) {
    const LdsPtr keys = tile + static_cast<unsigned>(strip * 16 * 128 + g * c.block_k * 128);
    MLA_ROLLED for (int i = lane_id(); i < 16 * 128 / 16; i += kLanes)
        clear_nan_at(keys + static_cast<unsigned>(i * 16), g == kGroups - 1);
  }
}
// scores += K Q^T over one group of 64 columns. `k` is read until settle() has been called for it.
template <Config c>
MLA_DEVICE void begin_multiply(StripScores<c>& s, const KeyFragment<c>& k, LdsPtr queries,
                               int first_group, int u) {
  const int g = first_group + u;
  const Operand b = operand_at(queries, 16, 1024, Swizzle::of_128);
  const auto step = [&](int i) MLA_LAMBDA { return descriptor(b, g * c.block_h * 8 + 2 * i); };
  matrix_fence();
  if (is_rope<c>(first_group, u)) {
    MLA_UNROLL for (int i = 0; i < 4; ++i)
        wgmma_registers<c.block_h, MatrixType::bf16>(s.v, operand_a<c>(k, i), step(i));
  } else {
    MLA_UNROLL for (int i = 0; i < 4; ++i)
        wgmma_registers<c.block_h, MatrixType::f16>(s.v, operand_a<c>(k, i), step(i));
  }
  matrix_commit();
}
// The same of step i of the group, by this warp's own instruction, which has rows and results in
// the same lanes; with what is missing of the keys' size.
template <Config c>
MLA_DEVICE void multiply_step(StripScores<c>& s, const uint4& a, LdsPtr queries, int g, int i) {
  const LdsPtr head = queries + g * c.block_h * 128 + lane_row() * 128;
  MLA_UNROLL for (int t = 0; t < c.block_h / 8; ++t) {
    const auto word = [&](int byte) MLA_LAMBDA {
      return lds_read<unsigned>(head + t * 1024 +
                                (static_cast<unsigned>(32 * i + byte + 4 * lane_part()) ^
                                 static_cast<unsigned>(lane_row() * 16)));
    };
    float sum[4] = {0, 0, 0, 0};
    if (g == kGroups - 1) {
      mma(sum, a, word(0), word(16));
    } else {
      mma_f16(sum, a, word(0), word(16));
    }
    MLA_UNROLL for (int n = 0; n < 4; ++n) s.v[4 * t + n] += sum[n] * power_of_2(s.lift.of(n / 2));
  }
}
// So all steps of keys that are in the tile. As a loop of few registers: it is rare.
template <Config c>
MLA_DEVICE void multiply_kept(StripScores<c>& s, LdsPtr tile, int strip, LdsPtr queries, int g) {
  __syncwarp();
  MLA_ROLLED for (int i = 0; i < 4; ++i)
      multiply_step<c>(s, read_matrices(kept_at<c>(tile, strip, g, i)), queries, g, i);
}
// So all steps of keys that this warp has.
template <Config c>
MLA_DEVICE void multiply_alone(StripScores<c>& s, const KeyFragment<c>& k, LdsPtr queries, int g) {
  MLA_UNROLL for (int i = 0; i < 4; ++i) multiply_step<c>(s, operand_a<c>(k, i), queries, g, i);
}
// Waits until at most kPending of what begin_multiply() began are under way, `k` not among them.
template <Config c, int kPending>
MLA_DEVICE void settle(StripScores<c>& s, KeyFragment<c>& k) {
  matrix_wait<kPending>();
  MLA_UNROLL for (auto& row : k.steps) {
    MLA_UNROLL for (uint2& w : row) asm volatile("" : "+r"(w.x), "+r"(w.y)::"memory");
  }
  if constexpr (kPending == 0) {
    MLA_UNROLL for (float& x : s.v) asm volatile("" : "+f"(x)::"memory");
  }
}
// Whether what was written to the tile is not what the rows are.
template <Config c>
MLA_DEVICE bool wants_rows(const RawStrip<c>& raw) {
  return raw.large || raw.format != Fp8Format::ocp;
}
template <Config c>
MLA_DEVICE bool needs_care(const RawStrip<c>& raw, const StripScores<c>& s) {
  if (wants_rows<c>(raw)) return true;
  bool nan = false;
  MLA_UNROLL for (float x : s.v) nan |= x != x;
  return any_lane(nan);
}
// What the sharers of a strip scored of each other's heads goes through LDS, `region` being that of
// the tile; the caller puts a barrier between the two.
template <Config c>
MLA_DEVICE void send_scores(LdsPtr region, const StripScores<c>& s, int wave, int share) {
  if constexpr (sharers(c) == 1) return;
  constexpr int kHalf = c.block_h / 4;
  MLA_UNROLL for (int i = 0; i < kHalf; i += 4) {
    const auto theirs = [&](int n)
                            MLA_LAMBDA { return choose_value(share == 0, s.v[kHalf + n], s.v[n]); };
    lds_write(
        region + static_cast<unsigned>(((wave * kHalf + i) * kLanes + here(lane_id()) * 4) * 4),
        float4{theirs(i), theirs(i + 1), theirs(i + 2), theirs(i + 3)});
  }
}
template <Config c>
MLA_DEVICE void receive_scores(LdsPtr region, const StripScores<c>& s, OwnScores<c>& own, int wave,
                               int share) {
  own.lift = s.lift;
  if constexpr (sharers(c) == 1) {
    MLA_UNROLL for (int i = 0; i < c.block_h / 2; ++i) own.v[i] = s.v[i];
    return;
  }
  constexpr int kHalf = c.block_h / 4;
  const int other = wave ^ strips_per_tile(c);
  MLA_UNROLL for (int i = 0; i < kHalf; i += 4) {
    const float4 x = lds_read<float4>(
        region + static_cast<unsigned>(((other * kHalf + i) * kLanes + here(lane_id()) * 4) * 4));
    const auto mine = [&](int n)
                          MLA_LAMBDA { return choose_value(share == 0, s.v[n], s.v[kHalf + n]); };
    own.v[i] = mine(i) + x.x;
    own.v[i + 1] = mine(i + 1) + x.y;
    own.v[i + 2] = mine(i + 2) + x.z;
    own.v[i + 3] = mine(i + 3) + x.w;
  }
}
template <Config c>
MLA_DEVICE void mask(OwnScores<c>& s, unsigned keys) {
  if (keys == 0xffffu) return;
  const unsigned mine = keys >> lane_row();
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kHeads / 2; ++i) s.v[i] =
      (mine >> (i / 2 % 2 * 8) & 1u) != 0 ? s.v[i] : -infinity();
}
template <Config c>
MLA_DEVICE void raise_to_max(OwnHeads<c>& partial, const OwnScores<c>& s) {
  MLA_UNROLL for (int i = 0; i < OwnHeads<c>::kHeads / 2; ++i) {
    float& x = partial.v[i / 4 * 2 + i % 2];
    x = maximum(x, s.v[i]);
  }
}
template <Config c>
MLA_DEVICE void combine_max(OwnHeads<c>& p) {
  MLA_UNROLL for (float& x : p.v) {
    MLA_UNROLL for (int bit = 4; bit < kLanes; bit *= 2) x = maximum(x, from_lane_xor(x, bit));
  }
}
template <Config c>
MLA_DEVICE void combine_sum(OwnHeads<c>& p) {
  MLA_UNROLL for (float& x : p.v) {
    MLA_UNROLL for (int bit = 4; bit < kLanes; bit *= 2) x += from_lane_xor(x, bit);
  }
}
// A number for each head through LDS, of AllHeads or OwnHeads.
template <typename Heads>
MLA_DEVICE void write_heads(LdsPtr p, const Heads& h) {
  if (!speaks_for_all_heads()) return;
  MLA_UNROLL for (int i = 0; i < Heads::kCount; i += 2)
      lds_write(p + static_cast<unsigned>(4 * head_of_all(i)), float2{h.v[i], h.v[i + 1]});
}
template <typename Heads>
MLA_DEVICE Heads read_heads(LdsPtr p) {
  Heads h;
  MLA_UNROLL for (int i = 0; i < Heads::kCount; i += 2) {
    const float2 two = lds_read<float2>(p + static_cast<unsigned>(4 * head_of_all(i)));
    h.v[i] = two.x;
    h.v[i + 1] = two.y;
  }
  return h;
}

// ---- weights ----

// A key's weights follow each other: rows of 2 * block_h bytes, whose 16-byte chunks are swizzled
// as wide as the row is.
template <Config c>
constexpr Swizzle kWeightSwizzle = c.block_h == 64   ? Swizzle::of_128
                                   : c.block_h == 32 ? Swizzle::of_64
                                   : c.block_h == 16 ? Swizzle::of_32
                                                     : Swizzle::none;
template <Config c>
MLA_DEVICE LdsPtr weight_at(LdsPtr weights, int key, int head) {
  const unsigned byte = static_cast<unsigned>(key * c.block_h * 2 + head * 2);
  return weights + (byte ^ (byte >> 3 & static_cast<unsigned>((c.block_h / 8 - 1) * 16)));
}
// Where the weights of RoPE's columns lie: in bf16 behind those of NoPE's, which are in f16.
template <Config c>
constexpr unsigned kRopeWeights = c.block_k* c.block_h * 2;
// Those of `form` as PV's operand, the first or with kRopeWeights on the second of a tile's two:
// its step s begins s rows of a key's weights on. Without a swizzle the two distances of a
// contiguous-by-columns operand change places.
template <Config c>
MLA_DEVICE Operand weights_operand(LdsPtr form) {
  constexpr unsigned kRow = c.block_h * 2;
  constexpr bool kPlain = kWeightSwizzle<c> == Swizzle::none;
  return operand_at(form, kPlain ? 8 * kRow : 16, kPlain ? 16 : 8 * kRow, kWeightSwizzle<c>);
}
template <Config c>
MLA_DEVICE unsigned long long weights_of_step(const Operand& weights, int step) {
  return descriptor(weights, step * c.block_h * 2);
}
// exp2(score * scale - offset), rounded to bf16, into the weights of the tile. The lane's share of
// `sum` grows by what bf16 kept, that of `exact` by the whole.
template <Config c>
MLA_DEVICE void weigh(const OwnScores<c>& s, float scale, const OwnHeads<c>& offset,
                      OwnHeads<c>& sum, OwnHeads<c>& exact, LdsPtr weights, int strip, int share) {
  constexpr int kHeads = OwnHeads<c>::kHeads;
  const float drops[2] = {power_of_2(-s.lift.of(0)), power_of_2(-s.lift.of(1))};
  unsigned halves[kHeads / 4], pairs[kHeads / 4];  // [eight heads][key lane_row(), the same + 8]
  MLA_UNROLL for (int i = 0; i < kHeads / 2; i += 2) {
    const int head = i / 4 * 2;
    const float drop = drops[i / 2 % 2];
    const float low = exp2_fast(fmaf(s.v[i], scale, -offset.v[head]));
    const float high = exp2_fast(fmaf(s.v[i + 1], scale, -offset.v[head + 1]));
    const unsigned pair = pack_bf16(low, high);
    const float kept_low = low_bf16(pair), kept_high = high_bf16(pair);
    exact.v[head] = fmaf(low, drop, exact.v[head]);
    exact.v[head + 1] = fmaf(high, drop, exact.v[head + 1]);
    sum.v[head] = fmaf(kept_low, drop, sum.v[head]);
    sum.v[head + 1] = fmaf(kept_high, drop, sum.v[head + 1]);
    halves[i / 2] = pack_f16(kept_low, kept_high);
    pairs[i / 2] = pair;
  }
  const int lane = here(lane_id());
  if constexpr (kHeads == 8) {
    const LdsPtr to = weight_at<c>(weights, strip * 16 + lane % 16, share * kHeads);
    write_matrices(lane < 16 ? to : to + kRopeWeights<c>,
                   uint4{halves[0], halves[1], pairs[0], pairs[1]});
  } else {
    MLA_UNROLL for (int n = 0; n < kHeads / 4; n += 4) {
      const LdsPtr on =
          weight_at<c>(weights, strip * 16 + lane % 16, share * kHeads + n * 4 + lane / 16 * 8);
      write_matrices(on, uint4{halves[n], halves[n + 1], halves[n + 2], halves[n + 3]});
      write_matrices(on + kRopeWeights<c>,
                     uint4{pairs[n], pairs[n + 1], pairs[n + 2], pairs[n + 3]});
    }
  }
}

}  // namespace mla
