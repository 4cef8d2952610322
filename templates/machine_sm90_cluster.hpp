#pragma once

// sm_90: the workgroups of a cluster read each other's LDS, for Config::cluster. PTX ISA,
// "barrier.cluster", "mapa" and "ld.shared::cluster".

#include "machine_sm90_output.hpp"

namespace mla {

// Whether LDS has no room for a second workgroup on the SM, of the 228 KiB that there are.
MLA_HOST_DEVICE constexpr bool alone_on_cu(const Config& c) {
  return c.load_path == LoadPath::bulk || query_bytes(c) + tiles_bytes(c) > 114 * 1024;
}
// Waits for every wave of the cluster that has not ended; what they wrote to LDS before it is
// visible to all after it. `written`: what this lane has written there last.
//
// A release at cluster scope waits for global memory too, a thousand cycles, and nothing was
// written to that. A workgroup that has its SM to itself goes without: LDS serves a wave's accesses
// in turn, so that what it wrote is there when something that it read after that has come back.
// Beside other workgroups the release stays: without it, and without the reading, another SM's
// reads overtook stores that queued behind those workgroups'.
template <Config c>
MLA_DEVICE void share_with_cluster(LdsPtr written) {
  if constexpr (alone_on_cu(c)) {
    await_word(lds_read<unsigned>(written));
    asm volatile(
        "fence.acq_rel.cta; barrier.cluster.arrive.relaxed.aligned; "
        "barrier.cluster.wait.acquire.aligned;" ::
            : "memory");
  } else {
    asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::
                     : "memory");
  }
}
// Waits until nobody reads this workgroup's LDS any more: what was read of others has been used.
MLA_DEVICE void leave_cluster() {
  asm volatile(
      "fence.acq_rel.cta; barrier.cluster.arrive.relaxed.aligned; "
      "barrier.cluster.wait.acquire.aligned;" ::
          : "memory");
}
// Four numbers of another workgroup's LDS, which lie there where `p` is in one's own.
MLA_DEVICE float4 read_of_peer(LdsPtr p, int peer) {
  LdsPtr theirs;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(theirs) : "r"(p), "r"(peer));
  float4 v;
  asm volatile("ld.shared::cluster.v4.f32 {%0, %1, %2, %3}, [%4];"
               : "=f"(v.x), "=f"(v.y), "=f"(v.z), "=f"(v.w)
               : "r"(theirs)
               : "memory");
  return v;
}
// What write_statistics() and write_panel() left in another workgroup's LDS; the panel is added,
// times a factor a head.
template <int M>
MLA_DEVICE void read_statistics_of_peer(LdsPtr p, int peer, PerHead<M>& max, PerHead<M>& sum,
                                        PerHead<M>& exact) {
  LdsPtr theirs;
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(theirs) : "r"(p), "r"(peer));
  const auto number = [&](int i, int n) MLA_LAMBDA {
    float x;
    asm volatile("ld.shared::cluster.f32 %0, [%1];"
                 : "=f"(x)
                 : "r"(theirs + static_cast<unsigned>(12 * head_of<M>(i) + 4 * n))
                 : "memory");
    return x;
  };
  MLA_UNROLL for (int i = 0; i < 2; ++i) {
    max.v[i] = number(i, 0);
    sum.v[i] = number(i, 1);
    exact.v[i] = number(i, 2);
  }
}
constexpr int kSharedPanel = 8 * kLanes * 16;  // bytes
template <int M>
MLA_DEVICE void add_panel_of_peer(LdsPtr p, int peer, OutputPanel<M>& o, const PerHead<M>& factor) {
  float4 theirs[8];
  MLA_UNROLL for (int n = 0; n < 8; ++n) theirs[n] =
      read_of_peer(p + static_cast<unsigned>((n * kLanes + lane_id()) * 16), peer);
  MLA_UNROLL for (int n = 0; n < 8; ++n) {
    float(&t)[4] = o.tiles[n];
    t[0] = fmaf(theirs[n].x, factor.v[0], t[0]);
    t[1] = fmaf(theirs[n].y, factor.v[0], t[1]);
    t[2] = fmaf(theirs[n].z, factor.v[1], t[2]);
    t[3] = fmaf(theirs[n].w, factor.v[1], t[3]);
  }
}

// Of a head, lane p has what workgroup p of the cluster knows, as share_statistics() left it.
template <Config c>
MLA_DEVICE float4 read_statistics_of_peers(LdsPtr statistics) {
  const float4 s = read_of_peer(statistics, lane_id() < c.cluster ? lane_id() : 0);
  return lane_id() < c.cluster ? s : float4{-infinity(), 0, 0, s.w};
}
MLA_DEVICE float of_peer(float x, int peer) { return __shfl_sync(kAllLanes, x, peer); }
template <Config c>
MLA_DEVICE float largest_of_peers(float x) {
  MLA_UNROLL for (int bit = 1; bit < c.cluster; bit *= 2) x = maximum(x, from_lane_xor(x, bit));
  return of_peer(x, 0);
}
template <Config c>
MLA_DEVICE float sum_of_peers(float x) {
  MLA_UNROLL for (int bit = 1; bit < c.cluster; bit *= 2) x += from_lane_xor(x, bit);
  return of_peer(x, 0);
}
// The statistics and sinks of all heads, four numbers each.
template <Config c>
MLA_DEVICE void share_statistics(LdsPtr statistics, const AllHeads<c>& max, const AllHeads<c>& sum,
                                 const AllHeads<c>& exact, const AllHeads<c>& sinks) {
  if (!speaks_for_all_heads()) return;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) {
    lds_write(statistics + static_cast<unsigned>(16 * head_of_all(i)),
              float4{max.v[i], sum.v[i], exact.v[i], sinks.v[i]});
  }
}
// The sinks alone, where others shared the rest.
template <Config c>
MLA_DEVICE void share_sinks(LdsPtr statistics, const AllHeads<c>& sinks) {
  if (!speaks_for_all_heads()) return;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i)
      lds_write(statistics + static_cast<unsigned>(16 * head_of_all(i) + 12), sinks.v[i]);
}

}  // namespace mla
