#pragma once

#include <string>

#include "tuner/toolchain.hpp"

namespace mla {

// Adds the hipRTC under `root` to the list, or the reason why it cannot be used; nothing where
// there is none.
void probe_rocm_folder(const ToolchainSearch& search, const std::string& root,
                       const std::string& origin, ToolchainList& list);

}  // namespace mla
