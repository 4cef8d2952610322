#pragma once

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tests/null/db/fixture.hpp"

namespace mla::test {

inline ProblemRecord problem_record(const Query& shape) {
  return {.kernel = "sparse_mla_decode",
          .num_heads = shape.heads,
          .num_tokens = shape.tokens,
          .main_len = shape.main_len,
          .extra_len = shape.extra_len,
          .main_page = shape.main_page,
          .extra_page = shape.extra_len == 0 ? 0 : shape.extra_page,
          .main_format = static_cast<int>(shape.main_format),
          .extra_format = static_cast<int>(shape.extra_format)};
}

// A winner that can be told from others by its split_extra.
inline Winner winner(const Query& shape, int mark, Evidence evidence = Evidence::measured,
                     double median_us = 10) {
  Launch launch = fallback_launch("gfx950", {.heads = 16, .tokens = 1, .main_len = 1});
  launch.splits = {.split_main = 1, .split_extra = mark, .split_map = SplitMap::contiguous};
  Winner w;
  w.arch = "gfx950";
  w.problem = problem_record(shape);
  w.rocm = "7.2.4";
  w.variant = key(mark);
  w.params = variant_params(launch);
  w.evidence = evidence;
  w.median_us = median_us;
  return w;
}

// The same in `splits` splits, of which clusters of so many workgroups merge theirs.
inline Winner in_clusters(Winner w, int cluster, int splits) {
  Launch launch = variant_launch(w.params);
  launch.config.wave_split = WaveSplit::weights;
  launch.config.query_in = QueryIn::lds;
  launch.config.block_k = 64;
  launch.config.cluster = cluster;
  launch.splits = {0, splits, SplitMap::contiguous};
  w.params = variant_params(launch);
  return w;
}

inline Query query(int heads, int tokens, int main_len, int extra_len) {
  return {.heads = heads, .tokens = tokens, .main_len = main_len, .extra_len = extra_len};
}

}  // namespace mla::test
