#pragma once

// Config::cluster: splits of a row whose workgroups can read each other's LDS do among themselves
// what sparse_mla_reduce does, by the same formulas, before anything leaves the chip.

#include "sparse_mla_pipeline.hpp"

namespace mla {

// The rows of the workgroup's heads go in pieces, as many as there are waves in the cluster or as
// small as a wave can make use of, and each wave merges some of them.
template <Config c>
struct ClusterShare {
  static constexpr int kWaves = c.cluster * c.waves;
  static constexpr int kOfRow = kWaves < 2 * c.block_h ? 1 : (kWaves < 4 * c.block_h ? 2 : 4);
  static constexpr int kColumns = kHeadDim / kOfRow;
  static constexpr int kPieces = c.block_h * kOfRow;
  static constexpr int kMine = (kPieces + kWaves - 1) / kWaves;        // at most
  static constexpr int kAtOnce = kMine > 1 && c.cluster == 2 ? 2 : 1;  // more spill
  static_assert(kMine % kAtOnce == 0);
};

// A piece of a row, from each workgroup of the cluster.
template <Config c>
struct ClusterPiece {
  float maxima[c.cluster];
  float sums[c.cluster];
  float exacts[c.cluster];
  RowPart<ClusterShare<c>::kColumns> rows[c.cluster];
};
// `statistics` and `rows`: where they begin of this head, and of this piece.
template <Config c>
MLA_DEVICE void load_piece(ClusterPiece<c>& piece, LdsPtr statistics, LdsPtr rows) {
  MLA_UNROLL for (int p = 0; p < c.cluster; ++p) {
    const auto s = read_of_peer(statistics, p);
    piece.maxima[p] = s.x;
    piece.sums[p] = s.y;
    piece.exacts[p] = s.z;
    load_of_peer(piece.rows[p], rows, p);
  }
}

// `statistics` and `rows`: 16 and kSharedRow bytes a head of LDS that is no longer read. Writes out
// and LSE, or where there are several clusters the partial result of this one.
template <Config c>
MLA_DEVICE void merge_cluster(const DecodeArgs& args, const HeadColumns<c>& out,
                              const AllHeads<c>& max, const AllHeads<c>& sum,
                              const AllHeads<c>& exact, int token, int head0, int split, int splits,
                              LdsPtr statistics, LdsPtr rows, int wave) {
  using Share = ClusterShare<c>;
  const auto number = [&](int n) MLA_LAMBDA {  // of the wave's piece n
    return n * Share::kWaves + split % c.cluster * c.waves + wave;
  };
  const auto is_there = [&](int n) MLA_LAMBDA {
    return number(n) < Share::kPieces && head0 + number(n) / Share::kOfRow < args.heads;
  };
  float sinks[Share::kMine];  // asked for before the others are waited for
  MLA_UNROLL for (int n = 0; n < Share::kMine; ++n) {
    sinks[n] = is_there(n) ? sink_of(args.sink, head0 + number(n) / Share::kOfRow) : 0.0f;
  }
  if (wave == 0) share_statistics<c>(statistics, max, sum, exact);
  share_rows<c>(rows, out, wave);
  cluster_barrier();
  const int partials = splits / c.cluster, part = split / c.cluster;
  MLA_UNROLL for (int n0 = 0; n0 < Share::kMine; n0 += Share::kAtOnce) {
    if (!is_there(n0)) break;
    ClusterPiece<c> pieces[Share::kAtOnce];
    MLA_UNROLL for (int n = 0; n < Share::kAtOnce; ++n) {
      const auto in_group = static_cast<unsigned>(number(n0 + n) / Share::kOfRow);
      const auto column = static_cast<unsigned>(number(n0 + n) % Share::kOfRow * Share::kColumns);
      load_piece<c>(pieces[n], statistics + 16 * in_group,
                    rows + in_group * kSharedRow + 4 * column);
    }
    MLA_UNROLL for (int n = 0; n < Share::kAtOnce; ++n) {
      const ClusterPiece<c>& piece = pieces[n];
      const int head = head0 + number(n0 + n) / Share::kOfRow;
      const int column = number(n0 + n) % Share::kOfRow * Share::kColumns;
      if (!is_there(n0 + n)) break;
      float largest = -infinity(), weights = 0, exact_weights = 0;
      MLA_UNROLL for (const float x : piece.maxima) largest = maximum(largest, x);
      RowPart<Share::kColumns> all;
      clear(all);
      MLA_UNROLL for (int p = 0; p < c.cluster; ++p) {
        const float weight = exp2_fast(piece.maxima[p] - or_zero(largest));
        weights += weight * piece.sums[p];
        exact_weights += weight * piece.exacts[p];
        add_scaled(all, piece.rows[p], weight);
      }
      const bool speaks = column == 0 && speaks_for_wave();
      if (partials > 1) {
        const long long at = (static_cast<long long>(token) * args.heads + head) * partials + part;
        store(args.workspace + at * kHeadDim + column, all);
        if (!speaks) continue;
        float* mine = args.workspace +
                      static_cast<long long>(args.tokens) * args.heads * partials * kHeadDim +
                      at * kStatistics;
        mine[0] = largest;
        mine[1] = weights;
        mine[2] = exact_weights;
        continue;
      }
      write_row(args.out, token * args.out_token_stride + head * args.out_head_stride + column, all,
                normaliser(largest, weights, sinks[n0 + n]));
      if (args.lse != nullptr && speaks)
        args.lse[token * args.lse_token_stride + head] = lse_of(largest, weights, exact_weights);
    }
  }
  cluster_barrier();  // nobody leaves whose LDS is being read
}

}  // namespace mla
