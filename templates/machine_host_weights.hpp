#pragma once

// The host: the verbs of WaveSplit::weights.

#include "machine_host_products.hpp"

namespace mla {

// By how much the keys of a strip were shrunk: here not at all.
struct Lift {};
// A number for each head of the workgroup.
template <Config c>
struct AllHeads {
  static constexpr int kCount = c.block_h;
  float v[kCount];
};
// The heads whose weights this wave makes, counted from the first of them.
template <Config c>
struct OwnHeads {
  static constexpr int kHeads = c.block_h / sharers(c);
  static constexpr int kCount = kHeads;
  float v[kCount];
};
template <Config c>
struct StripScores {
  float v[c.mfma][c.block_h];  // [key][head]
  Lift lift;
};
template <Config c>
struct OwnScores {
  float v[c.mfma][OwnHeads<c>::kHeads];
};
// A wave's columns of the output: as many as each other wave has, next to each other.
template <Config c>
struct HeadColumns {
  static constexpr int kColumns = kHeadDim / c.waves;
  float v[c.block_h][kColumns];
};

MLA_DEVICE void publish_to_matrix_unit() {}
// Waits for the waves that work together: meeting_waves() or all of the workgroup's.
template <Config c>
MLA_DEVICE void group_barrier() {
  if constexpr (meeting_waves(c) != 0) {
    mla_host_wave->meet(mla_host_wave, host::kMultipliersPlace, meeting_waves(c));
  } else {
    barrier();
  }
}
// Whether any of the waves that work together says so, each calling it; what they wrote to LDS
// before it is visible after it. `flags`: 4 bytes a wave.
template <Config c>
MLA_DEVICE bool any_wave(bool condition, LdsPtr flags) {
  write_as(flags + 4 * wave_id(), condition ? 1u : 0u);
  group_barrier<c>();
  unsigned any = 0;
  for (int wave = 0; wave < c.waves; ++wave) any |= read_as<unsigned>(flags + 4 * wave);
  return any != 0;
}

MLA_DEVICE int head_of_all(int i) { return i; }
MLA_DEVICE bool speaks_for_all_heads() { return true; }
// Of all heads, the own ones of the waves whose number among the sharers of their strip is `share`.
template <Config c>
MLA_DEVICE OwnHeads<c> own_part(const AllHeads<c>& all, int share) {
  OwnHeads<c> own;
  for (int i = 0; i < OwnHeads<c>::kCount; ++i) own.v[i] = all.v[share * OwnHeads<c>::kCount + i];
  return own;
}
template <Config c>
MLA_DEVICE void set_part(AllHeads<c>& all, int share, const OwnHeads<c>& own) {
  for (int i = 0; i < OwnHeads<c>::kCount; ++i) all.v[share * OwnHeads<c>::kCount + i] = own.v[i];
}
template <Config c>
MLA_DEVICE void clear(StripScores<c>& s) {
  s = {};
}
template <Config c>
MLA_DEVICE void clear(HeadColumns<c>& o) {
  o = {};
}
template <Config c>
MLA_DEVICE void multiply(HeadColumns<c>& o, const AllHeads<c>& factor) {
  for (int h = 0; h < c.block_h; ++h) {
    for (float& x : o.v[h]) x *= factor.v[h];
  }
}

// The workgroup's queries into LDS as [column][head], for every wave and the matrix unit to read;
// rows past the last head repeat it. Each wave brings the columns that are its turn. Returns what
// scores must be multiplied with, the machine being free to shrink queries by a power of 2.
template <Config c>
MLA_DEVICE float share_queries(const void* q, long long head_stride, int heads, LdsPtr region,
                               int wave) {
  for (int column = wave; column < kHeadDim; column += c.waves) {
    for (int h = 0; h < c.block_h; ++h) {
      const int head = h < heads ? h : heads - 1;
      write_as(region + 2 * (column * c.block_h + h),
               read_as<unsigned short>(static_cast<const unsigned char*>(q) +
                                       2 * (head * head_stride + column)));
    }
  }
  group_barrier<c>();
  return 1;
}
// What prepare_keys() makes keys of, taken out of the strip before it is needed.
struct GroupWords {};
template <Config c>
MLA_DEVICE GroupWords take_words(const RawStrip<c>&, int, int) {
  return {};
}
// How many groups are taken out before they are needed, and waiting for them.
template <Config c>
constexpr int words_ahead = 2;
template <Config c>
MLA_DEVICE void await_words(const GroupWords (&)[words_ahead<c>]) {}
// Group `first_group + u` of the strip as the matrix unit wants it. The machine may take for
// granted that no scale is far from 1 and nothing NaN, where needs_care() tells otherwise.
template <Config c>
MLA_DEVICE KeyFragment<c> prepare_keys(const RawStrip<c>& raw, const GroupWords&, int first_group,
                                       int u) {
  return dequantise<c>(raw, first_group, u);
}
// A machine whose matrix unit lacks the range of bf16 keeps keys as 2^-lift of themselves, each
// with the lift that take_care() says; lift() adds it to their scores in base 2, and so to the
// weights of the keys in out, but not to those in the sums.
struct Care {};
template <Config c>
MLA_DEVICE Care take_care(RawStrip<c>& raw, Lift) {
  for (int g = 0; g < kGroups; g += gathered_groups(c)) scrub<c>(raw, g);
  return {};
}
// Group `first_group + u` as prepare_keys() would, without NaN. kLast: of those that a wave
// gathers.
template <Config c, bool kLast>
MLA_DEVICE KeyFragment<c> prepare_with_care(RawStrip<c>& raw, const Care&, Lift, int first_group,
                                            int u) {
  return dequantise<c>(raw, first_group, u);
}
template <Config c>
MLA_DEVICE void lift(OwnScores<c>&, float /*scale*/) {}
// Group g of a strip into the tile.
template <Config c>
MLA_DEVICE void keep_keys(LdsPtr tile, int strip, int g, const KeyFragment<c>& k) {
  store_keys<c>(tile, strip * c.mfma, g * kGroupDim, g == kGroups - 1, k);
}
// scores += K Q^T over one group of 64 columns. Elsewhere it is only begun, `k` must be left alone
// until settle(), and some waves must begin it together.
template <Config c>
MLA_DEVICE void begin_multiply(StripScores<c>& s, const KeyFragment<c>& k, LdsPtr queries,
                               int first_group, int u) {
  const int g = first_group + u;
  for (int i = 0; i < kGroupDim; ++i) {
    for (int h = 0; h < c.block_h; ++h) {
      const float q = read_bf16(queries + 2 * ((g * kGroupDim + i) * c.block_h + h));
      for (int r = 0; r < c.mfma; ++r) s.v[r][h] += k.v[r][i] * q;
    }
  }
}
template <Config c, int kPending>
MLA_DEVICE void settle(StripScores<c>&, KeyFragment<c>&) {}
// The same of keys that are in the tile, without other waves, done at once.
template <Config c>
MLA_DEVICE void multiply_kept(StripScores<c>& s, LdsPtr tile, int strip, LdsPtr queries, int g) {
  KeyFragment<c> k;
  for (int r = 0; r < c.mfma; ++r) {
    for (int i = 0; i < kGroupDim; ++i)
      k.v[r][i] = read_bf16(tile_at<c>(tile, strip * c.mfma + r, g * kGroupDim + i));
  }
  begin_multiply<c>(s, k, queries, g, 0);
}
// Sets every NaN of a strip in the tile to 0.
template <Config c>
MLA_DEVICE void scrub_kept(LdsPtr tile, int strip) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int column = 0; column < kHeadDim; ++column) {
      const LdsPtr at = tile_at<c>(tile, strip * c.mfma + r, column);
      if (const float x = read_bf16(at); x != x) write_as<unsigned short>(at, 0);
    }
  }
}
// Whether the tile does not do for score_with_care(), which needs the rows once more.
template <Config c>
MLA_DEVICE bool wants_rows(const RawStrip<c>& raw) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int g = 0; g < kGroups - 1; ++g) {
      if (group_is_nan(raw, r, g)) return true;
    }
  }
  return false;
}
// Whether prepare_keys() may have been wrong about the strip.
template <Config c>
MLA_DEVICE bool needs_care(const RawStrip<c>& raw, const StripScores<c>& s) {
  for (int r = 0; r < c.mfma; ++r) {
    for (const float x : s.v[r]) {
      if (x != x) return true;
    }
  }
  return wants_rows<c>(raw);
}
// What the sharers of a strip scored of each other's heads goes through LDS, `region` being that of
// the tile; the caller puts a barrier between the two.
template <Config c>
MLA_DEVICE void send_scores(LdsPtr region, const StripScores<c>& s, int wave, int share) {
  if constexpr (sharers(c) == 1) return;
  constexpr int kHeads = OwnHeads<c>::kHeads;
  for (int r = 0; r < c.mfma; ++r) {
    for (int h = 0; h < kHeads; ++h)
      write_as(region + 4 * ((wave * c.mfma + r) * kHeads + h), s.v[r][(1 - share) * kHeads + h]);
  }
}
template <Config c>
MLA_DEVICE void receive_scores(LdsPtr region, const StripScores<c>& s, OwnScores<c>& own, int wave,
                               int share) {
  constexpr int kHeads = OwnHeads<c>::kHeads;
  const int other =
      wave < strips_per_tile(c) ? wave + strips_per_tile(c) : wave - strips_per_tile(c);
  for (int r = 0; r < c.mfma; ++r) {
    for (int h = 0; h < kHeads; ++h) {
      own.v[r][h] = s.v[r][share * kHeads + h];
      if (sharers(c) > 1)
        own.v[r][h] += read_as<float>(region + 4 * ((other * c.mfma + r) * kHeads + h));
    }
  }
}
template <Config c>
MLA_DEVICE void mask(OwnScores<c>& s, unsigned keys) {
  for (int r = 0; r < c.mfma; ++r) {
    if ((keys >> r & 1u) != 0) continue;
    for (float& x : s.v[r]) x = -infinity();
  }
}
template <Config c>
MLA_DEVICE void raise_to_max(OwnHeads<c>& partial, const OwnScores<c>& s) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int h = 0; h < OwnHeads<c>::kHeads; ++h) partial.v[h] = maximum(partial.v[h], s.v[r][h]);
  }
}
template <Config c>
MLA_DEVICE void combine_max(OwnHeads<c>&) {}
template <Config c>
MLA_DEVICE void combine_sum(OwnHeads<c>&) {}
// A number for each head through LDS, of AllHeads or OwnHeads.
template <typename Heads>
MLA_DEVICE void write_heads(LdsPtr p, const Heads& h) {
  write_as(p, h);
}
template <typename Heads>
MLA_DEVICE Heads read_heads(LdsPtr p) {
  return read_as<Heads>(p);
}

