#pragma once

#include "reports/json.hpp"

namespace mla {

// One side alone: of each problem the best variant, how flat the optimum is, which parameters
// matter, how far from the limit; see reports/README.md. Variants count by the row that counts for
// a comparison, where it has a time and the winner's grade of evidence (without a winner: the best
// grade there is). Throws Error{usage} where no problem has a time.
Json landscape_json(Facts& facts, const Side& side, const std::vector<ArchLimits>& archs,
                    const ReportOrigin& origin);

// One value of a parameter, over the variants that have it.
struct Level {
  Json value;
  int variants = 0;
  double mean_ratio = 1;  // geometric mean of their times over the problem's best
  double best_ratio = 1;  // the best of them over the problem's best
};

// What a parameter does by itself, other parameters being what they happen to be.
struct Effect {
  std::string parameter;
  // Share of the variance of the logarithm of time that its levels' means explain, 0 to 1.
  double explained = 0;
  std::vector<Level> levels;  // by value
};

struct TimedVariant {
  Json params;
  double us = 0;
  int problem = 0;  // times are compared within a problem alone
};

// The parameters with two levels or more, the weightiest first. Of several problems each is taken
// relative to its own mean; best_ratio is then the geometric mean over the problems.
std::vector<Effect> main_effects(const std::vector<TimedVariant>& variants);

std::string landscape_text(const Json& report, bool colour);
std::string landscape_markdown(const Json& report);

}  // namespace mla
