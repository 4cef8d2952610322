#include "tuner/toolchain_probe.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <sstream>

#include "db/error.hpp"
#include "kernels/process.hpp"
#include "tuner/hash.hpp"
#include "tuner/helper_protocol.hpp"
#include "tuner/scratch_folder.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr double kProbeSeconds = 60;

std::string read_text(const fs::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) lines.push_back(line);
  return lines;
}

std::vector<fs::path> entries_of(const fs::path& folder) {
  std::error_code ignored;
  std::vector<fs::path> entries;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) entries.push_back(entry.path());
  std::ranges::sort(entries);
  return entries;
}

struct Description {
  std::string library;
  std::string version;
  std::string llvm;
  std::vector<std::string> archs;
  std::string build_ids;
};

// Starts the helper and lets the compiler say what it is. Throws Error{toolchain} with the reason
// where it cannot.
Description describe_compiler(const FoundToolchain& toolchain) {
  std::vector<std::string> command = toolchain.command;
  const ScratchFolder folder;  // outlives the helper, which may be killed before it tidies up
  command.push_back(folder.path() + "/0");
  ChildProcess helper(command, toolchain.environment);
  const Deadline deadline = deadline_in(kProbeSeconds);
  std::string message;
  IoStatus status = helper.send(pack({"describe"}), deadline);
  if (status == IoStatus::ok) status = helper.receive(message, deadline);
  if (status == IoStatus::timed_out) throw Error(ErrorKind::toolchain, "it does not answer");
  if (status == IoStatus::closed) {
    const ExitStatus ended = helper.kill();
    throw Error(ErrorKind::toolchain, fmt::format("its helper ended with {} {}",
                                                  mla::describe(ended), helper.output(400)));
  }
  const std::optional<Fields> reply = unpack(message);
  if (!reply || reply->empty() || (reply->front() == "ok" && reply->size() != 6)) {
    throw Error(ErrorKind::toolchain, "the helper is of another version than this program");
  }
  if (reply->front() != "ok") throw Error(ErrorKind::toolchain, reply->back());
  return {(*reply)[1], (*reply)[2], (*reply)[3], lines_of((*reply)[4]), (*reply)[5]};
}

// ROCm's own number of the release. hiprtcVersion() is the same in all of them, and the library's
// file name counts HIP's builds ("7.2.53211"): the release is what the installation or the package
// says.
std::string rocm_release(const fs::path& root, const Description& described) {
  std::smatch match;
  static const std::regex number(R"(^([0-9]+(\.[0-9]+)+))");
  const std::string info = read_text(root / ".info" / "version");
  if (std::regex_search(info, match, number)) return match[1];
  static const std::regex package(R"(libhiprtc[0-9]+_([0-9]+(\.[0-9]+)+))");
  const std::string packages = read_text(root / "packages.txt");
  if (std::regex_search(packages, match, package)) return match[1];
  const std::string file = fs::path(described.library).filename().string();
  static const std::regex major(R"(\.so\.([0-9]+))");
  if (described.library.starts_with("/usr/lib") && std::regex_search(file, match, major)) {
    try {
      const std::string name = "libhiprtc" + match[1].str();
      const CommandResult asked =
          run_command({"dpkg-query", "-W", "-f", "${Version}", name}, deadline_in(10));
      if (asked.success() && std::regex_search(asked.output, match, number)) return match[1];
    } catch (const Error&) {
      // Not a Debian machine.
    }
  }
  if (!described.version.empty()) return described.version;
  static const std::regex suffix(R"(\.so\.([0-9.]+)$)");
  return std::regex_search(file, match, suffix) ? match[1].str() : "unknown";
}

void finish(FoundToolchain found, const std::string& release_root, ToolchainList& list,
            const std::string& what) try {
  const Description described = describe_compiler(found);
  const std::string library = fs::path(described.library).filename().string();
  const bool amd = found.record.compiler == "hiprtc";
  found.record.library = library;
  found.record.llvm = described.llvm;
  found.record.release = amd ? rocm_release(release_root, described) : described.version;
  found.archs = described.archs;
  if (found.root.empty()) found.root = fs::path(described.library).parent_path().string();
  found.identity = fmt::format("{} {} {} llvm {}\n{}", found.record.compiler, found.record.release,
                               library, found.record.llvm, described.build_ids);
  const bool known = std::ranges::any_of(
      list.usable, [&](const FoundToolchain& at) { return at.identity == found.identity; });
  if (!known) list.usable.push_back(std::move(found));
} catch (const Error& error) {
  list.unusable.push_back(fmt::format("{}: {}", what, error.what()));
}

