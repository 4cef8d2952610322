#include "reports/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "db/error.hpp"
#include "reports/decode_step.hpp"

namespace mla {
namespace {

std::set<ProblemKey> problems_of(const SideComparison& comparison) {
  std::set<ProblemKey> keys;
  for (const Side* side : {&comparison.baseline, &comparison.candidate})
    for (const auto& [key, standing] : side->standings) keys.insert(key);
  return keys;
}

// The grade of a problem's times. Failures alone have none: what works no more has no time.
std::optional<Evidence> grade_of(const Facts& facts, const Standing& standing) {
  std::optional<Evidence> best;
  for (const auto* rows : {&standing.decisive, &standing.search})
    for (const auto& [variant, row] : *rows) {
      const MeasurementRecord& trial = facts.rows[static_cast<std::size_t>(row)].trial;
      if (!is_failure(trial.verdict))
        best = std::min(best.value_or(trial.evidence), trial.evidence);
    }
  return best;
}

// Throws where every problem that has times on both sides is measured on one of them alone.
void check_evidence(const Facts& facts, const Side& before, const Side& now) {
  const Side *measured = nullptr, *other = nullptr;
  for (const auto& [key, standing] : before.standings) {
    const auto there = now.standings.find(key);
    if (there == now.standings.end()) continue;
    const std::optional<Evidence> was = grade_of(facts, standing),
                                  is = grade_of(facts, there->second);
    if (!was || !is) continue;
    if (*was == *is) return;
    measured = *was == Evidence::measured ? &before : &now;
    other = measured == &before ? &now : &before;
  }
  if (measured == nullptr) return;
  throw Error(ErrorKind::usage,
              fmt::format("{} is measured and {} is predicted alone, and such times are not "
                          "compared: measure {} too, on a machine with that GPU",
                          measured->selector.text, other->selector.text, other->selector.text));
}

void check_sides(const Facts& facts, const SideComparison& comparison) {
  const Side &before = comparison.baseline, &now = comparison.candidate;
  const auto same_places = [](const Selector& a, const Selector& b) {
    return std::ranges::equal(a.conditions, b.conditions, [](const auto& x, const auto& y) {
      return x.kind == y.kind && x.places == y.places;
    });
  };
  if (same_places(before.selector, now.selector))
    throw Error(ErrorKind::usage,
                fmt::format("baseline {} and candidate {} are the same: name two, or ask for "
                            "--landscape",
                            before.selector.text, now.selector.text));
  const bool common = std::ranges::any_of(
      before.standings, [&](const auto& one) { return now.standings.contains(one.first); });
  if (!common)
    throw Error(ErrorKind::usage,
                fmt::format("{} and {} have no problem in common ({} and {} of their own): tune "
                            "both with the same --arch and --shapes",
                            before.selector.text, now.selector.text, before.standings.size(),
                            now.standings.size()));
  check_evidence(facts, before, now);
}

// Where in the list a verdict stands: what must be acted upon first.
int gravity(Change change) {
  switch (change) {
    case Change::broken:
      return 0;
    case Change::regressed:
      return 1;
    case Change::inconclusive:
      return 2;
    case Change::added:
      return 3;
    case Change::fixed:
      return 4;
    case Change::improved:
      return 5;
    case Change::same:
      return 6;
  }
  return 7;
}

}  // namespace

std::vector<CodeChange> compare_codes(const Side& baseline, const Side& candidate) {
  std::vector<CodeChange> changes;
  for (const auto& [key, place] : baseline.codes) {
    const auto found = candidate.codes.find(key);
    // What both sides share says nothing of how they differ.
    if (found != candidate.codes.end() && found->second != place)
      changes.push_back({key, place, found->second});
  }
  return changes;
}

SideComparison compare_sides(Facts& facts, Side baseline, Side candidate, const VerdictRules& rules,
                             std::vector<ArchLimits> archs) {
  SideComparison comparison;
  comparison.baseline = std::move(baseline);
  comparison.candidate = std::move(candidate);
  comparison.rules = rules;
  comparison.archs = std::move(archs);
  check_sides(facts, comparison);
  for (const ProblemKey& key : problems_of(comparison))
    comparison.problems.push_back(compare_problem(facts, comparison, key));
  std::ranges::stable_sort(comparison.problems, {}, [](const ProblemChange& one) {
    const double cost = one.change == Change::improved ? one.step_us : -one.step_us;
    return std::pair(gravity(one.change), cost);
  });
  comparison.codes = compare_codes(comparison.baseline, comparison.candidate);
  comparison.failures = compare_failures(facts, comparison);
  return comparison;
}

int exit_code_of(const SideComparison& comparison) {
  int code = 0;
  for (const ProblemChange& problem : comparison.problems) {
    if (problem.change == Change::broken) return 4;
    if (problem.change == Change::regressed) code = 3;
  }
  return code;
}

}  // namespace mla