// exp2(score * scale - offset) as bf16 into the weights of the tile, [key][head]. `sum` grows by
// what bf16 kept, `exact` by the whole.
template <Config c>
MLA_DEVICE void weigh(const OwnScores<c>& s, float scale, const OwnHeads<c>& offset,
                      OwnHeads<c>& sum, OwnHeads<c>& exact, LdsPtr weights, int strip, int share) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int h = 0; h < OwnHeads<c>::kHeads; ++h) {
      const float p = exp2_fast(s.v[r][h] * scale - offset.v[h]);
      exact.v[h] += p;
      sum.v[h] += round_to_bf16(p);
      const int head = share * OwnHeads<c>::kHeads + h;
      write_as(weights + 2 * ((strip * c.mfma + r) * c.block_h + head), to_bf16(p));
    }
  }
}

// out += P V over one key, of which `row` holds this wave's columns.
template <Config c>
MLA_DEVICE void accumulate_key(HeadColumns<c>& o, const float* row, LdsPtr weights, int key) {
  for (int h = 0; h < c.block_h; ++h) {
    const float weight = read_bf16(weights + 2 * (key * c.block_h + h));
    for (int i = 0; i < HeadColumns<c>::kColumns; ++i) o.v[h][i] += weight * row[i];
  }
}
// The same over the tile. Elsewhere under way until finish().
template <Config c>
MLA_DEVICE void begin_accumulate(HeadColumns<c>& o, LdsPtr tile, LdsPtr weights, int wave) {
  constexpr int kColumns = HeadColumns<c>::kColumns;
  for (int key = 0; key < c.block_k; ++key) {
    float row[kColumns];
    for (int i = 0; i < kColumns; ++i)
      row[i] = read_bf16(tile_at<c>(tile, key, wave * kColumns + i));
    accumulate_key<c>(o, row, weights, key);
  }
}
template <Config c>
MLA_DEVICE void finish(HeadColumns<c>&) {}

