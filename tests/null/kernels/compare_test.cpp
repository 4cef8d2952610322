#include "kernels/compare.hpp"

#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "kernels/fp8.hpp"

namespace mla {
namespace {

using testing::HasSubstr;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

struct Case {
  Reference reference;
  Output output;
};

// Two tokens of three heads, and the right answer.
Case right_answer() {
  Case c;
  c.reference = {2, 3, {}, {}};
  for (int i = 0; i < 6 * 512; ++i) c.reference.out.push_back(std::sin(i) * 0.3);
  for (int i = 0; i < 6; ++i) c.reference.lse.push_back(3.7 + i);
  for (const double value : c.reference.out) c.output.out.push_back(bf16_from_double(value));
  for (const double value : c.reference.lse) c.output.lse.push_back(float(value));
  return c;
}

std::uint16_t bf16(double value) { return bf16_from_double(value); }

TEST(Compare, AcceptsTheRightAnswer) {
  const Case c = right_answer();
  const Comparison result = compare(c.output, c.reference, {});
  EXPECT_TRUE(result.ok) << result.reason;
  EXPECT_EQ(0, result.max_error);
  EXPECT_EQ(0, result.cosine_gap);
}

TEST(Compare, NamesTheFirstWrongElement) {
  Case c = right_answer();
  const std::size_t at = (1 * 3 + 2) * 512 + 17;
  c.reference.out[at] = 0.25;
  c.output.out[at] = bf16(0.5);
  c.output.out[at + 3] = bf16(9);
  const Comparison result = compare(c.output, c.reference, {});
  EXPECT_FALSE(result.ok);
  EXPECT_THAT(result.reason, HasSubstr("out[token 1, head 2, column 17] is 0.5, expected 0.25"));
  EXPECT_THAT(result.reason, HasSubstr("2 of 3072"));
  EXPECT_NEAR(9 - c.reference.out[at + 3], result.max_error, 0.01);
}

TEST(Compare, AllowsASmallErrorOfEitherKind) {
  Case c = right_answer();
  c.reference.out[0] = 1e-4;
  c.output.out[0] = bf16(1e-4 + 0.9e-3);  // absolute
  c.reference.out[1] = 1.0;
  c.output.out[1] = bf16(1.0 + 2.0 / 128);  // relative
  EXPECT_TRUE(compare(c.output, c.reference, {.cosine_gap = 1}).ok);
  c.output.out[0] = bf16(1e-4 + 1.1e-3);
  EXPECT_FALSE(compare(c.output, c.reference, {.cosine_gap = 1}).ok);
  c.output.out[0] = bf16(1e-4);
  c.output.out[1] = bf16(1.0 + 3.0 / 128);
  EXPECT_FALSE(compare(c.output, c.reference, {.cosine_gap = 1}).ok);
}

TEST(Compare, SeesAnErrorSpreadTooThinForAnyElement) {
  Case c = right_answer();
  for (std::size_t i = 0; i < c.output.out.size(); ++i) {
    c.output.out[i] = bf16(c.reference.out[i] * 1.01);
  }
  const Comparison result = compare(c.output, c.reference, {});
  EXPECT_FALSE(result.ok);
  EXPECT_THAT(result.reason, HasSubstr("cosine"));
  EXPECT_GT(result.cosine_gap, 4e-5);
}

// Rows of 1, `others` times smaller but for the first, each off by `error` of itself.
Comparison of_rows(int rows, double others, double error) {
  Reference reference{rows, 1, {}, {}};
  Output output;
  for (int row = 0; row < rows; ++row) {
    for (int i = 0; i < kHeadDim; ++i) {
      const double expected = row == 0 ? 1 : others;
      reference.out.push_back(expected);
      output.out.push_back(bf16(expected * (1 + (i % 2 == 0 ? error : -error))));
    }
  }
  return compare(output, reference, {.cosine_gap = 2e-5});
}

TEST(Compare, AllowsTwiceTheGapWhereFewRowsAverageIt) {
  constexpr double kOneStep = 1.0 / 128;  // of bf16 beside 1: a gap of 3e-5
  EXPECT_TRUE(of_rows(1, 1, kOneStep).ok);
  EXPECT_TRUE(of_rows(3, 1, kOneStep).ok);
  EXPECT_FALSE(of_rows(4, 1, kOneStep).ok);
  EXPECT_FALSE(of_rows(64, 1, kOneStep).ok);
  EXPECT_TRUE(of_rows(64, 0, kOneStep).ok) << "rows of zeros average nothing";
  const Comparison twice = of_rows(1, 1, 2 * kOneStep);
  EXPECT_THAT(twice.reason, HasSubstr("allowed 4e-05"));
}

TEST(Compare, CallsTwoOutputsOfZerosEqual) {
  Case c = right_answer();
  c.reference.out.assign(6 * 512, 0.0);
  c.output.out.assign(6 * 512, 0);
  EXPECT_TRUE(compare(c.output, c.reference, {}).ok);
}

TEST(Compare, RefusesZerosWhereSomethingWasExpectedAndTheOtherWayRound) {
  Case c = right_answer();
  c.output.out.assign(6 * 512, 0);
  EXPECT_FALSE(compare(c.output, c.reference, {}).ok);
  c = right_answer();
  c.reference.out.assign(6 * 512, 0.0);
  EXPECT_FALSE(compare(c.output, c.reference, {}).ok);
}

TEST(Compare, WantsInfinitiesAndNaNAtEqualPlaces) {
  Case c = right_answer();
  c.output.out[700] = 0x7FC0;
  const Comparison poisoned = compare(c.output, c.reference, {});
  EXPECT_FALSE(poisoned.ok);
  EXPECT_THAT(poisoned.reason, HasSubstr("token 0, head 1, column 188] is nan"));
  c.reference.out[700] = std::nan("");
  EXPECT_TRUE(compare(c.output, c.reference, {}).ok);
  c.output.out[700] = 0x7F80;
  EXPECT_FALSE(compare(c.output, c.reference, {}).ok);
  c.reference.out[700] = kInfinity;
  EXPECT_TRUE(compare(c.output, c.reference, {}).ok);
  c.reference.out[700] = -kInfinity;
  EXPECT_FALSE(compare(c.output, c.reference, {}).ok);
}

TEST(Compare, RefusesNaNEverywhere) {
  Case c = right_answer();
  c.output.out.assign(6 * 512, 0xFFFF);
  EXPECT_FALSE(compare(c.output, c.reference, {}).ok);
}

TEST(Compare, ChecksTheLse) {
  Case c = right_answer();
  c.reference.lse[4] = 2;
  c.output.lse[4] = 2 * (1 + 7.f / 65536);
  EXPECT_TRUE(compare(c.output, c.reference, {}).ok);
  c.output.lse[4] = 2 * (1 + 9.f / 65536);
  const Comparison result = compare(c.output, c.reference, {});
  EXPECT_FALSE(result.ok);
  EXPECT_THAT(result.reason, HasSubstr("lse[token 1, head 1]"));
  c.reference.lse[4] = kInfinity;
  EXPECT_FALSE(compare(c.output, c.reference, {}).ok);
  c.output.lse[4] = float(kInfinity);
  EXPECT_TRUE(compare(c.output, c.reference, {}).ok);
}

TEST(Compare, LeavesOutAnLseThatNobodyAskedFor) {
  Case c = right_answer();
  c.output.lse.clear();
  EXPECT_TRUE(compare(c.output, c.reference, {}).ok);
}

TEST(Compare, RefusesAnOutputOfAnotherSize) {
  Case c = right_answer();
  c.output.out.pop_back();
  const Comparison result = compare(c.output, c.reference, {});
  EXPECT_FALSE(result.ok);
  EXPECT_THAT(result.reason, HasSubstr("3071"));
}

}  // namespace
}  // namespace mla
