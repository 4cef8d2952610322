#include "reports/verdict.hpp"

#include <fmt/format.h>

#include "db/error.hpp"
#include "reports/statistics.hpp"

namespace mla {
namespace {

TimeChange inconclusive(double ratio, std::string reason) {
  TimeChange change;
  change.change = Change::inconclusive;
  change.ratio = ratio;
  change.reason = std::move(reason);
  return change;
}

}  // namespace

std::string_view name(Change change) {
  switch (change) {
    case Change::broken:
      return "broken";
    case Change::regressed:
      return "regressed";
    case Change::inconclusive:
      return "inconclusive";
    case Change::added:
      return "new";
    case Change::fixed:
      return "fixed";
    case Change::improved:
      return "improved";
    case Change::same:
      return "same";
  }
  throw Error(ErrorKind::internal, fmt::format("no change has the value {}", int(change)));
}

TimeChange compare_times(const TimeSample& baseline, const TimeSample& candidate,
                         const VerdictRules& rules) {
  const double ratio = candidate.median_us / baseline.median_us;
  const double slower = 1 + rules.threshold, faster = 1 / slower;
  if (baseline.evidence != candidate.evidence)
    return inconclusive(ratio, fmt::format("{} before, {} now: such times are not compared",
                                           name(baseline.evidence), name(candidate.evidence)));
  TimeChange change;
  change.ratio = ratio;
  if (baseline.evidence == Evidence::predicted) {
    change.change = ratio > slower   ? Change::regressed
                    : ratio < faster ? Change::improved
                                     : Change::same;
    return change;
  }
  const std::size_t samples = std::min(baseline.samples_us.size(), candidate.samples_us.size());
  if (samples < rules.fewest)
    return inconclusive(ratio, fmt::format("{} sample{} on one side; at least {} are needed",
                                           samples, samples == 1 ? "" : "s", rules.fewest));
  const std::vector<double> before(baseline.samples_us.begin(), baseline.samples_us.end());
  const std::vector<double> now(candidate.samples_us.begin(), candidate.samples_us.end());
  const MedianRatio interval = median_ratio(now, before, rules.confidence);
  change.ratio = interval.value;
  change.low = interval.low;
  change.high = interval.high;
  change.p_value = mann_whitney(now, before).p_value;
  const bool ranks_differ = *change.p_value < rules.alpha;
  if (change.ratio > slower && interval.low > 1 && ranks_differ) {
    change.change = Change::regressed;
  } else if (change.ratio < faster && interval.high < 1 && ranks_differ) {
    change.change = Change::improved;
  } else if (interval.low >= faster && interval.high <= slower) {
    change.change = Change::same;
  } else {
    change.change = Change::inconclusive;
    change.reason =
        fmt::format("the ratio is {:.3f} to {:.3f}, the threshold {:.3f}: more samples would tell",
                    interval.low, interval.high, slower);
  }
  return change;
}

}  // namespace mla