void require_helper(const ToolchainSearch& search) {
  if (::access(search.helper.c_str(), X_OK) == 0) return;
  throw Error(
      ErrorKind::toolchain,
      fmt::format("{} is missing: it belongs beside mla-tune; build again (`make`) or reinstall",
                  search.helper));
}

void probe_loader_path(const ToolchainSearch& search, const std::string& kind,
                       const std::vector<std::string>& names, ToolchainList& list) {
  for (const std::string& name : names) {
    FoundToolchain found;
    found.record.compiler = kind;
    found.origin = "the loader's path";
    found.command = {search.helper, kind, name};
    // A library that the loader does not know is no news; only what is there and broken is.
    ToolchainList tried;
    finish(std::move(found), {}, tried, name);
    for (FoundToolchain& usable : tried.usable) {
      const bool known = std::ranges::any_of(
          list.usable, [&](const FoundToolchain& at) { return at.identity == usable.identity; });
      if (!known) list.usable.push_back(std::move(usable));
    }
  }
}

void probe_cuda_folder(const ToolchainSearch& search, const std::string& root,
                       const std::string& origin, ToolchainList& list) {
  const fs::path library = root.empty() ? fs::path() : newest_library(root, "libnvrtc");
  if (library.empty()) return;
  FoundToolchain found;
  found.record.compiler = "nvrtc";
  found.root = root;
  found.origin = origin;
  found.command = {search.helper, "nvrtc", library.string()};
  finish(std::move(found), root, list, library.string());
}

// Where the programs of PATH say that CUDA is: above nvcc, and in the packages of python3.
std::vector<fs::path> cuda_beside_programs(const ToolchainSearch& search) {
  std::vector<fs::path> roots;
  std::error_code ignored;
  std::istringstream stream(search.path);
  for (std::string folder; std::getline(stream, folder, ':');) {
    const fs::path nvcc = fs::canonical(fs::path(folder) / "nvcc", ignored);
    if (!nvcc.empty()) roots.push_back(nvcc.parent_path().parent_path());
    if (!fs::exists(fs::path(folder) / "python3", ignored)) continue;
    for (const fs::path& python : entries_of(fs::path(folder) / "../lib")) {
      if (!python.filename().string().starts_with("python3")) continue;
      for (const char* packages : {"site-packages", "dist-packages"}) {
        for (const fs::path& package : entries_of(python / packages / "nvidia"))
          roots.push_back(package);
      }
    }
  }
  return roots;
}

}  // namespace

fs::path newest_library(const fs::path& root, const std::string& name) {
  const std::regex pattern(name + R"(\.so\.([0-9]+))");
  for (const char* folder : {"lib", "lib64", "usr/lib/x86_64-linux-gnu", "lib/x86_64-linux-gnu"}) {
    fs::path newest;
    int newest_major = -1;
    for (const fs::path& entry : entries_of(root / folder)) {
      std::smatch match;
      const std::string file = entry.filename().string();
      if (!std::regex_match(file, match, pattern) || std::stoi(match[1]) <= newest_major) continue;
      newest = entry;
      newest_major = std::stoi(match[1]);
    }
    if (!newest.empty()) return newest;
  }
  return {};
}

std::vector<std::string> loader_for(const std::string& root, const fs::path& library) {
  const fs::path loader = fs::path(root) / "usr/lib64/ld-linux-x86-64.so.2";
  if (!fs::exists(loader) || fs::equivalent(root, "/")) return {};
  return {loader.string(), "--library-path", library.parent_path().string()};
}

