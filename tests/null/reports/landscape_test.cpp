#include "reports/landscape.hpp"

#include <gmock/gmock.h>

#include "tests/null/reports/hand_made.hpp"

namespace mla::test {
namespace {

using ::testing::HasSubstr;

TimedVariant timed(int block_k, int waves, double us, int problem = 0) {
  return {{{"block_k", block_k}, {"waves", waves}}, us, problem};
}

TEST(MainEffects, FindsTheParameterThatDecides) {
  // block_k doubles the time, waves does nothing.
  const auto effects =
      main_effects({timed(32, 2, 10), timed(32, 4, 10), timed(64, 2, 20), timed(64, 4, 20)});
  ASSERT_EQ(effects.size(), 2u);
  EXPECT_EQ(effects[0].parameter, "block_k");
  EXPECT_NEAR(effects[0].explained, 1, 1e-12);
  EXPECT_NEAR(effects[1].explained, 0, 1e-12);
  ASSERT_EQ(effects[0].levels.size(), 2u);
  EXPECT_EQ(effects[0].levels[1].value, 64);
  EXPECT_NEAR(effects[0].levels[1].mean_ratio, 2, 1e-12);
  EXPECT_NEAR(effects[0].levels[1].best_ratio, 2, 1e-12);
}

TEST(MainEffects, TellsWhatGivingAValueUpCostsFromWhatItsMeanIs) {
  // 64 is bad with 2 waves and as good as 32 with 4.
  const auto effects =
      main_effects({timed(32, 2, 10), timed(32, 4, 10), timed(64, 2, 40), timed(64, 4, 10)});
  for (const Effect& effect : effects)
    for (const Level& level : effect.levels) EXPECT_NEAR(level.best_ratio, 1, 1e-12);
  EXPECT_NEAR(effects[0].levels[1].mean_ratio, 2, 1e-12);
}

TEST(MainEffects, ComparesWithinAProblemAlone) {
  // The second problem is ten times as long, and only it was tried with 4 waves.
  const auto effects = main_effects(
      {timed(32, 2, 10, 0), timed(64, 2, 11, 0), timed(32, 4, 100, 1), timed(64, 4, 110, 1)});
  EXPECT_EQ(effects[0].parameter, "block_k");
  EXPECT_NEAR(effects[1].explained, 0, 1e-12);
}

TEST(MainEffects, LeavesOutWhatNeverVaries) {
  EXPECT_TRUE(main_effects({timed(32, 2, 10), timed(32, 2, 11)}).empty());
}

class LandscapeTest : public ::testing::Test {
 protected:
  Json landscape(const std::string& selector) {
    Facts facts = read_facts({path_});
    return landscape_json(facts, make_side(facts, parse_selector(selector, facts), ""), two_archs(),
                          {"0.1.0", "2026-01-02T03:04:05Z"});
  }
  TempDir folder_;
  std::filesystem::path path_ = folder_ / "t.db";
};

TEST_F(LandscapeTest, SaysHowFlatTheOptimumIsAndHowFarFromTheLimit) {
  {
    HandMade made(path_);
    made.measured(csa(8), 32, times(10));
    made.measured(csa(8), 64, times(10.3));
    made.measured(csa(8), 128, {30}, Round::search);
    made.failed(csa(8), 16, Verdict::wrong_result, "wrong");
    // A prediction for another variant is no time here.
    made.predicted(csa(8), 256, 5);
  }
  const Json report = landscape("rocm-6.4.3");
  EXPECT_EQ(report["kind"], "landscape");
  ASSERT_EQ(report["problems"].size(), 1u);
  const Json& problem = report["problems"][0];
  EXPECT_EQ(problem["evidence"], "measured");
  EXPECT_EQ(problem["variants"], 3);
  EXPECT_EQ(problem["failures"], 1);
  EXPECT_EQ(problem["best"]["params"]["block_k"], 32);
  EXPECT_EQ(problem["near_best"][1]["variants"], 1);  // within 2 %
  EXPECT_EQ(problem["near_best"][2]["variants"], 2);  // within 5 %
  EXPECT_NEAR(problem["worst_ratio"].get<double>(), 3, 1e-6);
  // 8 tokens of 1152 rows of 588 bytes and the rest, at 8 TB/s.
  EXPECT_NEAR(problem["limit_us"].get<double>(), 0.71, 0.01);
  EXPECT_NEAR(problem["times_limit"].get<double>(), 10 / problem["limit_us"].get<double>(), 1e-9);
  EXPECT_EQ(report["effects"]["gfx950"][0]["parameter"], "block_k");
}

TEST_F(LandscapeTest, IsTextAndMarkdown) {
  {
    HandMade made(path_);
    made.predicted(csa(8), 32, 10);
    made.predicted(csa(8), 64, 20, Round::search);
  }
  const Json report = landscape("rocm-6.4.3");
  for (const std::string& text : {landscape_text(report, false), landscape_markdown(report)}) {
    EXPECT_THAT(text, HasSubstr("16 heads, 8 tokens, 128+1024 keys"));
    EXPECT_THAT(text, HasSubstr("predicted"));
    EXPECT_THAT(text, HasSubstr("block_k"));
  }
  EXPECT_EQ(landscape_text(report, false).find('\033'), std::string::npos);
}

TEST_F(LandscapeTest, SaysNothingOfALimitThatItDoesNotKnow) {
  {
    HandMade made(path_);
    made.device("gfx000", "a card without a file").predicted(csa(8), 32, 10);
  }
  EXPECT_THAT(landscape("rocm-6.4.3")["headline"].get<std::string>(), HasSubstr("not known"));
}

TEST_F(LandscapeTest, NeedsTimes) {
  {
    HandMade made(path_);
    made.failed(csa(8), 32, Verdict::crashed, "SIGSEGV");
  }
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { landscape("rocm-6.4.3"); }),
              HasSubstr("has no times"));
}

}  // namespace
}  // namespace mla::test
