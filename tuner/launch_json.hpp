#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "db/records.hpp"
#include "tuner/variant_argument.hpp"

namespace mla {

// One compiled kernel of a variant.
struct EmittedKernel {
  std::string file;  // "decode.co"
  Resources resources;
};

// Everything that another program needs to launch the variant: entry names, files, grid and block
// as functions of the problem, LDS, arguments with offsets and their meaning, the workspace. The
// `example` evaluates every function for `problem`.
nlohmann::ordered_json launch_json(const NamedVariant& variant, const std::string& arch,
                                   const Toolchain& toolchain, const ProblemRecord& problem,
                                   const EmittedKernel& decode, const EmittedKernel& reduce);

}  // namespace mla
