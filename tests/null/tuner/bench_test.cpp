#include "tuner/bench.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/null/tuner/scripted_runner.hpp"

namespace mla {
namespace {

using testing::AllOf;
using testing::Ge;
using testing::Le;
using testing::SizeIs;

class Bench : public testing::Test {
 protected:
  void add(const std::string& name, double us) {
    names_.push_back(name);
    const auto salt = names_.size() * 1000;
    runner_.scripts[name] = [=](int n, int) { return us * (1 + 0.01 * noise(salt + unsigned(n))); };
  }
  BenchResult run() {
    BenchTask task;
    task.problem = {.kernel = "sparse_mla_decode", .num_heads = 16, .num_tokens = 1};
    for (const std::string& name : names_) task.variants.push_back({&name, &none_, {}});
    return bench(runner_, task, {}, 3, 1, stop_);
  }
  ScriptedRunner runner_;
  std::vector<std::string> names_;
  std::string none_;
  std::function<bool()> stop_ = [] { return false; };
};

TEST_F(Bench, SaysHowManyTimesSlowerABaselineIs) {
  add("winner", 10);
  add("near", 10.2);
  add("far", 50);
  const BenchResult result = run();
  ASSERT_THAT(result.times, SizeIs(3));
  EXPECT_FALSE(result.times[0].ratio);
  EXPECT_NEAR(result.times[0].time.median_us, 10, 0.05);
  const Ratio near = result.times[1].ratio.value(), far = result.times[2].ratio.value();
  EXPECT_NEAR(near.value, 1.02, 0.01);
  EXPECT_NEAR(far.value, 5, 0.05) << "nothing is cut for being slow";
  for (const Ratio& ratio : {near, far}) {
    EXPECT_LT(ratio.low, ratio.high);
    EXPECT_THAT(ratio.value, AllOf(Ge(ratio.low), Le(ratio.high)));
  }
  EXPECT_GE(runner_.taken["far"], 12);
}

TEST_F(Bench, AFailureHasNoRatioAndSparesTheOthers) {
  add("winner", 10);
  add("crashes", 12);
  add("works", 20);
  runner_.crash_at["crashes"] = 5;
  const BenchResult result = run();
  EXPECT_EQ(result.times[1].verdict, Verdict::crashed);
  EXPECT_FALSE(result.times[1].ratio);
  EXPECT_NEAR(result.times[2].ratio.value().value, 2, 0.02);
}

TEST_F(Bench, WithoutAWinnerNothingIsComparedWithIt) {
  add("winner", 10);
  add("works", 20);
  runner_.wrong.insert("winner");
  const BenchResult result = run();
  EXPECT_EQ(result.times[0].verdict, Verdict::wrong_result);
  EXPECT_EQ(result.times[1].verdict, Verdict::ok);
  EXPECT_FALSE(result.times[1].ratio);
}

TEST_F(Bench, SaysWhyNothingWasTimed) {
  add("winner", 10);
  runner_.begins = RunResult{.verdict = Verdict::launch_failed, .reason = "out of memory"};
  const BenchResult result = run();
  EXPECT_EQ(result.times[0].verdict, Verdict::unverified);
  EXPECT_EQ(result.times[0].reason, "out of memory");
}

TEST(GeometricMean, IsThatOfLogarithms) {
  EXPECT_DOUBLE_EQ(geometric_mean({2, 8}), 4);
  EXPECT_EQ(geometric_mean({}), 0);
}

}  // namespace
}  // namespace mla
