#pragma once

#include <optional>
#include <string>
#include <vector>

#include "db/error.hpp"
#include "tuner/folders.hpp"
#include "tuner/gpus.hpp"
#include "tuner/source.hpp"

namespace mla {

// The GPUs of this machine and what compiles for them, or why there are none: what the tests of a
// process share, since starting a driver takes its time.
struct FoundGpus {
  std::vector<GpuAddress> gpus;  // of one arch
  GpuAddress gpu;                // the first of them
  FoundToolchain toolchain;
  SourceHeaders headers;
  CheckCode checks;
};

inline std::optional<FoundGpus> find_gpus_to_test(std::string& missing) try {
  const ToolchainSearch search = search_from_environment();
  for (const char* maker : {"sm_", "gfx"}) {
    const GpuList list = find_gpus(maker, search, companion_program("mla-gpu-worker"));
    if (list.gpus.empty()) continue;
    const std::string arch = list.gpus.front().device.arch;
    FoundGpus found{list.gpus,
                    list.gpus.front(),
                    toolchain_for(arch, search),
                    read_headers(templates_folder()),
                    {}};
    found.checks = compile_checks(found.toolchain, nullptr, arch, found.headers);
    return found;
  }
  missing = "no GPU, or no driver for it";
  return std::nullopt;
} catch (const Error& error) {
  missing = error.what();
  return std::nullopt;
}

inline CompileResult compile_to_test(const FoundGpus& found, const std::string& source) {
  CompilePool pool(found.toolchain, nullptr, 1);
  CompileJob job;
  job.arch = found.gpu.device.arch;
  job.source = source;
  job.headers = found.headers;
  pool.submit(std::move(job));
  return pool.next().value();
}

}  // namespace mla
