#pragma once

#include <filesystem>
#include <string>

#include "tuner/arch.hpp"
#include "tuner/commands.hpp"
#include "tuner/variant_argument.hpp"

namespace mla {

// What `show`, `emit` and `verify` share.

// The variant that the command line names. Throws Error{usage} where it names none or two.
NamedVariant variant_of(const VariantOptions& options);

// Why the arch's space does not admit the variant; empty: it does.
std::string refusal_on(const NamedVariant& variant, const Arch& arch,
                       const std::filesystem::path& configs);

struct CompiledKernel {
  std::string code;
  Resources resources;
};
struct CompiledVariant {
  Toolchain toolchain;
  CompiledKernel decode, reduce;
};

// Compiles both kernels for the arch in helper processes, or takes them from the cache. Throws
// Error{toolchain} with the compiler's words where one does not compile, Error{interrupted} after
// Ctrl-C.
CompiledVariant compile_variant(const NamedVariant& variant, const Arch& arch,
                                const VariantOptions& options);

}  // namespace mla
