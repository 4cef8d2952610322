// The C API's options and its one environment variable.

#include <gmock/gmock.h>

#include <cstdlib>

#include "kernels/dispatch_settings.hpp"
#include "kernels/mla_dispatch.h"
#include "tests/null/kernels/some_bundle.hpp"

namespace mla {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(DispatchSettings, TakesFromTheEnvironmentWhatIsNotSet) {
  DispatchSettings settings;
  settings.no_predicted = false;
  apply_environment(settings, "no-nearest,,no-predicted,log,variant=abc");
  EXPECT_EQ(settings.no_nearest, true);
  EXPECT_EQ(settings.no_predicted, false);
  EXPECT_EQ(settings.log, true);
  EXPECT_EQ(settings.variant, "abc");
  DispatchSettings own;
  own.variant = "own";
  apply_environment(own, "variant=abc");
  EXPECT_EQ(own.variant, "own");
  apply_environment(own, nullptr);
  EXPECT_THAT(test::error_of(ErrorKind::usage, [&] { apply_environment(own, "log,fast"); }),
              AllOf(HasSubstr("MLA_DISPATCH: \"fast\""), HasSubstr("no-nearest")));
}

class DispatchOptions : public ::testing::Test {
 protected:
  void SetUp() override {
    ::unsetenv("MLA_DISPATCH");
    test::SomeBundle bundle("gfx950");
    Query shape{.heads = 16, .tokens = 8, .main_len = 128, .extra_len = 1024};
    bundle.add(shape, 0x44);
    shape.heads = 128;
    bundle.add(shape, 0x48, Evidence::predicted);
    shape.tokens = 16;
    bundle.add(shape, 0x48, Evidence::predicted);
    bundle.write(path_);
    options_.arch = "gfx950";
  }
  void TearDown() override {
    mla_close(dispatcher_);
    ::unsetenv("MLA_DISPATCH");
  }
  mla_plan_info ask(int heads, int tokens) {
    if (dispatcher_ == nullptr) {
      EXPECT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &dispatcher_), MLA_OK)
          << mla_last_error();
    }
    mla_problem problem = mla_problem_init();
    problem.heads = heads;
    problem.tokens = tokens;
    problem.main_capacity = 128;
    problem.extra_capacity = 1024;
    const mla_launch_plan* plan = nullptr;
    mla_plan_info info = mla_plan_info_init();
    EXPECT_EQ(mla_plan(dispatcher_, &problem, &plan), MLA_OK) << mla_last_error();
    EXPECT_EQ(mla_get_plan_info(plan, &info), MLA_OK);
    return info;
  }

  test::TempDir folder_;
  std::string path_ = folder_ / "b.bundle";
  mla_options options_ = mla_options_init();
  mla_dispatcher* dispatcher_ = nullptr;
};

TEST_F(DispatchOptions, ForbidAnswersOfAnotherShape) {
  options_.no_nearest = MLA_ON;
  EXPECT_EQ(ask(16, 8).grade, MLA_GRADE_EXACT);
  EXPECT_EQ(ask(16, 9).grade, MLA_GRADE_FALLBACK);
  EXPECT_EQ(ask(128, 8).grade, MLA_GRADE_PREDICTED);
  EXPECT_EQ(ask(128, 9).grade, MLA_GRADE_FALLBACK);
}

TEST_F(DispatchOptions, ForbidPredictions) {
  options_.no_predicted = MLA_ON;
  EXPECT_EQ(ask(16, 9).grade, MLA_GRADE_NEAREST);
  EXPECT_EQ(ask(128, 8).grade, MLA_GRADE_FALLBACK);
}

TEST_F(DispatchOptions, WinOverTheEnvironment) {
  ::setenv("MLA_DISPATCH", "no-nearest,no-predicted", 1);
  options_.no_nearest = MLA_OFF;
  EXPECT_EQ(ask(16, 9).grade, MLA_GRADE_NEAREST);
  EXPECT_EQ(ask(128, 8).grade, MLA_GRADE_FALLBACK);
}

TEST_F(DispatchOptions, AnUnknownWordInTheEnvironmentIsRefused) {
  ::setenv("MLA_DISPATCH", "quick", 1);
  EXPECT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &dispatcher_), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("quick"));
}

TEST_F(DispatchOptions, ForceOneVariantForEverything) {
  const std::string key = test::key(0x48);
  options_.variant = key.c_str();
  EXPECT_EQ(ask(16, 1).variant, key);
  EXPECT_EQ(ask(16, 4096).variant, key);
  EXPECT_EQ(ask(128, 16).tuned_tokens, 16) << "the row of the very shape";
  EXPECT_EQ(ask(16, 4096).grade, MLA_GRADE_PREDICTED);
}

TEST_F(DispatchOptions, ForceTheFallback) {
  ::setenv("MLA_DISPATCH", "variant=fallback", 1);
  EXPECT_EQ(ask(16, 8).grade, MLA_GRADE_FALLBACK);
}

TEST_F(DispatchOptions, RefuseAVariantThatIsNotThereOrNotAlone) {
  options_.variant = "f00";
  EXPECT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &dispatcher_), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), AllOf(HasSubstr("'f00'"), HasSubstr("name one")));
  options_.variant = "0000000000000000000000000000004";
  EXPECT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &dispatcher_), MLA_ERROR_USAGE);
  EXPECT_THAT(mla_last_error(), HasSubstr("write more"));
}

TEST_F(DispatchOptions, SayWhichReleaseRunsHere) {
  options_.release = "7.2";
  EXPECT_EQ(ask(16, 8).release_differs, 0) << "7.2.4 is a 7.2";
  mla_close(dispatcher_);
  dispatcher_ = nullptr;
  options_.release = "6.4.3";
  EXPECT_EQ(ask(16, 8).release_differs, 1);
  EXPECT_STREQ(ask(16, 8).release, "7.2.4");
  EXPECT_EQ(ask(64, 8).release_differs, 0) << "the fallback has none";
}

TEST_F(DispatchOptions, LogEachFirstDecisionInOneLine) {
  ::setenv("MLA_DISPATCH", "log", 1);
  ::testing::internal::CaptureStderr();
  ask(16, 8);
  ask(16, 8);
  ask(64, 8);
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::count(log.begin(), log.end(), '\n'), 2) << log;
  EXPECT_THAT(log, AllOf(HasSubstr("gfx950, 16 heads, 8 tokens, 128 + 1024 keys: exact"),
                         HasSubstr(test::key(0x44)), HasSubstr("64 heads"), HasSubstr("fallback")));
}

TEST_F(DispatchOptions, AskForASignature) {
  const std::uint8_t key[MLA_PUBLIC_KEY_BYTES] = {1};
  options_.public_key = key;
  EXPECT_EQ(mla_open(path_.c_str(), MLA_DEVICE_NONE, &options_, &dispatcher_), MLA_ERROR_DATABASE);
  EXPECT_THAT(mla_last_error(), HasSubstr("sign"));
}

}  // namespace
}  // namespace mla
