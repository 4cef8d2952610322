#include "reports/page.hpp"

#include <fmt/format.h>

#include <fstream>
#include <iterator>
#include <string_view>

#include "db/error.hpp"

namespace mla {
namespace {

// Within a script element only these could end it or change how it is read; in JSON they occur
// within strings alone, where such an escape means the same character.
std::string harmless(const std::string& json) {
  std::string text;
  text.reserve(json.size());
  for (const char c : json) {
    if (c == '<')
      text += "\\u003c";
    else
      text += c;
  }
  return text;
}

}  // namespace

std::string page_html(const Json& report, const std::filesystem::path& page_template) {
  std::ifstream file(page_template, std::ios::binary);
  std::string page{std::istreambuf_iterator<char>(file), {}};
  const std::size_t at = page.find(kPagePlaceholder);
  if (!file || at == std::string::npos)
    throw Error(ErrorKind::system,
                fmt::format("{} is not the page that reports are written into: install again",
                            page_template.string()));
  const auto replace_bad_text = Json::error_handler_t::replace;
  page.replace(at, std::string_view(kPagePlaceholder).size(),
               harmless(report.dump(-1, ' ', false, replace_bad_text)));
  return page;
}

}  // namespace mla
