#pragma once

// sm_90: the workgroups of a cluster read each other's LDS, for Config::cluster. PTX ISA,
// "barrier.cluster", "mapa" and "ld.shared::cluster".

#include "machine_sm90_output.hpp"

namespace mla {

// Waits for every wave of the cluster that has not ended; what they wrote to LDS before it is
// visible to all after it.
MLA_DEVICE void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.release.aligned; barrier.cluster.wait.acquire.aligned;" ::
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
template <int kColumns>
MLA_DEVICE void load_of_peer(RowPart<kColumns>& row, LdsPtr from, int peer) {
  MLA_UNROLL for (int i = 0; i < kColumns / kLanes / 4; ++i) {
    row.v[i] = read_of_peer(from + static_cast<unsigned>(16 * (i * kLanes + lane_id())), peer);
  }
}
// A row as load() takes it.
template <int kColumns>
MLA_DEVICE void store(float* to, const RowPart<kColumns>& row) {
  MLA_UNROLL for (int i = 0; i < kColumns / kLanes / 4; ++i)
      global_write(to, 16 * (i * kLanes + lane_id()), row.v[i]);
}

// A head's row in LDS is kSharedRow bytes: what is added spreads rows over banks.
constexpr unsigned kSharedRow = kHeadDim * 4 + 16;
// A wave's columns of all heads as rows, for the cluster to read.
template <Config c>
MLA_DEVICE void share_rows(LdsPtr rows, const HeadColumns<c>& out, int wave) {
  static_assert(c.block_h * static_cast<int>(kSharedRow) <= tiles_bytes(c));
  MLA_UNROLL for (int block = 0; block < TeamShape<c>::kBlocks; ++block) {
    MLA_UNROLL for (int i = 0; i < c.block_h / 2; ++i) {
      const auto head = static_cast<unsigned>(head_of_all(i / 4 * 2 + i % 2));
      lds_write(rows + head * kSharedRow + column_of<c>(wave, block, i) * 4, out.v[block][i]);
    }
  }
}
// The statistics of all heads, four numbers each.
template <Config c>
MLA_DEVICE void share_statistics(LdsPtr statistics, const AllHeads<c>& max, const AllHeads<c>& sum,
                                 const AllHeads<c>& exact) {
  if (!speaks_for_all_heads()) return;
  MLA_UNROLL for (int i = 0; i < AllHeads<c>::kCount; ++i) {
    lds_write(statistics + static_cast<unsigned>(16 * head_of_all(i)),
              float4{max.v[i], sum.v[i], exact.v[i], 0});
  }
}

}  // namespace mla
