#pragma once

#include <string>

#include "reports/json.hpp"

namespace mla {

// What a comparison's JSON says, for people and machines. Nothing but the JSON is read, so that a
// stored report can be rendered again.

// For a terminal of 100 columns.
std::string comparison_text(const Json& report, bool colour);

// For a release ticket: GitHub's Markdown, at most some 40 lines.
std::string comparison_markdown(const Json& report);

// JUnit's XML: a suite an arch, a case a problem. Regressed is a failure, broken an error,
// inconclusive is skipped, all others pass.
std::string comparison_junit(const Json& report);

// Of what a compiler or a user said: whole characters of UTF-8, others as U+FFFD; no control
// characters but line feeds and tabs.
std::string clean(const std::string& text);
// Its first line, of at most so many bytes, so that no terminal and no table comes to harm.
std::string first_words(const std::string& text, std::size_t most);

// The beginning of a variant's key; "" of null.
std::string short_key(const Json& variant);

// Shared: "12.34 -> 13.57 us" and the like.
std::string signed_number(double value);          // "+8.2"; "0.0" has no sign
std::string signed_percent(double ratio);         // "+8.2 %"
std::string times_words(const Json& problem);     // "" where there are no times
std::string interval_words(const Json& problem);  // "1.05 to 1.11"; "" of predictions
std::string code_words(const Json& summary);      // what changed in the code objects
const Json* deciding_time(const Json& problem);   // null where nothing of time decided

}  // namespace mla
