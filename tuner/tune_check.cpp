#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "kernels/params.hpp"
#include "tuner/hash.hpp"
#include "tuner/tune_state.hpp"

namespace mla {
namespace {

// Of each problem's candidates so many times `verify` are tried before it is left without winners.
constexpr std::size_t kPatience = 4;
constexpr std::size_t kReportedFailures = 20;

// Inputs are fresh for every variant, and the same again whenever a run is repeated.
std::uint64_t input_seed(std::uint64_t seed, const std::string& what) {
  return seed + std::stoull(content_key(what).substr(0, 15), nullptr, 16);
}

}  // namespace

CheckResult Tuning::check_once(Runner& runner, const ProblemRecord& problem, const Launch& launch,
                               const std::string& decode, const std::string& reduce) {
  const std::string what = check_class(problem, launch);
  {
    const std::lock_guard lock(checks_mutex_);
    const auto known = checks_.find(what);
    if (known != checks_.end()) return known->second;
    if (parts_.bench == Bench::host) ++report_.checked;
  }
  const auto cases = check_cases(problem, launch, input_seed(limits_.seed, what));
  const CheckResult result =
      check(runner, decode, reduce, launch, cases, parts_.space.tolerance(), limits_.run_seconds);
  const std::lock_guard lock(checks_mutex_);
  return checks_[what] = result;
}

void Tuning::note_failure(const Contender& contender, Verdict verdict, const std::string& reason) {
  if (report_.failures.size() < kReportedFailures)
    report_.failures.push_back({variant_params(contender.candidate.launch), verdict, reason});
}

MeasurementRecord Tuning::final_prediction(const Contender& contender, const Objects& objects) {
  MeasurementRecord m = row(contender.variant, contender.problem, Round::final);
  if (!objects.missing.empty()) {
    m.verdict = Verdict::unverified;
    m.reason = "could not be checked on the host device: " + objects.missing;
    m.median_us = m.ci_low_us = m.ci_high_us = contender.candidate.predicted_us;
    return m;
  }
  const CheckResult result = check_once(*parts_.runners.front(), parts_.problems[contender.problem],
                                        contender.candidate.launch, objects.decode, objects.reduce);
  m.verdict = result.verdict;
  m.max_error = result.max_error;
  m.cosine_gap = result.cosine_gap;
  if (result.verdict == Verdict::ok) {
    m.median_us = m.ci_low_us = m.ci_high_us = contender.candidate.predicted_us;
  } else {
    m.reason = "on the host device: " + result.reason;
    note_failure(contender, m.verdict, m.reason);
  }
  return m;
}

// Of each problem, those that would make up `verify` right ones if all of them were right and that
// nothing is known about. `places`: how far down its ranking each problem is; `right`: how many are
// right.
std::vector<Tuning::Contender> Tuning::next_contenders(std::vector<std::size_t>& places,
                                                       std::vector<std::size_t>& right) {
  std::vector<Contender> contenders;
  for (std::size_t p = 0; p < ranked_.size(); ++p) {
    if (!limits_.shard.has(p)) continue;
    const std::size_t end = std::min(ranked_[p].size(), kPatience * limits_.verify);
    std::size_t hoped = right[p];
    while (places[p] < end && hoped < limits_.verify) {
      const Candidate& candidate = ranked_[p][places[p]++];
      Contender contender{p, candidate, put_variant(candidate)};
      const auto before = known_row(contender.variant, p, Round::final);
      if (before && counts(*before, candidate)) {
        if (before->verdict == Verdict::ok) {
          ++right[p];
          ++hoped;
          if (before->median_us == candidate.predicted_us) continue;
          // Still right, but now predicted otherwise.
          MeasurementRecord m = row(contender.variant, p, Round::final);
          m.median_us = m.ci_low_us = m.ci_high_us = candidate.predicted_us;
          m.max_error = before->max_error;
          m.cosine_gap = before->cosine_gap;
          store_.put(m);
        }
        continue;
      }
      ++hoped;
      contenders.push_back(contender);
    }
  }
  return contenders;
}

void Tuning::check_best() {
  std::vector<std::size_t> places(ranked_.size(), 0), right(ranked_.size(), 0);
  std::size_t done = 0, total = 0, wrong = 0;
  while (!stopped()) {
    const std::vector<Contender> contenders = next_contenders(places, right);
    if (contenders.empty()) return;
    if (total == 0)
      progress_.begin("checking on the host", total = contenders.size());
    else
      total += contenders.size();
    const bool all = with_objects(contenders, [&](const Contender& contender,
                                                  const Objects& objects) {
      const MeasurementRecord m = final_prediction(contender, objects);
      batch_.open();
      store_.put(m);
      batch_.commit();
      if (m.verdict == Verdict::ok) {
        ++right[contender.problem];
        ++report_.wins;
      }
      if (is_failure(m.verdict)) ++wrong;
      progress_.advance(std::min(++done, total), wrong == 0 ? "" : fmt::format("{} failed", wrong));
    });
    if (!all) return;
  }
}

}  // namespace mla
