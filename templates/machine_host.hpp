#pragma once

// The host: a wave is one fiber, a fragment holds its whole tile in plain arrays, rows first. This
// is what the verbs mean; the other machines only spread the same tiles over lanes. Values that are
// bf16 elsewhere are kept as the floats that bf16 can hold. See machine.hpp for the vocabulary and
// host_abi.hpp for who runs this.

#include "host_abi.hpp"

#define MLA_DEVICE static inline
#define MLA_LAMBDA
#define MLA_UNROLL
#define MLA_ROLLED
#define MLA_KERNEL(config) __attribute__((visibility("default")))

namespace mla {

constexpr int kLanes = 1;

using LdsPtr = unsigned char*;

MLA_DEVICE int lane_id() { return 0; }
MLA_DEVICE int wave_id() { return mla_host_wave->index; }
// Elsewhere a kernel may begin that was launched to follow this one, and waits for it. Here one
// begins when the other has ended.
MLA_DEVICE void let_next_kernel_begin() {}
MLA_DEVICE void await_kernel_before() {}
MLA_DEVICE Dim3 workgroup_id() { return mla_host_wave->workgroup; }
// Dies that a device has, each with a cache of its own, among which workgroups are dealt in turn.
constexpr int kDies = 4;
// At most so many workgroups begin at once, and so many tokens are ordered among each other.
constexpr int kBeginAtOnce = 1, kOrdered = 4;
// Of `count` tokens from the first on, counted from 0, the one that is at `rank` when they are
// sorted by the length of their lists in units of 64 keys, longest first and otherwise in their
// order. Either list may be null.
MLA_DEVICE int member_of_rank(const int* main, const int* extra, int first, int count, int rank) {
  const auto length = [&](int n) {
    const int token = first + n;
    const int keys = (main != nullptr ? main[token + 1] - main[token] : 0) +
                     (extra != nullptr ? extra[token + 1] - extra[token] : 0);
    return (keys + 63) / 64;
  };
  int found = 0;
  for (int n = 0; n < count; ++n) {
    int before = 0;
    for (int other = 0; other < count; ++other) {
      const int longer = length(other) - length(n);
      before += longer > 0 || (longer == 0 && other < n);
    }
    if (before == rank) found = n;
  }
  return found;
}
MLA_DEVICE void barrier() { mla_host_wave->barrier(mla_host_wave); }
MLA_DEVICE bool any_lane(bool condition) { return condition; }
MLA_DEVICE float from_lane_xor(float value, int /*bit*/) { return value; }
MLA_DEVICE float exp2_fast(float x) { return __builtin_exp2f(x); }
MLA_DEVICE float log2_fast(float x) { return __builtin_log2f(x); }
MLA_DEVICE float reciprocal(float x) { return 1.0f / x; }
MLA_DEVICE float infinity() { return __builtin_inff(); }
MLA_DEVICE float maximum(float a, float b) { return __builtin_fmaxf(a, b); }
MLA_DEVICE bool speaks_for_wave() { return true; }

template <typename Args>
MLA_DEVICE const Args& reload(const Args& args) {
  return args;
}

MLA_DEVICE float read_uniform(const float* p) { return *p; }
// The same of what others of the same kernel wrote, after see_device().
MLA_DEVICE float read_fresh(const float* p) { return *p; }
// For workgroups to hand memory on. A wave's writes are before publish_to_device(), a barrier of
// the workgroup before count_arrival(), which one wave calls and which answers how many came
// before, and those of workgroups that came before are seen after another barrier and see_device().
MLA_DEVICE void publish_to_device() {}
MLA_DEVICE unsigned count_arrival(unsigned* counter) {
  return __atomic_fetch_add(counter, 1u, __ATOMIC_ACQ_REL);
}
MLA_DEVICE void see_device() {}
// Has a number brought near that is going to be read, if it is there at all.
MLA_DEVICE void will_read(const float*) {}

template <int kBytes>
MLA_DEVICE LdsPtr lds_region() {
  return mla_host_wave->shared_memory(mla_host_wave, kBytes);
}

template <typename T>
MLA_DEVICE T read_as(const void* p) {
  T value;
  __builtin_memcpy(&value, p, sizeof value);
  return value;
}
template <typename T>
MLA_DEVICE void write_as(void* p, T value) {
  __builtin_memcpy(p, &value, sizeof value);
}

// ---- numbers ----

MLA_DEVICE unsigned bits_of(float x) { return __builtin_bit_cast(unsigned, x); }
MLA_DEVICE float from_bits(unsigned x) { return __builtin_bit_cast(float, x); }
MLA_DEVICE unsigned short to_bf16(float x) {
  const unsigned bits = bits_of(x);
  if (x != x) return 0x7fc0;
  return static_cast<unsigned short>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
}
MLA_DEVICE float from_bf16(unsigned short x) { return from_bits(static_cast<unsigned>(x) << 16); }
MLA_DEVICE float round_to_bf16(float x) { return from_bf16(to_bf16(x)); }
MLA_DEVICE float read_bf16(const unsigned char* p) { return from_bf16(read_as<unsigned short>(p)); }

// e4m3: sign, 4 bits of exponent, 3 of mantissa. OCP has bias 7 and NaN at 0x7f and 0xff, FNUZ bias
// 8 and NaN at 0x80.
MLA_DEVICE float from_e4m3(unsigned byte, Fp8Format format) {
  const bool ocp = format == Fp8Format::ocp;
  if (ocp ? (byte & 0x7fu) == 0x7fu : byte == 0x80u) return __builtin_nanf("");
  const unsigned exponent = byte >> 3 & 15u, mantissa = byte & 7u;
  const unsigned bias = ocp ? 7 : 8;
  const float magnitude = exponent == 0
                              ? static_cast<float>(mantissa) * from_bits((127 - 2 - bias) << 23)
                              : from_bits((exponent + 127 - bias) << 23 | mantissa << 20);
  return byte >> 7 != 0 ? -magnitude : magnitude;
}
struct E4m3Table {
  float value[256];
};
template <Fp8Format format>
MLA_DEVICE const E4m3Table& e4m3_table() {
  static const E4m3Table table = [] {
    E4m3Table t;
    for (unsigned b = 0; b < 256; ++b) t.value[b] = from_e4m3(b, format);
    return t;
  }();
  return table;
}
// UE8M0: 2^(byte - 127), NaN at 255.
MLA_DEVICE float from_ue8m0(unsigned byte) {
  if (byte == 255) return __builtin_nanf("");
  return byte == 0 ? from_bits(0x00400000u) : from_bits(byte << 23);
}

// ---- gathering ----

template <int M>
struct PerHead {
  static constexpr int kCount = M;
  float v[M];
};
template <Config c>
struct Slots {
  int v[c.mfma];
};

struct ScopeView {
  const unsigned char* cache;
  const int* indices;
  int length;
  long long page_stride;
  int page_size;
  int rows;
  Fp8Format format;
};
MLA_DEVICE ScopeView open_scope(const CacheScope& scope, int token) {
  if (scope.indptr == nullptr) return {};
  const int first = scope.indptr[token];
  return {scope.cache,       scope.indices + first, scope.indptr[token + 1] - first,
          scope.page_stride, scope.page_size,       scope.rows,
          scope.format};
}

// Where the row of a slot lies.
struct RowPlace {
  const unsigned char* row;
  const unsigned char* scales;
};
MLA_DEVICE RowPlace place_of(const ScopeView& scope, int slot) {
  const unsigned char* page = scope.cache + slot / scope.page_size * scope.page_stride;
  const long long in_page = slot % scope.page_size;
  return {page + in_page * kRowBytes,
          page + static_cast<long long>(scope.page_size) * kRowBytes + in_page * kScaleBytes};
}

// What of a row direct loads stage: with WaveSplit::weights and roles the NoPE columns alone.
template <Config c>
constexpr int kStagedRow = c.load_path == LoadPath::direct&& weighs_by_key(c) ? kNopeDim
                                                                              : kRowBytes;
template <Config c>
constexpr bool kScalesStaged = c.load_path == LoadPath::direct && !weighs_by_key(c);

template <Config c>
struct RawStrip {
  unsigned char rows[gathered_rows(c)][kRowBytes];
  unsigned char scales[gathered_rows(c)][kScaleBytes];
  unsigned keys;
  Fp8Format format;
  LdsPtr staged;
};

template <Config c>
MLA_DEVICE Slots<c> load_slots(const ScopeView& scope, int position) {
  Slots<c> slots;
  for (int r = 0; r < c.mfma; ++r) {
    const int p = position + r;
    slots.v[r] = p >= 0 && p < scope.length ? scope.indices[p] : -1;
  }
  return slots;
}

template <Config c>
MLA_DEVICE void gather(RawStrip<c>& raw, const ScopeView& scope, const Slots<c>& slots,
                       int first_group, LdsPtr staging) {
  raw.keys = 0;
  raw.format = scope.format;
  raw.staged = staging;
  const int from = first_group * kGroupDim;  // the RoPE group, the eighth, is 128 bytes long
  const int to = first_group + gathered_groups(c) == kGroups
                     ? kRowBytes
                     : from + gathered_groups(c) * kGroupDim;
  for (int r = 0; r < c.mfma; ++r) {
    const int slot = slots.v[r];
    if (slot < 0 || slot >= scope.rows) continue;
    raw.keys |= 1u << r;
    const auto [there, scales] = place_of(scope, slot);
    unsigned char* row =
        c.load_path == LoadPath::direct ? staging + r * kStagedRow<c> : raw.rows[r];
    const int staged_to = kStagedRow<c> < to ? kStagedRow<c> : to;
    __builtin_memcpy(row + from, there + from, static_cast<unsigned long>(staged_to - from));
    if (staged_to < to)
      __builtin_memcpy(raw.rows[r] + staged_to, there + staged_to,
                       static_cast<unsigned long>(to - staged_to));
    __builtin_memcpy(
        kScalesStaged<c> ? staging + c.mfma * kRowBytes + r * kScaleBytes : raw.scales[r], scales,
        kScaleBytes);
  }
}
template <Config c>
MLA_DEVICE void fetch(RawStrip<c>& raw) {
  for (int r = 0; r < c.mfma; ++r) {
    if ((raw.keys >> r & 1u) == 0) {
      __builtin_memset(raw.rows[r], 0, kRowBytes);
      __builtin_memset(raw.scales[r], 127, kScaleBytes);
      continue;
    }
    if (c.load_path != LoadPath::direct) continue;
    __builtin_memcpy(raw.rows[r], raw.staged + r * kStagedRow<c>, kStagedRow<c>);
    if (kScalesStaged<c>)
      __builtin_memcpy(raw.scales[r], raw.staged + c.mfma * kRowBytes + r * kScaleBytes,
                       kScaleBytes);
  }
}

template <Config c>
MLA_DEVICE void forget_results(RawStrip<c>&) {}

template <Config c>
MLA_DEVICE bool group_is_nan(const RawStrip<c>& raw, int r, int g) {
  return g < kGroups - 1 && raw.scales[r][g] == 255;
}
template <Config c>
MLA_DEVICE float raw_element(const RawStrip<c>& raw, int r, int column) {
  if (column >= kNopeDim) return read_bf16(raw.rows[r] + kNopeDim + 2 * (column - kNopeDim));
  const unsigned byte = raw.rows[r][column];
  return raw.format == Fp8Format::ocp ? e4m3_table<Fp8Format::ocp>().value[byte]
                                      : e4m3_table<Fp8Format::fnuz>().value[byte];
}
template <Config c>
MLA_DEVICE bool has_nan(const RawStrip<c>& raw, int first_group) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int column = first_group * kGroupDim;
         column < (first_group + gathered_groups(c)) * kGroupDim; ++column) {
      const float x = raw_element(raw, r, column);
      if (x != x || group_is_nan(raw, r, column / kGroupDim)) return true;
    }
  }
  return false;
}
template <Config c>
MLA_DEVICE void scrub(RawStrip<c>& raw, int first_group) {
  for (int r = 0; r < c.mfma; ++r) {
    for (int g = first_group; g < first_group + gathered_groups(c); ++g) {
      const bool bad = group_is_nan(raw, r, g);
      for (int column = g * kGroupDim; column < (g + 1) * kGroupDim; ++column) {
        const float x = raw_element(raw, r, column);
        if (x == x && !bad) continue;
        if (g == kGroups - 1) {
          write_as<unsigned short>(raw.rows[r] + kNopeDim + 2 * (column - kNopeDim), 0);
        } else {
          raw.rows[r][column] = 0;
        }
      }
      if (bad) raw.scales[r][g] = 127;
    }
  }
}

