#include <fmt/format.h>
#include <fmt/ranges.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstdio>
#include <ctime>

#include "db/error.hpp"
#include "reports/compare.hpp"
#include "reports/landscape.hpp"
#include "reports/page.hpp"
#include "reports/render.hpp"
#include "tuner/arch.hpp"
#include "tuner/commands.hpp"
#include "tuner/report_files.hpp"
#include "tuner/tune_command.hpp"
#include "tuner/whole_file.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

// 3 and 4 say what the report found, so that what kept it from being made is told apart.
int exit_code_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::database:
      return 5;
    case ErrorKind::toolchain:
    case ErrorKind::device:
      return 1;
    default:
      return static_cast<int>(kind);
  }
}

// "3%" or "0.03".
double parse_threshold(const std::string& text) {
  double value = 0;
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value);
  const std::string unit(at, end);
  if (unit == "%" || unit == " %") value /= 100;
  const bool known = unit.empty() || unit == "%" || unit == " %";
  if (error != std::errc() || !known || !(value >= 0 && value < 1))
    throw Error(
        ErrorKind::usage,
        fmt::format("--threshold '{}' is no share from 0 to below 100 %: write 3% or 0.03", text));
  return value;
}

std::string now_utc() {
  const std::time_t now = std::chrono::system_clock::to_time_t(std::chrono::system_clock::now());
  std::tm parts{};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%SZ", &parts);
  return text;
}

// Of every arch that the databases name and a file describes.
std::vector<ArchLimits> limits_of(const Facts& facts, const fs::path& configs) {
  std::vector<ArchLimits> limits;
  const std::vector<std::string> known = known_archs(configs);
  if (known.empty())
    throw Error(ErrorKind::usage,
                fmt::format("no arch is described in {}: name the folder that holds archs/ with "
                            "--configs",
                            (configs / "archs").string()));
  for (const std::string& name : known) {
    const bool used = std::ranges::any_of(
        facts.devices, [&](const Device& device) { return device.arch == name; });
    if (!used) continue;
    const Arch arch = load_arch(configs, name);
    limits.push_back({name, arch.device, arch.memory_rate,
                      arch.matrix_rate * arch.compute_units * arch.clock_mhz * 1e6});
  }
  return limits;
}

// The two releases that there are, where the user names none.
void default_sides(const ReportOptions& options, const Facts& facts, std::string& baseline,
                   std::string& candidate) {
  if (!baseline.empty() && !candidate.empty()) return;
  const std::vector<std::string> there = releases(facts, options.arch);
  if (!baseline.empty() || !candidate.empty() || there.size() != 2)
    throw Error(
        ErrorKind::usage,
        fmt::format("name both --baseline and --candidate, such as rocm-6.4.3; there are: {}{}",
                    fmt::join(there, ", "),
                    there.size() == 1 ? "; --landscape looks at one alone" : ""));
  baseline = there[0];
  candidate = there[1];
}

bool for_a_terminal() {
  const char* terminal = std::getenv("TERM");
  const char* plain = std::getenv("NO_COLOR");  // no-color.org
  return ::isatty(STDOUT_FILENO) == 1 && (plain == nullptr || *plain == '\0') &&
         terminal != nullptr && std::string_view(terminal) != "dumb";
}

struct Outputs {
  std::vector<WholeFile> files;
  std::string text;
  int code = 0;
};

std::string dump(const Json& report) {
  return report.dump(1, ' ', false, Json::error_handler_t::replace) + "\n";
}

// Names of files and words of compilers may be no UTF-8: replaced once, before anything is made of
// them.
Json in_utf8(const Json& report) { return Json::parse(dump(report)); }

Outputs outputs_of(const ReportOptions& options, const Json& report, const std::string& markdown) {
  Outputs outputs;
  if (!options.json.empty()) outputs.files.push_back({options.json, dump(report)});
  if (!options.markdown.empty()) outputs.files.push_back({options.markdown, markdown});
  if (!options.html.empty() || options.open)
    outputs.files.push_back({options.html, page_html(report, page_template())});
  return outputs;
}

Outputs make_landscape(const ReportOptions& options, Facts& facts) {
  if (!options.baseline.empty() || !options.junit.empty() || !options.threshold.empty())
    throw Error(ErrorKind::usage,
                "--landscape looks at one side: name it with --candidate, and leave --baseline, "
                "--junit and --threshold out");
  std::string side = options.candidate;
  if (side.empty()) {
    const std::vector<std::string> there = releases(facts, options.arch);
    if (there.size() != 1)
      throw Error(ErrorKind::usage, fmt::format("name the side with --candidate; there are: {}",
                                                fmt::join(there, ", ")));
    side = there.front();
  }
  const Json report = in_utf8(landscape_json(
      facts, make_side(facts, parse_selector(side, facts), options.arch),
      limits_of(facts, configs_folder(options.configs)), {options.version, now_utc()}));
  Outputs outputs = outputs_of(options, report, landscape_markdown(report));
  outputs.text = landscape_text(report, for_a_terminal());
  return outputs;
}

Outputs make_comparison(const ReportOptions& options, Facts& facts) {
  std::string baseline = options.baseline, candidate = options.candidate;
  default_sides(options, facts, baseline, candidate);
  VerdictRules rules;
  if (!options.threshold.empty()) rules.threshold = parse_threshold(options.threshold);
  Side before = make_side(facts, parse_selector(baseline, facts), options.arch);
  Side now = make_side(facts, parse_selector(candidate, facts), options.arch);
  const SideComparison comparison =
      compare_sides(facts, std::move(before), std::move(now), rules,
                    limits_of(facts, configs_folder(options.configs)));
  const Json report = in_utf8(comparison_json(facts, comparison, {options.version, now_utc()}));
  Outputs outputs = outputs_of(options, report, comparison_markdown(report));
  if (!options.junit.empty()) outputs.files.push_back({options.junit, comparison_junit(report)});
  outputs.code = exit_code_of(comparison);
  outputs.text = comparison_text(report, for_a_terminal());
  return outputs;
}

int make_report(const ReportOptions& options) {
  check_outputs(options);
  Facts facts = read_facts({options.databases.begin(), options.databases.end()});
  check_content(facts, options.arch);
  Outputs outputs =
      options.landscape ? make_landscape(options, facts) : make_comparison(options, facts);
  std::string page = options.html;
  for (WholeFile& file : outputs.files)
    if (file.path.empty()) file.path = page = temporary_page();
  write_all(outputs.files);
  fmt::print("{}", outputs.text);
  for (const WholeFile& file : outputs.files) fmt::print("Written: {}\n", file.path.string());
  std::fflush(stdout);
  if (options.open) open_in_browser(page);
  return outputs.code;
}

}  // namespace

int report_command(const ReportOptions& options) {
  try {
    return make_report(options);
  } catch (const Error& error) {
    fmt::print(stderr, "mla-tune: {}\n", error.what());
    return exit_code_of(error.kind());
  }
}

}  // namespace mla
