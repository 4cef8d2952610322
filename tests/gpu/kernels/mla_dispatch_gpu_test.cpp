// The production API on a GPU: results against float64, graphs, streams, threads, a model's layers.

#include <gmock/gmock.h>

#include <atomic>
#include <thread>

#include "kernels/gpu_device.hpp"
#include "kernels/gpu_driver.hpp"
#include "tests/gpu/kernels/mla_dispatch_c.h"
#include "tests/launch_case.hpp"

namespace mla {
namespace {

// The host process's own use of the GPU.
class DeviceMemory : public test::LaunchMemory {
 public:
  explicit DeviceMemory(const Gpu& gpu) : gpu_(gpu) {}
  void* take(std::size_t bytes) override {
    blocks_.emplace_back(gpu_, std::max<std::size_t>(bytes, 1));
    blocks_.back().poison();
    gpu_.synchronise();
    return blocks_.back().as<void>();
  }
  void write(void* to, const void* from, std::size_t bytes) override {
    gpu_.check(gpu_.api().hipMemcpyHtoDAsync(to, from, bytes, gpu_.stream()), "writing");
    gpu_.synchronise();
  }
  void read(void* to, const void* from, std::size_t bytes) override {
    gpu_.synchronise();
    gpu_.check(gpu_.api().hipMemcpyDtoHAsync(to, const_cast<void*>(from), bytes, gpu_.stream()),
               "reading");
    gpu_.synchronise();
  }

 private:
  const Gpu& gpu_;
  std::deque<GpuMemory> blocks_;
};

class DispatchOnGpu : public ::testing::Test {
 protected:
  static void SetUpTestSuite() try {
    ::unsetenv("MLA_DISPATCH");
    GpuApi api = open_gpu_driver("", "");
    if (api.hipInit(0) != kHipSuccess) throw Error(ErrorKind::device, "the driver does not start");
    gpu_ = std::make_unique<Gpu>(api, 0);
    const std::string arch = gpu_->device().arch;
    const FoundToolchain toolchain = toolchain_for(arch, search_from_environment());
    folder_ = std::make_unique<test::TempDir>();
    path_ = *folder_ / "gpu.bundle";
    test::SomeBundle bundle(arch, toolchain.record.release, test::compiling(toolchain, arch));
    Query shape{.heads = 16, .tokens = 8, .main_len = 128, .extra_len = 512};
    bundle.add(shape, 4);
    shape.extra_len = 0;
    bundle.add(shape, 2);
    bundle.write(path_);
  } catch (const Error& error) {
    missing_ = error.what();
  }
  static void TearDownTestSuite() {
    gpu_.reset();
    folder_.reset();
  }
  void SetUp() override {
    if (!missing_.empty()) GTEST_SKIP() << missing_;
    memory_ = std::make_unique<DeviceMemory>(*gpu_);
    ASSERT_EQ(mla_open(path_.c_str(), 0, nullptr, &dispatcher_), MLA_OK) << mla_last_error();
  }
  void TearDown() override { mla_close(dispatcher_); }

  const mla_launch_plan* plan(const mla_problem& problem) {
    const mla_launch_plan* plan = nullptr;
    EXPECT_EQ(mla_plan(dispatcher_, &problem, &plan), MLA_OK) << mla_last_error();
    return plan;
  }
  struct Workspace {
    void* memory;
    std::size_t bytes;
  };
  Workspace workspace(const std::vector<mla_problem>& problems) {
    std::int64_t bytes = 0;
    EXPECT_EQ(mla_workspace_bytes(dispatcher_, problems.data(), problems.size(), &bytes), MLA_OK);
    const auto size = static_cast<std::size_t>(bytes);
    return {memory_->take(size), size};
  }
  void launch(const test::LaunchCase& one, const Workspace& workspace, hipStream_t stream) {
    EXPECT_EQ(mla_launch(plan(one.problem), &one.args, workspace.memory, workspace.bytes, stream),
              MLA_OK)
        << mla_last_error();
  }
  static hipStream_t new_stream() {
    hipStream_t stream = nullptr;
    gpu_->check(gpu_->api().hipStreamCreateWithFlags(&stream, kHipStreamNonBlocking), "a stream");
    return stream;
  }
  static void wait(hipStream_t stream) {
    gpu_->check(gpu_->api().hipStreamSynchronize(stream), "waiting");
  }

