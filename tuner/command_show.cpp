#include <fmt/format.h>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tuner/command_variant.hpp"
#include "tuner/commands.hpp"
#include "tuner/source.hpp"
#include "tuner/space.hpp"
#include "tuner/tune_command.hpp"

namespace mla {

NamedVariant variant_of(const VariantOptions& options) {
  if (options.variant.empty() == options.params.empty())
    throw Error(ErrorKind::usage,
                "name one variant: a key, a JSON object or -, or else --params with an object");
  return options.params.empty() ? named_variant(options.variant, options.db)
                                : variant_of_params(options.params);
}

std::string refusal_on(const NamedVariant& variant, const Arch& arch,
                       const std::filesystem::path& configs) {
  const Space space = Space::load(configs, "sparse_mla_decode", arch);
  try {
    const Constraint* refused = space.refusal(space.point(variant.params));
    if (refused == nullptr) return {};
    return fmt::format("{} ({}: {})", refused->because, refused->where, refused->name);
  } catch (const Error& error) {
    return error.what();
  }
}

int show_command(const VariantOptions& options) {
  const NamedVariant variant = variant_of(options);
  if (!options.arch.empty()) {
    const std::filesystem::path configs = configs_folder(options.configs);
    const std::string refusal = refusal_on(variant, load_arch(configs, options.arch), configs);
    if (!refusal.empty())
      fmt::print(stderr, "warning: not a variant of the space for {}: {}\n", options.arch, refusal);
  }
  const Launch& launch = variant.launch;
  fmt::print("// variant {}\n// params {}\n\n// decode.cpp\n{}\n// reduce.cpp{}\n{}", variant.key,
             variant.params, decode_source(launch.config),
             may_reduce(launch) ? "" : " (not launched: one split)", reduce_source(launch.reduce));
  return 0;
}

}  // namespace mla
