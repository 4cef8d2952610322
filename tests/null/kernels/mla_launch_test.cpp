// mla_launch over a driver that writes down what it is told, once with CUDA's names and once with
// HIP's.

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>
#include <thread>

#include "db/bundle_seal.hpp"
#include "tests/null/kernels/launch_over_fake_driver.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;

class Launch : public test::LaunchOverFakeDriver {};

TEST_P(Launch, HandsTheKernelsWhatTheCallerGave) {
  open();
  const mla_launch_args args = some_args();
  ASSERT_EQ(launch(plan(), args), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 2u);
  const FakeLaunch& first = driver_->launches[0];
  EXPECT_THAT(first.function->code, HasSubstr("decode"));
  EXPECT_EQ(first.grid.x, 8u);
  EXPECT_EQ(first.grid.z, 4u);
  EXPECT_EQ(first.block, hip_ ? 128u : 64u);
  EXPECT_EQ(first.dynamic_lds, hip_ ? 0u : static_cast<unsigned>(first.function->dynamic_lds));
  EXPECT_EQ(first.function->large_clusters, hip_ ? 0 : 1);
  EXPECT_EQ(first.stream, stream_);
  EXPECT_EQ(first.device, 1);
  const DecodeArgs& got = first.decode;
  EXPECT_EQ(got.q, args.q);
  EXPECT_EQ(got.q_token_stride, 8200);
  EXPECT_EQ(got.q_head_stride, 520);
  EXPECT_EQ(got.main.cache, args.main.cache);
  EXPECT_EQ(got.main.indices, args.main.indices);
  EXPECT_EQ(got.main.indptr, args.main.indptr);
  EXPECT_EQ(got.main.page_stride, 37440);
  EXPECT_EQ(got.main.rows, 1000);
  EXPECT_EQ(got.extra.indptr, args.extra.indptr);
  EXPECT_EQ(got.extra.page_size, 64);
  EXPECT_EQ(got.main.ragged, 0);
  EXPECT_EQ(got.extra.ragged, 1);
  EXPECT_EQ(got.extra.rows, 2000);
  EXPECT_EQ(got.sink, args.sink);
  EXPECT_EQ(got.out, args.out);
  EXPECT_EQ(got.out_token_stride, 8204);
  EXPECT_EQ(got.lse, args.lse);
  EXPECT_EQ(got.lse_token_stride, 17);
  EXPECT_EQ(got.workspace, reinterpret_cast<float*>(memory));
  EXPECT_EQ(got.scale, 0.5f);
  EXPECT_EQ(got.split_main, 0);
  EXPECT_EQ(got.split_extra, 4);
  const FakeLaunch& second = driver_->launches[1];
  EXPECT_THAT(second.function->code, HasSubstr("reduce"));
  EXPECT_FALSE(first.overlaps) << "whatever the caller launched before";
  EXPECT_EQ(second.overlaps, !hip_) << "it waits for the first itself";
  EXPECT_EQ(second.grid.y, 16u);
  EXPECT_EQ(second.reduce.workspace, reinterpret_cast<float*>(memory));
  EXPECT_EQ(second.reduce.splits, 4);
  EXPECT_EQ(second.reduce.tokens, 8);
  EXPECT_EQ(second.reduce.out, args.out);
  EXPECT_EQ(second.reduce.sink, args.sink);
  EXPECT_EQ(second.reduce.lse, args.lse);
}

// Puts a bundle back to format 1, as an older mla-tune wrote it.
void make_format_1(const std::string& path) {
  constexpr std::size_t kUserVersionEnds = 63;  // in SQLite's header
  std::ifstream in(path, std::ios::binary);
  std::string image{std::istreambuf_iterator<char>(in), {}};
  image.resize(image.size() - kSealBytes);
  ASSERT_EQ(image[kUserVersionEnds], 2);
  image[kUserVersionEnds] = 1;
  seal(image, nullptr);
  std::ofstream(path, std::ios::binary) << image;
}

