#include "reports/headline.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "reports/render.hpp"
#include "reports/statistics.hpp"

namespace mla {
namespace {

constexpr Change kChanges[] = {Change::broken, Change::regressed, Change::inconclusive,
                               Change::added,  Change::fixed,     Change::improved,
                               Change::same};

const std::string& text_of(const Json& json) { return json.get_ref<const std::string&>(); }

Json no_counts() {
  Json counts = Json::object();
  for (const Change change : kChanges) counts[std::string(name(change))] = 0;
  return counts;
}

// By evidence: a prediction never counts as a measurement.
Json count_verdicts(const Json& problems) {
  Json counts = {{"measured", no_counts()}, {"predicted", no_counts()}, {"none", no_counts()}};
  for (const Json& problem : problems) {
    const std::string evidence =
        problem["evidence"].is_null() ? "none" : problem["evidence"].get<std::string>();
    Json& count = counts[evidence][problem["verdict"].get<std::string>()];
    count = count.get<int>() + 1;
  }
  return counts;
}

Json mean_ratios(const Json& problems) {
  Json means = Json::object();
  for (const char* evidence : {"measured", "predicted"}) {
    std::vector<double> old_winner, winners;
    for (const Json& problem : problems) {
      if (problem["evidence"] != evidence) continue;
      if (!problem["of_old_winner"].is_null())
        old_winner.push_back(problem["of_old_winner"]["ratio"].get<double>());
      if (!problem["of_winners"].is_null())
        winners.push_back(problem["of_winners"]["ratio"].get<double>());
    }
    const auto mean = [](const std::vector<double>& ratios) {
      return ratios.empty() ? Json(nullptr) : Json(geometric_mean_of(ratios));
    };
    means[evidence] = {{"old_winner", mean(old_winner)}, {"winners", mean(winners)}};
  }
  return means;
}

// Of each resource how many code objects have more of it now, and how many less. Of pairs that both
// compiled.
Json count_code_changes(const Json& codes) {
  int compared = 0, differ = 0;
  double seconds_before = 0, seconds_now = 0;
  Json resources = Json::object();
  for (const ResourceName& one : resource_names()) resources[one.name] = {{"more", 0}, {"less", 0}};
  for (const Json& pair : codes) {
    const Json &before = pair["baseline"], &now = pair["candidate"];
    if (text_of(before["content"]).empty() || text_of(now["content"]).empty()) continue;
    ++compared;
    seconds_before += before["compile_seconds"].get<double>();
    seconds_now += now["compile_seconds"].get<double>();
    if (before["content"] != now["content"]) ++differ;
    for (const ResourceName& one : resource_names()) {
      const int was = before[one.name].get<int>(), is = now[one.name].get<int>();
      if (was < 0 || is < 0 || was == is) continue;
      Json& count = resources[one.name][is > was ? "more" : "less"];
      count = count.get<int>() + 1;
    }
  }
  return {{"compared", compared},
          {"differ", differ},
          {"resources", resources},
          {"compile_seconds", {{"baseline", seconds_before}, {"candidate", seconds_now}}}};
}

int total(const Json& verdicts, const char* verdict) {
  int sum = 0;
  for (const auto& [evidence, counts] : verdicts.items()) sum += counts[verdict].get<int>();
  return sum;
}

std::string worst_words(const Json& problem) {
  std::string words = fmt::format("{} on {}", problem["words"].get<std::string>(),
                                  problem["arch"].get<std::string>());
  if (!problem["ratio"].is_null())
    words +=
        fmt::format(": {}, {} us a decode step", signed_percent(problem["ratio"].get<double>()),
                    signed_number(problem["step_us"].get<double>()));
  return words;
}

// One sentence for somebody who reads no other.
std::string headline(const Json& comparison, const Json& verdicts) {
  const Json& problems = comparison["problems"];
  const std::string before = comparison["baseline"]["selector"].get<std::string>();
  const std::string now = comparison["candidate"]["selector"].get<std::string>();
  const auto any = [&](const char* evidence) {
    return std::ranges::any_of(verdicts[evidence], [](const Json& count) { return count > 0; });
  };
  const char* evidence = any("predicted") && !any("measured") ? " (predicted, not measured)" : "";
  const int broken = total(verdicts, "broken"), regressed = total(verdicts, "regressed"),
            improved = total(verdicts, "improved"), unclear = total(verdicts, "inconclusive");
  if (broken > 0)
    return fmt::format("{} breaks {} of {} problems that work with {}, first among them {}.", now,
                       broken, problems.size(), before, worst_words(problems.front()));
  if (regressed > 0)
    return fmt::format("{} is slower than {} for {} of {} problems{}, worst for {}.", now, before,
                       regressed, problems.size(), evidence, worst_words(problems.front()));
  if (unclear == static_cast<int>(problems.size()))
    return fmt::format("Whether {} is slower than {} cannot be told: {}.", now, before,
                       unclear == 1 ? "the one problem is inconclusive"
                                    : fmt::format("all {} problems are inconclusive", unclear));
  std::string words = fmt::format("Nothing regressed from {} to {} in {} problems{}", before, now,
                                  problems.size(), evidence);
  if (improved > 0) words += fmt::format("; {} improved", improved);
  if (unclear > 0) words += fmt::format("; {} remain inconclusive", unclear);
  return words + ".";
}

}  // namespace

Json summary_json(const Json& comparison, int exit_code) {
  const Json& problems = comparison["problems"];
  const Json verdicts = count_verdicts(problems);
  int winners_changed = 0, appeared = 0, gone = 0;
  for (const Json& problem : problems) winners_changed += problem["winner_changed"].get<bool>();
  for (const Json& failure : comparison["failures"])
    ++(failure["appeared"].get<bool>() ? appeared : gone);
  return {{"verdict", exit_code == 4   ? "broken"
                      : exit_code == 3 ? "regressed"
                                       : "pass"},
          {"exit_code", exit_code},
          {"headline", headline(comparison, verdicts)},
          {"problems", problems.size()},
          {"verdicts", verdicts},
          {"mean_ratio", mean_ratios(problems)},
          {"winners_changed", winners_changed},
          {"code_objects", count_code_changes(comparison["code_objects"])},
          {"failures", {{"appeared", appeared}, {"gone", gone}}}};
}

}  // namespace mla
