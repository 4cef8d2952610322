#include "reports/landscape.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "kernels/problem.hpp"
#include "reports/statistics.hpp"

namespace mla {
namespace {

constexpr std::size_t kBest = 5;
constexpr double kNear[] = {0.01, 0.02, 0.05, 0.1, 0.25};

const MeasurementRecord& trial_at(const Facts& facts, int row) {
  return facts.rows[static_cast<std::size_t>(row)].trial;
}

// Of each variant the row that counts, where it is of the grade that the winner is of; the fastest
// first.
std::vector<int> timed_rows(const Facts& facts, const Standing& standing) {
  std::map<int, int> rows = standing.decisive;
  rows.insert(standing.search.begin(), standing.search.end());
  Evidence grade = Evidence::predicted;
  for (const auto& [variant, row] : rows)
    if (trial_at(facts, row).median_us > 0) grade = std::min(grade, trial_at(facts, row).evidence);
  if (standing.winner >= 0) grade = trial_at(facts, standing.winner).evidence;
  std::vector<int> timed;
  for (const auto& [variant, row] : rows)
    if (trial_at(facts, row).median_us > 0 && trial_at(facts, row).evidence == grade)
      timed.push_back(row);
  std::ranges::stable_sort(timed, {}, [&](int row) { return trial_at(facts, row).median_us; });
  return timed;
}

Json effects_json(const std::vector<Effect>& effects) {
  Json list = Json::array();
  for (const Effect& effect : effects) {
    Json levels = Json::array();
    for (const Level& level : effect.levels)
      levels.push_back({{"value", level.value},
                        {"variants", level.variants},
                        {"mean_ratio", level.mean_ratio},
                        {"best_ratio", level.best_ratio}});
    list.push_back(
        {{"parameter", effect.parameter}, {"explained", effect.explained}, {"levels", levels}});
  }
  return list;
}

Json short_timing(const Facts& facts, int row) {
  const MeasurementRecord& trial = trial_at(facts, row);
  const VariantRecord& variant = facts.variants[static_cast<std::size_t>(trial.variant_id)];
  return {{"variant", variant.key},
          {"params", Json::parse(variant.params)},
          {"median_us", trial.median_us},
          {"round", name(trial.round)}};
}

double limit_of(const ProblemRecord& problem, const std::string& arch,
                const std::vector<ArchLimits>& archs) {
  for (const ArchLimits& limits : archs)
    if (limits.arch == arch)
      return 1e6 * std::max(minimum_bytes(problem) / limits.bytes_per_second,
                            flops(problem) / limits.flops_per_second);
  return 0;
}

Json problem_landscape(Facts& facts, const ProblemKey& key, const Standing& standing,
                       const std::vector<ArchLimits>& archs, std::vector<TimedVariant>& pooled) {
  const std::vector<int> rows = timed_rows(facts, standing);
  if (rows.empty()) return nullptr;
  // The winner, where there is one: the search's fastest may have been luck.
  const int best_row = standing.winner >= 0 ? standing.winner : rows.front();
  const double best = trial_at(facts, best_row).median_us;
  std::vector<double> times;
  std::vector<TimedVariant> variants;
  for (const int row : rows) {
    const MeasurementRecord& trial = trial_at(facts, row);
    times.push_back(trial.median_us);
    variants.push_back(
        {Json::parse(all_params(facts.variants[static_cast<std::size_t>(trial.variant_id)].params)),
         trial.median_us, key.problem});
  }
  Json near = Json::array(), top = Json::array();
  for (const double share : kNear)
    near.push_back({{"within", share}, {"variants", std::ranges::count_if(times, [&](double us) {
                                          return us <= best * (1 + share);
                                        })}});
  for (std::size_t i = 0; i < std::min(kBest, rows.size()); ++i)
    top.push_back(short_timing(facts, rows[i]));
  const double limit =
      limit_of(facts.problems[static_cast<std::size_t>(key.problem)], key.arch, archs);
  Json json = problem_json(facts, key);
  json["evidence"] = name(trial_at(facts, best_row).evidence);
  json["has_winner"] = standing.winner >= 0;
  json["best"] = short_timing(facts, best_row);
  json["samples_us"] = facts.samples(facts.rows[static_cast<std::size_t>(best_row)]);
  json["limit_us"] = limit;
  json["times_limit"] = limit > 0 ? Json(best / limit) : Json(nullptr);
  json["variants"] = rows.size();
  json["failures"] = standing.failures;
  json["near_best"] = near;
  json["median_ratio"] = sample_median(times) / best;
  json["worst_ratio"] = times.back() / best;
  json["top"] = top;
  json["effects"] = effects_json(main_effects(variants));
  pooled.insert(pooled.end(), variants.begin(), variants.end());
  return json;
}

std::string headline(const Json& problems, const std::string& selector) {
  std::vector<double> limits, medians;
  std::size_t predicted = 0;
  for (const Json& problem : problems) {
    if (!problem["times_limit"].is_null()) limits.push_back(problem["times_limit"].get<double>());
    medians.push_back(problem["median_ratio"].get<double>());
    predicted += problem["evidence"] == "predicted";
  }
  const std::string of_limit =
      limits.empty() ? "the limit of the arch is not known"
                     : fmt::format(
                           "the best variant takes {:.1f} times what memory and matrix peaks "
                           "allow",
                           geometric_mean_of(limits));
  return fmt::format(
      "{}: {}, the median variant {:.2f} times the best (geometric means over {} problem{}, {} of "
      "them predicted).",
      selector, of_limit, geometric_mean_of(medians), problems.size(),
      problems.size() == 1 ? "" : "s", predicted);
}

}  // namespace

Json landscape_json(Facts& facts, const Side& side, const std::vector<ArchLimits>& archs,
                    const ReportOrigin& origin) {
  Json problems = Json::array();
  std::map<std::string, std::vector<TimedVariant>> pooled;  // by arch
  for (const auto& [key, standing] : side.standings) {
    Json problem = problem_landscape(facts, key, standing, archs, pooled[key.arch]);
    if (!problem.is_null()) problems.push_back(std::move(problem));
  }
  if (problems.empty())
    throw Error(ErrorKind::usage,
                fmt::format("{} has no times: tune with it first", side.selector.text));
  Json effects = Json::object();
  for (const auto& [arch, variants] : pooled) effects[arch] = effects_json(main_effects(variants));
  return {{"format", "mla-tune report 1"},
          {"kind", "landscape"},
          {"created", origin.created},
          {"version", origin.version},
          {"databases", database_list(facts)},
          {"selector", side.selector.text},
          {"measurements", side.rows},
          {"archs", limits_json(archs)},
          {"headline", headline(problems, side.selector.text)},
          {"effects", effects},
          {"problems", problems}};
}

}  // namespace mla
