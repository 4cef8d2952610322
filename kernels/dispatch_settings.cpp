#include "kernels/dispatch_settings.hpp"

#include <fmt/format.h>

#include <string_view>

#include "db/error.hpp"

namespace mla {

void apply_environment(DispatchSettings& settings, const char* words) {
  constexpr std::string_view kVariant = "variant=";
  std::string_view rest = words == nullptr ? std::string_view() : words;
  while (!rest.empty()) {
    const std::size_t comma = rest.find(',');
    const std::string_view word = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    if (word == "no-nearest") {
      settings.no_nearest = settings.no_nearest.value_or(true);
    } else if (word == "no-predicted") {
      settings.no_predicted = settings.no_predicted.value_or(true);
    } else if (word == "log") {
      settings.log = settings.log.value_or(true);
    } else if (word.starts_with(kVariant)) {
      if (settings.variant.empty()) settings.variant = word.substr(kVariant.size());
    } else if (!word.empty()) {
      throw Error(
          ErrorKind::usage,
          fmt::format("MLA_DISPATCH: \"{}\" is unknown; write no-nearest, no-predicted, log "
                      "or variant=KEY, separated by commas",
                      word));
    }
  }
}

}  // namespace mla
