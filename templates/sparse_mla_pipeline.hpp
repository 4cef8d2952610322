#pragma once

// Which tiles of a token's index lists a wave reads, and keeping them in flight ahead of their use.

#include "sparse_mla_order.hpp"
#include "sparse_mla_row_end.hpp"

namespace mla {

// The tiles a wave or workgroup walks: both scopes' tiles are numbered through, main first.
struct TileWalk {
  int next;
  int end;
  int step;
  int main_tiles;
};

template <Config c>
MLA_DEVICE TileWalk tiles_of_split(const DecodeArgs& args, int main_length, int extra_length,
                                   int split) {
  const int main_tiles = (main_length + c.block_k - 1) / c.block_k;
  const int extra_tiles = (extra_length + c.block_k - 1) / c.block_k;
  int first = 0, count = main_tiles + extra_tiles, part = split, parts = args.split_extra;
  if (args.split_main != 0) {
    const bool in_main = split < args.split_main;
    first = in_main ? 0 : main_tiles;
    count = in_main ? main_tiles : extra_tiles;
    part = in_main ? split : split - args.split_main;
    parts = in_main ? args.split_main : args.split_extra;
  }
  if (args.split_map == SplitMap::strided) return {first + part, first + count, parts, main_tiles};
  const auto boundary = [&](int p) MLA_LAMBDA {
    return first + static_cast<int>(static_cast<unsigned>(count) * static_cast<unsigned>(p) /
                                    static_cast<unsigned>(parts));
  };
  return {boundary(part), boundary(part + 1), 1, main_tiles};
}

// The tiles of a split, and the scopes that they are of.
struct SplitTiles {
  ScopeView main;
  ScopeView extra;
  TileWalk walk;
};
template <Config c>
MLA_DEVICE SplitTiles open_split(const DecodeArgs& args, int token, int split) {
  SplitTiles s;
  s.main = open_scope(args.main, token);
  s.extra = open_scope(args.extra, token);
  s.walk = tiles_of_split<c>(args, s.main.length, s.extra.length, split);
  return s;
}

// The strips a wave gathers, kept in flight Config::prefetch tiles deep.
template <Config c>
struct Pipeline {
  static constexpr int kStrips = gathered_strips(c);
  static constexpr bool kOverwrites =
      c.dequantise == Dequantise::at_store;  // a strip's registers free up early
  static constexpr int kSets = sets_in_flight(c);
  SplitTiles split;         // its walk is at the next tile to gather
  int first_strip;          // of a tile
  int shared_group;         // the first group it gathers, where several waves share a strip
  LdsPtr staging;           // of this wave, for direct loads
  Slots<c> slots[kStrips];  // of the tile that the walk is at, loaded one gather ahead
  RawStrip<c> raw[kSets][kStrips];
};

// Field by field, so that both stay in registers: a reference to either would put them in memory.
MLA_DEVICE ScopeView choose(bool first, const ScopeView& a, const ScopeView& b) {
  ScopeView v;
  v.cache = first ? a.cache : b.cache;
  v.indices = first ? a.indices : b.indices;
  v.length = first ? a.length : b.length;
  v.page_stride = first ? a.page_stride : b.page_stride;
  v.page_size = first ? a.page_size : b.page_size;
  v.rows = first ? a.rows : b.rows;
  v.format = first ? a.format : b.format;
  return v;
}

// 0, known to the compiler, wherever a wave gathers whole strips.
template <Config c>
MLA_DEVICE int first_group(const Pipeline<c>& p) {
  if constexpr (gathered_groups(c) == kGroups) return 0;
  return p.shared_group;
}

template <Config c>
MLA_DEVICE void look_ahead(Pipeline<c>& p) {
  const bool in_main = p.split.walk.next < p.split.walk.main_tiles;
  const int tile = in_main ? p.split.walk.next : p.split.walk.next - p.split.walk.main_tiles;
  ScopeView scope = choose(in_main, p.split.main, p.split.extra);
  if (p.split.walk.next >= p.split.walk.end) scope.length = 0;
  MLA_UNROLL for (int n = 0; n < Pipeline<c>::kStrips; ++n) {
    p.slots[n] = load_slots<c>(scope, tile * c.block_k + (p.first_strip + n) * c.mfma);
  }
}

// Starts loading the next tile into `set`, and the slots of the one after it.
template <Config c>
MLA_DEVICE void gather_next(Pipeline<c>& p, int set) {
  const ScopeView scope =
      choose(p.split.walk.next < p.split.walk.main_tiles, p.split.main, p.split.extra);
  MLA_UNROLL for (int n = 0; n < Pipeline<c>::kStrips; ++n) {
    gather<c>(p.raw[set][n], scope, p.slots[n], first_group(p),
              p.staging + (set * Pipeline<c>::kStrips + n) * raw_strip_bytes(c));
  }
  p.split.walk.next += p.split.walk.step;
  look_ahead<c>(p);
}

// For step(), below, to call once it is done with a set's registers.
template <Config c>
MLA_DEVICE void refill(Pipeline<c>& p, int set) {
  if constexpr (Pipeline<c>::kOverwrites && c.prefetch > 1) gather_next<c>(p, set);
}

// Starts the loads that run ahead of the first tile.
template <Config c>
MLA_DEVICE void start(Pipeline<c>& p) {
  look_ahead<c>(p);
  MLA_UNROLL for (int set = 0; set < c.prefetch - 1; ++set) gather_next<c>(p, set);
}

// Calls step(rows, set) for each tile of `walk`, the pipeline having been started at its beginning.
template <Config c, typename Step>
MLA_DEVICE void for_each_tile(Pipeline<c>& p, TileWalk walk, Step step) {
  using P = Pipeline<c>;
  constexpr int kAhead = c.prefetch - 1;
  while (walk.next < walk.end) {
    MLA_UNROLL for (int set = 0; set < P::kSets; ++set) {
      if (walk.next >= walk.end) break;
      if constexpr (c.prefetch == 1) gather_next<c>(p, set);
      if constexpr (!P::kOverwrites && c.prefetch > 1) gather_next<c>(p, (set + kAhead) % P::kSets);
      step(p.raw[set], set);
      walk.next += walk.step;
    }
  }
}
template <Config c, typename Step>
MLA_DEVICE void for_each_tile(Pipeline<c>& p, Step step) {
  const TileWalk walk = p.split.walk;
  start<c>(p);
  for_each_tile<c>(p, walk, step);
}

}  // namespace mla
