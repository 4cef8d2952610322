#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "tuner/toolchain.hpp"

namespace mla {

// Adds the hipRTC under `root` to the list, or the reason why it cannot be used; nothing where
// there is none.
void probe_rocm_folder(const ToolchainSearch& search, const std::string& root,
                       const std::string& origin, ToolchainList& list);

// Folders that may hold a ROCm release, best first, each with why it was looked into: installed
// ones, and those that scripts/get_rocm.sh made.
struct RocmFolder {
  std::string root;
  std::string origin;
};
std::vector<RocmFolder> installed_rocm(const ToolchainSearch& search);
std::vector<RocmFolder> private_rocm(const ToolchainSearch& search);

// The newest NAME.so.N under a root, in any of the places that packagers choose; empty: none.
std::filesystem::path newest_library(const std::filesystem::path& root, const std::string& name);

// What to put in front of a program that is to load `library` of the folder `root`: a folder of
// unpacked packages brings the C library that they need, and only that one's loader can start them.
// Empty for most.
std::vector<std::string> loader_for(const std::string& root, const std::filesystem::path& library);

}  // namespace mla
