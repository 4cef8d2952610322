#include "reports/statistics.hpp"

#include <gtest/gtest.h>

namespace mla {
namespace {

// SciPy's documentation of mannwhitneyu: ages at which type 2 diabetes was diagnosed.
TEST(MannWhitneyTest, AgreesWithTheExampleOfSciPysDocumentation) {
  const MannWhitney test = mann_whitney({19, 22, 16, 29, 24}, {20, 11, 17, 12});
  EXPECT_EQ(test.u, 17);
  EXPECT_TRUE(test.exact);
  EXPECT_NEAR(test.p_value, 0.1111111111111111, 1e-12);
}

// Hollander and Wolfe (1973), page 69, as in R's manual of wilcox.test: permeability of membranes
// at term and earlier, W = 35, one-sided p = 0.1272.
TEST(MannWhitneyTest, AgreesWithHollanderAndWolfesMembranes) {
  const MannWhitney test = mann_whitney(
      {0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46}, {1.15, 0.88, 0.90, 0.74, 1.21});
  EXPECT_EQ(test.u, 35);
  EXPECT_NEAR(test.p_value / 2, 0.1272, 5e-5);
  EXPECT_NEAR(test.p_value, 0.2544122544122544, 1e-12);
}

// The mice of Efron and Tibshirani (1993), table 2.1; p by SciPy 1.10.
TEST(MannWhitneyTest, AgreesWithSciPyOnTheMiceOfEfronAndTibshirani) {
  const MannWhitney test =
      mann_whitney({94, 197, 16, 38, 99, 141, 23}, {52, 104, 146, 10, 51, 30, 40, 27, 46});
  EXPECT_EQ(test.u, 36);
  EXPECT_NEAR(test.p_value, 0.6805944055944056, 1e-12);
}

TEST(MannWhitneyTest, CorrectsForTiesAsSciPyDoes) {
  const MannWhitney test = mann_whitney({1, 2, 2, 3, 5, 5, 7}, {2, 4, 5, 5, 6, 8, 8, 9});
  EXPECT_EQ(test.u, 13);
  EXPECT_FALSE(test.exact);
  EXPECT_NEAR(test.p_value, 0.08894587821855457, 1e-12);
}

TEST(MannWhitneyTest, IsNormalForManyValuesAsSciPyIs) {
  std::vector<double> a, b;
  for (int i = 0; i < 30; ++i) a.push_back(10 + 0.01 * i);
  for (int i = 0; i < 60; ++i) b.push_back(10.073 + 0.01 * i);
  const MannWhitney test = mann_whitney(a, b);
  EXPECT_EQ(test.u, 253);
  EXPECT_FALSE(test.exact);
  EXPECT_NEAR(test.p_value, 3.138507619122964e-08, 1e-17);
}

TEST(MannWhitneyTest, IsTheSameWhicheverSideComesFirst) {
  const std::vector<double> a = {3, 1, 4, 1.5, 9}, b = {2, 7, 1.8, 2.8};
  EXPECT_DOUBLE_EQ(mann_whitney(a, b).p_value, mann_whitney(b, a).p_value);
  EXPECT_EQ(mann_whitney(a, b).u + mann_whitney(b, a).u, 20);
}

TEST(MannWhitneyTest, FindsNothingWhereAllValuesAreEqual) {
  EXPECT_EQ(mann_whitney({5, 5, 5}, {5, 5, 5, 5}).p_value, 1);
}

TEST(MannWhitneyTest, IsAsSureAsSizesAllowWhereNothingOverlaps) {
  // Two of the 252 orders of five and five.
  EXPECT_NEAR(mann_whitney({1, 2, 3, 4, 5}, {6, 7, 8, 9, 10}).p_value, 2.0 / 252, 1e-15);
}

// Of the median of the seven treated mice the bootstrap's distribution is known: 16 with 0.0102, 23
// with 0.0981, ..., 197 with 0.0102 (Efron 1982), so that 2.5 % lie within 23 and within 141.
TEST(MedianRatioTest, HasThePercentilesOfEfronsMice) {
  const MedianRatio ratio = median_ratio({94, 197, 16, 38, 99, 141, 23}, {1});
  EXPECT_EQ(ratio.value, 94);
  EXPECT_EQ(ratio.low, 23);
  EXPECT_EQ(ratio.high, 141);
}

// Bounds by 400,000 resamples of NumPy.
TEST(MedianRatioTest, ComparesTheMiceOfBothGroups) {
  const MedianRatio ratio = median_ratio({94, 197, 16, 38, 99, 141, 23},
                                         {52, 104, 146, 10, 51, 30, 40, 27, 46}, 0.95, 40000);
  EXPECT_DOUBLE_EQ(ratio.value, 94.0 / 46);
  EXPECT_NEAR(ratio.low, 23.0 / 52, 1e-12);
  EXPECT_NEAR(ratio.high, 197.0 / 52, 1e-12);
}

TEST(MedianRatioTest, IsTheSameEveryTimeAndNarrowerWhereLessSureIsEnough) {
  const std::vector<double> a = {1, 2, 3, 4, 5, 6}, b = {2, 3, 3.5, 4};
  EXPECT_EQ(median_ratio(a, b).low, median_ratio(a, b).low);
  EXPECT_GT(median_ratio(a, b, 0.5).low, median_ratio(a, b).low);
  EXPECT_LT(median_ratio(a, b, 0.5).high, median_ratio(a, b).high);
}

TEST(SampleMedian, IsTheMeanOfTheMiddleTwoOfAnEvenNumber) {
  EXPECT_EQ(sample_median({4, 1, 3, 2}), 2.5);
  EXPECT_EQ(sample_median({9, 1, 3}), 3);
}

TEST(GeometricMean, IsOneOfNothing) {
  EXPECT_EQ(geometric_mean_of({}), 1);
  EXPECT_DOUBLE_EQ(geometric_mean_of({0.5, 2, 4, 0.25}), 1);
}

}  // namespace
}  // namespace mla
