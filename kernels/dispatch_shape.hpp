#pragma once

#include <cstdint>
#include <tuple>

#include "kernels/dispatch.hpp"

// Private to the dispatch table: how shapes are compared.

namespace mla {

constexpr int kOctave = 1024;
constexpr int kNear = 3 * kOctave;  // a factor of 8
constexpr int kMaxHeads = 128;
constexpr int kHeadGranule = 16;

constexpr int head_class(int heads) { return (heads + kHeadGranule - 1) / kHeadGranule; }
constexpr bool is_power_of_two(int n) { return (n & (n - 1)) == 0; }

// 0 for lengths of 0 and 1.
int log2_scaled(std::int64_t n) noexcept;

// Of an absent scope the fields say nothing: equal queries become equal values.
constexpr Query canonical(Query q) {
  if (q.main_len == 0) {
    q.main_page = 1;
    q.main_format = Fp8Format::ocp;
  }
  if (q.extra_len == 0) {
    q.extra_page = 0;
    q.extra_format = Fp8Format::ocp;
  }
  return q;
}

// Compute units that an arch that is_dispatch_arch() knows has at most; 0 for others.
int dispatch_units(std::string_view arch) noexcept;

// What must be equal for two shapes to be near.
constexpr unsigned class_of(const Query& q) {
  unsigned key = static_cast<unsigned>(head_class(q.heads));
  for (const bool bit :
       {q.extra_len > 0, q.main_format == Fp8Format::fnuz, q.extra_format == Fp8Format::fnuz,
        is_power_of_two(q.main_page), is_power_of_two(q.extra_page)})
    key = key << 1 | static_cast<unsigned>(bit);
  return key;
}

// Whether a cluster of a launch that won for `tuned` is more splits than fit `query`: some would
// wait for others.
bool overfills(const Launch& launch, const Query& tuned, const Query& query, int units) noexcept;

// The splits for `query` of a launch that won for `tuned`: the rule of DispatchTable.
Splits fit_splits(const Launch& launch, const Query& tuned, const Query& query, int units) noexcept;

inline auto shape_order(const Query& q) {
  return std::tuple(q.tokens, q.extra_len, q.main_len, q.heads, q.main_page, q.extra_page);
}

}  // namespace mla
