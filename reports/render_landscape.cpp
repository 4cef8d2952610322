#include <fmt/color.h>
#include <fmt/format.h>

#include "reports/landscape.hpp"
#include "reports/render.hpp"

namespace mla {
namespace {

constexpr std::size_t kEffects = 8;

std::string value_words(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// "32: 1.00, 64: 1.12": what the best variant with each value costs beside the best of all.
std::string level_words(const Json& levels) {
  std::string words;
  for (const Json& level : levels)
    words += fmt::format("{}{}: {:.2f}", words.empty() ? "" : ", ", value_words(level["value"]),
                         level["best_ratio"].get<double>());
  return words;
}

int near_best(const Json& problem, double share) {
  for (const Json& near : problem["near_best"])
    if (near["within"] == share) return near["variants"].get<int>();
  return 0;
}

std::string limit_words(const Json& problem) {
  return problem["times_limit"].is_null()
             ? "?"
             : fmt::format("{:.1f}x", problem["times_limit"].get<double>());
}

}  // namespace

std::string landscape_text(const Json& report, bool colour) {
  std::string text = report["headline"].get<std::string>();
  if (colour) text = fmt::format(fmt::emphasis::bold, "{}", text);
  text += fmt::format("\n\n{:<7}{:<54} {:>8} {:<9} {:>6} {:>11} {:>7} {:>7}\n", "arch", "problem",
                      "best us", "", "limit", "within 5 %", "median", "worst");
  for (const Json& problem : report["problems"])
    text += fmt::format(
        "{:<7}{:<54} {:>8.2f} {:<9} {:>6} {:>4} of {:>4} {:>6.2f}x {:>6.1f}x\n",
        problem["arch"].get<std::string>(), problem["words"].get<std::string>(),
        problem["best"]["median_us"].get<double>(), problem["evidence"].get<std::string>(),
        limit_words(problem), near_best(problem, 0.05), problem["variants"].get<int>(),
        problem["median_ratio"].get<double>(), problem["worst_ratio"].get<double>());
  for (const auto& [arch, effects] : report["effects"].items()) {
    text += fmt::format(
        "\n{}: parameters by the share of the spread of times that they explain alone, and what "
        "the\nbest variant with each value takes beside the best of all:\n",
        arch);
    std::size_t shown = 0;
    for (const Json& effect : effects) {
      if (++shown > kEffects) break;
      text += fmt::format("  {:<18} {:>5.1f} %  {}\n", effect["parameter"].get<std::string>(),
                          100 * effect["explained"].get<double>(), level_words(effect["levels"]));
    }
  }
  return text;
}

std::string landscape_markdown(const Json& report) {
  std::string text = fmt::format("### {}\n\n{}\n\n", report["selector"].get<std::string>(),
                                 report["headline"].get<std::string>());
  text +=
      "| problem | best us | | of the limit | within 5 % | median |\n|---|--:|---|--:|--:|--:|\n";
  for (const Json& problem : report["problems"])
    text += fmt::format(
        "| {} {} | {:.2f} | {} | {} | {} of {} | {:.2f}x |\n", problem["arch"].get<std::string>(),
        problem["words"].get<std::string>(), problem["best"]["median_us"].get<double>(),
        problem["evidence"].get<std::string>(), limit_words(problem), near_best(problem, 0.05),
        problem["variants"].get<int>(), problem["median_ratio"].get<double>());
  for (const auto& [arch, effects] : report["effects"].items()) {
    text += fmt::format("\n{}:", arch);
    std::size_t shown = 0;
    for (const Json& effect : effects) {
      if (++shown > 5) break;
      text += fmt::format("{} {} explains {:.0f} %", shown > 1 ? "," : "",
                          effect["parameter"].get<std::string>(),
                          100 * effect["explained"].get<double>());
    }
    text += '\n';
  }
  return text;
}

}  // namespace mla
