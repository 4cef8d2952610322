#include "tuner/sampling.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "kernels/random.hpp"
#include "tuner/measure.hpp"

namespace mla {
namespace {

using Clock = std::chrono::steady_clock;

// Samples that must agree with as many before them, and how well, for the device to be warm.
constexpr std::size_t kWarmWindow = 3;
constexpr double kWarmAgreement = 0.02;
constexpr std::size_t kMostWarming = 30;
constexpr std::size_t kFewestInTime = 3;

double seconds_since(Clock::time_point began) {
  return std::chrono::duration<double>(Clock::now() - began).count();
}

class Sampling {
 public:
  Sampling(Runner& runner, const SamplingRules& rules, std::size_t candidates, double best_us,
           const std::function<bool()>& stop,
           const std::function<void(std::size_t, Sampled)>& finished)
      : runner_(runner),
        rules_(rules),
        best_us_(best_us > 0 ? best_us : HUGE_VAL),
        stop_(stop),
        finished_(finished),
        all_(candidates) {}

  // Both false where `stop` wants an end.
  bool start(const std::vector<SamplingCandidate>& candidates, const Tolerance& tolerance);
  bool take_turns(std::uint64_t seed);

 private:
  struct State {
    Sampled result;
    Interval interval;
    double median_us = 0;
    double seconds = 0;
    bool ended = true;
  };

  bool warm_up(std::size_t index);
  bool sample(std::size_t index);
  void end(std::size_t index, SamplingEnd how);
  void fail(std::size_t index, RunResult& run);
  std::optional<SamplingEnd> judge(const State& state, const Interval& best) const;
  Interval best_interval() const;

