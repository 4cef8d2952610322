// Counting a search space: what `mla-tune space` waits for.

#include <benchmark/benchmark.h>

#include "tuner/arch.hpp"
#include "tuner/space.hpp"

namespace mla {
namespace {

void BM_LoadAndCountDecodeSpace(benchmark::State& state) {
  const Arch arch = load_arch(MLA_CONFIGS, "gfx950");
  for (auto _ : state) {
    const Space space = Space::load(MLA_CONFIGS, "sparse_mla_decode", arch);
    benchmark::DoNotOptimize(space.count());
  }
}
BENCHMARK(BM_LoadAndCountDecodeSpace)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mla
