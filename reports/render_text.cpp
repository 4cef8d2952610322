#include <fmt/color.h>
#include <fmt/format.h>

#include "reports/render.hpp"

namespace mla {
namespace {

constexpr std::size_t kProblems = 20;
constexpr std::size_t kFailures = 6;
constexpr std::size_t kReason = 160;

class Paper {
 public:
  explicit Paper(bool colour) : colour_(colour) {}
  template <class... Values>
  void line(fmt::format_string<Values...> format, Values&&... values) {
    text_ += fmt::format(format, std::forward<Values>(values)...) + '\n';
  }
  std::string in(fmt::terminal_color colour, const std::string& words) const {
    return colour_ ? fmt::format(fmt::fg(colour), "{}", words) : words;
  }
  std::string strong(const std::string& words) const {
    return colour_ ? fmt::format(fmt::emphasis::bold, "{}", words) : words;
  }
  std::string verdict(const std::string& verdict, int width) const {
    const std::string padded = fmt::format("{:<{}}", verdict, width);
    if (verdict == "broken" || verdict == "regressed") return in(fmt::terminal_color::red, padded);
    if (verdict == "inconclusive" || verdict == "new")
      return in(fmt::terminal_color::yellow, padded);
    if (verdict == "improved" || verdict == "fixed") return in(fmt::terminal_color::green, padded);
    return padded;
  }
  std::string take() { return std::move(text_); }

 private:
  bool colour_;
  std::string text_;
};

void counts(Paper& paper, const Json& verdicts) {
  std::string head = fmt::format("{:<14}", "");
  for (const auto& [verdict, count] : verdicts["measured"].items())
    head += fmt::format("  {}", verdict);
  paper.line("{}", head);
  for (const auto& [evidence, row] : verdicts.items()) {
    int sum = 0;
    std::string line = fmt::format("{:<14}", evidence == "none" ? "without times" : evidence);
    for (const auto& [verdict, count] : row.items()) {
      line += fmt::format("  {:>{}}", count.get<int>(), verdict.size());
      sum += count.get<int>();
    }
    if (sum > 0) paper.line("{}", line);
  }
}

void problem(Paper& paper, const Json& one) {
  const Json* change = deciding_time(one);
  std::string figures = times_words(one);
  if (change != nullptr) {
    const std::string interval = interval_words(one);
    figures += fmt::format(
        "  {}{}  {} us a step  {}", signed_percent((*change)["ratio"].get<double>()),
        interval.empty() ? "" : " (ratio " + interval + ")",
        signed_number(one["step_us"].get<double>()), one["evidence"].get<std::string>());
  }
  paper.line("{} {:<7} {:<48} {}", paper.verdict(one["verdict"].get<std::string>(), 12),
             one["arch"].get<std::string>(), one["words"].get<std::string>(), figures);
  const bool plain = one["decided_by"] == "old_winner" && one["verdict"] != "inconclusive";
  if (!plain) paper.line("{:12} {}", "", first_words(one["reason"].get<std::string>(), kReason));
  if (one["winner_changed"].get<bool>() && !one["of_winners"].is_null())
    paper.line("{:12} another variant wins now: {} of the old winner's time before", "",
               signed_percent(one["of_winners"]["ratio"].get<double>()));
}

// The same as before, and nothing else is much better now.
bool is_no_news(const Json& one) {
  return one["verdict"] == "same" &&
         (one["of_winners"].is_null() || one["of_winners"]["verdict"] == "same");
}

void failures(Paper& paper, const Json& list, bool appeared) {
  std::size_t shown = 0, all = 0;
  for (const Json& one : list) {
    if (one["appeared"].get<bool>() != appeared) continue;
    if (++all > kFailures) continue;
    ++shown;
    paper.line("  {} {} {}: {}", one["arch"].get<std::string>(), short_key(one["variant"]),
               one["verdict"].get<std::string>(),
               first_words(one["reason"].get<std::string>(), kReason));
  }
  if (all > shown) paper.line("  and {} more", all - shown);
}

}  // namespace

std::string comparison_text(const Json& report, bool colour) {
  Paper paper(colour);
  const Json& summary = report["summary"];
  paper.line("{}", paper.strong(summary["headline"].get<std::string>()));
  paper.line("{} -> {}, threshold {:.3g} %\n", report["baseline"]["selector"].get<std::string>(),
             report["candidate"]["selector"].get<std::string>(),
             100 * report["rules"]["threshold"].get<double>());
  counts(paper, summary["verdicts"]);
  paper.line("");
  std::size_t shown = 0, left = 0;
  for (const Json& one : report["problems"]) {
    if (is_no_news(one)) continue;
    if (shown == kProblems) {
      ++left;
      continue;
    }
    problem(paper, one);
    ++shown;
  }
  if (left > 0) paper.line("and {} more; --json, --md and --html tell of them", left);
  if (shown > 0) paper.line("");
  paper.line("Code objects: {}.", code_words(summary));
  const int appeared = summary["failures"]["appeared"].get<int>(),
            gone = summary["failures"]["gone"].get<int>();
  if (appeared > 0) {
    paper.line("Failures that appeared: {}", appeared);
    failures(paper, report["failures"], true);
  }
  if (gone > 0) {
    paper.line("Failures that went away: {}", gone);
    failures(paper, report["failures"], false);
  }
  paper.line("Winners changed: {} of {}.", summary["winners_changed"].get<int>(),
             summary["problems"].get<int>());
  return paper.take();
}

}  // namespace mla
