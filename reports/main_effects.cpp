#include <algorithm>
#include <cmath>
#include <limits>
#include <map>

#include "reports/landscape.hpp"
#include "reports/statistics.hpp"

namespace mla {
namespace {

struct ProblemTimes {
  double best = std::numeric_limits<double>::infinity();
  double sum_of_logs = 0;
  int count = 0;
};

std::map<int, ProblemTimes> times_of(const std::vector<TimedVariant>& variants) {
  std::map<int, ProblemTimes> problems;
  for (const TimedVariant& one : variants) {
    ProblemTimes& times = problems[one.problem];
    times.best = std::min(times.best, one.us);
    times.sum_of_logs += std::log(one.us);
    ++times.count;
  }
  return problems;
}

struct LevelSum {
  double deviations = 0;  // of logarithms from the problem's mean
  std::vector<double> ratios;
  std::map<int, double> best;  // by problem
};

Effect effect_of(const std::string& parameter, const std::vector<TimedVariant>& variants,
                 const std::map<int, ProblemTimes>& problems) {
  std::map<nlohmann::json, LevelSum> sums;
  double all_squares = 0;
  for (const TimedVariant& one : variants) {
    const ProblemTimes& times = problems.at(one.problem);
    const double deviation = std::log(one.us) - times.sum_of_logs / times.count;
    all_squares += deviation * deviation;
    const auto value = one.params.find(parameter);
    LevelSum& sum = sums[value == one.params.end() ? nlohmann::json() : nlohmann::json(*value)];
    sum.deviations += deviation;
    const double ratio = one.us / times.best;
    sum.ratios.push_back(ratio);
    const auto [at, is_new] = sum.best.try_emplace(one.problem, ratio);
    if (!is_new) at->second = std::min(at->second, ratio);
  }
  Effect effect{parameter, 0, {}};
  for (const auto& [value, sum] : sums) {
    const auto count = static_cast<double>(sum.ratios.size());
    if (all_squares > 0) effect.explained += sum.deviations * sum.deviations / count / all_squares;
    std::vector<double> best;
    for (const auto& [problem, ratio] : sum.best) best.push_back(ratio);
    effect.levels.push_back({Json(value), static_cast<int>(sum.ratios.size()),
                             geometric_mean_of(sum.ratios), geometric_mean_of(best)});
  }
  return effect;
}

}  // namespace

std::vector<Effect> main_effects(const std::vector<TimedVariant>& variants) {
  const std::map<int, ProblemTimes> problems = times_of(variants);
  std::map<std::string, bool> parameters;
  for (const TimedVariant& one : variants)
    for (const auto& [key, value] : one.params.items()) parameters[key] = true;
  std::vector<Effect> effects;
  for (const auto& [parameter, known] : parameters) {
    Effect effect = effect_of(parameter, variants, problems);
    if (effect.levels.size() > 1) effects.push_back(std::move(effect));
  }
  std::ranges::stable_sort(effects, std::greater(), &Effect::explained);
  return effects;
}

}  // namespace mla
