#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"

namespace mla {

// A compiler that answered, with all that is needed to start it again.
struct FoundToolchain {
  Toolchain record;  // id 0: not stored yet
  std::string
      identity;        // everything that decides what it generates; part of each code object's key
  std::string root;    // the folder it was found in
  std::string origin;  // why that folder: "/opt/rocm", "ROCM_PATH", "the loader's path", ...
  std::vector<std::string> archs;  // that it compiles for; "host" for the system's compiler
  std::vector<std::string>
      command;  // of its helper process; the helper's temporary folder is to be appended
  std::vector<std::string> environment;  // "NAME=value" to add for the helper

  bool knows(std::string_view arch) const;
};

// Where to look. search_from_environment() fills it in; tests point it elsewhere.
struct ToolchainSearch {
  std::string helper;  // the program mla-compile-helper
  std::string rocm;    // the user's choice: "7.2", "6.4.3", a folder, or empty for the first that
                       // knows the arch
  std::string system_rocm =
      "/opt/rocm";             // and its siblings with a release in their name: /opt/rocm-6.4.0
  std::string rocm_path;       // $ROCM_PATH
  std::string private_folder;  // holds rocm-7.2, rocm-6.4, ...: what scripts/get_rocm.sh made
  std::string system_cuda = "/usr/local/cuda";
  std::string cuda_path;    // $CUDA_PATH
  std::string path;         // $PATH: an NVRTC that came with nvcc or with a Python package
  bool loader_path = true;  // ask the system's loader too
  std::string cxx = "c++";  // $CXX
};

ToolchainSearch search_from_environment(const std::string& rocm = {});

struct ToolchainList {
  std::vector<FoundToolchain> usable;  // in the order of preference
  std::vector<std::string> unusable;   // one line each: what is there and why it does not work
};

// Everything of its kind on this machine, whatever the choice; starts each compiler once. Throws
// Error{toolchain} where the helper program is missing.
ToolchainList find_rocm(const ToolchainSearch& search);
ToolchainList find_cuda(const ToolchainSearch& search);
ToolchainList find_host_compiler(const ToolchainSearch& search);

// The compiler for an arch ("gfx...", "sm_..", "host") that the user's choice allows. Throws
// Error{toolchain} saying what was found, what is missing and how to get it.
FoundToolchain toolchain_for(std::string_view arch, const ToolchainSearch& search);

// "7.2" names 7.2 and 7.2.4, but not 7.20.
bool release_matches(std::string_view release, std::string_view choice);

}  // namespace mla