// Writes the rows of the first `heads` heads as bf16, times a factor a head. `scratch`: the tiles'
// place in LDS.
template <Config c>
MLA_DEVICE void write_output(void* out, long long row, long long head_stride, int heads,
                             const HeadColumns<c>& o, const AllHeads<c>& factor, LdsPtr /*scratch*/,
                             int wave) {
  for (int h = 0; h < c.block_h && h < heads; ++h) {
    unsigned char* to = static_cast<unsigned char*>(out) +
                        2 * (row + h * head_stride + wave * HeadColumns<c>::kColumns);
    for (int i = 0; i < HeadColumns<c>::kColumns; ++i)
      write_as(to + 2 * i, to_bf16(o.v[h][i] * factor.v[h]));
  }
}
// The same as fp32 and as it stands, for a split's partial result.
template <Config c>
MLA_DEVICE void write_partial(float* out, long long row, long long head_stride, int heads,
                              const HeadColumns<c>& o, LdsPtr /*scratch*/, int wave) {
  for (int h = 0; h < c.block_h && h < heads; ++h) {
    float* to = out + row + h * head_stride + wave * HeadColumns<c>::kColumns;
    for (int i = 0; i < HeadColumns<c>::kColumns; ++i) to[i] = o.v[h][i];
  }
}

}  // namespace mla