// ---- fragments ----

template <Config c>
struct KeyFragment {
  float v[c.mfma][kGroupDim];
};
template <Config c>
struct QueryFragment {
  float v[kGroupDim]
         [c.mfma];  // columns first, so that a key's products with all heads are one vector
};

template <Config c>
MLA_DEVICE KeyFragment<c> dequantise(const RawStrip<c>& raw, int first_group, int u) {
  const int g = first_group + u;
  KeyFragment<c> k;
  for (int r = 0; r < gathered_rows(c); ++r) {
    const float scale = g == kGroups - 1 ? 1.0f : from_ue8m0(raw.scales[r][g]);
    for (int i = 0; i < kGroupDim; ++i)
      k.v[r][i] = round_to_bf16(raw_element(raw, r, g * kGroupDim + i) * scale);
  }
  return k;
}
template <Config c>
MLA_DEVICE unsigned char* tile_at(LdsPtr tile, int row, int column) {
  return tile + row * tile_row_bytes(c) + 2 * column;
}
template <Config c>
MLA_DEVICE void store_keys(LdsPtr tile, int row0, int column, bool /*rope*/,
                           const KeyFragment<c>& k) {
  for (int r = 0; r < gathered_rows(c); ++r) {
    for (int i = 0; i < kGroupDim; ++i)
      write_as(tile_at<c>(tile, row0 + r, column + i), to_bf16(k.v[r][i]));
  }
}
template <Config c>
MLA_DEVICE KeyFragment<c> load_keys(LdsPtr tile, int row0, int g) {
  KeyFragment<c> k;
  for (int r = 0; r < c.mfma; ++r) {
    for (int i = 0; i < kGroupDim; ++i)
      k.v[r][i] = read_bf16(tile_at<c>(tile, row0 + r, g * kGroupDim + i));
  }
  return k;
}

