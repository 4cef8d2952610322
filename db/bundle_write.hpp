#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "db/bundle.hpp"
#include "db/signature.hpp"

namespace mla {

struct BundleContents {
  struct Row {
    BundleWinner winner;
    WinnerOrigin origin = {};  // its toolchain's release may be left empty: Winner::rocm
  };
  struct Code {
    std::string key;  // 32 hexadecimal digits
    std::string arch;
    std::string kernel;
    Toolchain toolchain = {};
    std::string code = {};
  };
  std::string version = {};
  std::vector<Row> winners = {};
  std::vector<BundleFallback> fallbacks = {};
  std::vector<Code> code_objects = {};
};

// The bytes of a bundle; equal contents give equal bytes. key null: unsigned. Throws
// Error{internal} where a winner or fallback names a code object that is not there, or of another
// arch, where an arch has winners and no fallback, or where a row breaks a rule of bundle.sql.
std::string bundle_bytes(const BundleContents& contents, const SigningKey* key = nullptr);

// The same into a file, mode 0644, whole or not at all. Throws Error{database} where it cannot be
// written.
void write_bundle(const std::filesystem::path& path, const BundleContents& contents,
                  const SigningKey* key = nullptr);

}  // namespace mla
