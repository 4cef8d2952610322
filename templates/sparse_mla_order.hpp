#pragma once

// What a workgroup computes, by its place in the grid.

#include "machine.hpp"

namespace mla {

// Where not all workgroups begin at once, tokens with long lists come first: were a long one begun
// when others end, all would wait for it. For a place to be answered by itself, at the cost of one
// look at kOrdered lists, tokens next to each other are ordered in groups of at most so many: first
// come the longest of each group, then the second, and so on. The number of groups is a power of 2,
// and the first ones have one more, so that each token has its place.
MLA_DEVICE int token_at(const DecodeArgs& args, int place) {
  if (args.tokens <= kBeginAtOnce || (args.main.ragged | args.extra.ragged) == 0) return place;
  int shift = 0;
  while (kOrdered << shift < args.tokens) ++shift;
  const int group = place & ((1 << shift) - 1), more = args.tokens & ((1 << shift) - 1);
  const int first = group * (args.tokens >> shift) + (group < more ? group : more);
  const int count = (args.tokens >> shift) + (group < more ? 1 : 0);
  return first + member_of_rank(args.main.indptr, args.extra.indptr, first, count, place >> shift);
}

// Where a workgroup is in the grid: in which token's column, in which group of heads' row. With
// GridOrder::heads as many tokens as there are dies take turns, until all groups of each are dealt.
struct GridPlace {
  int token, group;
};
MLA_DEVICE GridPlace place_in_grid(const DecodeArgs& args, const Dim3& at, int groups) {
  const GridPlace plain = {static_cast<int>(at.x), static_cast<int>(at.y)};
  if constexpr (kDies > 1) {
    if (args.grid_order == GridOrder::heads) {
      const int dealt = plain.token + args.tokens * plain.group;
      const int first = dealt / (kDies * groups) * kDies, turn = dealt - first * groups;
      const int tokens = args.tokens - first < kDies ? args.tokens - first : kDies;
      return {first + turn % tokens, turn / tokens};
    }
  }
  return plain;
}

// What a workgroup computes: block_h heads of a token from head0 on, over one of `splits` splits.
struct Task {
  int token, head0, split, splits;
};
template <Config c>
MLA_DEVICE Task task_of_workgroup(const DecodeArgs& args) {
  const Dim3 at = workgroup_id();
  const GridPlace place = place_in_grid(args, at, (args.heads + c.block_h - 1) / c.block_h);
  return {token_at(args, place.token), place.group * c.block_h, static_cast<int>(at.z),
          total_splits({args.split_main, args.split_extra, args.split_map},
                       args.extra.indptr != nullptr)};
}

}  // namespace mla
