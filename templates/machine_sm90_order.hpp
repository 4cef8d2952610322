#pragma once

// sm_90: the order of tokens, found by every wave for itself, a lane a token.

#include "machine_sm90.hpp"

namespace mla {

// Workgroups: the SMs of the smallest Hopper. Not compute_units(), which a small batch would wait
// for only to learn that its order does not matter.
constexpr int kBeginAtOnce = 114;
constexpr int kOrdered = kLanes;

// Of `count` tokens from the first on, counted from 0, the one that is at `rank` when they are
// sorted by the length of their lists in units of 64 keys, longest first and otherwise in their
// order. Bit by bit the largest length that more than `rank` of them reach, then the right one of
// those that have it. Either list may be null.
MLA_DEVICE int member_of_rank(const int* main, const int* extra, int first, int count, int rank) {
  const int token = first + lane_id();
  unsigned length = 0;
  if (lane_id() < count) {
    int keys = main != nullptr ? main[token + 1] - main[token] : 0;
    if (extra != nullptr) keys += extra[token + 1] - extra[token];
    length = static_cast<unsigned>(keys + 63) / 64 + 1;
  }
  const unsigned longest = __reduce_max_sync(kAllLanes, length);
  if (!any_lane(length != 0 && length != longest)) return rank;
  unsigned bound = 0;
  for (unsigned bit = 0x80000000u >> __clz(static_cast<int>(longest)); bit != 0; bit /= 2) {
    if (__popc(__ballot_sync(kAllLanes, length >= bound + bit)) > rank) bound += bit;
  }
  const int left = rank - __popc(__ballot_sync(kAllLanes, length > bound));
  const bool among = length == bound;
  const unsigned before = __ballot_sync(kAllLanes, among) & ((1u << lane_id()) - 1u);
  return __ffs(static_cast<int>(__ballot_sync(kAllLanes, among && __popc(before) == left))) - 1;
}

}  // namespace mla
