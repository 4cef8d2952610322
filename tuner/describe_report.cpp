#include <CLI/CLI.hpp>

#include "tuner/commands.hpp"

namespace mla {

void describe_report(CLI::App& app, ReportOptions& options) {
  CLI::App& report = *app.add_subcommand(
      "report", "compare two releases, sessions or devices: what got slower, broke or changed");
  report.add_option("--db", options.databases,
                    "database file, or several, read as if they were one; else tuning.db in "
                    "${XDG_DATA_HOME:-~/.local/share}/mla-tune");
  report.add_option(
      "--baseline", options.baseline,
      "rocm-6.4.3, session:ID, device:ID, driver:VERSION, version:VERSION, "
      "templates:HASH, db:FILE, or several joined by commas; else the older of two releases");
  report.add_option("--candidate", options.candidate, "the same; else the newer of two releases");
  report.add_flag("--landscape", options.landscape,
                  "of --candidate alone: the best variants, how flat the optimum is, which "
                  "parameters matter, how far from the limit");
  report.add_option("--arch", options.arch, "of this arch alone");
  report.add_option("--threshold", options.threshold, "change that matters; else 3%");
  report.add_option("--html", options.html, "file for one page that needs no other");
  report.add_option("--md", options.markdown, "file for a summary in Markdown");
  report.add_option("--json", options.json, "file for all of it");
  report.add_option("--junit", options.junit, "file for CI: each problem a test case");
  report.add_flag("--open", options.open,
                  "show the page in a browser; without --html it is a temporary file");
  report.add_option("--configs", options.configs,
                    "folder with archs/, spaces/ and shapes/; else the installed one");
  // A variable that a script forgot to set.
  for (CLI::Option* option : report.get_options())
    if (option->get_expected_max() > 0 && option->get_items_expected_max() > 0)
      option->check(
          [](const std::string& value) {
            return value.empty() ? "is followed by nothing" : std::string();
          },
          "");
  report.footer(
      "Exit codes of report: 0 nothing regressed, 3 something regressed beyond the threshold, 4 "
      "something is broken; 2 the command line, 5 a database cannot be used, 6 the system.");
}

}  // namespace mla
