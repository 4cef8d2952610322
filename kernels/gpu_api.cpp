#include "kernels/gpu_api.hpp"

#include <dlfcn.h>

#include <string_view>

#include "db/error.hpp"
#include "kernels/gpu_api_cuda.hpp"

namespace mla {
namespace {

void* open_library(GpuVendor vendor, const std::string& library) {
  void* opened = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (opened != nullptr) return opened;
  const char* remedy =
      vendor == GpuVendor::amd
          ? "install ROCm 6.4 or newer (or its package with libamdhip64), or set ROCM_PATH to the "
            "folder it is in"
          : "libcuda belongs to NVIDIA's driver: install the driver, and in a container start it "
            "with the GPU handed in";
  throw Error(ErrorKind::device, std::string(::dlerror()) + ": " + remedy);
}

}  // namespace

hipError_t allow_launches(const GpuApi& api, hipFunction_t function, int dynamic_lds) {
  constexpr int kOrdinaryLds = 48 * 1024;
  hipError_t error = kHipSuccess;
  if (dynamic_lds > kOrdinaryLds)
    error =
        api.hipFuncSetAttribute(function, kHipFuncAttributeMaxDynamicSharedMemorySize, dynamic_lds);
  if (error == kHipSuccess && api.vendor == GpuVendor::nvidia)
    error = api.hipFuncSetAttribute(function, kCudaFuncAttributeNonPortableClusterSizeAllowed, 1);
  return error;
}

GpuApi load_gpu_api(GpuVendor vendor, const std::string& library) {
  void* opened = open_library(vendor, library);
  GpuApi api{};
  api.vendor = vendor;
  api.library = library;
  if (vendor == GpuVendor::nvidia) {
    fill_from_cuda(api, opened);
    return api;
  }
  for_each_gpu_function(api, [&](const char* name, auto& pointer) {
    if (std::string_view(name).starts_with("hipCtx")) return;
    void* address = ::dlsym(opened, name);
    if (address == nullptr) {
      throw Error(ErrorKind::device, library + " lacks " + name +
                                         ": it is not ROCm 6.0 or newer; install a newer release");
    }
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(address);
  });
  api.launch_overlapping = api.hipModuleLaunchKernel;
  return api;
}

}  // namespace mla
