// The float64 reference and the inputs it works on: what checking a variant costs.

#include <benchmark/benchmark.h>

#include "kernels/reference.hpp"

namespace mla {
namespace {

ProblemRecord problem(std::int64_t tokens) {
  ProblemRecord p;
  p.kernel = "sparse_mla_decode";
  p.num_heads = 16;
  p.num_tokens = static_cast<int>(tokens);
  p.main_len = 128;
  p.extra_len = 512;
  p.main_page = p.extra_page = 64;
  return p;
}

void BM_MakeInputs(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(make_inputs(problem(state.range(0)), {.seed = 1}));
}
BENCHMARK(BM_MakeInputs)->Arg(1)->Arg(8)->Unit(benchmark::kMillisecond);

void BM_Reference(benchmark::State& state) {
  const ProblemData data = make_inputs(problem(state.range(0)), {.seed = 1});
  for (auto _ : state) benchmark::DoNotOptimize(compute_reference(data));
}
BENCHMARK(BM_Reference)->Arg(1)->Arg(8)->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace mla
