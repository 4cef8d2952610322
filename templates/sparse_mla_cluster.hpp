#pragma once

// Config::cluster: splits of a row whose workgroups can read each other's LDS do among themselves
// what sparse_mla_reduce does, by the same formulas, before anything leaves the chip.

#include "sparse_mla_pipeline.hpp"

namespace mla {

// Each workgroup of the cluster does it for as many heads. `statistics` and `rows`: 16 and
// kSharedRow bytes a head of LDS that is no longer read. Writes out and LSE, or where there are
// several clusters the partial result of this one.
template <Config c>
MLA_DEVICE void merge_cluster(const DecodeArgs& args, const HeadColumns<c>& out,
                              const AllHeads<c>& max, const AllHeads<c>& sum,
                              const AllHeads<c>& exact, int token, int head0, int split, int splits,
                              LdsPtr statistics, LdsPtr rows, int wave) {
  if (wave == 0) share_statistics<c>(statistics, max, sum, exact);
  share_rows<c>(rows, out, wave);
  cluster_barrier();
  constexpr int kHeads = c.block_h / c.cluster;
  const int partials = splits / c.cluster, part = split / c.cluster;
  for (int n = wave; n < kHeads; n += c.waves) {
    const int in_group = split % c.cluster * kHeads + n, head = head0 + in_group;
    if (head >= args.heads) break;
    RowPart<kHeadDim> all, row[c.cluster];
    float maxima[c.cluster], sums[c.cluster], exacts[c.cluster];
    MLA_UNROLL for (int p = 0; p < c.cluster; ++p) {
      const auto s = read_of_peer(statistics + static_cast<unsigned>(16 * in_group), p);
      maxima[p] = s.x;
      sums[p] = s.y;
      exacts[p] = s.z;
      load_of_peer(row[p], rows + static_cast<unsigned>(in_group) * kSharedRow, p);
    }
    float largest = -infinity(), weights = 0, exact_weights = 0;
    MLA_UNROLL for (const float x : maxima) largest = maximum(largest, x);
    const float offset = largest == -infinity() ? 0.0f : largest;
    clear(all);
    MLA_UNROLL for (int p = 0; p < c.cluster; ++p) {
      const float weight = exp2_fast(maxima[p] - offset);
      weights += weight * sums[p];
      exact_weights += weight * exacts[p];
      add_scaled(all, row[p], weight);
    }
    if (partials > 1) {
      const long long at = (static_cast<long long>(token) * args.heads + head) * partials + part;
      store(args.workspace + at * kHeadDim, all);
      if (!speaks_for_wave()) continue;
      float* mine = args.workspace +
                    static_cast<long long>(args.tokens) * args.heads * partials * kHeadDim +
                    at * kStatistics;
      mine[0] = largest;
      mine[1] = weights;
      mine[2] = exact_weights;
      continue;
    }
    const float sink = args.sink != nullptr ? args.sink[head] * kLog2E : -infinity();
    write_row(args.out, token * args.out_token_stride + head * args.out_head_stride, all,
              weights == 0 ? 0.0f : 1.0f / (weights + exp2_fast(sink - offset)));
    if (args.lse != nullptr && speaks_for_wave()) {
      args.lse[token * args.lse_token_stride + head] =
          weights == 0 ? infinity() : (largest + log2_fast(exact_weights)) * kLn2;
    }
  }
  cluster_barrier();  // nobody leaves whose LDS is being read
}

}  // namespace mla
