#include "tuner/sampling.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "kernels/compare.hpp"
#include "tests/null/tuner/scripted_runner.hpp"
#include "tuner/measure.hpp"

namespace mla {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class SampleProblem : public testing::Test {
 protected:
  void add(const std::string& name, ScriptedRunner::Script script) {
    runner_.scripts[name] = std::move(script);
    names_.push_back(name);
  }
  // A time with noise of +-`spread`, a share of it.
  void add_steady(const std::string& name, double us, double spread = 0.001) {
    const auto salt = std::hash<std::string>{}(name);
    add(name, [=](int n, int) { return us * (1 + spread * noise(salt + unsigned(n))); });
  }
  SamplingResult run(std::uint64_t seed = 1, double best_us = 0) {
    std::vector<SamplingCandidate> candidates;
    for (const std::string& name : names_) candidates.push_back({&name, &none_, {}});
    results_.clear();
    return sample_problem(runner_, problem_, seed, candidates, {}, rules_, best_us, stop_,
                          [&](std::size_t i, Sampled sampled) {
                            const bool first = results_.emplace(names_[i], sampled).second;
                            EXPECT_TRUE(first) << names_[i] << " ended twice";
                          });
  }
  double median(const std::string& name) {
    const auto& samples = results_.at(name).samples_us;
    return median_of({samples.begin(), samples.end()});
  }
  int warming() const {
    int samples = runner_.clock;
    for (const auto& [name, result] : results_)
      samples -= static_cast<int>(result.samples_us.size());
    return samples;
  }

