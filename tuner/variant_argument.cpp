#include "tuner/variant_argument.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <iterator>

#include "db/error.hpp"
#include "db/store.hpp"
#include "kernels/params.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

constexpr std::string_view kKernel = "sparse_mla_decode";
constexpr std::size_t kNamedKeys = 5;

NamedVariant from_launch(const Launch& launch) {
  NamedVariant variant{.key = {}, .params = variant_params(launch), .launch = launch};
  variant.key = variant_key(kKernel, variant.params);
  return variant;
}

NamedVariant from_database(const std::string& prefix, const std::filesystem::path& database) {
  const bool hexadecimal =
      prefix.size() <= 32 && !prefix.empty() && std::ranges::all_of(prefix, [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
      });
  if (!hexadecimal)
    throw Error(ErrorKind::usage,
                fmt::format("'{}' names no variant: give the beginning of a variant's key (the "
                            "column `variant` of the database's view `winner`), its parameters as "
                            "a JSON object, or - to read them from standard input",
                            prefix));
  Store store = Store::open(database, StoreMode::read_only);
  const std::vector<VariantRecord> found = store.variants(prefix);
  if (found.empty())
    throw Error(ErrorKind::usage, fmt::format("no variant in {} has a key that begins with '{}'; "
                                              "name another database with --db",
                                              database.string(), prefix));
  if (found.size() > 1) {
    std::string some;
    for (std::size_t i = 0; i < std::min(found.size(), kNamedKeys); ++i)
      some += "\n  " + found[i].key;
    throw Error(
        ErrorKind::usage,
        fmt::format("{} variants in {} have keys that begin with '{}'; give more of it:{}{}",
                    found.size(), database.string(), prefix, some,
                    found.size() > kNamedKeys ? "\n  ..." : ""));
  }
  return {
      .key = found[0].key, .params = found[0].params, .launch = variant_launch(found[0].params)};
}

}  // namespace

NamedVariant variant_of_params(const std::string& json) {
  Launch launch;
  try {
    launch = variant_launch(json);
  } catch (const Error& error) {
    throw Error(ErrorKind::usage,
                fmt::format("{}\n  a complete object is what `mla-tune show` and `lookup --json` "
                            "print as params",
                            error.what()));
  }
  if (!valid(launch))
    throw Error(ErrorKind::usage,
                fmt::format("the kernels do not take these parameters: valid() of "
                            "templates/sparse_mla_config.hpp refuses {}; configs/spaces/ says "
                            "which values go together",
                            variant_params(launch)));
  return from_launch(launch);
}

NamedVariant named_variant(const std::string& text, const std::filesystem::path& database) {
  if (text == "-") return variant_of_params({std::istreambuf_iterator<char>(std::cin), {}});
  if (text.starts_with('{')) return variant_of_params(text);
  return from_database(text, database);
}

}  // namespace mla
