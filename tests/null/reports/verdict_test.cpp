#include "reports/verdict.hpp"

#include <gmock/gmock.h>

#include "reports/decode_step.hpp"
#include "tests/null/reports/hand_made.hpp"

namespace mla::test {
namespace {

using ::testing::HasSubstr;

TimeSample measured(std::vector<float> samples) {
  std::vector<float> sorted = samples;
  std::sort(sorted.begin(), sorted.end());
  return {Evidence::measured, sorted[sorted.size() / 2], std::move(samples)};
}

TimeSample predicted(double median_us) { return {Evidence::predicted, median_us, {}}; }

Change verdict(const TimeSample& before, const TimeSample& now, const VerdictRules& rules = {}) {
  return compare_times(before, now, rules).change;
}

TEST(CompareTimes, CallsAClearSlowdownBeyondTheThresholdARegression) {
  const TimeChange change = compare_times(measured(times(10)), measured(times(10.5)), {});
  EXPECT_EQ(change.change, Change::regressed);
  EXPECT_NEAR(change.ratio, 1.05, 1e-6);
  EXPECT_GT(*change.low, 1.04);
  EXPECT_LT(*change.high, 1.06);
  EXPECT_LT(*change.p_value, 1e-6);
}

TEST(CompareTimes, IsAsHardOnGainsAsOnLosses) {
  EXPECT_EQ(verdict(measured(times(10.5)), measured(times(10))), Change::improved);
  EXPECT_EQ(verdict(measured(times(10.2)), measured(times(10))), Change::same);
}

TEST(CompareTimes, CallsAChangeWithinTheThresholdTheSameHoweverCertain) {
  const TimeChange change = compare_times(measured(times(10)), measured(times(10.15)), {});
  EXPECT_EQ(change.change, Change::same);
  EXPECT_LT(*change.p_value, 0.01);
}

TEST(CompareTimes, DoesNotConcludeFromNoise) {
  // 4 % slower, where single times are up to 21 % off.
  const TimeChange change =
      compare_times(measured(times(10, 15, 30)), measured(times(10.4, 15, 30)), {});
  EXPECT_EQ(change.change, Change::inconclusive);
  EXPECT_THAT(change.reason, HasSubstr("more samples"));
}

TEST(CompareTimes, DoesNotConcludeFromAHandfulOfSamples) {
  const TimeChange change = compare_times(measured(times(10)), measured({20, 20, 20, 20}), {});
  EXPECT_EQ(change.change, Change::inconclusive);
  EXPECT_THAT(change.reason, HasSubstr("4 samples"));
}

TEST(CompareTimes, CallsEqualTimesTheSameWhateverTheThreshold) {
  VerdictRules strict;
  strict.threshold = 0;
  EXPECT_EQ(verdict(predicted(10), predicted(10), strict), Change::same);
  EXPECT_EQ(verdict(predicted(10), predicted(10.001), strict), Change::regressed);
  EXPECT_EQ(verdict(measured(times(10, 15, 0)), measured(times(10, 15, 0)), strict), Change::same);
}

TEST(CompareTimes, HasNoDoubtsAboutPredictions) {
  EXPECT_EQ(verdict(predicted(10), predicted(10.31)), Change::regressed);
  EXPECT_EQ(verdict(predicted(10), predicted(10.29)), Change::same);
  EXPECT_EQ(verdict(predicted(10), predicted(9.7)), Change::improved);
  EXPECT_FALSE(compare_times(predicted(10), predicted(11), {}).p_value);
}

TEST(CompareTimes, NeverSetsAMeasurementAgainstAPrediction) {
  EXPECT_EQ(verdict(measured(times(10)), predicted(20)), Change::inconclusive);
  EXPECT_EQ(verdict(predicted(20), measured(times(10))), Change::inconclusive);
}

TEST(CompareTimes, TakesTheThresholdThatItIsGiven) {
  VerdictRules strict;
  strict.threshold = 0.01;
  EXPECT_EQ(verdict(measured(times(10)), measured(times(10.2)), strict), Change::regressed);
}

ProblemRecord shape(int heads, int extra_len, int extra_page) {
  ProblemRecord problem = a_problem();
  problem.num_heads = heads;
  problem.extra_len = extra_len;
  problem.extra_page = extra_page;
  return problem;
}

TEST(DecodeStep, WeighsAProblemByTheLayersThatPoseIt) {
  EXPECT_EQ(layer_kind(shape(16, 1024, 64)), "CSA");
  EXPECT_EQ(step_weight(shape(16, 1024, 64)), 30);  // Pro alone selects 1024
  EXPECT_EQ(step_weight(shape(16, 512, 64)), 21);   // Flash alone selects 512
  EXPECT_EQ(step_weight(shape(16, 256, 64)), 30);   // a short context, of either
  EXPECT_EQ(layer_kind(shape(16, 781, 2)), "HCA");
  EXPECT_EQ(step_weight(shape(16, 781, 2)), 31);
  EXPECT_EQ(step_weight(shape(8, 781, 2)), 20);  // Flash alone has 8 heads a rank
  EXPECT_EQ(step_weight(shape(128, 0, 0)), 1);   // Pro's layer of multi-token prediction
  EXPECT_EQ(step_weight(shape(16, 0, 0)), 3);    // Flash's two layers and that one
  EXPECT_EQ(layer_kind(shape(16, 8192, 64)), "other");
  EXPECT_EQ(step_weight(shape(16, 8192, 64)), 1);
}

}  // namespace
}  // namespace mla::test
