#pragma once

// Config::cluster: splits of a row whose workgroups can read each other's LDS do among themselves
// what sparse_mla_reduce does, by the same formulas, before anything leaves the chip.
//
// The way to another workgroup's LDS is narrow, so that no more goes over it than need be: its own
// part a workgroup reads from its own, and a head's statistics come once for all of its columns.

#include "sparse_mla_pipeline.hpp"

namespace mla {

// The rows of the workgroup's heads go in pieces of a run of four columns for each lane, which the
// waves of the cluster share; one wave's follow each other.
template <Config c>
struct ClusterShare {
  static constexpr int kOfRow = kHeadDim / (4 * kLanes);
  static constexpr int kPieces = c.block_h * kOfRow;
  static constexpr int kWaves = c.cluster * c.waves;
  static constexpr int kMine = (kPieces + kWaves - 1) / kWaves;  // at most
  static constexpr int kPeers = c.cluster - 1;
  // Pieces of a row that are read at once, so that no read waits for another; more take too many
  // registers.
  static constexpr int kMost = kPeers <= 4 ? 4 : kPeers <= 8 ? 2 : 1;
  static constexpr int kAtOnce = kMine % kMost == 0 ? kMost : kMine % 2 == 0 && kMost > 1 ? 2 : 1;
  static_assert(kAtOnce <= kOfRow && kOfRow % kAtOnce == 0);
  static_assert(kMine * c.waves == kOfRow * cluster_rows(c));
};

// What the cluster knows of a head: its sums, counted from the largest maximum, and what each
// workgroup's part is multiplied with.
template <Config c>
struct ClusterHead {
  float max;
  float sum;
  float exact;
  float sink;
  float weight;  // of the workgroup of this lane's number
};
template <Config c>
MLA_DEVICE ClusterHead<c> merge_statistics(const float4& of_peers) {
  ClusterHead<c> head;
  head.max = largest_of_peers<c>(of_peers.x);
  head.weight = exp2_fast(of_peers.x - or_zero(head.max));
  head.sum = sum_of_peers<c>(head.weight * of_peers.y);
  head.exact = sum_of_peers<c>(head.weight * of_peers.z);
  head.sink = of_peers.w * kLog2E;
  return head;
}

// Writes a lane's run of a merged row, or where there are several clusters the partial result of
// this one. `speaks`: the lane is the one to write the head's statistics.
template <Config c>
MLA_DEVICE void write_merged(const DecodeArgs& args, const ClusterHead<c>& merged,
                             const float4& run, int token, int head, int column, int part,
                             int partials, bool speaks) {
  if (partials > 1) {
    const long long at = (static_cast<long long>(token) * args.heads + head) * partials + part;
    global_write(args.workspace, 4 * (at * kHeadDim + column), run);
  } else {
    global_write(args.out,
                 2 * (token * args.out_token_stride + head * args.out_head_stride + column),
                 round_run(run, normaliser(merged.max, merged.sum, merged.sink)));
  }
  if (speaks)
    write_lse_or_statistics(args, token, head, part, partials, merged.max, merged.sum,
                            merged.exact);
}

// `statistics`: where share_statistics() left those of the workgroup, for whom it wrote to LDS
// before; `rows`: kRunRow<float4> bytes a head of LDS that is no longer read.
template <Config c>
MLA_DEVICE void merge_cluster(const DecodeArgs& args, const HeadColumns<c>& out, int token,
                              int head0, int split, int splits, LdsPtr statistics, LdsPtr rows,
                              int wave) {
  using Share = ClusterShare<c>;
  constexpr int kAtOnce = Share::kAtOnce, kPeers = Share::kPeers;
  static_assert(c.block_h * static_cast<int>(kRunRow<float4>) <= scratch_bytes(c));
  const int rank = split % c.cluster, partials = splits / c.cluster, part = split / c.cluster;
  const auto peer = [&](int n) MLA_LAMBDA { return (rank + 1 + n) % c.cluster; };
  share_rows<c, float4>(rows, out, 0, c.block_h / 8, wave,
                        [](const float4& run, int, bool) MLA_LAMBDA { return run; });
  share_with_cluster<c>(rows);
  const int first = (rank * c.waves + wave) * Share::kMine;
  MLA_ROLLED for (int n = 0; n < Share::kMine; n += kAtOnce) {
    const int piece = first + n, in_group = piece / Share::kOfRow, head = head0 + in_group;
    if (piece >= Share::kPieces || head >= args.heads) break;
    const int column = (piece % Share::kOfRow * kLanes + lane_id()) * 4;
    const LdsPtr mine = rows + static_cast<unsigned>(in_group) * kRunRow<float4> +
                        static_cast<unsigned>(column * 4);
    const float4 statistics_of_peers =
        read_statistics_of_peers<c>(statistics + static_cast<unsigned>(16 * in_group));
    float4 own[kAtOnce], theirs[kAtOnce][kPeers];
    MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      const LdsPtr at = mine + static_cast<unsigned>(i * kLanes * 16);
      MLA_UNROLL for (int p = 0; p < kPeers; ++p) theirs[i][p] = read_of_peer(at, peer(p));
      own[i] = lds_read<float4>(at);
    }
    const ClusterHead<c> merged = merge_statistics<c>(statistics_of_peers);
    const float own_weight = of_peer(merged.weight, rank);
    float weights[kPeers];
    MLA_UNROLL for (int p = 0; p < kPeers; ++p) weights[p] = of_peer(merged.weight, peer(p));
    MLA_UNROLL for (int i = 0; i < kAtOnce; ++i) {
      const float4& o = own[i];
      float4 run = {o.x * own_weight, o.y * own_weight, o.z * own_weight, o.w * own_weight};
      MLA_UNROLL for (int p = 0; p < kPeers; ++p) {
        const float4& x = theirs[i][p];
        run = {fmaf(x.x, weights[p], run.x), fmaf(x.y, weights[p], run.y),
               fmaf(x.z, weights[p], run.z), fmaf(x.w, weights[p], run.w)};
      }
      write_merged<c>(args, merged, run, token, head, column + i * kLanes * 4, part, partials,
                      (piece + i) % Share::kOfRow == 0 && speaks_for_wave());
    }
  }
  leave_cluster();
}

}  // namespace mla
