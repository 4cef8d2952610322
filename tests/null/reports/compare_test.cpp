// From rows to verdicts.
#include "reports/compare.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "tests/null/reports/hand_made.hpp"

namespace mla::test {
namespace {

using ::testing::HasSubstr;

class CompareTest : public ::testing::Test {
 protected:
  // A problem of each verdict, by tokens: 1 regressed, 2 improved, 3 same, 4 inconclusive, 5 broken
  // (wrong result), 6 fixed, 7 new, 8 broken (compilation), 9 rejected with a replacement, 10 not
  // tried by the candidate; on gfx942, predicted: 11 regressed, 12 same.
  void make_every_verdict() {
    HandMade made(path_);
    Resources small{.vgprs = 160,
                    .agprs = 0,
                    .sgprs = 40,
                    .lds_bytes = 65536,
                    .scratch_bytes = 0,
                    .vgpr_spills = 0,
                    .sgpr_spills = 0,
                    .code_bytes = 9000,
                    .waves_per_simd = 3,
                    .mfma = 64,
                    .lds = 128,
                    .vmem = 32,
                    .valu = 900,
                    .salu = 100};
    made.code(32, small);
    made.code(64, small);
    made.code(128, small);
    for (const int tokens : {1, 2, 3, 4, 5, 10}) made.measured(csa(tokens), 32, times(20));
    made.failed(csa(6), 32, Verdict::wrong_result, "row 3 differs");
    made.measured(csa(8), 64, times(30));
    made.measured(csa(9), 128, times(40));

    made.release("7.2.4");
    Resources large = small;
    large.vgprs = 176;
    large.waves_per_simd = 2;
    made.code(32, large);
    made.code(64, {}, Verdict::compile_failed, "error: no viable conversion\nin line 7");
    made.code(128, large, Verdict::rejected, "spills 9 VGPRs");
    made.measured(csa(1), 32, times(22));
    made.measured(csa(1), 16, times(21));
    made.measured(csa(2), 32, times(18));
    made.measured(csa(3), 32, times(20.02));
    made.measured(csa(4), 32, times(20.5, 15, 20));
    made.failed(csa(5), 32, Verdict::wrong_result, "largest difference 0.5 in row 2");
    made.measured(csa(5), 16, times(25));
    made.measured(csa(6), 32, times(20));
    made.measured(csa(7), 32, times(20));
    made.measured(csa(8), 32, times(33));
    made.measured(csa(9), 32, times(39.9));

    made.device("gfx942", "gfx942 (model)").release("6.4.3");
    made.predicted(csa(11), 32, 12.0);
    made.predicted(csa(12), 32, 12.0);
    made.release("7.2.4");
    made.predicted(csa(11), 32, 12.6, Round::search);
    made.predicted(csa(11), 16, 12.5);
    made.predicted(csa(12), 32, 12.1);
  }