void probe_rocm_folder(const ToolchainSearch& search, const std::string& root,
                       const std::string& origin, ToolchainList& list) {
  const fs::path library = root.empty() ? fs::path() : newest_library(root, "libhiprtc");
  if (library.empty()) return;
  FoundToolchain found;
  found.record.compiler = "hiprtc";
  found.root = root;
  found.origin = origin;
  found.command = loader_for(root, library);
  found.command.insert(found.command.end(), {search.helper, "hiprtc", library.string()});
  finish(std::move(found), root, list, library.string());
}

std::vector<RocmFolder> installed_rocm(const ToolchainSearch& search) {
  std::vector<RocmFolder> folders{{search.system_rocm, search.system_rocm}};
  const fs::path system(search.system_rocm);
  std::vector<fs::path> siblings = entries_of(system.parent_path());
  std::ranges::reverse(siblings);  // newest first
  for (const fs::path& folder : siblings) {
    if (folder.filename().string().starts_with(system.filename().string() + "-")) {
      folders.push_back({folder.string(), folder.string()});
    }
  }
  if (!search.rocm_path.empty()) folders.push_back({search.rocm_path, "ROCM_PATH"});
  return folders;
}

std::vector<RocmFolder> private_rocm(const ToolchainSearch& search) {
  std::vector<RocmFolder> found;
  std::vector<fs::path> folders = entries_of(search.private_folder);
  std::ranges::reverse(folders);
  for (const fs::path& folder : folders) {
    const std::string name = folder.filename().string();
    if (name.starts_with("rocm-") && !name.ends_with(".partial") && fs::is_directory(folder)) {
      found.push_back({folder.string(), "private folder"});
    }
  }
  return found;
}

ToolchainList find_rocm(const ToolchainSearch& search) {
  require_helper(search);
  ToolchainList list;
  for (const RocmFolder& folder : installed_rocm(search)) {
    probe_rocm_folder(search, folder.root, folder.origin, list);
  }
  if (search.loader_path) {
    probe_loader_path(search, "hiprtc", {"libhiprtc.so.7", "libhiprtc.so.6", "libhiprtc.so.5"},
                      list);
  }
  for (const RocmFolder& folder : private_rocm(search)) {
    probe_rocm_folder(search, folder.root, folder.origin, list);
  }
  return list;
}

ToolchainList find_cuda(const ToolchainSearch& search) {
  require_helper(search);
  ToolchainList list;
  probe_cuda_folder(search, search.system_cuda, search.system_cuda, list);
  probe_cuda_folder(search, search.cuda_path, "CUDA_PATH", list);
  for (const fs::path& root : cuda_beside_programs(search)) {
    probe_cuda_folder(search, root.string(), "PATH", list);
  }
  if (search.loader_path)
    probe_loader_path(search, "nvrtc", {"libnvrtc.so.13", "libnvrtc.so.12"}, list);
  return list;
}

ToolchainList find_host_compiler(const ToolchainSearch& search) try {
  require_helper(search);
  ToolchainList list;
  const auto ask = [&](const char* option) {
    const CommandResult result = run_command({search.cxx, option}, deadline_in(kProbeSeconds));
    return result.success() ? lines_of(result.output + "\n").front() : std::string();
  };
  FoundToolchain found;
  found.record.compiler = "c++";
  found.record.library = ask("--version");
  found.record.release = ask("-dumpfullversion");  // clang has only the shorter spelling
  if (found.record.release.empty()) found.record.release = ask("-dumpversion");
  if (found.record.release.empty()) {
    list.unusable.push_back(fmt::format("{}: does not tell its version", search.cxx));
    return list;
  }
  found.root = search.cxx;
  found.origin = "system";
  found.archs = {"host"};
  found.command = {search.helper, "c++", search.cxx};
  // -march=native makes the processor a part of what is generated.
  std::string processor;
  for (const std::string& line : lines_of(read_text("/proc/cpuinfo"))) {
    if (line.starts_with("flags") || line.starts_with("Features")) {
      processor = content_key(line);
      break;
    }
  }
  found.identity = fmt::format("c++ {} {} {} {}", found.record.release, found.record.library,
                               ask("-dumpmachine"), processor);
  list.usable.push_back(std::move(found));
  return list;
} catch (const Error& error) {
  if (error.kind() != ErrorKind::system) throw;
  ToolchainList list;
  list.unusable.push_back(error.what());
  return list;
}

}  // namespace mla
