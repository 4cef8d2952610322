#include "tuner/tune.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>
#include <utility>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tests/null/tuner/tune_fixture.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::Field;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(Tune, RanksEverythingAndLetsTheCheckedWin) {
  const TuneReport report = run();
  EXPECT_GE(report.codes.at(Verdict::ok), 12);
  EXPECT_EQ(report.wins, 4u);  // two for each problem
  const auto ranked = rows(Round::search);
  EXPECT_EQ(ranked.size(), 24u);
  EXPECT_THAT(ranked, Each(AllOf(Field(&MeasurementRecord::verdict, Verdict::unverified),
                                 Field(&MeasurementRecord::evidence, Evidence::predicted))));
  const auto final = rows(Round::final);
  EXPECT_EQ(final.size(), 4u);
  EXPECT_THAT(final, Each(AllOf(Field(&MeasurementRecord::verdict, Verdict::ok),
                                Field(&MeasurementRecord::evidence, Evidence::predicted))));
  const auto winners = store().winners("gfx950");
  ASSERT_THAT(winners, SizeIs(2));
  for (const Winner& winner : winners) {
    EXPECT_EQ(winner.evidence, Evidence::predicted);
    for (const MeasurementRecord& m : ranked) {
      if (m.problem_id != (winner.problem.num_tokens == 1 ? 1 : 2)) continue;
      EXPECT_LE(winner.median_us, m.median_us) << "something better was left unchecked";
    }
  }
  EXPECT_THAT(store().check(), IsEmpty());
}

TEST_F(Tune, AChangedTemplateIsAnotherKernel) {
  run();
  const int compiled = compiler_.count, ran = runner_.count;
  headers_ = std::make_shared<const std::vector<SourceHeader>>(
      std::vector<SourceHeader>{{"sparse_mla_decode.hpp", "// changed"}});
  run();
  EXPECT_EQ(compiler_.count, 2 * compiled);
  EXPECT_EQ(runner_.count, 2 * ran);
}

TEST_F(Tune, WhatComputesWrongCannotWin) {
  run();
  const Launch best = variant_launch(store().winners("gfx950").front().params);
  path_ = folder_.path("other.db");
  runner_.wrong_with_block_k = best.config.block_k;
  const TuneReport report = run();
  EXPECT_THAT(report.failures,
              Contains(Field(&TuneReport::Failure::verdict, Verdict::wrong_result)));
  EXPECT_THAT(rows(Round::final),
              Contains(AllOf(Field(&MeasurementRecord::verdict, Verdict::wrong_result),
                             Field(&MeasurementRecord::reason, HasSubstr("seed")))));
  const auto winners = store().winners("gfx950");
  EXPECT_THAT(winners, SizeIs(2)) << "the next best take its place";
  for (const Winner& winner : winners)
    EXPECT_NE(variant_launch(winner.params).config.block_k, best.config.block_k);
}

TEST_F(Tune, WhatCrashesIsARowAndNotTheEnd) {
  runner_.crash_with_block_k = 64;
  run();
  EXPECT_THAT(store().winners("gfx950"), SizeIs(2));
}

TEST_F(Tune, KeepsWhatTheCompilerRefusedWithItsWords) {
  compiler_.failing = ".block_k = 32";
  compiler_.hanging = ".block_k = 64";
  run();
  const auto codes = code_objects();
  EXPECT_THAT(codes, Contains(AllOf(Field(&CodeObjectRecord::verdict, Verdict::compile_failed),
                                    Field(&CodeObjectRecord::reason, HasSubstr("it is a fake")))));
  EXPECT_THAT(codes, Contains(Field(&CodeObjectRecord::verdict, Verdict::timed_out)));
  EXPECT_THAT(store().winners("gfx950"), SizeIs(2));
}

TEST_F(Tune, WhereNothingCompilesNothingWinsAndTheRunEnds) {
  compiler_.failing = "Config";
  const TuneReport report = run();
  EXPECT_EQ(report.codes.at(Verdict::compile_failed), 12);
  EXPECT_EQ(report.codes.count(Verdict::ok), 0u);
  EXPECT_THAT(rows(Round::search), IsEmpty());
  EXPECT_THAT(store().winners(), IsEmpty());
}

