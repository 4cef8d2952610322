#pragma once

#include "reports/json.hpp"

namespace mla {

// The summary of a comparison, made from its lists: counts of verdicts, means of ratios, what
// changed in the code, and one sentence.
Json summary_json(const Json& comparison, int exit_code);

}  // namespace mla
