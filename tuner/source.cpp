#include "tuner/source.hpp"

#include <fmt/format.h>

#include "tuner/hash.hpp"

namespace mla {
namespace {

std::string initialiser(const char* field, auto value) {
  if (const Enumeration* type = enumeration_of(value))
    return fmt::format("    .{} = mla::{}::{},\n", field, type->name,
                       enumerator_name(*type, static_cast<int>(value)));
  return fmt::format("    .{} = {},\n", field, static_cast<int>(value));
}

// Every field is written by its name: one that the struct does not have is a compile error, not a
// default. But not a younger one that changes nothing: the code is what it was, and so is its key.
std::string unit(std::string_view kernel, std::string_view config, const std::string& fields,
                 std::string_view arguments, std::string_view attributes = "MLA_KERNEL") {
  return fmt::format(
      "#include \"{0}.hpp\"\n"
      "\n"
      "constexpr mla::{1} kConfig{{\n"
      "{2}"
      "}};\n"
      "\n"
      "extern \"C\" {4}(kConfig) void entry(mla::{3} args) {{\n"
      "  mla::{0}<kConfig>(args);\n"
      "}}\n",
      kernel, config, fields, arguments, attributes);
}

std::string checking_unit(std::string_view kernel, std::string_view arguments) {
  return fmt::format(
      "#include \"{0}.hpp\"\n"
      "\n"
      "extern \"C\" MLA_KERNEL(mla::kCheckGeometry) void entry(mla::{1} args) {{\n"
      "  mla::{0}(args);\n"
      "}}\n",
      kernel, arguments);
}

}  // namespace

std::string decode_source(const Config& config) {
  std::string fields;
  for_each_config_field(config, [&](const char* name, auto value) {
    if (value_before(name) != static_cast<int>(value)) fields += initialiser(name, value);
  });
  return unit("sparse_mla_decode", "Config", fields, "DecodeArgs",
              config.cluster > 1 ? "MLA_CLUSTER_KERNEL" : "MLA_KERNEL");
}

std::string reduce_source(const ReduceConfig& config) {
  std::string fields;
  for_each_reduce_field(config,
                        [&](const char* name, auto value) { fields += initialiser(name, value); });
  return unit("sparse_mla_reduce", "ReduceConfig", fields, "ReduceArgs");
}

std::string naive_source() { return checking_unit("sparse_mla_naive", "DecodeArgs"); }
std::string compare_source() { return checking_unit("sparse_mla_compare", "CompareArgs"); }

std::string variant_key(std::string_view kernel, std::string_view params) {
  const std::string_view parts[] = {kernel, params};
  return content_key(parts);
}

}  // namespace mla
