#include "kernels/gpu_driver.hpp"

#include <dlfcn.h>

#include <cstdlib>
#include <mutex>
#include <vector>

#include "db/error.hpp"

namespace mla {
namespace {

struct Candidate {
  GpuVendor vendor;
  std::string library;
};

std::vector<Candidate> candidates(std::string_view arch) {
  std::vector<Candidate> all;
  const char* root = std::getenv("ROCM_PATH");
  if (!arch.starts_with("sm_")) {
    for (const char* name :
         {"libamdhip64.so.7", "libamdhip64.so.6", "libamdhip64.so", "libamdhip64.so.8"})
      all.push_back({GpuVendor::amd, name});
    if (root != nullptr) all.push_back({GpuVendor::amd, std::string(root) + "/lib/libamdhip64.so"});
    all.push_back({GpuVendor::amd, "/opt/rocm/lib/libamdhip64.so"});
  }
  if (!arch.starts_with("gfx")) {
    // Containers have the driver handed in where the loader may not have been told of it.
    for (const char* name :
         {"libcuda.so.1", "/usr/local/nvidia/lib64/libcuda.so.1", "/usr/lib/wsl/lib/libcuda.so.1"})
      all.push_back({GpuVendor::nvidia, name});
  }
  return all;
}

bool can_open(const std::string& library, int flags) {
  return ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL | flags) != nullptr;
}

// By what it exports; it stays loaded.
GpuVendor vendor_of(const std::string& library) {
  void* opened = ::dlopen(library.c_str(), RTLD_NOW | RTLD_LOCAL);
  const bool amd = opened != nullptr && ::dlsym(opened, "hipInit") != nullptr;
  return amd ? GpuVendor::amd : GpuVendor::nvidia;
}

}  // namespace

GpuApi open_gpu_driver(std::string_view arch, const std::string& library) {
  // NVIDIA's adapters keep what they call in one place.
  static std::mutex one_at_a_time;
  const std::lock_guard lock(one_at_a_time);
  if (!library.empty()) return load_gpu_api(vendor_of(library), library);
  const std::vector<Candidate> all = candidates(arch);
  for (const int flags : {RTLD_NOLOAD, 0})
    for (const Candidate& one : all)
      if (can_open(one.library, flags)) return load_gpu_api(one.vendor, one.library);
  throw Error(ErrorKind::device,
              "no GPU driver: neither libamdhip64 (ROCm 6.4 or newer; set ROCM_PATH to its folder) "
              "nor libcuda (NVIDIA's driver; start a container with the GPU handed in) can be "
              "loaded. MLA_DEVICE_NONE gives plans without a GPU.");
}

}  // namespace mla
