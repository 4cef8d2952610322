#include "tuner/timing.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <thread>

#include "tests/null/tuner/scripted_runner.hpp"

namespace mla {
namespace {

using testing::Contains;
using testing::Each;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;
using testing::UnorderedElementsAre;

class Timing : public testing::Test {
 protected:
  Timing() {
    for (int i = 0; i < 12; ++i) names_.push_back(fmt::format("v{}", i));
    rules_.final.prune = false;
    rules_.finalists = 3;
    add_runner();
  }
  // v0 takes 10 us, v1 10.5, ...; with a little noise.
  ScriptedRunner& add_runner() {
    runners_.push_back(std::make_unique<ScriptedRunner>(std::to_string(runners_.size())));
    for (unsigned i = 0; i < names_.size(); ++i)
      runners_.back()->scripts[names_[i]] = [i](int n, int) {
        return (10 + 0.5 * i) * (1 + 0.001 * noise(i * 1000 + unsigned(n)));
      };
    return *runners_.back();
  }
  TimingTask task(int tokens = 1) {
    TimingTask task;
    task.problem = {.kernel = "sparse_mla_decode", .num_heads = 16, .num_tokens = tokens};
    for (const std::string& name : names_) task.entries.push_back({{&name, &none_, {}}, {}});
    return task;
  }
  void run(const std::vector<TimingTask>& tasks) {
    std::vector<Runner*> runners;
    for (const auto& runner : runners_) runners.push_back(runner.get());
    news_.clear();
    const auto here = std::this_thread::get_id();
    time_tasks(
        runners, tasks, rules_,
        [&](Runner&, const TimingTask&, const TimingEntry& entry) {
          ++checks_;
          if (trouble_.contains(*entry.candidate.decode))
            return CheckResult{Verdict::wrong_result, "in trouble", 2, 1};
          return CheckResult{Verdict::ok, "", 5e-4, 1e-6};
        },
        stop_,
        [&](TimingNews news) {
          EXPECT_EQ(std::this_thread::get_id(), here);
          news_.push_back(std::move(news));
          if (take_) take_();
        });
  }
  std::vector<std::string> entries(Round round, std::size_t task = 0) const {
    std::vector<std::string> found;
    for (const TimingNews& news : news_)
      if (news.row && news.row->round == round && news.task == task)
        found.push_back(names_[news.row->entry]);
    return found;
  }

