#pragma once

#include <optional>
#include <string>
#include <vector>

#include "reports/side.hpp"
#include "reports/verdict.hpp"

namespace mla {

// What an arch can do at most, for times to be set against.
struct ArchLimits {
  std::string arch;
  std::string device;
  double bytes_per_second = 0;
  double flops_per_second = 0;
};

// A variant's time for a problem, on one side.
struct Timing {
  int row = -1;   // place in Facts::rows; -1: nothing but its code object is known
  int code = -1;  // its decode kernel, place in Facts::codes; -1: not known
  Verdict verdict = Verdict::unverified;
  std::string reason = {};  // of a failure
  Evidence evidence = Evidence::predicted;
  double median_us = 0;  // 0: a failure
  std::vector<float> samples_us = {};
  int variant = -1;      // place in Facts::variants
  bool is_exact = true;  // false: of the same code, launched otherwise
};

struct ProblemChange {
  ProblemKey key;
  Change change = Change::same;
  std::optional<Evidence> evidence;         // of the times behind it; none where no times are
  std::string reason;                       // in words, what the verdict rests on
  std::optional<Timing> baseline;           // the winner there
  std::optional<Timing> old_winner;         // the same variant with the candidate
  std::optional<Timing> candidate;          // the winner there
  std::optional<TimeChange> of_old_winner;  // old_winner over baseline
  std::optional<TimeChange> of_winners;     // candidate over baseline
  bool decided_by_winners = false;          // the verdict is that of of_winners
  double limit_us = 0;                      // no kernel is faster; 0: arch not known
  // What a decode step has more to pay, in microseconds: the difference of the deciding times by
  // step_weight(). 0 where there is none.
  double step_us = 0;
};

// A pair of code objects from equal sources.
struct CodeChange {
  CodeKey key;
  int baseline = -1;  // places in Facts::codes; -1: that side never compiled it
  int candidate = -1;
};

// What works with one side and not with the other. Of compilations and of executions.
struct FailureChange {
  std::string arch;
  bool appeared = true;  // false: it went away
  Verdict verdict = Verdict::ok;
  std::string reason;
  int variant = -1;           // place in Facts::variants
  int code = -1;              // the failing code object; -1: it failed by executing
  std::vector<int> problems;  // for which it failed by executing, places in Facts::problems
};

struct SideComparison {
  Side baseline;
  Side candidate;
  VerdictRules rules;
  std::vector<ProblemChange> problems;  // the gravest and most expensive first
  std::vector<CodeChange> codes;        // of both sides, and not the same one
  std::vector<FailureChange> failures;  // those that appeared first
  std::vector<ArchLimits> archs;
};

// Throws Error{usage} where the sides select the same rows, have no problem in common, or where of
// all common problems one side has measured times and the other predictions alone.
SideComparison compare_sides(Facts& facts, Side baseline, Side candidate, const VerdictRules& rules,
                             std::vector<ArchLimits> archs);

// Of all problems: 4 where one is broken, 3 where one regressed, else 0.
int exit_code_of(const SideComparison& comparison);

// Parts of compare_sides().
ProblemChange compare_problem(Facts& facts, const SideComparison& sides, const ProblemKey& key);
std::vector<CodeChange> compare_codes(const Side& baseline, const Side& candidate);
std::vector<FailureChange> compare_failures(const Facts& facts, const SideComparison& comparison);

}  // namespace mla