TEST_P(Launch, KeepsKernelsApartWhoseReduceDoesNotWait) {
  make_format_1(path_);
  open();
  ASSERT_EQ(launch(plan(), some_args()), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 2u);
  EXPECT_FALSE(driver_->launches[1].overlaps);
}

TEST_P(Launch, OfOneSplitIsOneKernelWithoutAWorkspace) {
  open();
  mla_launch_args args = some_args();
  ASSERT_EQ(mla_launch(plan(64), &args, nullptr, 0, nullptr), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 1u);
  EXPECT_EQ(driver_->launches[0].decode.workspace, nullptr);
}

TEST_P(Launch, OfOneClusterARowIsOneKernelWithoutAWorkspace) {
  open();
  mla_launch_args args = some_args();
  args.tokens = 128;
  ASSERT_EQ(mla_launch(plan(1024, 128), &args, nullptr, 0, nullptr), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 1u);
  EXPECT_EQ(driver_->launches[0].grid.z, 4u);
  EXPECT_EQ(driver_->launches[0].decode.split_extra, 4);
  EXPECT_EQ(driver_->launches[0].decode.workspace, nullptr);
}

TEST_P(Launch, WhereWorkspacesBeganAsZerosTheLastWorkgroupMerges) {
  options_.zeroed_workspaces = 1;
  open();
  mla_launch_args args = some_args();
  ASSERT_EQ(launch(plan(1024, 32), args), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 1u);
  const DecodeArgs got = driver_->launches[0].decode;
  EXPECT_EQ(got.arrivals, reinterpret_cast<unsigned*>(memory));
  EXPECT_EQ(got.grid_order, GridOrder::heads);
  EXPECT_EQ(got.workspace, reinterpret_cast<float*>(memory + MLA_COUNTER_BYTES));
  // What the same workspace serves besides leaves the counters alone.
  ASSERT_EQ(launch(plan(), args), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 3u);
  EXPECT_EQ(driver_->launches[1].decode.arrivals, nullptr);
  EXPECT_EQ(driver_->launches[1].decode.workspace, got.workspace);
  EXPECT_EQ(driver_->launches[2].reduce.workspace, got.workspace);
  ASSERT_EQ(mla_launch(plan(64), &args, nullptr, 0, nullptr), MLA_OK) << "it splits nothing";
}

TEST_P(Launch, WhereTheyDidNotAReduceKernelIsBorrowed) {
  open();
  ASSERT_EQ(launch(plan(1024, 32), some_args()), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 2u);
  EXPECT_EQ(driver_->launches[0].decode.arrivals, nullptr);
  EXPECT_EQ(driver_->launches[0].decode.workspace, reinterpret_cast<float*>(memory));
  EXPECT_THAT(driver_->launches[1].function->code, HasSubstr("reduce"));
  EXPECT_EQ(driver_->launches[1].reduce.splits, 3) << "clusters of four";
}

TEST_P(Launch, OfAWinnerThatNeverSplitsReducesAsTheFallbackDoesWhereItIsSplit) {
  open();
  mla_launch_args args = some_args();
  args.tokens = 1;
  ASSERT_EQ(launch(plan(64, 1), args), MLA_OK) << mla_last_error();
  ASSERT_EQ(driver_->launches.size(), 2u);
  EXPECT_EQ(driver_->launches[0].decode.split_extra, 6) << "a tile each";
  const FakeLaunch& second = driver_->launches[1];
  EXPECT_THAT(second.function->code, HasSubstr("reduce"));
  EXPECT_EQ(second.grid.y, 16u);
  EXPECT_EQ(second.block, hip_ ? 64u : 32u);
  EXPECT_EQ(second.reduce.splits, 6);
}

TEST_P(Launch, LeavesTheThreadsDeviceAsItWas) {
  *current_ = 0;
  open();
  EXPECT_EQ(*current_, 0);
  ASSERT_EQ(launch(plan(), some_args()), MLA_OK);
  EXPECT_EQ(*current_, 0);
  EXPECT_EQ(driver_->launches[0].device, 1);
  if (!hip_) {
    std::thread([&] {  // no context at all
      EXPECT_EQ(launch(plan(64), some_args()), MLA_OK) << mla_last_error();
    })
        .join();
  }
  *current_ = 1;
  ASSERT_EQ(launch(plan(), some_args()), MLA_OK);
  EXPECT_EQ(*current_, 1);
}