  ScriptedRunner runner_;
  std::vector<std::string> names_;
  std::map<std::string, Sampled> results_;
  SamplingRules rules_;
  ProblemRecord problem_{.kernel = "sparse_mla_decode", .num_heads = 16, .num_tokens = 1};
  std::string none_;
  std::function<bool()> stop_ = [] { return false; };
};

TEST_F(SampleProblem, StopsWhereTheMedianIsKnownWellEnough) {
  add_steady("a", 10);
  EXPECT_EQ(run().verdict, Verdict::ok);
  const Sampled& a = results_.at("a");
  EXPECT_EQ(a.end, SamplingEnd::precise);
  EXPECT_THAT(a.samples_us, SizeIs(rules_.fewest));
  EXPECT_EQ(a.max_error, 1e-4);
  const Interval interval = median_interval(a.samples_us);
  EXPECT_LT(interval.high - interval.low, 0.01 * median("a"));
}

TEST_F(SampleProblem, TakesMoreSamplesOfWhatIsNoisyAndSparesNobodyTheCap) {
  rules_.most = 25;
  add_steady("noisy", 10, 0.02);
  add("bimodal", [](int n, int) { return n % 2 == 0 ? 10 : 11.5; });
  run();
  EXPECT_EQ(results_.at("bimodal").end, SamplingEnd::spent);
  EXPECT_THAT(results_.at("bimodal").samples_us, SizeIs(25));
  EXPECT_GT(results_.at("noisy").samples_us.size(), 6u);
}

TEST_F(SampleProblem, CutsWhatIsThreeTimesSlowerAfterItsFirstSample) {
  add_steady("early and slow", 31);  // before the best is known
  add_steady("best", 10);
  add_steady("late and slow", 31);
  add_steady("nearly so", 29);
  run();
  for (const char* name : {"early and slow", "late and slow"}) {
    EXPECT_EQ(results_.at(name).end, SamplingEnd::slow) << name;
    EXPECT_THAT(results_.at(name).samples_us, SizeIs(1)) << name;
  }
  EXPECT_EQ(results_.at("nearly so").end, SamplingEnd::worse);
  EXPECT_THAT(results_.at("nearly so").samples_us, SizeIs(2)) << "far beyond doubt";
}

TEST_F(SampleProblem, CutsAgainstWhatIsAlreadyKnown) {
  add_steady("a", 31);
  run(1, 10);
  EXPECT_EQ(results_.at("a").end, SamplingEnd::slow);
}

TEST_F(SampleProblem, LeavesWhatIsBeyondDoubtWorseAndKeepsWhatIsNot) {
  add_steady("best", 10, 0.03);
  add_steady("rival", 10.02, 0.03);
  add_steady("worse", 11.5, 0.03);
  run();
  EXPECT_EQ(results_.at("worse").end, SamplingEnd::worse);
  EXPECT_THAT(results_.at("worse").samples_us, SizeIs(6));
  EXPECT_NE(results_.at("rival").end, SamplingEnd::worse);
}

TEST_F(SampleProblem, PrunesNothingInAFinalRound) {
  rules_.prune = false;
  add_steady("best", 10);
  add_steady("slow", 40);
  run();
  EXPECT_EQ(results_.at("slow").end, SamplingEnd::precise);
  EXPECT_THAT(results_.at("slow").samples_us, SizeIs(6));
}

TEST_F(SampleProblem, ComparesFinalistsOverTheSameRounds) {
  rules_.prune = false;
  // The clock falls when the steadier one would have had enough, so that alone the other paid.
  const auto falling = [&](const std::string& name, double us, double spread) {
    add(name, [=](int n, int clock) {
      const double slower = clock > 30 ? 1.05 : 1;
      return us * slower * (1 + spread * (n % 2 == 0 ? 1 : -1));
    });
  };
  falling("winner", 10, 0.02);
  falling("second", 10.2, 0.0001);
  run();
  EXPECT_EQ(results_.at("winner").samples_us.size(), results_.at("second").samples_us.size());
  EXPECT_EQ(results_.at("winner").end, SamplingEnd::spent);
  EXPECT_LT(median("winner"), median("second"));
}

TEST_F(SampleProblem, InterleavesSoThatADriftingClockFavoursNobody) {
  rules_.interval = 0;  // all of them to the cap
  const auto drifting = [&](const std::string& name, double us) {
    const auto salt = std::hash<std::string>{}(name);
    add(name, [=](int n, int clock) {
      return us * (1 + 0.002 * clock) * (1 + 0.002 * noise(salt + unsigned(n)));
    });
  };
  // By the end every time has grown by more than a third, but the order stands.
  drifting("third", 10.4);
  drifting("first", 10.0);
  drifting("fourth", 10.6);
  drifting("second", 10.2);
  rules_.prune = false;
  run();
  EXPECT_LT(median("first"), median("second"));
  EXPECT_LT(median("second"), median("third"));
  EXPECT_LT(median("third"), median("fourth"));
}

TEST_F(SampleProblem, ShufflesEachRoundAnewAndTheSameForTheSameSeed) {
  rules_.interval = 0;
  rules_.most = 20;
  rules_.prune = false;
  for (const char* name : {"a", "b", "c", "d"}) add_steady(name, 10);
  run(7);
  const std::vector<std::string> first(runner_.order.end() - 76, runner_.order.end());
  std::set<std::vector<std::string>> orders;
  for (std::size_t at = 0; at < first.size(); at += 4) {
    std::vector<std::string> round(first.begin() + static_cast<std::ptrdiff_t>(at),
                                   first.begin() + static_cast<std::ptrdiff_t>(at) + 4);
    orders.insert(round);
    std::ranges::sort(round);
    EXPECT_THAT(round, testing::ElementsAre("a", "b", "c", "d"));
  }
  EXPECT_GT(orders.size(), 8u);
  runner_.taken.clear();
  run(7);
  EXPECT_TRUE(std::equal(first.begin(), first.end(), runner_.order.end() - 76));
  run(8);
  EXPECT_FALSE(std::equal(first.begin(), first.end(), runner_.order.end() - 76));
}

TEST_F(SampleProblem, CountsNothingBeforeTheDeviceIsWarm) {
  // A clock that rises for a dozen samples.
  add("a", [](int, int clock) { return clock < 12 ? 20 - 0.8 * clock : 10.0; });
  run();
  EXPECT_THAT(results_.at("a").samples_us, testing::Each(testing::Lt(10.5f)));
  EXPECT_GE(warming(), 12);
  runner_.clock = 0;
  names_.clear();
  add_steady("steady", 10);
  run();
  EXPECT_EQ(warming(), 6) << "no longer than it takes to see";
}

TEST_F(SampleProblem, EndsWarmingWhereItNeverSettles) {
  add("wild", [](int n, int) { return n % 6 < 3 ? 10 : 20; });
  run();
  EXPECT_EQ(results_.at("wild").end, SamplingEnd::spent);
  EXPECT_EQ(warming(), 30);
}

TEST_F(SampleProblem, ACrashAtAnySampleCostsThatCandidateOnly) {
  for (const int n : {0, 1, 3, 6, 8}) {
    runner_ = ScriptedRunner();
    names_.clear();
    add_steady("crashes", 10, 0.05);
    add_steady("works", 10);
    runner_.crash_at["crashes"] = n;
    run();
    EXPECT_EQ(results_.at("crashes").verdict, Verdict::crashed) << n;
    EXPECT_EQ(results_.at("crashes").end, SamplingEnd::failed);
    EXPECT_THAT(results_.at("crashes").samples_us, IsEmpty());
    EXPECT_EQ(results_.at("crashes").reason, "illegal access");
    EXPECT_EQ(results_.at("works").end, SamplingEnd::precise) << n;
  }
}

TEST_F(SampleProblem, WhatIsWrongIsNeverTimed) {
  add_steady("wrong", 1);
  add_steady("right", 10);
  runner_.wrong.insert("wrong");
  run();
  EXPECT_EQ(results_.at("wrong").verdict, Verdict::wrong_result);
  EXPECT_EQ(results_.at("wrong").max_error, 1);
  EXPECT_EQ(runner_.taken.count("wrong"), 0u);
  EXPECT_EQ(results_.at("right").verdict, Verdict::ok);
}

TEST_F(SampleProblem, SaysThatAProblemDoesNotFitTheDevice) {
  add_steady("a", 10);
  runner_.begins = RunResult{.verdict = Verdict::launch_failed, .reason = "out of memory"};
  const SamplingResult result = run();
  EXPECT_EQ(result.verdict, Verdict::launch_failed);
  EXPECT_EQ(result.reason, "out of memory");
  EXPECT_THAT(results_, IsEmpty());
}

TEST_F(SampleProblem, TellsOnlyOfWhatWasFinishedWhenItIsStopped) {
  rules_.interval = 0;
  add_steady("slow", 100);
  add_steady("a", 10);
  add_steady("b", 10);
  int left = 14;
  stop_ = [&] { return --left < 0; };
  EXPECT_TRUE(run().stopped);
  EXPECT_THAT(results_, SizeIs(1));
  EXPECT_TRUE(results_.contains("slow"));
}

TEST_F(SampleProblem, EndsInTimeAfterThreeSamples) {
  rules_.seconds = 0;
  add_steady("a", 10);
  run();
  EXPECT_EQ(results_.at("a").end, SamplingEnd::spent);
  EXPECT_THAT(results_.at("a").samples_us, SizeIs(3));
}

TEST_F(SampleProblem, ManyHundredCandidatesCostLittleBesidesTheirSamples) {
  for (int i = 0; i < 1500; ++i) add_steady("candidate " + std::to_string(i), 10 + 0.02 * i, 0.02);
  run();
  EXPECT_THAT(results_, SizeIs(1500));
  EXPECT_EQ(results_.at("candidate 1499").end, SamplingEnd::slow);
  EXPECT_LT(runner_.clock, 6000) << "most of them are left after two or six samples";
}

TEST(MedianInterval, IsTheRangeOfFewAndOrderStatisticsOfMany) {
  EXPECT_EQ(median_interval({}).high, 0);
  EXPECT_EQ(median_interval({3, 1, 2, 5, 4}).low, 1);
  EXPECT_EQ(median_interval({3, 1, 2, 5, 4}).high, 5);
  // Conover, Practical Nonparametric Statistics: n = 9: 2nd and 8th; n = 20: 6th and 15th.
  for (const auto& [n, low, high] : {std::tuple{6, 1, 6}, {8, 1, 8}, {9, 2, 8}, {20, 6, 15}}) {
    std::vector<float> samples(static_cast<std::size_t>(n));
    std::iota(samples.rbegin(), samples.rend(), 1.f);
    EXPECT_EQ(median_interval(samples).low, low) << n;
    EXPECT_EQ(median_interval(samples).high, high) << n;
  }
}

TEST(MedianInterval, HoldsTheMedianAsOftenAsItSays) {
  int held = 0;
  for (unsigned trial = 0; trial < 2000; ++trial) {
    std::vector<float> samples;
    for (unsigned i = 0; i < 15; ++i) {
      const double u = noise(trial * 100 + i);  // its median is 0, its square's skewed
      samples.push_back(static_cast<float>(u < 0 ? u : u * u * 10));
    }
    const Interval interval = median_interval(samples);
    held += interval.low <= 0 && interval.high >= 0;
  }
  EXPECT_GE(held, 1880);
  EXPECT_LE(held, 1980);
}

}  // namespace
}  // namespace mla
