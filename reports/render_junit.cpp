#include <fmt/format.h>

#include <map>
#include <set>
#include <vector>

#include "reports/render.hpp"

namespace mla {
namespace {

// XML 1.0 has hardly any control characters, not even escaped.
std::string escaped(const std::string& text) {
  std::string xml;
  for (const char c : clean(text)) {
    if (c == '&')
      xml += "&amp;";
    else if (c == '<')
      xml += "&lt;";
    else if (c == '>')
      xml += "&gt;";
    else if (c == '"')
      xml += "&quot;";
    else
      xml += c;
  }
  return xml;
}

// The element that tells a case from one that passed; empty: passed.
std::string outcome(const Json& problem) {
  const std::string verdict = problem["verdict"].get<std::string>();
  const char* element = verdict == "regressed"      ? "failure"
                        : verdict == "broken"       ? "error"
                        : verdict == "inconclusive" ? "skipped"
                                                    : nullptr;
  if (element == nullptr) return {};
  const std::string reason = escaped(problem["reason"].get<std::string>());
  if (verdict == "inconclusive") return fmt::format("      <skipped message=\"{}\"/>\n", reason);
  return fmt::format("      <{0} type=\"{1}\" message=\"{2}\"/>\n", element, verdict, reason);
}

std::string test_case(const Json& problem, const std::string& name) {
  const Json& now = problem["candidate"];
  const double seconds = now.is_null() ? 0 : now["median_us"].get<double>() * 1e-6;
  const std::string inside = outcome(problem);
  return fmt::format(
      "    <testcase classname=\"{}.{}\" name=\"{}\" time=\"{:.9f}\">\n{}      <system-out>{}"
      "</system-out>\n    </testcase>\n",
      escaped(problem["arch"].get<std::string>()), escaped(problem["kind"].get<std::string>()),
      escaped(name), seconds, inside,
      escaped(problem["verdict"].get<std::string>() + ": " + problem["reason"].get<std::string>()));
}

struct Suite {
  std::string cases;
  std::set<std::string> names = {};  // by which CI tells cases apart
  int tests = 0, failures = 0, errors = 0, skipped = 0;
};

}  // namespace

std::string comparison_junit(const Json& report) {
  std::map<std::string, Suite> suites;
  for (const Json& problem : report["problems"]) {
    Suite& suite = suites[problem["arch"].get<std::string>()];
    std::string name = problem["words"].get<std::string>();
    if (!suite.names.insert(name).second)
      name = fmt::format("{} {}", name, problem["id"].get<std::string>());
    suite.cases += test_case(problem, name);
    ++suite.tests;
    suite.failures += problem["verdict"] == "regressed";
    suite.errors += problem["verdict"] == "broken";
    suite.skipped += problem["verdict"] == "inconclusive";
  }
  std::string xml = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n";
  const std::string what = escaped(report["baseline"]["selector"].get<std::string>() + " to " +
                                   report["candidate"]["selector"].get<std::string>());
  for (const auto& [arch, suite] : suites)
    xml += fmt::format(
        "  <testsuite name=\"{} {}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" "
        "timestamp=\"{}\">\n{}  </testsuite>\n",
        escaped(arch), what, suite.tests, suite.failures, suite.errors, suite.skipped,
        escaped(report["created"].get<std::string>()), suite.cases);
  return xml + "</testsuites>\n";
}

}  // namespace mla