TEST_P(Launch, LoadsACodeObjectOnceAndAtTheFirstPlanThatNeedsIt) {
  open();
  EXPECT_EQ(driver_->loads, 0);
  plan();
  EXPECT_EQ(driver_->loads, 2);
  EXPECT_EQ(driver_->strict_loads, 0) << "a capture elsewhere in the process is not disturbed";
  plan(1024, 7);
  plan(64);
  EXPECT_EQ(driver_->loads, 2) << "another split count is no other code";
  mla_close(dispatcher_);
  dispatcher_ = nullptr;
  EXPECT_EQ(driver_->unloads, 2);
}

TEST_P(Launch, LoadsEverythingAtOnceWhereAsked) {
  options_.eager = 1;
  open();
  const int loads = driver_->loads;
  EXPECT_GE(loads, 2);
  plan();
  plan(64);
  plan(100000);
  EXPECT_EQ(driver_->loads, loads);
}

TEST_P(Launch, TakesFewerTokensThanPlanned) {
  open();
  mla_launch_args args = some_args();
  args.tokens = 3;
  const std::size_t enough = 3ull * 16 * 4 * 515 * 4;
  EXPECT_EQ(mla_launch(plan(), &args, memory, enough - 1, nullptr), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr(std::to_string(enough)));
  ASSERT_EQ(mla_launch(plan(), &args, memory, enough, nullptr), MLA_OK);
  EXPECT_EQ(driver_->launches[0].grid.x, 3u);
  EXPECT_EQ(driver_->launches[1].grid.x, 3u);
  EXPECT_EQ(driver_->launches[1].reduce.tokens, 3);
  args.tokens = 0;
  ASSERT_EQ(mla_launch(plan(), &args, nullptr, 0, nullptr), MLA_OK);
  EXPECT_EQ(driver_->launches.size(), 2u) << "nothing to do";
}

TEST_P(Launch, RefusesArgumentsThatDoNotFitThePlan) {
  open();
  const mla_launch_plan* made = plan();
  const auto refused = [&](auto change) {
    mla_launch_args args = some_args();
    change(args);
    EXPECT_EQ(launch(made, args), MLA_ERROR_USAGE);
    return std::string(mla_last_error());
  };
  EXPECT_THAT(refused([](mla_launch_args& a) { a.size = 8; }), HasSubstr("size"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.heads = 8; }), HasSubstr("heads"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.tokens = 9; }), HasSubstr("tokens"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.tokens = -1; }), HasSubstr("tokens"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.q = nullptr; }), HasSubstr("q or out"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.q = memory + 8; }), HasSubstr("16-byte"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.q_head_stride = 516; }), HasSubstr("16-byte"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.out = memory + 4; }), HasSubstr("8-byte"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.sink = nullptr; }), HasSubstr("sink"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.lse = nullptr; }), HasSubstr("lse"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.scale = 0; }), HasSubstr("scale"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.extra = {}; }), HasSubstr("lacks its cache"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.main.indices = nullptr; }), HasSubstr("lacks"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.main.page_size = 2; }), HasSubstr("page_size"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.extra.format = 2; }), HasSubstr("format"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.extra.page_stride = 8; }), HasSubstr("multiple"));
  EXPECT_THAT(refused([](mla_launch_args& a) { a.main.page_stride = 64 * 576; }),
              HasSubstr("overlap"));
  mla_launch_args args = some_args();
  EXPECT_EQ(mla_launch(made, &args, nullptr, 0, nullptr), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_launch(made, &args, memory + 16, 1 << 30, nullptr), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("256"));
  EXPECT_EQ(launch(plan(0), args), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("capacity"));
  EXPECT_EQ(driver_->launched, 0);
}

