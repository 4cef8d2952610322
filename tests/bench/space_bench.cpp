// Counting a search space: what `mla-tune space` waits for.

#include <benchmark/benchmark.h>

#include "tuner/space.hpp"

namespace mla {
namespace {

void BM_LoadAndCountDecodeSpace(benchmark::State& state) {
  for (auto _ : state) {
    const Space space = Space::load(MLA_CONFIGS, "sparse_mla_decode", "gfx950");
    benchmark::DoNotOptimize(space.count());
  }
}
BENCHMARK(BM_LoadAndCountDecodeSpace)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mla
