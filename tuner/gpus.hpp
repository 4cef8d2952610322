#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/device_gpu.hpp"
#include "tuner/arch.hpp"
#include "tuner/compile.hpp"
#include "tuner/toolchain.hpp"

namespace mla {

struct GpuList {
  std::vector<GpuAddress> gpus;
  std::vector<std::string> unusable;  // one line for each library that is there and finds no GPU
};

// The GPUs of this machine that are of `arch` ("gfx950", "sm_90"; "gfx" and "sm_" for any of that
// maker), by the first driver library that finds any: ROCm's folders in the order of find_rocm(),
// or NVIDIA's driver. `worker` is the program mla-gpu-worker. Starts it at least once.
GpuList find_gpus(std::string_view arch, const ToolchainSearch& search, const std::string& worker);

// The kernels that check others, compiled for `arch`. Throws Error{toolchain} with the compiler's
// words.
CheckCode compile_checks(const FoundToolchain& toolchain, Cache* cache, const std::string& arch,
                         const SourceHeaders& headers);

// What a GPU's runner is made with.
struct GpuTools {
  const ToolchainSearch& search;
  const FoundToolchain& toolchain;
  const SourceHeaders& headers;
  Cache& cache;
};

// A runner for each GPU of `arch` on this machine; none where there is none. What is there and
// cannot be used is added to `unusable`, a line each.
std::vector<std::unique_ptr<Runner>> make_gpu_runners(const Arch& arch, const GpuTools& tools,
                                                      std::string& unusable);

}  // namespace mla