TEST_P(Launch, SaysWhatTheDriverSaid) {
  open();
  const mla_launch_plan* made = plan();
  driver_->fail_launch = 719;
  EXPECT_EQ(launch(made, some_args()), MLA_ERROR_DEVICE);
  EXPECT_THAT(mla_last_error(), HasSubstr("a fake error (error 719)"));
  EXPECT_EQ(driver_->launched, 1) << "no reduce after a decode that was refused";
  driver_->fail_launch = 0;
  EXPECT_EQ(launch(made, some_args()), MLA_OK);
}

TEST_P(Launch, ACodeObjectThatTheDriverRefusesCostsThatPlanAlone) {
  open();
  driver_->fail_load = 209;
  mla_problem problem = mla_problem_init();
  problem.heads = 16;
  problem.tokens = 8;
  problem.main_capacity = 128;
  const mla_launch_plan* none = nullptr;
  EXPECT_EQ(mla_plan(dispatcher_, &problem, &none), MLA_ERROR_DEVICE);
  EXPECT_THAT(mla_last_error(), HasSubstr("loading a code object"));
  driver_->fail_load = 0;
  EXPECT_EQ(mla_plan(dispatcher_, &problem, &none), MLA_OK);
}

TEST_P(Launch, RefusesADeviceThatIsNotThereOrOfAnotherArch) {
  EXPECT_EQ(mla_open(path_.c_str(), 2, &options_, &dispatcher_), MLA_ERROR_DEVICE);
  EXPECT_THAT(mla_last_error(), HasSubstr("no device 2: it has 2"));
  options_.arch = "gfx942";
  EXPECT_EQ(mla_open(path_.c_str(), 0, &options_, &dispatcher_), MLA_ERROR_ARCH);
  options_.arch = nullptr;
  const std::string other = folder_ / "other.bundle";
  test::SomeBundle("gfx942").write(other);
  EXPECT_EQ(mla_open(other.c_str(), 0, &options_, &dispatcher_), MLA_ERROR_ARCH);
  EXPECT_THAT(mla_last_error(), HasSubstr("holds kernels for gfx942"));
  options_.driver = "/nowhere/libdriver.so";
  EXPECT_EQ(mla_open(path_.c_str(), 0, &options_, &dispatcher_), MLA_ERROR_DEVICE);
  EXPECT_THAT(mla_last_error(), HasSubstr("/nowhere/libdriver.so"));
}

TEST_P(Launch, KnowsTheReleaseThatRunsHere) {
  open();
  mla_dispatcher_info about = mla_dispatcher_info_init();
  ASSERT_EQ(mla_get_dispatcher_info(dispatcher_, &about), MLA_OK);
  EXPECT_STREQ(about.release, hip_ ? "7.2" : "13.0");
  EXPECT_STREQ(about.device, "a fake");
  EXPECT_EQ(about.has_code, 1);
  mla_plan_info info = mla_plan_info_init();
  ASSERT_EQ(mla_get_plan_info(plan(), &info), MLA_OK);
  EXPECT_EQ(info.release_differs, 0);
  EXPECT_EQ(info.has_code, 1);
}

TEST_P(Launch, EightThreadsPlanAndLaunchAtOnce) {
  open();
  std::atomic<int> wrong = 0;
  std::vector<const mla_launch_plan*> seen[8];
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&, t] {
        for (int i = 0; i < 400; ++i) {
          const mla_launch_plan* made = plan(64 + i % 100 * 20, 8);
          seen[t].push_back(made);
          wrong += launch(made, some_args()) != MLA_OK;
        }
      });
    }
  }
  EXPECT_EQ(wrong, 0);
  for (int t = 1; t < 8; ++t) EXPECT_EQ(seen[t], seen[0]) << "one plan for each problem";
  EXPECT_EQ(driver_->loads, 2);
  EXPECT_EQ(driver_->waits, 0);
}

INSTANTIATE_TEST_SUITE_P(Drivers, Launch, ::testing::Values(MLA_FAKE_CUDA, MLA_FAKE_HIP),
                         [](const auto& one) {
                           return std::string(one.index == 0 ? "Cuda" : "Hip");
                         });

}  // namespace
}  // namespace mla
