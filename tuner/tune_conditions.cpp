// What the devices were up to while a run measured: kept with its session, in JSON.
//   devices:  [{name, pci_id, start, end}]    conditions of each runner
//   problems: [{problem, device, conditions}]  at the end of each problem; ids of the rows

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "db/error.hpp"
#include "tuner/tune_state.hpp"

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

Json parsed(const std::string& text) {
  Json json = Json::parse(text, nullptr, false);
  return json.is_object() ? json : Json::object();
}

Json now(Runner& runner) {
  try {
    return parsed(runner.conditions());
  } catch (const Error&) {
    return Json::object();  // a device that was lost says so where it is needed
  }
}

// Reasons for a lower clock that a reader of the times must know.
std::vector<std::string> worrying(const Json& conditions) {
  std::vector<std::string> reasons;
  const auto throttle = conditions.find("throttle");
  if (throttle == conditions.end() || !throttle->is_array()) return reasons;
  for (const Json& reason : *throttle)
    if (reason.is_string() && reason != "idle") reasons.push_back(reason.get<std::string>());
  return reasons;
}

}  // namespace

void Tuning::note_start() {
  Json devices = Json::array();
  for (Runner* runner : parts_.runners)
    devices.push_back({{"name", runner->identity().name},
                       {"pci_id", runner->identity().pci_id},
                       {"start", now(*runner)}});
  conditions_["devices"] = std::move(devices);
  conditions_["problems"] = Json::array();
}

void Tuning::note_problem(std::size_t problem, std::size_t runner, const std::string& conditions) {
  const Json json = parsed(conditions);
  conditions_["problems"].push_back(
      {{"problem", problem_ids_[problem]}, {"device", device_ids_[runner]}, {"conditions", json}});
  const auto reasons = worrying(json);
  if (!reasons.empty()) ++throttled_[{runner, fmt::format("{}", fmt::join(reasons, ", "))}];
}

std::string Tuning::conditions_at_end() {
  if (parts_.bench != Bench::target) return {};
  for (std::size_t i = 0; i < parts_.runners.size(); ++i)
    conditions_["devices"][i]["end"] = now(*parts_.runners[i]);
  for (const auto& [what, problems] : throttled_)
    report_.notes.push_back(fmt::format(
        "{} {} was throttled ({}) while {} of the problems were timed; the session's conditions in "
        "the database say which",
        parts_.runners[what.first]->identity().name, parts_.runners[what.first]->identity().pci_id,
        what.second, problems));
  return conditions_.dump();
}

}  // namespace mla
