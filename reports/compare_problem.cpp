// One problem's verdict.
#include <fmt/format.h>

#include <algorithm>

#include "kernels/problem.hpp"
#include "reports/compare.hpp"
#include "reports/decode_step.hpp"

namespace mla {
namespace {

const MeasurementRecord& trial_at(const Facts& facts, int row) {
  return facts.rows[static_cast<std::size_t>(row)].trial;
}

const Standing* standing_of(const Side& side, const ProblemKey& key) {
  const auto at = side.standings.find(key);
  return at == side.standings.end() ? nullptr : &at->second;
}

int code_of(const Facts& facts, const Side& side, const std::string& arch, int variant) {
  const std::string& params = facts.variants[static_cast<std::size_t>(variant)].params;
  const auto found = side.codes.find({arch, kDecodeTemplate, code_params(params, kDecodeTemplate)});
  return found == side.codes.end() ? -1 : found->second;
}

Timing timing_of_row(Facts& facts, const Side& side, const std::string& arch, int row) {
  const MeasurementRecord& trial = trial_at(facts, row);
  Timing timing;
  timing.row = row;
  timing.variant = static_cast<int>(trial.variant_id);
  timing.code = code_of(facts, side, arch, timing.variant);
  timing.verdict = trial.verdict;
  timing.reason = trial.reason;
  timing.evidence = trial.evidence;
  timing.median_us = trial.median_us;
  timing.samples_us = facts.samples(facts.rows[static_cast<std::size_t>(row)]);
  return timing;
}

bool is_usable(const Timing& timing) { return timing.median_us > 0; }

// What a variant is but for its launch: the code object's content, so that sources that come to the
// same are one; else what is compiled in.
std::string code_identity(const Facts& facts, const Side& side, const std::string& arch,
                          int variant) {
  const int place = code_of(facts, side, arch, variant);
  if (place >= 0 && !facts.codes[static_cast<std::size_t>(place)].code.content.empty())
    return facts.codes[static_cast<std::size_t>(place)].code.content;
  return code_params(facts.variants[static_cast<std::size_t>(variant)].params, kDecodeTemplate);
}

// Of the rows for variants with the code of `variant`, the best time: how it is launched is chosen
// anew by each toolchain's ranking.
int best_of_same_code(const Facts& facts, const Side& side, const std::string& arch,
                      const Standing& standing, int variant) {
  const std::string wanted = code_identity(facts, side, arch, variant);
  int best = -1;
  for (const auto* rows : {&standing.decisive, &standing.search})
    for (const auto& [other, row] : *rows) {
      const MeasurementRecord& trial = trial_at(facts, row);
      if (trial.median_us <= 0 || code_identity(facts, side, arch, other) != wanted) continue;
      if (best < 0 ||
          std::pair(trial.evidence, trial.median_us) <
              std::pair(trial_at(facts, best).evidence, trial_at(facts, best).median_us))
        best = row;
    }
  return best;
}

// What the candidate makes of the baseline's winner.
std::optional<Timing> old_winner_of(Facts& facts, const Side& side, const ProblemKey& key,
                                    int variant) {
  static const Standing kNothing;
  const auto at = side.standings.find(key);
  const Standing& standing = at == side.standings.end() ? kNothing : at->second;
  if (const auto found = standing.decisive.find(variant); found != standing.decisive.end())
    return timing_of_row(facts, side, key.arch, found->second);
  const int code = code_of(facts, side, key.arch, variant);
  if (code >= 0 && is_failure(facts.codes[static_cast<std::size_t>(code)].code.verdict)) {
    const CodeObjectRecord& record = facts.codes[static_cast<std::size_t>(code)].code;
    Timing failed;
    failed.code = code;
    failed.variant = variant;
    failed.verdict = record.verdict;
    failed.reason = record.reason;
    return failed;
  }
  if (const auto found = standing.search.find(variant); found != standing.search.end())
    return timing_of_row(facts, side, key.arch, found->second);
  const int like = best_of_same_code(facts, side, key.arch, standing, variant);
  if (like < 0) return std::nullopt;
  Timing timing = timing_of_row(facts, side, key.arch, like);
  timing.is_exact = false;
  return timing;
}

TimeChange change_of(const Timing& before, const Timing& now, const VerdictRules& rules) {
  return compare_times({before.evidence, before.median_us, before.samples_us},
                       {now.evidence, now.median_us, now.samples_us}, rules);
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

void decide(ProblemChange& result, Change change, std::string reason) {
  result.change = change;
  result.reason = std::move(reason);
}

void decide_by_time(ProblemChange& result, const TimeChange& change, const Timing& now,
                    std::string what) {
  result.change = change.change;
  result.evidence = std::max(result.baseline->evidence, now.evidence);
  result.step_us = now.median_us - result.baseline->median_us;
  result.reason = fmt::format("{}, {}: {:.2f} us before, {:.2f} us now{}", what,
                              name(*result.evidence), result.baseline->median_us, now.median_us,
                              change.reason.empty() ? "" : "; " + change.reason);
}

// The winner of the candidate decides where the old one says nothing about time.
void decide_by_winners(ProblemChange& result, const std::string& why) {
  result.decided_by_winners = true;
  decide_by_time(result, *result.of_winners, *result.candidate, why + ", best against best");
}

void judge(ProblemChange& result, const Standing* before, const Standing* now) {
  if (before == nullptr) return decide(result, Change::added, "the baseline never tried it");
  if (now == nullptr) return decide(result, Change::inconclusive, "the candidate never tried it");
  if (!result.baseline) {
    const bool failed_before = before->failures > 0 && before->search.empty();
    if (result.candidate && failed_before)
      return decide(result, Change::fixed, "nothing worked before, and something does now");
    return decide(result, Change::inconclusive,
                  failed_before ? "no variant works on either side"
                                : "the baseline has no winner: no final round verified any");
  }
  const std::optional<Timing>& old = result.old_winner;
  if (old && is_failure(old->verdict) && old->verdict != Verdict::rejected)
    return decide(
        result, Change::broken,
        fmt::format("the old winner: {}: {}", name(old->verdict), first_line(old->reason)));
  if (!result.candidate) {
    if (now->failures > 0 || (old && is_failure(old->verdict)))
      return decide(result, Change::broken, "no variant works any more");
    return decide(result, Change::inconclusive,
                  "the candidate has no winner: no final round verified any");
  }
  if (old && old->verdict == Verdict::rejected)
    return decide_by_winners(
        result, fmt::format("the old winner is rejected ({})", first_line(old->reason)));
  if (old && is_usable(*old)) {
    return decide_by_time(
        result, *result.of_old_winner, *old,
        old->is_exact ? "the old winner" : "the old winner's code, launched otherwise");
  }
  decide_by_winners(result, "the old winner was not tried");
  // A search that went elsewhere is no regression of what both have.
  if (result.change == Change::regressed) {
    result.change = Change::inconclusive;
    result.reason += "; the candidate's search may have missed it";
  }
}

}  // namespace

ProblemChange compare_problem(Facts& facts, const SideComparison& sides, const ProblemKey& key) {
  ProblemChange result;
  result.key = key;
  const ProblemRecord& problem = facts.problems[static_cast<std::size_t>(key.problem)];
  const Standing* before = standing_of(sides.baseline, key);
  const Standing* now = standing_of(sides.candidate, key);
  if (before != nullptr && before->winner >= 0)
    result.baseline = timing_of_row(facts, sides.baseline, key.arch, before->winner);
  if (now != nullptr && now->winner >= 0)
    result.candidate = timing_of_row(facts, sides.candidate, key.arch, now->winner);
  if (result.baseline)
    result.old_winner = old_winner_of(facts, sides.candidate, key, result.baseline->variant);
  if (result.baseline && result.old_winner && is_usable(*result.old_winner))
    result.of_old_winner = change_of(*result.baseline, *result.old_winner, sides.rules);
  if (result.baseline && result.candidate)
    result.of_winners = change_of(*result.baseline, *result.candidate, sides.rules);
  judge(result, before, now);
  result.step_us *= step_weight(problem);
  for (const ArchLimits& limits : sides.archs)
    if (limits.arch == key.arch)
      result.limit_us = 1e6 * std::max(minimum_bytes(problem) / limits.bytes_per_second,
                                       flops(problem) / limits.flops_per_second);
  return result;
}

}  // namespace mla
