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