  Runner& runner_;
  const SamplingRules& rules_;
  double best_us_;  // the smallest first sample
  const std::function<bool()>& stop_;
  const std::function<void(std::size_t, Sampled)>& finished_;
  std::vector<State> all_;
  bool warm_ = false;
};

void Sampling::end(std::size_t index, SamplingEnd how) {
  State& state = all_[index];
  state.ended = true;
  state.result.end = how;
  finished_(index, state.result);
}

void Sampling::fail(std::size_t index, RunResult& run) {
  State& state = all_[index];
  state.result.verdict = run.verdict;
  state.result.reason = std::move(run.reason);
  state.result.samples_us.clear();
  end(index, SamplingEnd::failed);
}

// Clocks rise, caches of translations fill. False where the candidate failed over it.
bool Sampling::warm_up(std::size_t index) {
  const auto began = Clock::now();
  std::vector<double> seen;
  while (seen.size() < kMostWarming && !stop_()) {
    RunResult run = runner_.sample(static_cast<int>(index), 1, rules_.deadline_seconds);
    if (run.verdict != Verdict::ok) {
      fail(index, run);
      return false;
    }
    seen.insert(seen.end(), run.samples_us.begin(), run.samples_us.end());
    if (seconds_since(began) > rules_.seconds) break;
    if (seen.size() < 2 * kWarmWindow) continue;
    const auto middle = seen.end() - kWarmWindow;
    const double now = median_of({middle, seen.end()});
    const double before = median_of({middle - kWarmWindow, middle});
    if (std::fabs(now - before) <= kWarmAgreement * now) break;
  }
  warm_ = true;
  return true;
}

// One sample more. False where the candidate failed.
bool Sampling::sample(std::size_t index) {
  State& state = all_[index];
  const auto began = Clock::now();
  RunResult run = runner_.sample(static_cast<int>(index), 1, rules_.deadline_seconds);
  state.seconds += seconds_since(began);
  if (run.verdict == Verdict::ok && run.samples_us.empty()) {
    run.verdict = Verdict::launch_failed;
    run.reason = "the device gave no time";
  }
  if (run.verdict != Verdict::ok) {
    fail(index, run);
    return false;
  }
  std::vector<float>& samples = state.result.samples_us;
  samples.insert(samples.end(), run.samples_us.begin(), run.samples_us.end());
  state.median_us = median_of({samples.begin(), samples.end()});
  state.interval = median_interval(samples);
  return true;
}

bool Sampling::start(const std::vector<SamplingCandidate>& candidates, const Tolerance& tolerance) {
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    if (stop_()) return false;
    const SamplingCandidate& c = candidates[i];
    RunResult run = runner_.add_candidate(static_cast<int>(i), *c.decode, *c.reduce, c.launch,
                                          tolerance, rules_.deadline_seconds);
    State& state = all_[i];
    state.result.max_error = run.max_error;
    state.result.cosine_gap = run.cosine_gap;
    if (run.verdict != Verdict::ok) {
      fail(i, run);
      continue;
    }
    if ((!warm_ && !warm_up(i)) || !sample(i)) continue;
    best_us_ = std::min(best_us_, state.median_us);
    if (rules_.prune && state.median_us > rules_.slow * best_us_)
      end(i, SamplingEnd::slow);
    else
      state.ended = false;
  }
  // What was there before the best was known.
  for (std::size_t i = 0; i < all_.size(); ++i)
    if (rules_.prune && !all_[i].ended && all_[i].median_us > rules_.slow * best_us_)
      end(i, SamplingEnd::slow);
  return true;
}

Interval Sampling::best_interval() const {
  const State* best = nullptr;
  for (const State& state : all_)
    if (state.result.verdict == Verdict::ok && !state.result.samples_us.empty() &&
        (best == nullptr || state.median_us < best->median_us))
      best = &state;
  return best == nullptr ? Interval{} : best->interval;
}

std::optional<SamplingEnd> Sampling::judge(const State& state, const Interval& best) const {
  const auto count = state.result.samples_us.size();
  const bool enough = count >= static_cast<std::size_t>(rules_.fewest);
  if (rules_.prune && count >= 2 && state.interval.low > best.high * (1 + rules_.far))
    return SamplingEnd::worse;
  if (rules_.prune && enough && state.interval.low > best.high * (1 + rules_.margin))
    return SamplingEnd::worse;
  if (enough && state.interval.high - state.interval.low < rules_.interval * state.median_us)
    return SamplingEnd::precise;
  if (count >= static_cast<std::size_t>(rules_.most)) return SamplingEnd::spent;
  if (count >= kFewestInTime && state.seconds >= rules_.seconds) return SamplingEnd::spent;
  return std::nullopt;
}

bool Sampling::take_turns(std::uint64_t seed) {
  Random random(seed);
  for (;;) {
    std::vector<std::size_t> order;
    for (std::size_t i = 0; i < all_.size(); ++i)
      if (!all_[i].ended) order.push_back(i);
    if (order.empty()) return true;
    random.shuffle(order);
    for (const std::size_t index : order) {
      if (stop_()) return false;
      sample(index);
    }
    // Judged by whole rounds, so that nobody gains by his place in one.
    const Interval best = best_interval();
    std::vector<std::pair<std::size_t, SamplingEnd>> done;
    bool all_have_enough = true;
    for (const std::size_t index : order) {
      if (all_[index].ended) continue;
      const auto how = judge(all_[index], best);
      if (how) done.emplace_back(index, *how);
      all_have_enough &= how.has_value();
    }
    if (!rules_.prune && !all_have_enough) continue;
    for (const auto& [index, how] : done) end(index, how);
  }
}

}  // namespace

SamplingResult sample_problem(Runner& runner, const ProblemRecord& problem, std::uint64_t seed,
                              const std::vector<SamplingCandidate>& candidates,
                              const Tolerance& tolerance, const SamplingRules& rules,
                              double best_us, const std::function<bool()>& stop,
                              const std::function<void(std::size_t, Sampled)>& finished) {
  SamplingResult result;
  if (candidates.empty()) return result;
  RunResult begun = runner.begin_timing(problem, seed, rules.deadline_seconds);
  if (begun.verdict != Verdict::ok) {
    result.verdict = begun.verdict;
    result.reason = std::move(begun.reason);
    return result;
  }
  Sampling sampling(runner, rules, candidates.size(), best_us, stop, finished);
  result.stopped = !sampling.start(candidates, tolerance) || !sampling.take_turns(seed);
  return result;
}

}  // namespace mla
