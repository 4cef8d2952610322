#include "tuner/gpus.hpp"

#include <fmt/format.h>

#include <filesystem>

#include "db/error.hpp"
#include "tuner/folders.hpp"
#include "tuner/source.hpp"
#include "tuner/toolchain_probe.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using Command = std::vector<std::string>;

std::vector<Command> nvidia_commands(const std::string& worker) {
  std::vector<Command> commands{{worker, "nvidia", "libcuda.so.1"}};
  // Where containers have the driver handed in and the loader has not been told.
  for (const char* library :
       {"/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"})
    if (fs::exists(library)) commands.push_back({worker, "nvidia", library});
  return commands;
}

std::vector<Command> amd_commands(const ToolchainSearch& search, const std::string& worker) {
  std::vector<Command> commands;
  const auto add_folder = [&](const RocmFolder& folder) {
    const fs::path library = newest_library(folder.root, "libamdhip64");
    if (library.empty()) return;
    Command command = loader_for(folder.root, library);
    command.insert(command.end(), {worker, "amd", library.string()});
    commands.push_back(std::move(command));
  };
  for (const RocmFolder& folder : installed_rocm(search)) add_folder(folder);
  if (search.loader_path) {
    for (const char* name :
         {"libamdhip64.so", "libamdhip64.so.8", "libamdhip64.so.7", "libamdhip64.so.6"})
      commands.push_back({worker, "amd", name});
  }
  for (const RocmFolder& folder : private_rocm(search)) add_folder(folder);
  return commands;
}

}  // namespace

GpuList find_gpus(std::string_view arch, const ToolchainSearch& search, const std::string& worker) {
  GpuList list;
  const bool amd = arch.starts_with("gfx");
  for (const Command& command : amd ? amd_commands(search, worker) : nvidia_commands(worker)) {
    std::string why;
    std::vector<GpuAddress> found = list_gpus(command, why);
    for (GpuAddress& gpu : found) {
      if (gpu.device.arch.starts_with(arch)) list.gpus.push_back(std::move(gpu));
    }
    if (!list.gpus.empty()) return list;
    // A name that the loader does not know is no news.
    const bool by_name = command.back().find('/') == std::string::npos;
    if (found.empty() && !by_name) list.unusable.push_back(why);
  }
  return list;
}

CheckCode compile_checks(const FoundToolchain& toolchain, Cache* cache, const std::string& arch,
                         const SourceHeaders& headers) {
  CompilePool pool(toolchain, cache, 2);
  CheckCode checks;
  std::string* const wanted[] = {&checks.naive, &checks.compare};
  const std::string sources[] = {naive_source(), compare_source()};
  for (std::uint64_t i = 0; i < 2; ++i) {
    CompileJob job;
    job.tag = i;
    job.arch = arch;
    job.source = sources[i];
    job.headers = headers;
    pool.submit(std::move(job));
  }
  while (std::optional<CompileResult> result = pool.next()) {
    if (result->verdict != Verdict::ok) {
      throw Error(
          ErrorKind::toolchain,
          fmt::format("the kernel that checks others does not compile for {} with {} {}: {}", arch,
                      toolchain.record.compiler, toolchain.record.release, result->log));
    }
    *wanted[result->tag] = std::move(result->code);
  }
  return checks;
}

std::vector<std::unique_ptr<Runner>> make_gpu_runners(const Arch& arch, const GpuTools& tools,
                                                      std::string& unusable) {
  std::vector<std::unique_ptr<Runner>> runners;
  const GpuList found = find_gpus(arch.name, tools.search, companion_program("mla-gpu-worker"));
  for (const std::string& line : found.unusable) unusable += "\n  not usable: " + line;
  if (found.gpus.empty()) return runners;
  const CheckCode checks = compile_checks(tools.toolchain, &tools.cache, arch.name, tools.headers);
  for (const GpuAddress& gpu : found.gpus)
    runners.push_back(make_gpu_runner(gpu, checks, static_cast<std::int64_t>(arch.llc_bytes)));
  return runners;
}

}  // namespace mla
