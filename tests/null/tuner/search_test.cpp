#include "tuner/search.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/null/tuner/toy_space.hpp"

namespace mla {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

bool anything(const Point&) { return true; }

class Search : public testing::Test {
 protected:
  // A parameter's place among those of a point.
  std::size_t place(const std::string& name) const {
    const auto& all = space_.parameters();
    return static_cast<std::size_t>(std::ranges::find(all, name, &Parameter::name) - all.begin());
  }
  int distance(const Point& a, const Point& b) const {
    int different = 0;
    for (std::size_t i = 0; i < a.size(); ++i) different += a[i] != b[i];
    return different;
  }
  TempConfigs configs_;
  Arch arch_ = model_arch();
  Space space_ = toy_space(configs_, arch_);
  PointReader reader_{space_};
};

TEST_F(Search, ASampleShowsEveryValueThatSomePointHas) {
  const auto points = space_.code_points();
  const auto sample = spread(space_, {}, 6, 1, anything);
  ASSERT_THAT(sample, SizeIs(6));
  for (std::size_t i = 0; i < space_.code_parameters(); ++i)
    for (const Point& point : points)
      EXPECT_TRUE(std::ranges::any_of(sample, [&](const Point& s) { return s[i] == point[i]; }))
          << space_.parameters()[i].name << " = " << point[i];
}

TEST_F(Search, ASampleIsBalanced) {
  const auto sample = spread(space_, {}, 12, 3, anything);
  for (const int waves : {2, 4}) {
    const auto count =
        std::ranges::count_if(sample, [&](const Point& p) { return p[place("waves")] == waves; });
    EXPECT_GE(count, 4) << waves << " waves";
  }
}

TEST_F(Search, EqualSeedsGiveEqualSamplesAndOthersDoNot) {
  EXPECT_EQ(spread(space_, {}, 10, 7, anything), spread(space_, {}, 10, 7, anything));
  EXPECT_NE(spread(space_, {}, 10, 7, anything), spread(space_, {}, 10, 8, anything));
}

TEST_F(Search, ASampleEndsWithTheSpaceAndRepeatsNothing) {
  const auto all = space_.code_points();
  std::vector<Point> tried(all.begin(), all.begin() + 5);
  const auto rest = spread(space_, tried, 1000, 1, anything);
  EXPECT_EQ(rest.size(), all.size() - 5);
  for (const Point& point : rest) {
    EXPECT_EQ(std::ranges::count(rest, point), 1);
    EXPECT_EQ(std::ranges::count(tried, point), 0);
  }
}

TEST_F(Search, WhatIsNotPromisingServesToShowItsValuesAlone) {
  const auto sample =
      spread(space_, {}, 1000, 1, [&](const Point& p) { return p[place("prefetch")] == 2; });
  EXPECT_EQ(
      std::ranges::count_if(sample, [&](const Point& p) { return p[place("prefetch")] == 1; }), 1);
  EXPECT_EQ(
      std::ranges::count_if(sample, [&](const Point& p) { return p[place("prefetch")] == 2; }),
      std::ranges::count_if(space_.code_points(),
                            [&](const Point& p) { return p[place("prefetch")] == 2; }));
}

TEST_F(Search, NeighboursAreNewAdmissibleAndNear) {
  const auto all = space_.code_points();
  const std::set<Point> known(all.begin(), all.begin() + 3);
  const auto found = neighbours(space_, {all[0], all[2]}, known, 6, 1, anything);
  EXPECT_THAT(found, SizeIs(6));
  for (const Point& point : found) {
    EXPECT_FALSE(known.contains(point));
    EXPECT_EQ(space_.refusal(point), nullptr);
    EXPECT_LE(std::min(distance(point, all[0]), distance(point, all[2])), 1);
    EXPECT_EQ(std::ranges::count(found, point), 1);
  }
}

TEST_F(Search, NeighboursGoTwoStepsWhereOneIsExhausted) {
  const auto all = space_.code_points();
  const auto found = neighbours(space_, {all[0]}, {all[0]}, 1000, 1, anything);
  EXPECT_TRUE(std::ranges::any_of(found, [&](const Point& p) { return distance(p, all[0]) == 2; }));
  const auto first_far =
      std::ranges::find_if(found, [&](const Point& p) { return distance(p, all[0]) == 2; });
  EXPECT_TRUE(std::all_of(first_far, found.end(),
                          [&](const Point& p) { return distance(p, all[0]) == 2; }));
}

TEST_F(Search, OddsLearnWhatIsRefused) {
  Odds odds;
  const auto all = space_.code_points();
  EXPECT_TRUE(odds.promise(all.front())) << "nothing was tried";
  odds.add(all.front(), false);
  EXPECT_TRUE(odds.promise(all.front())) << "nothing was usable";
  for (const Point& point : all) odds.add(point, point[place("block_k")] != 64);
  for (const Point& point : all)
    EXPECT_EQ(odds.promise(point), point[place("block_k")] != 64) << point[place("block_k")];
}

TEST_F(Search, ReadsPointsIntoTheFieldsOfTheirNames) {
  const Point code = space_.code_points().back();
  const Point whole = space_.launch_points(code).back();
  EXPECT_EQ(variant_params(reader_(whole)), space_.params(whole));
  EXPECT_EQ(reader_(code).splits.split_extra, 0);
}

class BestLaunches : public Search {
 protected:
  std::vector<Candidate> best(const ProblemRecord& problem, std::size_t count,
                              const std::set<ReduceId>& excluded = {}) {
    const Point code = space_.code_points().front();
    return best_launches(arch_, problem, 0, reader_(code).config, {},
                         launch_choices(space_, reader_, code), count, excluded);
  }
  ProblemRecord problem_{.kernel = "sparse_mla_decode",
                         .num_heads = 16,
                         .num_tokens = 1,
                         .main_len = 128,
                         .extra_len = 1024,
                         .main_page = 64,
                         .extra_page = 64};
};

TEST_F(BestLaunches, AreOneForEachSplitSortedByTime) {
  const auto all = best(problem_, 100);
  EXPECT_THAT(all, SizeIs(6));  // split_main 0, 1 times split_extra 1, 4, 16
  EXPECT_TRUE(std::ranges::is_sorted(all, {}, &Candidate::predicted_us));
  EXPECT_THAT(best(problem_, 2), SizeIs(2));
  EXPECT_EQ(best(problem_, 1).front().predicted_us, all.front().predicted_us);
}

TEST_F(BestLaunches, DoNotCountSplitsOfAScopeThatIsAbsent) {
  problem_.extra_len = 0;
  problem_.extra_page = 0;
  EXPECT_THAT(best(problem_, 100), SizeIs(4));  // split_main 0 with three, split_main 1
}

TEST_F(BestLaunches, AvoidReduceKernelsThatDoNotCompile) {
  for (const Candidate& candidate : best(problem_, 100, {{1, 1}})) {
    if (total_splits(candidate.launch.splits, true) > 1) {
      EXPECT_EQ(candidate.launch.reduce.block_h, 4);
    }
  }
  for (const Candidate& candidate : best(problem_, 100, {{1, 1}, {4, 1}}))
    EXPECT_EQ(total_splits(candidate.launch.splits, true), 1);
}

TEST(BestCodes, AreTheBestOfEachProblemAndThenTheBestOnTheWhole) {
  const auto candidate = [](std::size_t code, double us) {
    Candidate c;
    c.code = code;
    c.predicted_us = us;
    return c;
  };
  const std::vector<std::vector<Candidate>> problems = {
      {candidate(3, 10), candidate(1, 11), candidate(0, 50)},
      {candidate(2, 20), candidate(1, 21), candidate(3, 90)},
      {}};
  EXPECT_THAT(best_codes(problems, 4, 10), ElementsAre(3, 2, 1, 0));
  EXPECT_THAT(best_codes(problems, 4, 2), ElementsAre(3, 2));
  EXPECT_THAT(best_codes({{}, {}}, 4, 10), IsEmpty());
}

}  // namespace
}  // namespace mla
