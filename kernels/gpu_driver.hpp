#pragma once

#include <string>
#include <string_view>

#include "kernels/gpu_api.hpp"

namespace mla {

// The driver's library for a process that may use a GPU already: `library` where one is named; else
// the one that this process has loaded, since a second instance would know none of its streams;
// else what the loader finds, or $ROCM_PATH or /opt/rocm has. `arch` "gfx..." or "sm_..." decides
// between makers, and may be empty. Initialises nothing. Throws Error{device} with the remedy.
GpuApi open_gpu_driver(std::string_view arch, const std::string& library);

}  // namespace mla
