#pragma once

#include <filesystem>
#include <string>

#include "tuner/commands.hpp"

namespace mla {

// Where a report's files go to and its page comes from.

// Throws Error{usage} where two options name one file, or one of them a database that is read.
void check_outputs(const ReportOptions& options);

// The page that is built in reports/page, wherever it is installed. Throws Error{system}.
std::filesystem::path page_template();

// A new, empty file in the folder for temporary ones, for a page that is only to be looked at.
// Throws Error{system}.
std::string temporary_page();

// Says so on standard error where it does not.
void open_in_browser(const std::string& html);

}  // namespace mla
