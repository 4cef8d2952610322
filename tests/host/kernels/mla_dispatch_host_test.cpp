// The host device through the production API: bundle, plan, launch, in this process.

#include <gmock/gmock.h>

#include <thread>

#include "tests/launch_case.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;

class DispatchOnHost : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    ::unsetenv("MLA_DISPATCH");
    folder_ = std::make_unique<test::TempDir>();
    const FoundToolchain toolchain = toolchain_for("host", search_from_environment());
    test::SomeBundle bundle("host", toolchain.record.release, test::compiling(toolchain, "host"));
    bundle.add({.heads = 16, .tokens = 4, .main_len = 64, .extra_len = 100, .extra_page = 2}, 3);
    Launch last = fallback_launch("host", {.heads = 16, .tokens = 1, .main_len = 1});
    last.config.merge = Merge::last;
    last.splits = {0, 5, SplitMap::strided};
    bundle.add({.heads = 20, .tokens = 3, .main_len = 64, .extra_len = 300}, last, 5,
               Evidence::measured, 10);
    path_ = *folder_ / "host.bundle";
    bundle.write(path_);
  }
  static void TearDownTestSuite() { folder_.reset(); }
  void SetUp() override {
    mla_options options = mla_options_init();
    options.arch = "host";
    ASSERT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options, &dispatcher_), MLA_OK)
        << mla_last_error();
  }
  void TearDown() override { mla_close(dispatcher_); }

  mla_status launch(test::LaunchCase& one, test::LaunchMemory& memory) {
    const mla_launch_plan* plan = nullptr;
    EXPECT_EQ(mla_plan(dispatcher_, &one.problem, &plan), MLA_OK) << mla_last_error();
    std::int64_t bytes = 0;
    EXPECT_EQ(mla_workspace_bytes(dispatcher_, &one.problem, 1, &bytes), MLA_OK);
    const auto size = static_cast<std::size_t>(bytes);
    return mla_launch(plan, &one.args, size > 0 ? memory.take(size) : nullptr, size, nullptr);
  }

  static inline std::unique_ptr<test::TempDir> folder_;
  static inline std::string path_;
  test::HostLaunchMemory memory_;
  mla_dispatcher* dispatcher_ = nullptr;
};

TEST_F(DispatchOnHost, AgreesWithFloat64WhateverTheInputs) {
  ProblemRecord shapes[] = {test::decode_problem(16, 4, 64, 100, 2),
                            test::decode_problem(5, 3, 40, 0), test::decode_problem(20, 2, 0, 70),
                            test::decode_problem(16, 1, 70, 300)};
  shapes[0].lengths = "ragged";
  shapes[3].extra_format = 2;
  for (const ProblemRecord& shape : shapes) {
    test::LaunchCase one(memory_, shape, test::troubled());
    ASSERT_EQ(launch(one, memory_), MLA_OK) << mla_last_error();
    EXPECT_EQ(one.verdict(), "") << shape.num_heads << " heads, " << shape.extra_len;
  }
}

TEST_F(DispatchOnHost, TheLastWorkgroupMergesAgainAndAgainInAWorkspaceThatServesOthersToo) {
  mla_close(dispatcher_);
  mla_options options = mla_options_init();
  options.arch = "host";
  options.zeroed_workspaces = 1;
  ASSERT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options, &dispatcher_), MLA_OK);
  ProblemRecord shape = test::decode_problem(20, 3, 64, 300);
  shape.lengths = "ragged";
  test::LaunchCase merged(memory_, shape, test::troubled());
  test::LaunchCase reduced(memory_, test::decode_problem(16, 4, 64, 100, 2), test::troubled());
  const mla_problem problems[] = {merged.problem, reduced.problem};
  std::int64_t bytes = 0;
  ASSERT_EQ(mla_workspace_bytes(dispatcher_, problems, 2, &bytes), MLA_OK);
  const auto size = static_cast<std::size_t>(bytes);
  void* workspace = memory_.take(size);
  std::memset(workspace, 0, MLA_COUNTER_BYTES);  // what lies behind is poisoned
  const mla_launch_plan *last = nullptr, *other = nullptr;
  ASSERT_EQ(mla_plan(dispatcher_, &merged.problem, &last), MLA_OK);
  ASSERT_EQ(mla_plan(dispatcher_, &reduced.problem, &other), MLA_OK);
  mla_plan_info info = mla_plan_info_init();
  ASSERT_EQ(mla_get_plan_info(last, &info), MLA_OK);
  EXPECT_EQ(info.last_merges, 1u);
  for (int repeat = 0; repeat < 3; ++repeat) {
    merged.poison();
    ASSERT_EQ(mla_launch(last, &merged.args, workspace, size, nullptr), MLA_OK);
    EXPECT_EQ(merged.verdict(), "") << repeat;
    reduced.poison();
    ASSERT_EQ(mla_launch(other, &reduced.args, workspace, size, nullptr), MLA_OK);
    EXPECT_EQ(reduced.verdict(), "") << repeat;
  }
}

TEST_F(DispatchOnHost, AWinnerThatWouldMergeLastReducesWhereNobodyPromisedZeros) {
  test::LaunchCase one(memory_, test::decode_problem(20, 3, 64, 300), test::troubled());
  ASSERT_EQ(launch(one, memory_), MLA_OK) << mla_last_error();
  EXPECT_EQ(one.verdict(), "");
}

TEST_F(DispatchOnHost, ThreadsLaunchAtOnce) {
  std::vector<std::jthread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([this, t] {
      test::HostLaunchMemory memory;
      test::LaunchCase one(memory, test::decode_problem(8, 2, 40, 30 * t),
                           test::troubled(static_cast<std::uint64_t>(t)));
      EXPECT_EQ(launch(one, memory), MLA_OK) << mla_last_error();
      EXPECT_EQ(one.verdict(), "");
    });
  }
}

TEST_F(DispatchOnHost, AnotherBundleOpenedLaterBringsItsOwnCode) {
  test::LaunchCase one(memory_, test::decode_problem(8, 1, 20, 10), {});
  ASSERT_EQ(launch(one, memory_), MLA_OK);
  const std::string other = *folder_ / "empty.bundle";
  const FoundToolchain toolchain = toolchain_for("host", search_from_environment());
  const std::string nothing = test::compiled(
      toolchain, "host",
      "#include \"machine.hpp\"\nextern \"C\" MLA_KERNEL(0) void entry(mla::DecodeArgs) {}\n");
  test::SomeBundle("host", toolchain.record.release, [&](const Launch&, bool) {
    return nothing;
  }).write(other);
  mla_close(dispatcher_);
  mla_options options = mla_options_init();
  options.arch = "host";
  ASSERT_EQ(mla_open(other.c_str(), MLA_DEVICE_NONE, &options, &dispatcher_), MLA_OK);
  one.poison();
  ASSERT_EQ(launch(one, memory_), MLA_OK) << mla_last_error();
  EXPECT_THAT(one.verdict(), HasSubstr("nan")) << "that kernel writes nothing";
}

}  // namespace
}  // namespace mla
