// What a lookup costs the serving engine, by how many shapes were tuned.

#include <benchmark/benchmark.h>

#include <vector>

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"

namespace mla {
namespace {

std::vector<Winner> winners(int count) {
  std::vector<Winner> all;
  const Query shape{.heads = 16, .tokens = 1, .main_len = 128, .extra_len = 1024};
  const std::string params = variant_params(fallback_launch("gfx950", shape));
  for (int i = 0; i < count; ++i) {
    Winner winner;
    winner.arch = "gfx950";
    winner.problem.kernel = "sparse_mla_decode";
    winner.problem.num_heads = 16 << (i % 4);
    winner.problem.num_tokens = 1 + i / 4;
    winner.problem.main_len = 128;
    winner.problem.extra_len = 1024;
    winner.problem.main_page = winner.problem.extra_page = 64;
    winner.rocm = "7.2.4";
    winner.variant = std::string(32, 'a');
    winner.params = params;
    winner.evidence = Evidence::predicted;
    winner.median_us = 10;
    all.push_back(winner);
  }
  return all;
}

void BM_LookupExact(benchmark::State& state) {
  const DispatchTable table("gfx950", winners(static_cast<int>(state.range(0))));
  const Query query{.heads = 16, .tokens = 1, .main_len = 128, .extra_len = 1024};
  for (auto _ : state) benchmark::DoNotOptimize(table.lookup(query));
}
BENCHMARK(BM_LookupExact)->Range(8, 4096);

void BM_LookupNearest(benchmark::State& state) {
  const DispatchTable table("gfx950", winners(static_cast<int>(state.range(0))));
  const Query query{.heads = 32, .tokens = 3, .main_len = 100, .extra_len = 900};
  for (auto _ : state) benchmark::DoNotOptimize(table.lookup(query));
}
BENCHMARK(BM_LookupNearest)->Range(8, 4096);

}  // namespace
}  // namespace mla
