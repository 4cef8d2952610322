#include "tuner/toolchain.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "db/error.hpp"
#include "kernels/process.hpp"
#include "tuner/folders.hpp"
#include "tuner/toolchain_probe.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

std::string environment_or(const char* name, const std::string& otherwise) {
  const char* value = std::getenv(name);
  return value == nullptr || *value == '\0' ? otherwise : value;
}

// The first release whose compiler generates code for an arch.
struct FirstRelease {
  const char* arch;
  const char* rocm;
};
constexpr FirstRelease kFirstReleases[] = {{"gfx90a", "5.0"}, {"gfx942", "6.0"}, {"gfx950", "6.4"}};

constexpr const char* kGetRocm =
    "`make tune ROCM=7.2` gets it privately, without root; or install ROCm 6.4 or newer, or set "
    "ROCM_PATH to the "
    "folder it is in";

std::string list_found(const std::vector<FoundToolchain>& found) {
  std::vector<std::string> names;
  for (const FoundToolchain& at : found)
    names.push_back(fmt::format("{} in {}", at.record.release, at.root));
  return names.empty() ? "none" : fmt::format("{}", fmt::join(names, ", "));
}

std::string list_unusable(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text += "\n  not usable: " + line;
  return text;
}

[[noreturn]] void fail(const std::string& message, const ToolchainList& list) {
  throw Error(ErrorKind::toolchain, message + list_unusable(list.unusable));
}

bool chosen(const FoundToolchain& found, const std::string& choice) {
  if (choice.empty()) return true;
  std::error_code ignored;
  if (choice.find('/') != std::string::npos) return fs::equivalent(found.root, choice, ignored);
  return release_matches(found.record.release, choice);
}

FoundToolchain rocm_for(std::string_view arch, const ToolchainSearch& search) {
  ToolchainList list = find_rocm(search);
  if (search.rocm.find('/') != std::string::npos) {
    // A folder the user names need not be one of the usual ones.
    ToolchainList named;
    probe_rocm_folder(search, search.rocm, "chosen folder", named);
    list.usable.insert(list.usable.begin(), named.usable.begin(), named.usable.end());
    list.unusable.insert(list.unusable.begin(), named.unusable.begin(), named.unusable.end());
  }
  if (list.usable.empty()) {
    fail(fmt::format("no hipRTC found in {}, ROCM_PATH ({}), the loader's path and {}: {}",
                     search.system_rocm, search.rocm_path.empty() ? "not set" : search.rocm_path,
                     search.private_folder, kGetRocm),
         list);
  }
  std::vector<FoundToolchain> candidates;
  std::ranges::copy_if(list.usable, std::back_inserter(candidates),
                       [&](const FoundToolchain& at) { return chosen(at, search.rocm); });
  if (candidates.empty()) {
    fail(fmt::format("ROCm {} is not on this machine (found: {}): `make tune ROCM={}` gets release "
                     "7.2 or 6.4 "
                     "privately; or install it, or set ROCM_PATH to the folder it is in",
                     search.rocm, list_found(list.usable), search.rocm),
         list);
  }
  const auto knows =
      std::ranges::find_if(candidates, [&](const FoundToolchain& at) { return at.knows(arch); });
  if (knows != candidates.end()) return *knows;
  for (const FirstRelease& first : kFirstReleases) {
    if (arch != first.arch) continue;
    fail(fmt::format("hipRTC of ROCm {} does not know {}; ROCm {} and newer do: {}",
                     list_found(candidates), arch, first.rocm, kGetRocm),
         list);
  }
  fail(fmt::format(
           "hipRTC of ROCm {} does not know {}, and no release is known that does. It knows: {}",
           list_found(candidates), arch, fmt::join(candidates.front().archs, " ")),
       list);
}

FoundToolchain cuda_for(std::string_view arch, const ToolchainSearch& search) {
  ToolchainList list = find_cuda(search);
  if (list.usable.empty()) {
    fail(fmt::format(
             "no NVRTC found in {}, CUDA_PATH ({}), PATH and the loader's path: install CUDA 12 "
             "or newer, or set "
             "CUDA_PATH to the folder it is in",
             search.system_cuda, search.cuda_path.empty() ? "not set" : search.cuda_path),
         list);
  }
  const auto knows =
      std::ranges::find_if(list.usable, [&](const FoundToolchain& at) { return at.knows(arch); });
  if (knows != list.usable.end()) return *knows;
  fail(fmt::format("NVRTC of CUDA {} does not know {}: it knows {}; install a release that does",
                   list_found(list.usable), arch, fmt::join(list.usable.front().archs, " ")),
       list);
}

}  // namespace

bool FoundToolchain::knows(std::string_view arch) const {
  // sm_90a is sm_90 with the instructions that no later arch keeps.
  if (arch.starts_with("sm_") && arch.ends_with('a')) arch.remove_suffix(1);
  return std::ranges::find(archs, arch) != archs.end();
}

ToolchainSearch search_from_environment(const std::string& rocm) {
  ToolchainSearch search;
  search.helper = companion_program("mla-compile-helper");
  search.rocm = rocm;
  search.rocm_path = environment_or("ROCM_PATH", "");
  search.cuda_path = environment_or("CUDA_PATH", "");
  search.path = environment_or("PATH", "");
  search.cxx = environment_or("CXX", "c++");
  const std::string data =
      environment_or("XDG_DATA_HOME", environment_or("HOME", "") + "/.local/share");
  search.private_folder = data + "/mla-tune";
  return search;
}

FoundToolchain toolchain_for(std::string_view arch, const ToolchainSearch& search) {
  if (arch.starts_with("gfx")) return rocm_for(arch, search);
  if (arch.starts_with("sm_")) return cuda_for(arch, search);
  if (arch != "host") {
    throw Error(ErrorKind::usage,
                fmt::format("no compiler is known for arch {}: gfx..., sm_... or host", arch));
  }
  ToolchainList list = find_host_compiler(search);
  if (list.usable.empty()) {
    fail(fmt::format("no C++ compiler: {} does not run; apt-get install g++, or set CXX",
                     search.cxx),
         list);
  }
  return list.usable.front();
}

bool release_matches(std::string_view release, std::string_view choice) {
  return release.starts_with(choice) &&
         (release.size() == choice.size() || release[choice.size()] == '.');
}

}  // namespace mla
