// What works with one side and not with the other.
#include <algorithm>
#include <map>

#include "reports/compare.hpp"

namespace mla {
namespace {

const CodeObjectRecord& code_at(const Facts& facts, int place) {
  return facts.codes[static_cast<std::size_t>(place)].code;
}

void compare_compilations(const Facts& facts, const SideComparison& comparison,
                          std::vector<FailureChange>& changes) {
  for (const CodeChange& pair : comparison.codes) {
    const CodeObjectRecord& before = code_at(facts, pair.baseline);
    const CodeObjectRecord& now = code_at(facts, pair.candidate);
    if (is_failure(before.verdict) == is_failure(now.verdict)) continue;
    const bool appeared = is_failure(now.verdict);
    const int place = appeared ? pair.candidate : pair.baseline;
    const FactCode& failing = facts.codes[static_cast<std::size_t>(place)];
    changes.push_back({pair.key.arch,
                       appeared,
                       failing.code.verdict,
                       failing.code.reason,
                       failing.variants.empty() ? -1 : failing.variants.front(),
                       place,
                       {}});
  }
}

using Found = std::map<std::tuple<std::string, int, Verdict, bool>, FailureChange>;

// Failures of `failing` where `working` has the same variant doing the same problem.
void find_failures(const Facts& facts, const Side& failing, const Side& working, bool appeared,
                   Found& found) {
  for (const auto& [key, standing] : failing.standings) {
    const auto other = working.standings.find(key);
    if (other == working.standings.end()) continue;
    for (const auto& [variant, row] : standing.decisive) {
      const MeasurementRecord& trial = facts.rows[static_cast<std::size_t>(row)].trial;
      if (!is_failure(trial.verdict)) continue;
      const auto there = other->second.decisive.find(variant);
      const bool decided = there != other->second.decisive.end();
      const bool works =
          decided ? !is_failure(facts.rows[static_cast<std::size_t>(there->second)].trial.verdict)
                  : other->second.search.contains(variant);
      if (!works) continue;
      FailureChange& change = found[{key.arch, variant, trial.verdict, appeared}];
      if (change.problems.empty())
        change = {key.arch, appeared, trial.verdict, trial.reason, variant, -1, {}};
      change.problems.push_back(key.problem);
    }
  }
}

}  // namespace

std::vector<FailureChange> compare_failures(const Facts& facts, const SideComparison& comparison) {
  std::vector<FailureChange> changes;
  compare_compilations(facts, comparison, changes);
  Found found;
  find_failures(facts, comparison.candidate, comparison.baseline, true, found);
  find_failures(facts, comparison.baseline, comparison.candidate, false, found);
  for (auto& [key, change] : found) changes.push_back(std::move(change));
  std::ranges::stable_sort(changes, std::greater{}, &FailureChange::appeared);
  return changes;
}

}  // namespace mla