  static inline std::unique_ptr<Gpu> gpu_;
  static inline std::unique_ptr<test::TempDir> folder_;
  static inline std::string path_, missing_;
  std::unique_ptr<DeviceMemory> memory_;
  mla_dispatcher* dispatcher_ = nullptr;
};

TEST_F(DispatchOnGpu, AgreesWithFloat64WhateverTheInputs) {
  ProblemRecord shapes[] = {
      test::decode_problem(16, 8, 128, 512),    test::decode_problem(16, 5, 128, 0),
      test::decode_problem(64, 3, 128, 781, 2), test::decode_problem(128, 2, 128, 1024),
      test::decode_problem(5, 9, 100, 333, 48), test::decode_problem(16, 1, 0, 700)};
  shapes[0].lengths = "ragged";
  shapes[2].main_format = 2;
  for (const ProblemRecord& shape : shapes) {
    test::LaunchCase one(*memory_, shape, test::troubled());
    launch(one, workspace({one.problem}), gpu_->stream());
    EXPECT_EQ(one.verdict(), "") << shape.num_heads << " heads, " << shape.extra_len << " keys";
  }
}

TEST_F(DispatchOnGpu, WorksFromC) {
  test::LaunchCase one(*memory_, test::decode_problem(16, 8, 128, 512), test::troubled());
  const Workspace room = workspace({one.problem});
  mla_dispatcher* own = nullptr;
  ASSERT_EQ(launch_in_c(path_.c_str(), 0, &one.problem, &one.args, room.memory, room.bytes, &own),
            MLA_OK)
      << mla_last_error();
  wait(nullptr);
  EXPECT_EQ(one.verdict(), "");
  mla_close(own);
}

TEST_F(DispatchOnGpu, AGraphIsReplayedWithLongerAndShorterLists) {
  const ProblemRecord capacity = test::decode_problem(16, 8, 128, 1024);
  InputOptions options;
  options.seed = 1;
  test::LaunchCase one(*memory_, capacity, options);
  const Workspace room = workspace({one.problem});
  const GpuGraph graph(*gpu_, [&] { launch(one, room, gpu_->stream()); });
  int seed = 2;
  for (const auto& [main, extra] :
       {std::pair(128, 1024), {40, 17}, {0, 0}, {128, 600}, {1, 1024}}) {
    ProblemRecord record = capacity;
    record.main_len = main;
    record.extra_len = extra;
    record.lengths = "ragged";
    options.seed = static_cast<std::uint64_t>(seed++);
    options.empty_rows = extra == 600;
    one.replace(record, options);
    graph.launch();
    EXPECT_EQ(one.verdict(), "") << main << " + " << extra;
  }
}

TEST_F(DispatchOnGpu, LoadsCodeWhileAStreamIsCaptured) {
  test::LaunchCase one(*memory_, test::decode_problem(16, 8, 128, 512), test::troubled());
  const Workspace room{memory_->take(1 << 24), 1 << 24};
  mla_dispatcher_info info = mla_dispatcher_info_init();
  ASSERT_EQ(mla_get_dispatcher_info(dispatcher_, &info), MLA_OK);
  ASSERT_EQ(info.code_objects, 0);
  const GpuGraph graph(*gpu_, [&] { launch(one, room, gpu_->stream()); });
  graph.launch();
  EXPECT_EQ(one.verdict(), "");
}

TEST_F(DispatchOnGpu, TwoStreamsWithAWorkspaceEachDoNotMeet) {
  std::deque<test::LaunchCase> cases;
  std::vector<Workspace> rooms;
  hipStream_t streams[] = {new_stream(), new_stream()};
  for (std::uint64_t i = 0; i < 2; ++i) {
    cases.emplace_back(*memory_, test::decode_problem(64, 16, 128, 1024), test::troubled(i));
    rooms.push_back(workspace({cases.back().problem}));
  }
  for (int round = 0; round < 50; ++round)
    for (std::size_t i = 0; i < 2; ++i) launch(cases[i], rooms[i], streams[i]);
  for (std::size_t i = 0; i < 2; ++i) {
    wait(streams[i]);
    EXPECT_EQ(cases[i].verdict(), "");
    gpu_->api().hipStreamDestroy(streams[i]);
  }
}

TEST_F(DispatchOnGpu, EightThreadsWithoutAContextLaunchAtOnce) {
  std::deque<test::LaunchCase> cases;
  std::vector<Workspace> rooms;
  std::vector<hipStream_t> streams;
  for (std::uint64_t i = 0; i < 8; ++i) {
    const int extra = i % 2 == 0 ? 512 : 0;
    cases.emplace_back(*memory_, test::decode_problem(16, static_cast<int>(i) + 1, 128, extra),
                       test::troubled(i));
    rooms.push_back(workspace({cases.back().problem}));
    streams.push_back(new_stream());
  }
  std::atomic<int> wrong = 0;
  {
    std::vector<std::jthread> threads;
    for (std::size_t i = 0; i < 8; ++i) {
      threads.emplace_back([&, i] {
        for (int round = 0; round < 100; ++round) {
          const mla_launch_plan* made = nullptr;
          wrong += mla_plan(dispatcher_, &cases[i].problem, &made) != MLA_OK ||
                   mla_launch(made, &cases[i].args, rooms[i].memory, rooms[i].bytes, streams[i]) !=
                       MLA_OK;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  for (std::size_t i = 0; i < 8; ++i) {
    wait(streams[i]);
    EXPECT_EQ(cases[i].verdict(), "");
    gpu_->api().hipStreamDestroy(streams[i]);
  }
}

// DeepSeek-V4-Pro on one rank of eight: layers 0 and 1 HCA, then CSA and HCA by turns; the last one
// here is the SWA layer of multi-token prediction.
TEST_F(DispatchOnGpu, SixtyOneLayersInOneGraph) {
  const ProblemRecord kinds[] = {test::decode_problem(16, 8, 128, 0),
                                 test::decode_problem(16, 8, 128, 1024),
                                 test::decode_problem(16, 8, 128, 781, 2)};
  std::deque<test::LaunchCase> layers;
  std::vector<mla_problem> problems;
  for (int layer = 0; layer < 61; ++layer) {
    const int kind = layer == 60 ? 0 : layer < 2 || layer % 2 == 1 ? 2 : 1;
    InputOptions options;
    options.seed = static_cast<std::uint64_t>(layer) + 1;
    options.invalid_fraction = 0.05;
    options.max_rows = 1 << 12;
    layers.emplace_back(*memory_, kinds[kind], options);
    problems.push_back(layers.back().problem);
  }
  const Workspace room = workspace(problems);
  const GpuGraph graph(*gpu_, [&] {
    for (const test::LaunchCase& layer : layers) launch(layer, room, gpu_->stream());
  });
  for (int replay = 0; replay < 2; ++replay) {
    for (test::LaunchCase& layer : layers) layer.poison();
    graph.launch();
    for (std::size_t i = 0; i < layers.size(); i += replay == 0 ? 1 : 10)
      EXPECT_EQ(layers[i].verdict(), "") << "layer " << i;
  }
}

}  // namespace
}  // namespace mla
