#include "reports/render.hpp"

#include <fmt/format.h>

namespace mla {

std::string signed_number(double value) {
  const std::string text = fmt::format("{:+.1f}", value);
  return text == "-0.0" || text == "+0.0" ? "0.0" : text;
}

std::string signed_percent(double ratio) { return signed_number(100 * (ratio - 1)) + " %"; }

std::string clean(const std::string& text) {
  // Writing JSON replaces what is no UTF-8.
  const std::string written = Json(text).dump(-1, ' ', false, Json::error_handler_t::replace);
  std::string cleaned = Json::parse(written).get<std::string>();
  for (char& c : cleaned) {
    const auto value = static_cast<unsigned char>(c);
    if ((value < 0x20 && c != '\n' && c != '\t') || value == 0x7f) c = ' ';
  }
  return cleaned;
}

std::string first_words(const std::string& text, std::size_t most) {
  std::string words = clean(text.substr(0, text.find('\n')));
  if (words.size() <= most) return words;
  std::size_t end = most - 3;
  while (end > 0 && (static_cast<unsigned char>(words[end]) & 0xc0) == 0x80) --end;
  return words.substr(0, end) + "...";
}

std::string short_key(const Json& variant) {
  return variant.is_null() ? "" : variant.get<std::string>().substr(0, 12);
}

const Json* deciding_time(const Json& problem) {
  const Json& by = problem["decided_by"];
  if (by.is_null()) return nullptr;
  const Json& change = problem[by == "winners" ? "of_winners" : "of_old_winner"];
  return change.is_null() ? nullptr : &change;
}

std::string times_words(const Json& problem) {
  const Json& by = problem["decided_by"];
  if (by.is_null()) {
    for (const char* side : {"baseline", "candidate"})
      if (!problem[side].is_null())
        return fmt::format("{:.2f} us {}", problem[side]["median_us"].get<double>(),
                           side == std::string_view("baseline") ? "before" : "now");
    return {};
  }
  const Json& now = problem[by == "winners" ? "candidate" : "old_winner"];
  return fmt::format("{:.2f} -> {:.2f} us", problem["baseline"]["median_us"].get<double>(),
                     now["median_us"].get<double>());
}

std::string interval_words(const Json& problem) {
  const Json* change = deciding_time(problem);
  if (change == nullptr || (*change)["low"].is_null()) return {};
  return fmt::format("{:.3f} to {:.3f}", (*change)["low"].get<double>(),
                     (*change)["high"].get<double>());
}

std::string code_words(const Json& summary) {
  const Json& codes = summary["code_objects"];
  if (codes["compared"] == 0) return "none that both sides compiled apart";
  std::string words = fmt::format("{} compiled by both, {} differ", codes["compared"].get<int>(),
                                  codes["differ"].get<int>());
  const std::pair<const char*, const char*> shown[] = {{"vgprs", "VGPRs"},
                                                       {"agprs", "AGPRs"},
                                                       {"vgpr_spills", "VGPR spills"},
                                                       {"sgpr_spills", "SGPR spills"},
                                                       {"lds_bytes", "LDS"},
                                                       {"waves_per_simd", "waves a SIMD"},
                                                       {"valu", "vector instructions"},
                                                       {"code_bytes", "code size"}};
  for (const auto& [key, title] : shown) {
    const int more = codes["resources"][key]["more"].get<int>(),
              less = codes["resources"][key]["less"].get<int>();
    if (more + less > 0) words += fmt::format("; {}: {} more, {} less", title, more, less);
  }
  const double before = codes["compile_seconds"]["baseline"].get<double>(),
               now = codes["compile_seconds"]["candidate"].get<double>();
  if (before > 0) words += fmt::format("; compile time {}", signed_percent(now / before));
  return words;
}

}  // namespace mla
