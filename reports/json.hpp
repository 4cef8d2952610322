#pragma once

#include <nlohmann/json.hpp>
#include <span>
#include <string>

#include "reports/compare.hpp"

namespace mla {

// Keys stay in the order in which they are put.
using Json = nlohmann::ordered_json;

// What a report says of itself.
struct ReportOrigin {
  std::string version;  // of this program
  std::string created;  // UTC, ISO 8601
};

// A comparison as reports/README.md describes it. Everything else that a report is written as is
// made from this alone. Samples are read from the databases here.
Json comparison_json(const Facts& facts, const SideComparison& comparison,
                     const ReportOrigin& origin);

// Parts of it, for other reports. `code` may be -1: null.
Json database_list(const Facts& facts);
Json limits_json(const std::vector<ArchLimits>& archs);
Json shape_json(const ProblemRecord& problem);
Json code_json(const Facts& facts, int code);
Json timing_json(const Facts& facts, const Timing& timing);
// What the problem is: id, arch, shape, words, kind, models, weight.
Json problem_json(const Facts& facts, const ProblemKey& key);

// What a code object states, by the names of the database's columns; -1 where not known.
struct ResourceName {
  const char* name;
  int Resources::*field;
  bool less_is_better;  // false: more is; of counts of instructions neither is certain
};
std::span<const ResourceName> resource_names();

}  // namespace mla
