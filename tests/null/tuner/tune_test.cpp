#include "tuner/tune.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <nlohmann/json.hpp>
#include <thread>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tests/null/tuner/toy_space.hpp"
#include "tests/null/tuner/tune_fakes.hpp"
#include "tests/temporary_folder.hpp"

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

class Tune : public testing::Test {
 protected:
  Tune() {
    limits_.code_objects = 12;
    limits_.verify = 2;
    for (const int tokens : {1, 64})
      problems_.push_back({.kernel = "sparse_mla_decode",
                           .num_heads = 4,
                           .num_tokens = tokens,
                           .main_len = 20,
                           .extra_len = tokens == 1 ? 4000 : 40,
                           .main_page = 4,
                           .extra_page = 2});
  }

  TuneReport run(Bench bench = Bench::host) {
    Store store = Store::open(path_, StoreMode::read_write_create);
    return run_in(store, bench);
  }
  TuneReport run_in(Store& store, Bench bench) {
    const TuneParts parts{.arch = arch_,
                          .space = space_,
                          .problems = problems_,
                          .headers = headers_,
                          .store = store,
                          .compiler = compiler_,
                          .bench = bench,
                          .runners = bench == Bench::none ? std::vector<Runner*>{} : runners_,
                          .host_compiler = bench == Bench::host ? &host_compiler_ : nullptr};
    return tune(parts, limits_, {.command = "test", .version = "0"}, progress_, stop_);
  }
  Store store() { return Store::open(path_, StoreMode::read_only); }

  // All rows of a round, over both problems.
  std::vector<MeasurementRecord> rows(Round round) {
    Store db = store();
    std::vector<MeasurementRecord> all;
    for (std::int64_t problem = 1; problem <= 2; ++problem)
      for (const auto& m : db.measurements(problem, 1, 1, round)) all.push_back(m);
    return all;
  }
  std::map<std::string, std::int64_t> table_sizes() {
    std::map<std::string, std::int64_t> sizes;
    for (const auto& [table, count] : store().stats().tables)
      if (table != "sessions") sizes[table] = count;
    return sizes;
  }
  std::vector<CodeObjectRecord> code_objects() {
    Store db = store();
    std::map<std::string, CodeObjectRecord> by_key;
    for (const VariantRecord& variant : db.variants())
      for (const CodeObjectRecord& code : db.code_objects(variant.id)) by_key[code.key] = code;
    std::vector<CodeObjectRecord> all;
    for (const auto& [key, code] : by_key) all.push_back(code);
    return all;
  }

  TempConfigs configs_;
  TemporaryFolder folder_;
  std::string path_ = folder_.path("tune.db");
  Arch arch_ = model_arch();
  Space space_ = toy_space(configs_, arch_);
  SourceHeaders headers_ = std::make_shared<const std::vector<SourceHeader>>();
  std::vector<ProblemRecord> problems_;
  FakeCompiler compiler_;
  FakeCompiler host_compiler_{"c++"};
  FakeRunner runner_;
  std::vector<Runner*> runners_ = {&runner_};
  SilentProgress progress_;
  TuneLimits limits_;
  std::function<bool()> stop_ = [] { return false; };
};

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

TEST_F(Tune, ASecondRunRepeatsNothing) {
  run();
  const auto before = table_sizes();
  const int compiled = compiler_.count, host = host_compiler_.count, ran = runner_.count;
  const TuneReport again = run();
  EXPECT_EQ(compiler_.count, compiled);
  EXPECT_EQ(host_compiler_.count, host);
  EXPECT_EQ(runner_.count, ran);
  EXPECT_EQ(table_sizes(), before);
  EXPECT_EQ(again.compiled, 0u);
  EXPECT_EQ(again.wins, 0u);
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

TEST_F(Tune, ARunThatIsStoppedIsResumed) {
  run();
  const auto whole = table_sizes();
  const int compiled = compiler_.count;
  path_ = folder_.path("other.db");
  compiler_.count = 0;
  // Each run is patient a little longer than the one before it.
  for (int patience = 5, done = 0; done == 0; patience += 7) {
    ASSERT_LT(patience, 2000) << "it never gets anywhere";
    int left = patience;
    stop_ = [&] { return --left < 0; };
    done = !run().interrupted;
    EXPECT_THAT(store().check(), IsEmpty());
  }
  EXPECT_EQ(compiler_.count, compiled) << "nothing was compiled twice";
  EXPECT_EQ(table_sizes(), whole);
}

TEST_F(Tune, ARunThatIsKilledLosesALittleAndIsResumed) {
  for (const int die_at : {1, 5, 12, 13}) {
    path_ = folder_.path("killed" + std::to_string(die_at) + ".db");
    const pid_t child = ::fork();
    if (child == 0) {
      compiler_.count = 0;
      compiler_.die_at = die_at;
      run();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << die_at;
    EXPECT_THAT(store().check(), IsEmpty());
    const TuneReport report = run();
    EXPECT_FALSE(report.interrupted);
    EXPECT_THAT(store().winners("gfx950"), SizeIs(2));
  }
}

TEST_F(Tune, TheBudgetCountsWhatTheDatabaseAlreadyPaid) {
  limits_.budget_seconds = 5;  // a fake compilation takes a second
  const TuneReport first = run();
  EXPECT_TRUE(first.out_of_budget);
  EXPECT_GE(first.compiled, 5u);
  EXPECT_LT(first.compiled, 11u);
  const auto before = table_sizes();
  const TuneReport second = run();
  EXPECT_EQ(second.compiled, 0u);
  EXPECT_EQ(table_sizes(), before);
  limits_.budget_seconds = 8;
  EXPECT_GT(run().compiled, 0u);
}

TEST_F(Tune, WithABudgetAloneTheSpaceIsTheLimit) {
  limits_.code_objects = kNoLimit;
  limits_.budget_seconds = 1000;
  const TuneReport report = run(Bench::none);
  EXPECT_GE(report.compiled, space_.code_points().size());
}

}  // namespace
}  // namespace mla
