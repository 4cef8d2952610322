// What the dispatcher costs the serving engine, with 10,000 winners and 500 code objects.

#include <benchmark/benchmark.h>
#include <dlfcn.h>
#include <malloc.h>

#include <filesystem>
#include <random>

#include "kernels/gpu_driver.hpp"
#include "kernels/mla_dispatch.h"
#include "tests/null/kernels/fake_driver.hpp"
#include "tests/null/kernels/some_bundle.hpp"

namespace mla {
namespace {

constexpr int kWinners = 10'000;
constexpr std::size_t kCodeObjects = 500;
constexpr std::size_t kCodeBytes = 12'000;  // about the mean of what gfx950's compress to

// Configs that a search may well have found, each with code of its own.
std::vector<Launch> launches() {
  std::vector<Launch> all;
  Launch launch = fallback_launch("gfx950", {.heads = 16, .tokens = 1, .main_len = 1});
  Config& c = launch.config;
  for (c.block_h = 16; c.block_h <= 64; c.block_h *= 2)
    for (c.block_k = 16; c.block_k <= 128; c.block_k *= 2)
      for (c.waves = 2; c.waves <= 8; c.waves *= 2)
        for (c.stages = 1; c.stages <= 2; ++c.stages)
          for (c.prefetch = 1; c.prefetch <= 3; ++c.prefetch)
            for (c.load_width = 8; c.load_width <= 16; c.load_width *= 2)
              for (c.waves_per_eu = 1; c.waves_per_eu <= 4; ++c.waves_per_eu)
                if (valid(c) && all.size() < kCodeObjects - 2) all.push_back(launch);
  return all;
}

// Incompressible, as compressed code is.
std::string code_of(const Launch&, bool reduces) {
  static std::mt19937_64 random(1);
  std::string code = reduces ? "reduce " : "decode ";
  while (code.size() < kCodeBytes) {
    const std::uint64_t word = random();
    code.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  return code;
}

class BundleFile {
 public:
  BundleFile() {
    test::SomeBundle bundle("gfx950", "7.2.4", code_of);
    const std::vector<Launch> known = launches();
    for (int i = 0; i < kWinners; ++i) {
      const int lengths[] = {0, 64, 256, 512, 781, 1024, 2048, 4096, 8192, 16384};
      const Query shape{.heads = 16 << i % 4,
                        .tokens = 1 + i / 80,
                        .main_len = 128,
                        .extra_len = lengths[i / 4 % 10],
                        .extra_page = i / 40 % 2 == 0 ? 64 : 2};
      const int config = i % static_cast<int>(known.size()), splits = 1 + i / 7 % 16;
      Launch launch = known[static_cast<std::size_t>(config)];
      launch.splits.split_extra = splits;
      if (seen_.insert(shape_key(shape)).second)
        bundle.add(shape, launch, config * 100 + splits, Evidence::measured, 5 + i % 97);
    }
    bundle.write(path_);
  }
  const std::string& path() const { return path_; }

 private:
  static std::string shape_key(const Query& q) {
    return std::to_string(q.heads) + " " + std::to_string(q.tokens) + " " +
           std::to_string(q.extra_len) + " " + std::to_string(q.extra_len > 0 ? q.extra_page : 0);
  }
  std::set<std::string> seen_;
  test::TempDir folder_;
  std::string path_ = folder_ / "bench.bundle";
};

const std::string& bundle_path() {
  static const BundleFile file;
  return file.path();
}

mla_dispatcher* opened(int device, bool eager) {
  mla_options options = mla_options_init();
  options.arch = "gfx950";
  options.driver = MLA_FAKE_HIP;
  options.eager = eager ? 1 : 0;
  mla_dispatcher* dispatcher = nullptr;
  if (mla_open(bundle_path().c_str(), device, &options, &dispatcher) != MLA_OK) std::abort();
  return dispatcher;
}

mla_problem some_problem() {
  mla_problem problem = mla_problem_init();
  problem.heads = 16;
  problem.tokens = 64;
  problem.main_capacity = 128;
  problem.extra_capacity = 1024;
  return problem;
}

void BM_CachedPlan(benchmark::State& state) {
  mla_dispatcher* dispatcher = opened(MLA_DEVICE_NONE, false);
  mla_problem problem = some_problem();
  const mla_launch_plan* plan = nullptr;
  for (problem.tokens = 1; problem.tokens <= 512; ++problem.tokens)
    mla_plan(dispatcher, &problem, &plan);
  std::int32_t tokens = 0;
  for (auto _ : state) {
    problem.tokens = 1 + (tokens++ & 511);
    mla_plan(dispatcher, &problem, &plan);
    benchmark::DoNotOptimize(plan);
  }
  mla_close(dispatcher);
}
BENCHMARK(BM_CachedPlan);

void BM_UnseenProblem(benchmark::State& state) {
  mla_dispatcher* dispatcher = opened(MLA_DEVICE_NONE, false);
  mla_problem problem = some_problem();
  const mla_launch_plan* plan = nullptr;
  std::mt19937 random(7);
  std::vector<mla_problem> problems;
  for (int i = 0; i < 60'000; ++i) {
    problem.heads = 16 << random() % 4;
    problem.tokens = static_cast<int>(1 + random() % 600);
    problem.main_capacity = static_cast<int>(1 + random() % 128);
    problem.extra_capacity = static_cast<int>(1 + random() % 9000);
    problems.push_back(problem);
  }
  std::size_t next = 0;
  for (auto _ : state) {
    if (mla_plan(dispatcher, &problems[next++], &plan) != MLA_OK) std::abort();
    benchmark::DoNotOptimize(plan);
  }
  mla_close(dispatcher);
}
BENCHMARK(BM_UnseenProblem)->Iterations(60'000);

double heap_bytes() {
  const auto use = ::mallinfo2();
  return static_cast<double>(use.uordblks + use.hblkhd);
}

// Memory is what the heap grew by, over the size of the file; a plan adds its own 400 bytes.
void BM_Open(benchmark::State& state) {
  bundle_path();
  for (auto _ : state) {
    mla_dispatcher* dispatcher = opened(0, state.range(0) != 0);
    state.PauseTiming();  // closing is another matter
    mla_close(dispatcher);
    state.ResumeTiming();
  }
  state.SetLabel(state.range(0) != 0 ? "eager" : "code on first use");
  const auto size = static_cast<double>(std::filesystem::file_size(bundle_path()));
  const double before = heap_bytes();
  mla_dispatcher* dispatcher = opened(0, state.range(0) != 0);
  state.counters["memory_of_bundle"] = (heap_bytes() - before) / size;
  state.counters["bundle_MB"] = size / 1e6;
  mla_close(dispatcher);
}
BENCHMARK(BM_Open)->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond);

// The same two launches, checked and translated, or bare; on a driver that does nothing.
void BM_Launch(benchmark::State& state) {
  void* library = ::dlopen(MLA_FAKE_HIP, RTLD_NOW);
  reinterpret_cast<FakeDriverOf>(::dlsym(library, "fake_driver"))()->writes = false;
  alignas(256) static unsigned char memory[256];
  mla_dispatcher* dispatcher = opened(0, false);
  const mla_problem problem = some_problem();
  const mla_launch_plan* plan = nullptr;
  mla_plan(dispatcher, &problem, &plan);
  mla_launch_args args = mla_launch_args_init();
  args.tokens = 64;
  args.heads = 16;
  args.q = args.out = memory;
  args.main = args.extra = {memory,
                            reinterpret_cast<int*>(memory),
                            reinterpret_cast<int*>(memory),
                            37440,
                            64,
                            1,
                            MLA_FP8_OCP,
                            0};
  for (auto _ : state)
    if (mla_launch(plan, &args, memory, std::size_t{1} << 40, nullptr) != MLA_OK) std::abort();
  mla_close(dispatcher);
}
BENCHMARK(BM_Launch);

void BM_BareLaunches(benchmark::State& state) {
  const GpuApi api = open_gpu_driver("gfx950", MLA_FAKE_HIP);
  void* library = ::dlopen(MLA_FAKE_HIP, RTLD_NOW);
  reinterpret_cast<FakeDriverOf>(::dlsym(library, "fake_driver"))()->writes = false;
  hipModule_t module = nullptr;
  hipFunction_t function = nullptr;
  api.hipModuleLoadData(&module, "decode");
  api.hipModuleGetFunction(&function, module, "entry");
  DecodeArgs args{};
  void* parameters[] = {&args};
  for (auto _ : state)
    for (int kernel = 0; kernel < 2; ++kernel)
      api.hipModuleLaunchKernel(function, 1, 1, 1, 64, 1, 1, 0, nullptr, parameters, nullptr);
  api.hipModuleUnload(module);
}
BENCHMARK(BM_BareLaunches);

}  // namespace
}  // namespace mla
