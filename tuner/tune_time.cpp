#include <algorithm>
#include <cmath>

#include "kernels/params.hpp"
#include "tuner/tune_state.hpp"

namespace mla {
namespace {

constexpr int kFewestSamples = 3;
constexpr int kMostSamples = 200;
// The finalists take turns, so that a machine that heats up or throttles treats them alike.
constexpr int kTurns = 3;

}  // namespace

RunResult Tuning::add_contender(const Contender& contender, const Objects& objects, int& number) {
  Runner& runner = *parts_.runners.front();
  if (timing_problem_ != contender.problem) {
    RunResult begun =
        runner.begin_timing(parts_.problems[contender.problem], limits_.seed, limits_.run_seconds);
    if (begun.verdict != Verdict::ok) return begun;
    timing_problem_ = contender.problem;
  }
  number = next_candidate_++;
  return runner.add_candidate(number, objects.decode, objects.reduce, contender.candidate.launch,
                              parts_.space.tolerance(), limits_.run_seconds);
}

void Tuning::judge(MeasurementRecord& m, const Contender& contender, const Objects& objects) {
  if (!objects.missing.empty()) {
    m.verdict = Verdict::compile_failed;
    m.reason = objects.missing;
    return;
  }
  const CheckResult& right = check_once(contender, objects);
  m.verdict = right.verdict;
  m.reason = right.reason;
  m.max_error = right.max_error;
  m.cosine_gap = right.cosine_gap;
}

void Tuning::summarise_samples(MeasurementRecord& m, const Contender& contender) {
  if (m.verdict != Verdict::ok) {
    m.samples_us.clear();
    return note_failure(contender, m.verdict, m.reason);
  }
  const Summary summary = summarise(m.samples_us);
  m.median_us = summary.median_us;
  m.mad_us = summary.mad_us;
  m.ci_low_us = summary.ci_low_us;
  m.ci_high_us = summary.ci_high_us;
}

// Right first, then how fast. The row of the search round, stored; none where that cannot be had.
std::optional<Tuning::Timed> Tuning::time_search(const Contender& contender,
                                                 const Objects& objects) {
  MeasurementRecord m = row(contender.variant, contender.problem, Round::search);
  judge(m, contender, objects);
  if (m.verdict == Verdict::ok) {
    // How long one launch takes says how many are affordable.
    int number = 0;
    RunResult run = add_contender(contender, objects, number);
    Runner& runner = *parts_.runners.front();
    if (run.verdict == Verdict::ok) run = runner.sample(number, 1, limits_.run_seconds);
    if (run.verdict == Verdict::ok && !run.samples_us.empty()) {
      const double one = std::max(1e-3, double{run.samples_us.front()});
      const int samples = std::clamp(static_cast<int>(limits_.timing_seconds * 1e6 / one),
                                     kFewestSamples, kMostSamples);
      run = runner.sample(number, samples, limits_.run_seconds);
    }
    m.verdict = run.verdict;
    m.reason = run.reason;
    m.samples_us = std::move(run.samples_us);
  }
  summarise_samples(m, contender);
  link_codes(contender.variant, contender.candidate, contender.problem);
  store_.put(m);
  batch_.commit();
  ++report_.ranked;
  if (m.verdict != Verdict::ok) return std::nullopt;
  return Timed{contender, m.median_us};
}

void Tuning::time_final(std::size_t problem, std::vector<Timed> best) {
  std::ranges::stable_sort(best, {}, &Timed::median_us);
  if (best.size() > limits_.finalists) best.resize(limits_.finalists);
  std::vector<Contender> finalists;
  for (const Timed& timed : best) {
    const auto before = known_row(timed.contender.variant, problem, Round::final);
    if (!before || is_stale(timed.contender.candidate)) finalists.push_back(timed.contender);
  }
  std::vector<Objects> objects;
  std::vector<MeasurementRecord> rows;
  const bool all = with_objects(finalists, [&](const Contender& contender, const Objects& its) {
    MeasurementRecord m = row(contender.variant, problem, Round::final);
    judge(m, contender, its);
    rows.push_back(std::move(m));
    objects.push_back(its);
  });
  if (!all) return;
  // with_objects() may have served them in another order.
  const auto contender_of = [&](const MeasurementRecord& m) -> const Contender& {
    return *std::ranges::find(finalists, m.variant_id, &Contender::variant);
  };
  std::vector<int> numbers(rows.size());
  for (std::size_t i = 0; i < rows.size(); ++i) {
    MeasurementRecord& m = rows[i];
    if (m.verdict != Verdict::ok) continue;
    const RunResult added = add_contender(contender_of(m), objects[i], numbers[i]);
    m.verdict = added.verdict;
    m.reason = added.reason;
  }
  for (int turn = 0; turn < kTurns; ++turn) {
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (stopped()) return;
      MeasurementRecord& m = rows[i];
      if (m.verdict != Verdict::ok) continue;
      const Contender& contender = contender_of(m);
      const auto timed = std::ranges::find_if(
          best, [&](const Timed& t) { return t.contender.variant == contender.variant; });
      const double launches =
          limits_.timing_seconds * 1e6 / std::max(1e-3, timed->median_us) / kTurns;
      const RunResult run = parts_.runners.front()->sample(
          numbers[i], std::clamp(static_cast<int>(launches), 1 + (turn == 0), kMostSamples),
          limits_.run_seconds);
      m.verdict = run.verdict;
      m.reason = run.reason;
      m.samples_us.insert(m.samples_us.end(), run.samples_us.begin(), run.samples_us.end());
    }
  }
  for (MeasurementRecord& m : rows) {
    summarise_samples(m, contender_of(m));
    if (m.verdict == Verdict::ok) ++report_.wins;
    batch_.open();
    store_.put(m);
  }
  batch_.commit();
}

void Tuning::measure_all() {
  std::size_t total = 0, done = 0;
  for (const auto& candidates : ranked_) total += candidates.size();
  progress_.begin("measuring", total);
  for (std::size_t p = 0; p < ranked_.size(); ++p) {
    std::vector<Contender> unknown;
    std::vector<Timed> timed;
    for (const Candidate& candidate : ranked_[p]) {
      Contender contender{p, candidate, put_variant(candidate)};
      const auto before = known_row(contender.variant, p, Round::search);
      if (before && !is_stale(candidate)) {
        if (before->verdict == Verdict::ok) timed.push_back({contender, before->median_us});
        progress_.advance(++done, {});
      } else {
        unknown.push_back(contender);
      }
    }
    const bool all = with_objects(unknown, [&](const Contender& contender, const Objects& objects) {
      if (const auto result = time_search(contender, objects)) timed.push_back(*result);
      progress_.advance(++done, {});
    });
    if (!all) return;
    time_final(p, std::move(timed));
  }
}

}  // namespace mla
