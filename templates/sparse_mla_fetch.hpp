#pragma once

// LoadPath::bulk: waves that do nothing but bring rows to those who fill tiles.

#include "sparse_mla_pipeline.hpp"

namespace mla {

// The scope of a tile, and where the tile's keys begin in its list.
struct TileKeys {
  ScopeView scope;
  int first;
};
template <Config c>
MLA_DEVICE TileKeys keys_of(const SplitTiles& s, int tile) {
  const bool in_main = tile < s.walk.main_tiles;
  return {choose(in_main, s.main, s.extra),
          (in_main ? tile : tile - s.walk.main_tiles) * c.block_k};
}
// What fetchers do, with LoadPath::bulk: wave w of them brings strip w of every tile, as many tiles
// ahead as there are sets of buffers.
template <Config c>
MLA_DEVICE void fetch_tiles(SplitTiles s, LdsPtr raw, int wave) {
  constexpr Config kFilling = of_fillers(c);
  const auto slots_of = [&](int tile) MLA_LAMBDA {
    TileKeys keys = keys_of<c>(s, tile);
    if (tile >= s.walk.end) keys.scope.length = 0;
    return load_slots<kFilling>(keys.scope, keys.first + wave * c.mfma);
  };
  Slots<kFilling> slots = slots_of(s.walk.next);
  for (int n = 0; s.walk.next < s.walk.end; s.walk.next += s.walk.step, ++n) {
    const Slots<kFilling> ahead = slots_of(s.walk.next + s.walk.step);
    fetch_strip<kFilling>(raw, n, wave, keys_of<c>(s, s.walk.next).scope, slots);
    slots = ahead;
  }
  await_fetched();
}

// Has brought near what the workgroup reads first that its CU takes up after this one, as far as
// that can be known: places are taken up in turn. Memory would idle until that one asks. Where
// clusters wait for several CUs it is not known, and of many heads a tile takes longer than its
// rows.
template <Config c>
MLA_DEVICE void foresee(const DecodeArgs& args, int split, int wave) {
  constexpr Config kFilling = of_fillers(c);
  const int place = static_cast<int>(workgroup_id().x) + compute_units();
  if (c.cluster > 1 || !has_roles(c) || place >= args.tokens) return;
  const int next = token_at(args, place);
  if (wave == 0) {
    const int head0 = static_cast<int>(workgroup_id().y) * c.block_h;
    will_read_rows(static_cast<const unsigned char*>(args.q) +
                       2 * (next * args.q_token_stride + head0 * args.q_head_stride),
                   2 * args.q_head_stride,
                   args.heads - head0 < c.block_h ? args.heads - head0 : c.block_h);
  }
  SplitTiles s = open_split<c>(args, next, split);
  for (int n = 0; n < sets_in_flight(c) && s.walk.next < s.walk.end; ++n) {
    const TileKeys keys = keys_of<c>(s, s.walk.next);
    will_fetch<kFilling>(keys.scope, load_slots<kFilling>(keys.scope, keys.first + wave * c.mfma));
    s.walk.next += s.walk.step;
  }
}
// All that a fetching wave does; `wave` is counted among them. `raw`: the buffers.
template <Config c>
MLA_DEVICE void fetch_rows(const DecodeArgs& args, int token, int split, LdsPtr raw, int wave) {
  open_buffers<c>(raw, wave);
  const SplitTiles tiles = open_split<c>(args, token, split);
  share_registers<c, Role::fetching>();
  fetch_tiles<c>(tiles, raw, wave);
  foresee<c>(args, split, wave);
}

}  // namespace mla
