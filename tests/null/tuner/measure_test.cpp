#include "tuner/measure.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/null/tuner/tune_fakes.hpp"

namespace mla {
namespace {

using testing::HasSubstr;

ProblemRecord a_problem() {
  return {.kernel = "sparse_mla_decode",
          .num_heads = 16,
          .num_tokens = 64,
          .main_len = 128,
          .extra_len = 1024,
          .main_page = 64,
          .extra_page = 2,
          .main_format = 2};
}

Launch a_launch(int split_extra = 4) {
  Launch launch{};
  launch.config.block_h = 16;
  launch.config.block_k = 32;
  launch.config.waves = 4;
  launch.config.wave_split = WaveSplit::keys;
  launch.config.prefetch = 2;
  launch.splits = {1, split_extra, SplitMap::strided};
  launch.reduce = {4, 1};
  return launch;
}

TEST(CheckCases, KeepWhatAKernelMayDependOn) {
  for (const CheckCase& one : check_cases(a_problem(), a_launch(), 1)) {
    EXPECT_EQ(one.problem.num_heads, 16);
    EXPECT_EQ(one.problem.main_page, 64);
    EXPECT_EQ(one.problem.extra_page, 2);
    EXPECT_EQ(one.problem.main_format, 2);
    EXPECT_GT(one.problem.main_len, 0);
    EXPECT_GT(one.problem.extra_len, 0);
    EXPECT_NO_THROW(validate(one.problem));
  }
}

TEST(CheckCases, HoldEveryTroubleThatServingBrings) {
  const auto cases = check_cases(a_problem(), a_launch(), 1);
  const auto some = [&](auto&& has) { return std::ranges::any_of(cases, has); };
  EXPECT_TRUE(some([](const CheckCase& c) { return c.inputs.empty_rows; }));
  EXPECT_TRUE(some([](const CheckCase& c) { return c.inputs.poisoned_fraction > 0; }));
  EXPECT_TRUE(some([](const CheckCase& c) { return c.inputs.sink_infinities; }));
  EXPECT_TRUE(some([](const CheckCase& c) { return c.problem.lengths == "ragged"; }));
  EXPECT_TRUE(some([](const CheckCase& c) { return c.inputs.duplicate_fraction > 0; }));
  for (const CheckCase& one : cases) EXPECT_GT(one.inputs.invalid_fraction, 0);
}

TEST(CheckCases, LetWavesComeRoundTheirPipeline) {
  const CheckCase walk = check_cases(a_problem(), a_launch(1), 1).front();
  // Four waves, tiles of 32 keys, two in flight: the third tile reuses what the first had.
  EXPECT_GT(walk.problem.extra_len, 2 * 4 * 32);
}

TEST(CheckCases, AreTheSameForProblemsOfOneClass) {
  ProblemRecord other = a_problem();
  other.num_tokens = 1;
  other.extra_len = 8192;
  EXPECT_EQ(check_class(a_problem(), a_launch()), check_class(other, a_launch()));
  const auto a = check_cases(a_problem(), a_launch(), 1), b = check_cases(other, a_launch(), 1);
  ASSERT_EQ(a.size(), b.size());
  for (std::size_t i = 0; i < a.size(); ++i) EXPECT_EQ(a[i].problem, b[i].problem);
  EXPECT_NE(check_class(a_problem(), a_launch(1)), check_class(a_problem(), a_launch(2)));
  other.extra_page = 64;
  EXPECT_NE(check_class(a_problem(), a_launch()), check_class(other, a_launch()));
}

TEST(CheckCases, StaySmallWithManyHeadsAndSplits) {
  ProblemRecord problem = a_problem();
  problem.num_heads = 128;
  Launch launch = a_launch(32);
  launch.config.block_k = 128;
  launch.config.waves = 8;
  for (const CheckCase& one : check_cases(problem, launch, 1)) {
    const double work = double(one.problem.num_tokens) * problem.num_heads *
                        (one.problem.main_len + one.problem.extra_len);
    EXPECT_LT(work, 200e3);
  }
}

TEST(Check, PassesARightKernel) {
  FakeRunner runner;
  const auto cases = check_cases(a_problem(), a_launch(), 1);
  const CheckResult result = check(runner, "decode", "reduce", a_launch(), cases, {}, 10);
  EXPECT_EQ(result.verdict, Verdict::ok) << result.reason;
  EXPECT_GE(result.max_error, 0);
  EXPECT_GE(result.cosine_gap, 0);
  EXPECT_EQ(runner.count, static_cast<int>(cases.size()));
}

TEST(Check, FindsOneWrongElementAndSaysOnWhat) {
  FakeRunner runner;
  runner.wrong_with_block_k = 32;
  const CheckResult result = check(runner, "decode", "reduce", a_launch(),
                                   check_cases(a_problem(), a_launch(), 17), {}, 10);
  EXPECT_EQ(result.verdict, Verdict::wrong_result);
  EXPECT_THAT(result.reason, HasSubstr("seed 17"));
}

TEST(Check, PassesOnWhatTheDeviceSays) {
  FakeRunner runner;
  runner.crash_with_block_k = 32;
  const CheckResult result = check(runner, "decode", "reduce", a_launch(),
                                   check_cases(a_problem(), a_launch(), 1), {}, 10);
  EXPECT_EQ(result.verdict, Verdict::crashed);
  EXPECT_THAT(result.reason, HasSubstr("SIGSEGV"));
  EXPECT_EQ(result.max_error, -1);
}

TEST(Summary, IsTheMedianItsDeviationAndAnIntervalAroundIt) {
  const Summary odd = summarise({5, 1, 3, 100, 4});
  EXPECT_EQ(odd.median_us, 4);
  EXPECT_EQ(odd.mad_us, 1);
  EXPECT_LE(odd.ci_low_us, odd.median_us);
  EXPECT_GE(odd.ci_high_us, odd.median_us);
  EXPECT_EQ(summarise({1, 2, 3, 10}).median_us, 2.5);
}

TEST(Summary, TakesTheRangeOfFewSamples) {
  EXPECT_EQ(summarise({7}).median_us, 7);
  EXPECT_EQ(summarise({7, 9}).ci_low_us, 7);
  EXPECT_EQ(summarise({7, 9}).ci_high_us, 9);
}

TEST(Summary, NarrowsWithMoreSamples) {
  std::vector<float> few, many;
  for (int i = 0; i < 900; ++i) {
    const float sample = 100 + static_cast<float>(i * 37 % 50);
    if (i < 9) few.push_back(sample);
    many.push_back(sample);
  }
  const Summary wide = summarise(few), narrow = summarise(many);
  EXPECT_LT(narrow.ci_high_us - narrow.ci_low_us, wide.ci_high_us - wide.ci_low_us);
}

}  // namespace
}  // namespace mla