template <Config c>
struct Queries {
  QueryFragment<c> held[c.query_in == QueryIn::registers ? kGroups : 1];
  LdsPtr region;  // [group][column][head] bf16
};
template <Config c>
MLA_DEVICE void load_queries(Queries<c>& queries, const void* q, long long head_stride, int heads,
                             LdsPtr region, int sharer, int sharers) {
  queries.region = region;
  for (int g = 0; g < kGroups; ++g) {
    if (c.query_in == QueryIn::lds && g % sharers != sharer) continue;
    for (int i = 0; i < kGroupDim; ++i) {
      for (int h = 0; h < c.mfma; ++h) {
        const int head = h < heads ? h : heads - 1;
        const unsigned char* from =
            static_cast<const unsigned char*>(q) + 2 * (head * head_stride + g * kGroupDim + i);
        if (c.query_in == QueryIn::registers) {
          queries.held[g].v[i][h] = read_bf16(from);
        } else {
          write_as(region + 2 * ((g * kGroupDim + i) * c.mfma + h), read_as<unsigned short>(from));
        }
      }
    }
  }
}
template <Config c>
MLA_DEVICE QueryFragment<c> query_group(const Queries<c>& queries, int g) {
  if constexpr (c.query_in == QueryIn::registers) return queries.held[g];
  QueryFragment<c> q;
  for (int i = 0; i < kGroupDim; ++i) {
    for (int h = 0; h < c.mfma; ++h)
      q.v[i][h] = read_bf16(queries.region + 2 * ((g * kGroupDim + i) * c.mfma + h));
  }
  return q;
}

}  // namespace mla