  TempDir folder_;
  std::filesystem::path path_ = folder_ / "t.db";
};

TEST_F(CompareTest, ReachesEveryVerdict) {
  make_every_verdict();
  const Compared result = compared({path_}, "rocm-6.4.3", "rocm-7.2.4");
  const char* expected[] = {"",      "regressed", "improved", "same", "inconclusive", "broken",
                            "fixed", "new",       "broken",   "same", "inconclusive", "regressed",
                            "same"};
  for (int tokens = 1; tokens <= 12; ++tokens)
    EXPECT_EQ(of_tokens(result.json, tokens)["verdict"], expected[tokens])
        << tokens << " tokens: " << of_tokens(result.json, tokens)["reason"];
  EXPECT_EQ(exit_code_of(result.comparison), 4);
}

TEST_F(CompareTest, WritesTheGoldenReport) {
  make_every_verdict();
  Compared result = compared({path_}, "rocm-6.4.3", "rocm-7.2.4");
  for (Json& file : result.json["databases"]) file["path"] = "t.db";
  const std::filesystem::path golden =
      std::filesystem::path(MLA_TEST_DATA) / "report_every_verdict.json";
  std::ifstream file(golden);
  const std::string expected{std::istreambuf_iterator<char>(file), {}};
  const std::string found = result.json.dump(1) + "\n";
  if (found == expected) return;
  const std::string actual = ::testing::TempDir() + "report_every_verdict.json";
  std::ofstream(actual) << found;
  FAIL() << "the report differs from " << golden << "; see\n  diff " << golden.string() << " "
         << actual;
}

TEST_F(CompareTest, PutsTheGravestAndDearestFirst) {
  make_every_verdict();
  const Compared result = compared({path_}, "rocm-6.4.3", "rocm-7.2.4");
  std::vector<std::string> verdicts;
  for (const Json& problem : result.json["problems"]) verdicts.push_back(problem["verdict"]);
  EXPECT_THAT(verdicts, ::testing::ElementsAre("broken", "broken", "regressed", "regressed",
                                               "inconclusive", "inconclusive", "new", "fixed",
                                               "improved", "same", "same", "same"));
  // 30 layers of 2 us against 30 of 0.6.
  EXPECT_NEAR(result.json["problems"][2]["step_us"].get<double>(), 60, 0.01);
  EXPECT_NEAR(result.json["problems"][3]["step_us"].get<double>(), 18, 0.01);
}

TEST_F(CompareTest, NeverCountsAPredictionAsAMeasurement) {
  make_every_verdict();
  const Compared result = compared({path_}, "rocm-6.4.3", "rocm-7.2.4");
  const Json& verdicts = result.json["summary"]["verdicts"];
  EXPECT_EQ(verdicts["measured"]["regressed"], 1);
  EXPECT_EQ(verdicts["predicted"]["regressed"], 1);
  EXPECT_EQ(of_tokens(result.json, 11)["evidence"], "predicted");
  EXPECT_TRUE(of_tokens(result.json, 11)["of_old_winner"]["p_value"].is_null());
}

TEST_F(CompareTest, TellsFailuresThatAppearedFromThoseThatWentAway) {
  make_every_verdict();
  const Json failures = compared({path_}, "rocm-6.4.3", "rocm-7.2.4").json["failures"];
  std::vector<std::string> found;
  for (const Json& one : failures)
    found.push_back(fmt::format("{}{} {}", one["appeared"].get<bool>() ? "+" : "-",
                                one["stage"].get<std::string>(),
                                one["verdict"].get<std::string>()));
  EXPECT_THAT(found, ::testing::UnorderedElementsAre("+compile compile_failed", "+compile rejected",
                                                     "+run wrong_result", "-run wrong_result"));
}

TEST_F(CompareTest, TakesTheWinnersThatTheStoreTakes) {
  make_every_verdict();
  const Compared result = compared({path_}, "rocm-6.4.3", "rocm-7.2.4");
  Store store = Store::open(path_, StoreMode::read_only);
  std::size_t compared_winners = 0;
  for (const Winner& winner : store.winners()) {
    const Json& problem = of_tokens(result.json, winner.problem.num_tokens);
    const Json& side = problem[winner.rocm == "6.4.3" ? "baseline" : "candidate"];
    EXPECT_EQ(side["variant"], winner.variant);
    EXPECT_EQ(side["median_us"], winner.median_us);
    ++compared_winners;
  }
  EXPECT_EQ(compared_winners, 8u + 9u + 4u);
}

TEST_F(CompareTest, ComparesTheOldWinnersCodeWhereItIsLaunchedOtherwiseNow) {
  {
    HandMade made(path_);
    made.predicted(csa(1), 32, 10);
    made.release("7.2.4");
    MeasurementRecord row = {.variant_id = made.variant(32, 8),
                             .problem_id = made.store().put(csa(1)),
                             .device_id = 1,
                             .toolchain_id = 2,
                             .session_id = 1,
                             .round = Round::search,
                             .verdict = Verdict::unverified,
                             .median_us = 11};
    made.store().put(row);
    made.predicted(csa(1), 16, 9);
  }
  const Json problem = of_tokens(compared({path_}, "rocm-6.4.3", "rocm-7.2.4").json, 1);
  EXPECT_EQ(problem["verdict"], "regressed");
  EXPECT_FALSE(problem["old_winner"]["exact"].get<bool>());
  EXPECT_EQ(problem["of_winners"]["verdict"], "improved");
}

TEST_F(CompareTest, CallsNothingFixedThatWasMerelyNeverFinished) {
  {
    HandMade made(path_);
    made.measured(csa(1), 32, times(10), Round::search);
    made.release("7.2.4");
    made.measured(csa(1), 32, times(10));
  }
  const Json problem = of_tokens(compared({path_}, "rocm-6.4.3", "rocm-7.2.4").json, 1);
  EXPECT_EQ(problem["verdict"], "inconclusive");
  EXPECT_THAT(problem["reason"].get<std::string>(), HasSubstr("no final round"));
}

TEST_F(CompareTest, DoesNotBlameACandidateThatNeverTriedTheOldWinner) {
  {
    HandMade made(path_);
    made.predicted(csa(1), 32, 10);
    made.release("7.2.4");
    made.predicted(csa(1), 16, 12);
  }
  const Json problem = of_tokens(compared({path_}, "rocm-6.4.3", "rocm-7.2.4").json, 1);
  EXPECT_EQ(problem["verdict"], "inconclusive");
  EXPECT_THAT(problem["reason"].get<std::string>(), HasSubstr("not tried"));
}

TEST_F(CompareTest, RefusesSidesThatCannotBeCompared) {
  {
    HandMade made(path_);
    made.predicted(csa(1), 32, 10);
    made.release("7.2.4").device("gfx950", "AMD Instinct MI355X");
    made.measured(csa(1), 32, times(10));
    made.release("7.3.0");
    made.predicted(csa(2), 32, 10);
  }
  const auto refusal = [&](const char* baseline, const char* candidate) {
    return error_of(ErrorKind::usage, [&] { compared({path_}, baseline, candidate); });
  };
  EXPECT_THAT(refusal("rocm-6.4.3", "rocm-7.2.4"), HasSubstr("predicted alone"));
  EXPECT_THAT(refusal("rocm-6.4.3", "rocm-7.3.0"), HasSubstr("no problem in common"));
  EXPECT_THAT(refusal("rocm-6.4.3", "rocm-6.4"), HasSubstr("are the same"));
  EXPECT_THAT(refusal("rocm-5.7", "rocm-7.2.4"), HasSubstr("rocm-6.4.3, rocm-7.2.4, rocm-7.3.0"));
}

TEST_F(CompareTest, ComparesThePredictionsOfOneArchWhereOneSideMeasuredAnother) {
  {
    HandMade made(path_);
    made.predicted(csa(1), 32, 10);
    made.device("gfx942", "AMD Instinct MI300X").measured(csa(1), 32, times(10));
    made.release("7.2.4").predicted(csa(1), 32, 10);
    made.device("gfx950", "gfx950 (model)").predicted(csa(1), 32, 11);
  }
  const Json report = compared({path_}, "rocm-6.4.3", "rocm-7.2.4").json;
  EXPECT_EQ(report["problems"][0]["verdict"], "regressed");
  EXPECT_EQ(report["problems"][1]["verdict"], "inconclusive");
}

TEST_F(CompareTest, ComparesNoCodeObjectWithItself) {
  {
    HandMade made(path_);
    made.code(32, {.vgprs = 160});
    made.measured(csa(1), 32, times(10));
    made.session("0.1.0").measured(csa(1), 32, times(11));
  }
  const Json report = compared({path_}, "session:1", "session:2").json;
  EXPECT_EQ(report["problems"][0]["verdict"], "regressed");
  EXPECT_EQ(report["problems"][0]["baseline"]["code"]["vgprs"], 160);
  EXPECT_EQ(report["code_objects"].size(), 0u);
}

TEST_F(CompareTest, DoesNotGuessWhichOfTwoCodeObjectsARunHad) {
  {
    HandMade made(path_);
    made.code(32, {.vgprs = 160});
    made.measured(csa(1), 32, times(10));
    made.session("0.2.0").measured(csa(1), 32, times(11));
    made.code(32, {.vgprs = 176}, Verdict::ok, "", 1);
  }
  const Json problem = compared({path_}, "version:0.1.0", "version:0.2.0").json["problems"][0];
  EXPECT_EQ(problem["verdict"], "regressed");
  EXPECT_TRUE(problem["baseline"]["code"].is_null());
  EXPECT_TRUE(problem["old_winner"]["code"].is_null());
}

}  // namespace
}  // namespace mla::test