TEST_F(Tune, RejectsWhatSpills) {
  compiler_.spilling = ".waves = 4";
  run();
  EXPECT_THAT(code_objects(),
              Contains(AllOf(Field(&CodeObjectRecord::verdict, Verdict::rejected),
                             Field(&CodeObjectRecord::reason, HasSubstr("spills")))));
  for (const Winner& winner : store().winners("gfx950"))
    EXPECT_EQ(variant_launch(winner.params).config.waves, 2);
}

TEST_F(Tune, DoesWithoutAReduceKernelThatDoesNotCompile) {
  run();
  const auto splits_of_first = [&] {
    return total_splits(variant_launch(store().winners("gfx950").front().params).splits, true);
  };
  ASSERT_GT(splits_of_first(), 1) << "one token with a long list";
  path_ = folder_.path("other.db");
  compiler_.failing = "ReduceConfig";
  run();
  const auto winners = store().winners("gfx950");
  ASSERT_THAT(winners, SizeIs(2));
  for (const Winner& winner : winners)
    EXPECT_EQ(total_splits(variant_launch(winner.params).splits, true), 1);
}

TEST_F(Tune, RanksEqualCodeOnce) {
  compiler_.alike = ".prefetch = ";
  run();
  EXPECT_EQ(rows(Round::search).size(), 2u);
}

TEST_F(Tune, WithoutABenchNothingIsRunAndNothingWins) {
  const TuneReport report = run(Bench::none);
  EXPECT_EQ(report.checked, 0u);
  EXPECT_THAT(rows(Round::search), Not(IsEmpty()));
  EXPECT_THAT(rows(Round::final), IsEmpty());
  EXPECT_THAT(store().winners(), IsEmpty());
}

TEST_F(Tune, WhatTheHostCannotCompileStaysUnverified) {
  host_compiler_.failing = "Config";
  run();
  EXPECT_THAT(rows(Round::final),
              AllOf(Not(IsEmpty()), Each(Field(&MeasurementRecord::verdict, Verdict::unverified))));
  EXPECT_THAT(store().winners(), IsEmpty());
}

TEST_F(Tune, OnTheTargetTimesAreMeasured) {
  runner_ = FakeRunner("gfx950");
  runner_.wrong_with_block_k = 32;  // the fastest by far, and wrong
  limits_.code_objects = 24;
  run(Bench::target);
  const auto winners = store().winners("gfx950");
  ASSERT_THAT(winners, SizeIs(2));
  for (const Winner& winner : winners) {
    EXPECT_EQ(winner.evidence, Evidence::measured);
    EXPECT_EQ(variant_launch(winner.params).config.block_k, 64);
    EXPECT_GE(winner.median_us, 640);
    EXPECT_LE(winner.median_us, 680);
  }
  const auto before = table_sizes();
  const int ran = runner_.count;
  run(Bench::target);
  EXPECT_EQ(runner_.count, ran) << "nothing is timed twice";
  EXPECT_EQ(table_sizes(), before);
}

TEST_F(Tune, WhatFailedIsTriedAgainOnlyWhereThatIsAskedFor) {
  runner_ = FakeRunner("gfx950");
  runner_.crash_with_block_k = 32;
  limits_.code_objects = 24;
  run(Bench::target);
  const auto failed = [&] {
    return std::ranges::count(rows(Round::search), Verdict::crashed, &MeasurementRecord::verdict);
  };
  ASSERT_GT(failed(), 0);
  runner_.crash_with_block_k = 0;
  run(Bench::target);
  EXPECT_GT(failed(), 0) << "nothing is tried twice";
  limits_.retry = true;
  run(Bench::target);
  EXPECT_EQ(failed(), 0);
  for (const Winner& winner : store().winners("gfx950"))
    EXPECT_EQ(variant_launch(winner.params).config.block_k, 32) << "the fastest, now that it works";
}

TEST_F(Tune, ACompilerThatHungIsAskedAgainWhereThatIsAskedFor) {
  compiler_.hanging = ".block_k = 32";
  run();
  const int compiled = compiler_.count;
  compiler_.hanging = "-";
  run();
  EXPECT_EQ(compiler_.count, compiled);
  limits_.retry = true;
  EXPECT_GT(run().compiled, 0u);
  EXPECT_THAT(code_objects(), Each(Field(&CodeObjectRecord::verdict, Verdict::ok)));
}

