#pragma once

#include "kernels/gpu_api.hpp"

namespace mla {

// Fills `api` from an opened libcuda. Throws Error{device} where it lacks a function.
void fill_from_cuda(GpuApi& api, void* library);

}  // namespace mla
