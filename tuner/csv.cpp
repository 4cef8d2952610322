#include "tuner/csv.hpp"

#include <fmt/format.h>

#include "db/error.hpp"

namespace mla {

std::string csv_field(const std::string& value) {
  if (value.find_first_of(",\"\r\n") == std::string::npos) return value;
  std::string out = "\"";
  for (const char c : value) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + '"';
}

std::vector<CsvRecord> csv_records(std::string_view text, const std::string& name) {
  std::vector<CsvRecord> records;
  int line = 1;
  for (std::size_t at = 0; at < text.size();) {
    CsvRecord record{line, {""}};
    for (bool inside = false, ended = false; !ended; ++at) {
      if (at == text.size()) {
        if (inside)
          throw Error(ErrorKind::usage,
                      fmt::format("{}:{}: a quote is not closed", name, record.line));
        break;
      }
      const char c = text[at];
      if (c == '\n') ++line;
      if (inside && c == '"' && at + 1 < text.size() && text[at + 1] == '"') {
        record.fields.back() += text[++at];
      } else if (c == '"') {
        inside = !inside;
      } else if (!inside && c == ',') {
        record.fields.emplace_back();
      } else if (!inside && c == '\n') {
        ended = true;
      } else if (inside || c != '\r') {
        record.fields.back() += c;
      }
    }
    if (record.fields.size() > 1 || !record.fields[0].empty()) records.push_back(std::move(record));
  }
  return records;
}

}  // namespace mla
