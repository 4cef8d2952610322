#include "reports/side.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "db/error.hpp"

namespace mla {
namespace {

// Whether `row` replaces `other`: measured before predicted, then the newer one. Rows come in order
// of time.
bool replaces(const MeasurementRecord& row, const MeasurementRecord& other) {
  return row.evidence <= other.evidence;
}

void enter(std::map<int, int>& of_variants, const Facts& facts, int place) {
  const MeasurementRecord& trial = facts.rows[static_cast<std::size_t>(place)].trial;
  const auto [at, is_new] = of_variants.try_emplace(static_cast<int>(trial.variant_id), place);
  if (!is_new && replaces(trial, facts.rows[static_cast<std::size_t>(at->second)].trial))
    at->second = place;
}

void choose_winner(Standing& standing, const Facts& facts) {
  const auto trial = [&](int place) -> const MeasurementRecord& {
    return facts.rows[static_cast<std::size_t>(place)].trial;
  };
  const auto order = [&](int place) {
    const MeasurementRecord& one = trial(place);
    return std::tuple(one.evidence, one.median_us,
                      facts.variants[static_cast<std::size_t>(one.variant_id)].key);
  };
  for (const auto& [variant, place] : standing.decisive) {
    if (is_failure(trial(place).verdict)) ++standing.failures;
    if (trial(place).verdict != Verdict::ok) continue;
    if (standing.winner < 0 || order(place) < order(standing.winner)) standing.winner = place;
  }
}

// Code objects are of a compiler, not of a run. Where runs are told apart and the templates changed
// between them, nobody knows which run had which code.
bool tells_runs_apart(const Selector& selector) {
  return has(selector, Condition::Kind::session) || has(selector, Condition::Kind::version) ||
         has(selector, Condition::Kind::templates);
}

void collect_codes(Side& side, const Facts& facts, const std::string& arch,
                   const std::set<std::int64_t>& toolchains) {
  std::set<std::pair<CodeKey, std::int64_t>> seen;  // by toolchain
  std::set<CodeKey> several;
  for (std::size_t i = 0; i < facts.codes.size(); ++i) {
    const FactCode& fact = facts.codes[i];
    if (!arch.empty() && fact.code.arch != arch) continue;
    if (!selects(side.selector, fact)) continue;
    // Of a session or a device there is no more to tell than what it was compiled by.
    if (!has(side.selector, Condition::Kind::release) &&
        !toolchains.contains(fact.code.toolchain_id))
      continue;
    std::set<CodeKey> keys;
    for (const int variant : fact.variants) {
      const std::string& params = facts.variants[static_cast<std::size_t>(variant)].params;
      keys.insert({fact.code.arch, fact.code.entry_template,
                   code_params(params, fact.code.entry_template)});
    }
    for (const CodeKey& key : keys) {
      side.codes[key] = static_cast<int>(i);
      if (!seen.emplace(key, fact.code.toolchain_id).second) several.insert(key);
    }
  }
  if (tells_runs_apart(side.selector))
    for (const CodeKey& key : several) side.codes.erase(key);
}

}  // namespace

std::string code_params(const std::string& params, const std::string& entry_template) {
  const nlohmann::json all = nlohmann::json::parse(params);
  nlohmann::json kept = nlohmann::json::object();
  for (const auto& [key, value] : all.items()) {
    const bool reduce = key.starts_with("reduce_"), split = key.starts_with("split_");
    if (entry_template == kReduceTemplate ? reduce : !reduce && !split) kept[key] = value;
  }
  return kept.dump();
}

Side make_side(const Facts& facts, Selector selector, const std::string& arch) {
  Side side;
  side.selector = std::move(selector);
  std::set<std::int64_t> toolchains, devices;
  for (std::size_t i = 0; i < facts.rows.size(); ++i) {
    const FactRow& row = facts.rows[i];
    const std::string& its = facts.devices[static_cast<std::size_t>(row.trial.device_id)].arch;
    if ((!arch.empty() && its != arch) || !selects(side.selector, row)) continue;
    ++side.rows;
    toolchains.insert(row.trial.toolchain_id);
    devices.insert(row.trial.device_id);
    Standing& standing = side.standings[{its, static_cast<int>(row.trial.problem_id)}];
    const bool fails = is_failure(row.trial.verdict);
    enter(fails || row.trial.round == Round::final ? standing.decisive : standing.search, facts,
          static_cast<int>(i));
  }
  for (auto& [key, standing] : side.standings) choose_winner(standing, facts);
  collect_codes(side, facts, arch, toolchains);
  side.toolchains.assign(toolchains.begin(), toolchains.end());
  side.devices.assign(devices.begin(), devices.end());
  if (side.rows == 0 && side.codes.empty())
    throw Error(ErrorKind::usage,
                fmt::format("{} selects nothing{}; releases that there are: {}", side.selector.text,
                            arch.empty() ? "" : " of arch " + arch,
                            fmt::join(releases(facts, arch), ", ")));
  return side;
}

}  // namespace mla
