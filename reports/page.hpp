#pragma once

#include <filesystem>
#include <string>

#include "reports/json.hpp"

namespace mla {

// A report as one HTML file that needs no other: the page of `page_template` with the report's JSON
// in place of the one occurrence of kPagePlaceholder, which stands in a <script
// type="application/json"> element. Throws Error{system} where the template cannot be read, or has
// no such place.
std::string page_html(const Json& report, const std::filesystem::path& page_template);

inline constexpr const char* kPagePlaceholder = "\"mla-tune report goes here\"";

}  // namespace mla
