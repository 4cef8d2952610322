#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace mla {

// How a dispatcher is opened; the fields are those of mla_options.
struct DispatchSettings {
  std::string arch = {};
  std::string variant = {};  // "fallback" too
  std::string release = {};
  std::string driver = {};
  std::vector<std::uint8_t> public_key = {};
  bool eager = false;
  bool allow_untrusted = false;
  bool zeroed_workspaces = false;
  // Not set: as the environment says, and false otherwise.
  std::optional<bool> no_nearest = {};
  std::optional<bool> no_predicted = {};
  std::optional<bool> log = {};
};

// Sets what is not set from the words of MLA_DISPATCH (null: none). Throws Error{usage} for a word
// that it does not know.
void apply_environment(DispatchSettings& settings, const char* words);

}  // namespace mla
