#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"

namespace mla {

// What became of a problem between baseline and candidate.
enum class Change { broken, regressed, inconclusive, added, fixed, improved, same };

// "broken", "regressed", "inconclusive", "new", "fixed", "improved", "same".
std::string_view name(Change change);

struct VerdictRules {
  double threshold = 0.03;   // a ratio above 1 + threshold, or below 1 / (1 + threshold), matters
  double alpha = 0.01;       // chance of so uneven ranks that is taken for no chance
  double confidence = 0.95;  // of the interval of the ratio
  std::size_t fewest = 5;    // samples of a side, below which nothing is concluded
};

// One side's time. Of a prediction there are no samples.
struct TimeSample {
  Evidence evidence = Evidence::predicted;
  double median_us = 0;
  std::vector<float> samples_us = {};
};

struct TimeChange {
  Change change = Change::same;  // regressed, improved, same or inconclusive
  double ratio = 1;              // candidate over baseline: above 1 the candidate is slower
  // Of measured times alone: interval of the ratio of medians, Mann-Whitney's two-sided p.
  std::optional<double> low = {};
  std::optional<double> high = {};
  std::optional<double> p_value = {};
  std::string reason = {};  // why it is inconclusive
};

// Measured times: regressed (improved) where the ratio is beyond the threshold, its interval does
// not hold 1 and the ranks differ beyond alpha; same where the whole interval is within the
// threshold; else inconclusive, as with too few samples. Predicted times have no noise: the
// threshold alone decides. A measured time is never set against a predicted one: inconclusive.
TimeChange compare_times(const TimeSample& baseline, const TimeSample& candidate,
                         const VerdictRules& rules);

}  // namespace mla
