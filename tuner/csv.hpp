#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mla {

// RFC 4180: commas, quotes around what needs them, a quote within doubled. Lines end in LF or CRLF.

struct CsvRecord {
  int line = 0;  // that it begins on, from 1
  std::vector<std::string> fields;
};

// The value as it stands in a line.
std::string csv_field(const std::string& value);

// Empty lines are passed over. Throws Error{usage} with name:line where a quote is not closed.
std::vector<CsvRecord> csv_records(std::string_view text, const std::string& name);

}  // namespace mla
