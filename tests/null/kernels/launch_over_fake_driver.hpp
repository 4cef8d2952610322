#pragma once

// A dispatcher over a driver that writes down what it is told. Its bundle has winners for 16 heads
// and 128 + 1024 keys: for 8 tokens in four splits, for 128 in one cluster, for 32 in three
// clusters whose last workgroup merges; and for 8 tokens of 128 + 64 keys in one split.

#include <dlfcn.h>
#include <gtest/gtest.h>

#include <string>

#include "kernels/mla_dispatch.h"
#include "tests/null/kernels/fake_driver.hpp"
#include "tests/null/kernels/some_bundle.hpp"

namespace mla::test {

// The parameter: the driver's library, with CUDA's names or with HIP's.
class LaunchOverFakeDriver : public ::testing::TestWithParam<const char*> {
 protected:
  static constexpr Query kShape{.heads = 16, .tokens = 8, .main_len = 128, .extra_len = 1024};

  void SetUp() override {
    ::unsetenv("MLA_DISPATCH");
    void* library = ::dlopen(GetParam(), RTLD_NOW | RTLD_LOCAL);
    ASSERT_NE(library, nullptr) << ::dlerror();
    driver_ = reinterpret_cast<FakeDriverOf>(::dlsym(library, "fake_driver"))();
    current_ = reinterpret_cast<FakeCurrent>(::dlsym(library, "fake_current"))();
    hip_ = std::string(GetParam()).find("hip") != std::string::npos;
    reset();
    SomeBundle bundle(hip_ ? "gfx950" : "sm_90", hip_ ? "7.2.4" : "13.0");
    bundle.add(kShape, 4);
    Query small = kShape;
    small.extra_len = 64;
    bundle.add(small, 1);
    Query clustered = kShape;
    clustered.tokens = 128;
    mla::Launch launch = fallback_launch(hip_ ? "gfx950" : "sm_90", kShape);
    launch.config.wave_split = WaveSplit::weights;
    launch.config.query_in = QueryIn::lds;
    launch.config.block_k = 64;
    launch.config.waves = 4;
    launch.config.mfma = 16;
    launch.config.block_h = 16;
    launch.config.cluster = 4;
    launch.splits = {0, 4, SplitMap::contiguous};
    bundle.add(clustered, launch, 40, Evidence::measured, 10);
    Query last = kShape;
    last.tokens = 32;
    launch.config.merge = Merge::last;
    launch.splits.split_extra = 12;
    launch.splits.grid_order = GridOrder::heads;
    bundle.add(last, launch, 41, Evidence::measured, 10);
    bundle.write(path_);
    options_.driver = GetParam();
  }
  void TearDown() override { mla_close(dispatcher_); }

  void reset() {
    driver_->launches.clear();
    for (std::atomic<int>* count :
         {&driver_->loads, &driver_->unloads, &driver_->waits, &driver_->launched,
          &driver_->fail_launch, &driver_->fail_load, &driver_->strict_loads})
      *count = 0;
    *current_ = hip_ ? 0 : -1;
  }
  void open(int device = 1) {
    ASSERT_EQ(mla_open(path_.c_str(), device, &options_, &dispatcher_), MLA_OK) << mla_last_error();
  }
  const mla_launch_plan* plan(int extra = 1024, int tokens = 8) {
    mla_problem problem = mla_problem_init();
    problem.heads = 16;
    problem.tokens = tokens;
    problem.main_capacity = 128;
    problem.extra_capacity = extra;
    problem.has_sink = problem.wants_lse = 1;
    const mla_launch_plan* plan = nullptr;
    EXPECT_EQ(mla_plan(dispatcher_, &problem, &plan), MLA_OK) << mla_last_error();
    return plan;
  }
  static mla_launch_args some_args() {
    mla_launch_args args = mla_launch_args_init();
    const auto* words = reinterpret_cast<const std::int32_t*>(memory);
    args.tokens = 8;
    args.heads = 16;
    args.q = memory;
    args.q_token_stride = 8200;
    args.q_head_stride = 520;
    args.main = {memory + 16, words + 1, words + 2, 37440, 64, 1000, MLA_FP8_OCP, 0};
    args.extra = {memory + 32, words + 3, words + 4, 37456, 64, 2000, MLA_FP8_OCP, 1};
    args.sink = reinterpret_cast<float*>(memory + 44);
    args.out = memory + 48;
    args.out_token_stride = 8204;
    args.out_head_stride = 512;
    args.lse = reinterpret_cast<float*>(memory + 52);
    args.lse_token_stride = 17;
    args.scale = 0.5f;
    return args;
  }
  mla_status launch(const mla_launch_plan* plan, const mla_launch_args& args) {
    return mla_launch(plan, &args, memory, 1 << 30, stream_);
  }

  // Where all pointers of a launch point to, its workspace's too.
  alignas(256) static inline unsigned char memory[1 << 15];

  FakeDriver* driver_ = nullptr;
  int* current_ = nullptr;
  bool hip_ = false;
  TempDir folder_;
  std::string path_ = folder_ / "b.bundle";
  mla_options options_ = mla_options_init();
  mla_dispatcher* dispatcher_ = nullptr;
  void* stream_ = memory + 8;
};

}  // namespace mla::test
