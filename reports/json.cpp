#include "reports/json.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "kernels/params.hpp"
#include "reports/decode_step.hpp"
#include "reports/headline.hpp"
#include "reports/statistics.hpp"

namespace mla {
namespace {

template <class Value, class F>
Json or_null(const std::optional<Value>& value, F&& f) {
  return value ? Json(f(*value)) : Json(nullptr);
}

Json number_or_null(const std::optional<double>& value) {
  return value ? Json(*value) : Json(nullptr);
}

Json side_json(const Facts& facts, const Side& side) {
  Json toolchains = Json::array(), devices = Json::array();
  for (const int place : side.toolchains) {
    const Toolchain& one = facts.toolchains[static_cast<std::size_t>(place)];
    toolchains.push_back({{"compiler", one.compiler},
                          {"release", one.release},
                          {"library", one.library},
                          {"llvm", one.llvm}});
  }
  for (const int place : side.devices) {
    const Device& one = facts.devices[static_cast<std::size_t>(place)];
    devices.push_back({{"arch", one.arch},
                       {"name", one.name},
                       {"compute_units", one.compute_units},
                       {"memory_bytes", one.memory_bytes},
                       {"clock_mhz", one.clock_mhz},
                       {"pci_id", one.pci_id},
                       {"partition", one.partition},
                       {"driver", one.driver},
                       {"runtime", one.runtime}});
  }
  return {{"selector", side.selector.text},
          {"measurements", side.rows},
          {"toolchains", toolchains},
          {"devices", devices}};
}

Json time_json(const TimeChange& change) {
  return {{"verdict", name(change.change)},
          {"ratio", change.ratio},
          {"low", number_or_null(change.low)},
          {"high", number_or_null(change.high)},
          {"p_value", number_or_null(change.p_value)},
          {"reason", change.reason}};
}

// {"block_k": [32, 64]}: what tells two variants apart.
Json changed_parameters(const Facts& facts, const Timing& before, const Timing& now) {
  const auto params_of = [&](const Timing& timing) {
    return Json::parse(all_params(facts.variants[static_cast<std::size_t>(timing.variant)].params));
  };
  const Json a = params_of(before), b = params_of(now);
  Json changed = Json::object();
  for (const auto& [key, value] : a.items())
    if (!b.contains(key) || b[key] != value)
      changed[key] = {value, b.contains(key) ? b[key] : Json(nullptr)};
  for (const auto& [key, value] : b.items())
    if (!a.contains(key)) changed[key] = {nullptr, value};
  return changed;
}

Json change_json(const Facts& facts, const ProblemChange& one) {
  Json json = problem_json(facts, one.key);
  const auto timing = [&](const Timing& t) { return timing_json(facts, t); };
  const auto& deciding = one.decided_by_winners ? one.of_winners : one.of_old_winner;
  json["verdict"] = name(one.change);
  json["evidence"] = or_null(one.evidence, [](Evidence e) { return std::string(name(e)); });
  json["reason"] = one.reason;
  json["decided_by"] = !one.evidence            ? Json(nullptr)
                       : one.decided_by_winners ? Json("winners")
                                                : Json("old_winner");
  json["ratio"] = one.evidence && deciding ? Json(deciding->ratio) : Json(nullptr);
  json["step_us"] = one.step_us;
  json["limit_us"] = one.limit_us;
  json["of_old_winner"] = or_null(one.of_old_winner, time_json);
  json["of_winners"] = or_null(one.of_winners, time_json);
  const bool both = one.baseline && one.candidate;
  json["winner_changed"] = both && one.baseline->variant != one.candidate->variant;
  json["changed_parameters"] =
      both ? changed_parameters(facts, *one.baseline, *one.candidate) : Json::object();
  json["baseline"] = or_null(one.baseline, timing);
  json["old_winner"] = or_null(one.old_winner, timing);
  json["candidate"] = or_null(one.candidate, timing);
  return json;
}

Json code_change_json(const Facts& facts, const CodeChange& pair) {
  const FactCode& before = facts.codes[static_cast<std::size_t>(pair.baseline)];
  const FactCode& now = facts.codes[static_cast<std::size_t>(pair.candidate)];
  Json changed = Json::array();
  for (const ResourceName& one : resource_names())
    if (before.code.resources.*one.field != now.code.resources.*one.field)
      changed.push_back(one.name);
  return {{"arch", pair.key.arch},
          {"template", pair.key.entry_template},
          {"params", Json::parse(pair.key.params)},
          {"variant", facts.variants[static_cast<std::size_t>(now.variants.front())].key},
          {"changed", changed},
          {"baseline", code_json(facts, pair.baseline)},
          {"candidate", code_json(facts, pair.candidate)}};
}

Json failure_json(const Facts& facts, const FailureChange& one) {
  Json problems = Json::array();
  for (const int place : one.problems)
    problems.push_back(one.arch + "/" + shape_id(facts.problems[static_cast<std::size_t>(place)]));
  const VariantRecord* variant =
      one.variant < 0 ? nullptr : &facts.variants[static_cast<std::size_t>(one.variant)];
  return {{"arch", one.arch},
          {"appeared", one.appeared},
          {"stage", one.code >= 0 ? "compile" : "run"},
          {"verdict", name(one.verdict)},
          {"reason", one.reason},
          {"variant", variant ? Json(variant->key) : Json(nullptr)},
          {"params", variant ? Json::parse(variant->params) : Json(nullptr)},
          {"problems", problems}};
}

}  // namespace

Json comparison_json(const Facts& facts, const SideComparison& comparison,
                     const ReportOrigin& origin) {
  Json json = {{"format", "mla-tune report 1"},
               {"kind", "comparison"},
               {"created", origin.created},
               {"version", origin.version},
               {"databases", database_list(facts)},
               {"baseline", side_json(facts, comparison.baseline)},
               {"candidate", side_json(facts, comparison.candidate)},
               {"rules",
                {{"threshold", comparison.rules.threshold},
                 {"alpha", comparison.rules.alpha},
                 {"confidence", comparison.rules.confidence},
                 {"fewest_samples", comparison.rules.fewest}}},
               {"archs", limits_json(comparison.archs)},
               {"summary", nullptr}};
  Json problems = Json::array(), codes = Json::array(), failures = Json::array();
  for (const ProblemChange& one : comparison.problems) problems.push_back(change_json(facts, one));
  for (const CodeChange& pair : comparison.codes) codes.push_back(code_change_json(facts, pair));
  for (const FailureChange& one : comparison.failures) failures.push_back(failure_json(facts, one));
  json["problems"] = std::move(problems);
  json["code_objects"] = std::move(codes);
  json["failures"] = std::move(failures);
  json["summary"] = summary_json(json, exit_code_of(comparison));
  return json;
}

}  // namespace mla