TEST_F(Tune, SeveralDevicesShareTheProblemsOfOneDatabase) {
  FakeRunner first("gfx950", "0000:01:00.0"), second("gfx950", "0000:02:00.0");
  first.conditions_now = R"({"sm_mhz":1980,"throttle":["idle"]})";
  second.conditions_now = R"({"sm_mhz":1200,"throttle":["idle","power cap"]})";
  // Neither takes a second problem before the other has taken its first.
  std::atomic<int> begun = 0;
  first.on_begin = second.on_begin = [&] {
    for (++begun; begun < 2;) std::this_thread::yield();
  };
  runners_ = {&first, &second};
  const TuneReport report = run(Bench::target);
  EXPECT_GT(first.count, 0);
  EXPECT_GT(second.count, 0);
  EXPECT_THAT(report.notes, ElementsAre(HasSubstr("power cap")));
  EXPECT_THAT(store().winners("gfx950"), SizeIs(2));
  EXPECT_EQ(table_sizes().at("devices"), 2);
  const auto session = nlohmann::json::parse(store().sessions().back().conditions);
  EXPECT_EQ(session["devices"][0]["start"]["sm_mhz"], 1980);
  EXPECT_EQ(session["devices"][1]["end"]["sm_mhz"], 1200);
  EXPECT_EQ(session["devices"][1]["pci_id"], "0000:02:00.0");
  EXPECT_THAT(session["problems"], SizeIs(2));
  EXPECT_THAT(store().check(), IsEmpty());

  const auto before = table_sizes();
  runners_ = {&second, &first};
  run(Bench::target);
  EXPECT_EQ(table_sizes(), before) << "each problem is known on the device that had it";
}

TEST_F(Tune, ExhaustivelyEveryCodeObjectIsTimedForEveryProblem) {
  runner_ = FakeRunner("gfx950");
  limits_.code_objects = kNoLimit;
  limits_.exhaustive = true;
  limits_.launches = 3;
  const TuneReport report = run(Bench::target);
  EXPECT_GE(report.compiled, space_.code_points().size());
  EXPECT_EQ(rows(Round::search).size(), 2 * 3 * space_.code_points().size());
}

TEST_F(Tune, ADatabaseThatIsFullEndsTheThreads) {
  FakeRunner first("gfx950", "1"), second("gfx950", "2");
  runners_ = {&first, &second};
  limits_.code_objects = 24;
  int full = 0;
  for (int pages = 24; pages < 40; pages += 2) {
    Store store = Store::open(folder_.path(std::to_string(pages)), StoreMode::read_write_create,
                              {.max_pages = pages});
    try {
      run_in(store, Bench::target);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::database);
      full += progress_.phases.back() == "measuring";
    }
  }
  EXPECT_GT(full, 0) << "while the devices measured";
}

TEST_F(Tune, TriesWhatWinsWithAnotherReleaseOnceItsOwnPlanIsDone) {
  run();
  std::set<std::string> winning;
  for (const Winner& winner : store().winners("gfx950"))
    winning.insert(decode_source(variant_launch(winner.params).config));
  limits_.seed = 5;
  const FakeCompiler next("hiprtc", "7.3.0");
  const std::string first = std::exchange(path_, folder_.path("alone.db"));
  compiler_ = next;
  run();
  const std::vector<std::string> plan = compiler_.order;
  path_ = first;
  compiler_ = next;
  run();
  const std::vector<std::string> order = compiler_.order;
  ASSERT_GT(order.size(), plan.size()) << "the plan has the winners anyway: take another seed";
  EXPECT_TRUE(std::equal(plan.begin(), plan.begin() + 12, order.begin()));
  for (const std::string& source : winning)
    EXPECT_EQ(std::ranges::count(order, source), 1) << source;
  compiler_.order.clear();
  run();
  EXPECT_THAT(compiler_.order, IsEmpty()) << "the same again has nothing left to do";
}

TEST_F(Tune, WithABudgetAloneTheSpaceIsTheLimit) {
  limits_.code_objects = kNoLimit;
  limits_.budget_seconds = 1000;
  const TuneReport report = run(Bench::none);
  EXPECT_GE(report.compiled, space_.code_points().size());
}

}  // namespace
}  // namespace mla
