#include <fmt/format.h>

#include "reports/render.hpp"

namespace mla {
namespace {

constexpr std::size_t kProblems = 12;
constexpr std::size_t kFailures = 5;

// Text in a cell of a table.
std::string cell(const std::string& text) {
  std::string escaped;
  for (const char c : first_words(text, 140)) {
    if (c == '|' || c == '<' || c == '`' || c == '*' || c == '_') escaped += '\\';
    escaped += c;
  }
  return escaped;
}

std::string counts(const Json& verdicts) {
  std::string text = "| evidence |";
  for (const auto& [verdict, count] : verdicts["measured"].items()) text += " " + verdict + " |";
  text += "\n|---|";
  for (std::size_t i = 0; i < verdicts["measured"].size(); ++i) text += "--:|";
  text += '\n';
  for (const auto& [evidence, row] : verdicts.items()) {
    int sum = 0;
    std::string line = fmt::format("| {} |", evidence == "none" ? "no times" : evidence);
    for (const auto& [verdict, count] : row.items()) {
      line += fmt::format(" {} |", count.get<int>());
      sum += count.get<int>();
    }
    if (sum > 0) text += line + '\n';
  }
  return text;
}

std::string problem(const Json& one) {
  const Json* change = deciding_time(one);
  std::string ratio = change ? fmt::format("{:.3f}", (*change)["ratio"].get<double>()) : "";
  if (const std::string interval = interval_words(one); !interval.empty())
    ratio += " (" + interval + ")";
  return fmt::format(
      "| {} | {} {} | {} | {} | {} | {} |\n", one["verdict"].get<std::string>(),
      one["arch"].get<std::string>(), one["words"].get<std::string>(), times_words(one), ratio,
      change ? signed_number(one["step_us"].get<double>()) : "",
      change ? one["evidence"].get<std::string>() : cell(one["reason"].get<std::string>()));
}

}  // namespace

std::string comparison_markdown(const Json& report) {
  const Json& summary = report["summary"];
  std::string text = fmt::format(
      "### {} against {}: {}\n\n{}\n\n{}\n", report["candidate"]["selector"].get<std::string>(),
      report["baseline"]["selector"].get<std::string>(), summary["verdict"].get<std::string>(),
      summary["headline"].get<std::string>(), counts(summary["verdicts"]));
  std::string rows;
  std::size_t shown = 0, left = 0;
  for (const Json& one : report["problems"]) {
    if (one["verdict"] == "same") continue;
    if (shown++ < kProblems)
      rows += problem(one);
    else
      ++left;
  }
  if (!rows.empty())
    text += "| | problem | time | ratio | us a step | |\n|---|---|---|---|--:|---|\n" + rows;
  if (left > 0) text += fmt::format("\nand {} more\n", left);
  text += fmt::format("\n- Code objects: {}\n- Winners changed: {} of {}\n", code_words(summary),
                      summary["winners_changed"].get<int>(), summary["problems"].get<int>());
  shown = 0;
  for (const Json& one : report["failures"]) {
    if (++shown > kFailures) break;
    text += fmt::format("- {}: {} {} {}, {}\n",
                        one["appeared"].get<bool>() ? "New failure" : "Failed before",
                        one["arch"].get<std::string>(), short_key(one["variant"]),
                        one["verdict"].get<std::string>(), cell(one["reason"].get<std::string>()));
  }
  if (report["failures"].size() > kFailures)
    text += fmt::format("- and {} more\n", report["failures"].size() - kFailures);
  return text;
}

}  // namespace mla
