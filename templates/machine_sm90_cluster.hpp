#pragma once

// sm_90: the workgroups of a cluster read each other's LDS, for Config::cluster. PTX ISA,
// "barrier.cluster", "mapa" and "ld.shared::cluster".

#include "machine_sm90_output.hpp"

namespace mla {

// Waits for every wave of the cluster that has not ended; what they wrote to LDS before it is
// visible to all after it. A release at cluster scope would wait for global memory too, a thousand
// cycles; LDS is one place for all who read it, so that what is in it for the own workgroup is in
// it for the cluster.
MLA_DEVICE void cluster_barrier() {
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

}  // namespace mla