  std::vector<std::string> names_;
  std::string none_;
  TimingRules rules_;
  std::vector<std::unique_ptr<ScriptedRunner>> runners_;
  std::set<std::string> trouble_;
  std::atomic<int> checks_ = 0;
  std::vector<TimingNews> news_;
  std::function<bool()> stop_ = [] { return false; };
  std::function<void()> take_;
};

TEST_F(Timing, TimesTheBestAgainOnFreshInputs) {
  run({task()});
  EXPECT_THAT(entries(Round::search), SizeIs(12));
  EXPECT_THAT(entries(Round::final), UnorderedElementsAre("v0", "v1", "v2"));
  const auto& seeds = runners_[0]->seeds;
  ASSERT_THAT(seeds, SizeIs(2));
  EXPECT_NE(seeds[0], seeds[1]);
  EXPECT_FALSE(news_.back().row) << "the task is over";
  for (const TimingNews& news : news_)
    if (news.row && news.row->round == Round::final) {
      EXPECT_EQ(news.row->sampled.verdict, Verdict::ok);
      EXPECT_EQ(news.row->sampled.max_error, 5e-4) << "the worse of the two checks";
    }
}

TEST_F(Timing, LetsTheNextBestTakeThePlaceOfWhatFailsItsCheck) {
  trouble_ = {"v0", "v2"};
  run({task()});
  EXPECT_THAT(entries(Round::final), UnorderedElementsAre("v0", "v1", "v2", "v3", "v4"));
  for (const TimingNews& news : news_) {
    if (!news.row || news.row->round != Round::final) continue;
    const bool failed = trouble_.contains(names_[news.row->entry]);
    EXPECT_EQ(news.row->sampled.verdict, failed ? Verdict::wrong_result : Verdict::ok);
  }
}

TEST_F(Timing, RepeatsNothingThatIsKnown) {
  TimingTask known = task();
  for (std::size_t i = 0; i < known.entries.size(); ++i) {
    known.entries[i].search_us = 10 + double(i);
    known.entries[i].has_final = i < 3;
  }
  run({known});
  EXPECT_EQ(runners_[0]->clock, 0);
  EXPECT_EQ(checks_, 0);
  EXPECT_THAT(news_, SizeIs(1));
}

TEST_F(Timing, RepeatsAWholeFinalRoundWhereOneOfItIsMissing) {
  TimingTask known = task();
  for (std::size_t i = 0; i < known.entries.size(); ++i) {
    known.entries[i].search_us = 10 + double(i);
    known.entries[i].has_final = i == 1;
    known.entries[i].barred = i == 0;
  }
  run({known});
  EXPECT_THAT(entries(Round::search), IsEmpty());
  EXPECT_THAT(entries(Round::final), UnorderedElementsAre("v1", "v2", "v3"));
  EXPECT_EQ(checks_, 2) << "v1 was found right before";
}

TEST_F(Timing, SharesTheTasksAmongTheRunners) {
  for (int i = 1; i < 4; ++i) add_runner();
  // Each waits until all have begun, so that none can take everything.
  std::atomic<int> begun = 0;
  for (auto& runner : runners_)
    for (auto& [name, script] : runner->scripts)
      script = [&, plain = script, once = std::make_shared<bool>()](int n, int clock) {
        if (clock == 0) {
          ++begun;
          while (begun < 4) std::this_thread::yield();
        }
        return plain(n, clock);
      };
  std::vector<TimingTask> tasks;
  for (int i = 0; i < 12; ++i) tasks.push_back(task(i + 1));
  run(tasks);
  std::map<std::size_t, std::set<std::size_t>> who;
  for (const TimingNews& news : news_) who[news.task].insert(news.runner);
  ASSERT_THAT(who, SizeIs(12));
  std::set<std::size_t> busy;
  for (const auto& [task, runners] : who) {
    EXPECT_THAT(runners, SizeIs(1)) << "a problem's candidates are compared on one device";
    busy.insert(*runners.begin());
  }
  EXPECT_THAT(busy, SizeIs(4));
  for (std::size_t i = 0; i < 12; ++i) {
    EXPECT_THAT(entries(Round::search, i), SizeIs(12));
    EXPECT_THAT(entries(Round::final, i), SizeIs(3));
  }
}

TEST_F(Timing, LeavesAProblemToTheRunnerThatKnowsIt) {
  add_runner();
  std::vector<TimingTask> tasks;
  for (int i = 0; i < 6; ++i) {
    tasks.push_back(task(i + 1));
    tasks.back().runner = 1;
  }
  run(tasks);
  EXPECT_EQ(runners_[0]->clock, 0);
  EXPECT_THAT(news_, Each(testing::Field(&TimingNews::runner, 1u)));
}

TEST_F(Timing, EndsAllThreadsWhenItIsStopped) {
  for (int i = 1; i < 4; ++i) add_runner();
  // Slow after a while, so that no thread is done before this one has heard of twenty.
  for (const auto& runner : runners_) {
    for (auto& [name, script] : runner->scripts)
      script = [quick = script](int n, int clock) {
        if (clock > 200) std::this_thread::sleep_for(std::chrono::milliseconds(1));
        return quick(n, clock);
      };
  }
  std::vector<TimingTask> tasks;
  for (int i = 0; i < 400; ++i) tasks.push_back(task(i + 1));
  std::size_t seen = 0;
  take_ = [&] { ++seen; };
  stop_ = [&] { return seen > 20; };
  run(tasks);
  std::set<std::size_t> begun;
  for (const TimingNews& news : news_) begun.insert(news.task);
  EXPECT_LT(begun.size(), 400u);
}

TEST_F(Timing, ALostDeviceEndsTheRunButNotWhatWasFound) {
  add_runner();
  runners_[0]->lost_at = 500;
  std::vector<TimingTask> tasks;
  for (int i = 0; i < 2000; ++i) {
    tasks.push_back(task(i + 1));
    if (i < 20) tasks.back().runner = 0;
  }
  try {
    run(tasks);
    FAIL() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
  }
  EXPECT_THAT(news_, Not(IsEmpty()));
  std::size_t from_lost = 0;
  for (const TimingNews& news : news_) from_lost += news.runner == 0;
  EXPECT_GT(from_lost, 20u);
}

TEST_F(Timing, WhatTheTakerThrowsEndsTheThreadsToo) {
  add_runner();
  std::vector<TimingTask> tasks;
  for (int i = 0; i < 50; ++i) tasks.push_back(task(i + 1));
  take_ = [&] {
    if (news_.size() == 30) throw Error(ErrorKind::database, "the disk is full");
  };
  EXPECT_THROW(run(tasks), Error);
}

TEST_F(Timing, SaysWhyAProblemWasNotTimedAndGoesOn) {
  runners_[0]->begins = RunResult{.verdict = Verdict::launch_failed, .reason = "out of memory"};
  run({task(1), task(2)});
  ASSERT_THAT(news_, SizeIs(2));
  EXPECT_EQ(news_[0].untimed, "out of memory");
  EXPECT_FALSE(news_[0].row);
}

TEST_F(Timing, TellsTheConditionsAtTheEndOfEachTask) {
  runners_[0]->conditions_now = R"({"throttle":["power cap"]})";
  run({task()});
  EXPECT_THAT(news_.back().conditions, HasSubstr("power cap"));
}

}  // namespace
}  // namespace mla
