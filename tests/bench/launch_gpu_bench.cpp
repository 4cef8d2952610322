// What mla_launch costs the host beside the bare driver launches that it makes: on NVIDIA's driver,
// with kernels that do nothing. Without a GPU these are skipped.

#include <benchmark/benchmark.h>

#include <chrono>
#include <memory>

#include "kernels/gpu_device.hpp"
#include "kernels/gpu_driver.hpp"
#include "kernels/mla_dispatch.h"
#include "tests/null/kernels/some_bundle.hpp"

namespace mla {
namespace {

constexpr int kLaunches = 200;  // of two kernels: fewer than the driver queues without waiting

// In PTX, which the driver compiles itself.
std::string nothing(std::size_t argument_bytes) {
  return ".version 7.0\n.target sm_70\n.address_size 64\n.visible .entry entry(.param .align 8 .b8 "
         "args[" +
         std::to_string(argument_bytes) + "]) { ret; }\n";
}

struct Setup {
  std::unique_ptr<Gpu> gpu;
  GpuMemory memory;
  mla_dispatcher* dispatcher = nullptr;
  const mla_launch_plan* plan = nullptr;
  mla_launch_args args = mla_launch_args_init();

  explicit Setup(const std::string& path) {
    GpuApi api = open_gpu_driver("sm_", "");
    if (api.hipInit(0) != kHipSuccess) throw Error(ErrorKind::device, "the driver does not start");
    gpu = std::make_unique<Gpu>(api, 0);
    memory = GpuMemory(*gpu, 64 << 20);
    const Query shape{.heads = 16, .tokens = 1, .main_len = 128, .extra_len = 1024};
    test::SomeBundle bundle(gpu->device().arch, "13.0", [](const Launch&, bool reduces) {
      return nothing(reduces ? sizeof(ReduceArgs) : sizeof(DecodeArgs));
    });
    bundle.add(shape, 4);
    bundle.write(path);
    mla_problem problem = mla_problem_init();
    problem.heads = 16;
    problem.tokens = 1;
    problem.main_capacity = 128;
    problem.extra_capacity = 1024;
    if (mla_open(path.c_str(), 0, nullptr, &dispatcher) != MLA_OK ||
        mla_plan(dispatcher, &problem, &plan) != MLA_OK)
      throw Error(ErrorKind::device, mla_last_error());
    args.tokens = 1;
    args.heads = 16;
    args.q = args.out = memory.as<void>();
    args.main = args.extra = {
        memory.as<void>(), memory.as<int>(), memory.as<int>(), 37440, 64, 1, MLA_FP8_OCP, 0};
  }
  ~Setup() { mla_close(dispatcher); }
};

// Times `launch` alone; the device is waited for in between.
template <class F>
void time_launches(benchmark::State& state, const Setup& setup, F launch) {
  for (auto _ : state) {
    const auto before = std::chrono::steady_clock::now();
    for (int i = 0; i < kLaunches; ++i) launch();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - before;
    state.SetIterationTime(took.count() / kLaunches);
    setup.gpu->synchronise();
  }
}

void BM_LaunchOnGpu(benchmark::State& state) try {
  const test::TempDir folder;
  const Setup setup(folder / "gpu.bundle");
  const bool bare = state.range(0) == 0;
  state.SetLabel(bare ? "two bare driver launches" : "mla_launch of two kernels");
  const GpuKernel decode(*setup.gpu, nothing(sizeof(DecodeArgs)), 0);
  const GpuKernel reduce(*setup.gpu, nothing(sizeof(ReduceArgs)), 0);
  DecodeArgs decode_args{};
  ReduceArgs reduce_args{};
  if (bare) {
    time_launches(state, setup, [&] {
      decode.launch({1, 1, 4}, 64, &decode_args);
      reduce.launch({1, 16, 1}, 32, &reduce_args);
    });
  } else {
    time_launches(state, setup, [&] {
      if (mla_launch(setup.plan, &setup.args, setup.memory.as<void>(), 64 << 20,
                     setup.gpu->stream()) != MLA_OK)
        throw Error(ErrorKind::device, mla_last_error());
    });
  }
} catch (const Error& error) {
  state.SkipWithError(error.what());
}
// An iteration is kLaunches of them and a wait: left to the time that one takes, there would be
// a hundred thousand.
BENCHMARK(BM_LaunchOnGpu)->Arg(0)->Arg(1)->UseManualTime()->Iterations(100);

}  // namespace
}  // namespace mla
