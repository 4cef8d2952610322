#pragma once

#include <filesystem>
#include <string>

#include "kernels/device.hpp"

namespace mla {

// A variant that the user named.
struct NamedVariant {
  std::string key;
  std::string params;  // canonical JSON
  Launch launch;
};

// Reads the VARIANT of a command line: a JSON object of parameters, "-" for such an object on
// standard input, or a key or the beginning of one in the database. The database is opened only for
// the last. Throws Error{usage} with the remedy: an object with a wrong key or value or that the
// kernels do not take, a beginning that fits none or several; Error{database}.
NamedVariant named_variant(const std::string& text, const std::filesystem::path& database);

// The same for parameters alone.
NamedVariant variant_of_params(const std::string& json);

}  // namespace mla
