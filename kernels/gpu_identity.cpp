#include "kernels/gpu_identity.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "db/error.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

[[noreturn]] void fail_without_device(const GpuApi& api, const char* what, hipError_t error) {
  const char* remedy = api.vendor == GpuVendor::amd
                           ? "check that the amdgpu driver is loaded and that /dev/kfd may be "
                             "opened by this user (group render)"
                           : "check that nvidia-smi lists the GPU";
  throw Error(ErrorKind::device, fmt::format("{}: {}: {} (error {}): {}", api.library, what,
                                             api.hipGetErrorString(error), error, remedy));
}

int attribute(const GpuApi& api, int which, int ordinal) {
  int value = 0;
  return api.hipDeviceGetAttribute(&value, which, ordinal) == kHipSuccess ? value : 0;
}

// "gfx950", without the features behind it ("gfx950:sramecc+:xnack-").
std::string amd_arch(const GpuApi& api, int ordinal) {
  alignas(16) std::array<char, 2 * kHipPropertiesBytes> properties{};
  if (api.hipGetDevicePropertiesR0600(properties.data(), ordinal) != kHipSuccess) return {};
  const std::string name(properties.data() + kHipPropertiesArchName);
  return name.starts_with("gfx") ? name.substr(0, name.find(':')) : std::string();
}

std::string nvidia_arch(const GpuApi& api, int ordinal) {
  return fmt::format("sm_{}{}", attribute(api, kHipDeviceAttributeComputeCapabilityMajor, ordinal),
                     attribute(api, kHipDeviceAttributeComputeCapabilityMinor, ordinal));
}

std::string driver_version(GpuVendor vendor) {
  if (vendor == GpuVendor::amd) {
    const std::string version = first_line("/sys/module/amdgpu/version");
    return version.empty() ? "amdgpu of " + first_line("/proc/sys/kernel/osrelease") : version;
  }
  const std::string loaded = first_line("/sys/module/nvidia/version");
  if (!loaded.empty()) return loaded;
  // "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.159.04  ..."
  const std::string line = first_line("/proc/driver/nvidia/version");
  const std::size_t at = line.find("Module  ");
  if (at == std::string::npos) return {};
  const std::size_t begin = at + 8;
  return line.substr(begin, line.find(' ', begin) - begin);
}

// CUDA counts 13000 for 13.0, HIP 70253211 for 7.2.53211.
std::string runtime_version(const GpuApi& api) {
  int version = 0;
  if (api.hipRuntimeGetVersion(&version) != kHipSuccess) return {};
  if (api.vendor == GpuVendor::nvidia) {
    return fmt::format("CUDA {}.{}", version / 1000, version % 1000 / 10);
  }
  return fmt::format("HIP {}.{}.{}", version / 10'000'000, version / 100'000 % 100,
                     version % 100'000);
}

}  // namespace

Device gpu_identity(const GpuApi& api, int ordinal) {
  Device device;
  const bool amd = api.vendor == GpuVendor::amd;
  std::array<char, 256> text{};
  if (api.hipDeviceGetName(text.data(), static_cast<int>(text.size()), ordinal) == kHipSuccess) {
    device.name = text.data();
  }
  device.arch = amd ? amd_arch(api, ordinal) : nvidia_arch(api, ordinal);
  device.compute_units = attribute(api, kHipDeviceAttributeMultiprocessorCount, ordinal);
  device.clock_mhz = attribute(api, kHipDeviceAttributeClockRate, ordinal) / 1000;
  std::size_t bytes = 0;
  if (api.hipDeviceTotalMem(&bytes, ordinal) == kHipSuccess) {
    device.memory_bytes = static_cast<std::int64_t>(bytes);
  }
  if (api.hipDeviceGetPCIBusId(text.data(), static_cast<int>(text.size()), ordinal) ==
      kHipSuccess) {
    device.pci_id = text.data();
    std::ranges::transform(device.pci_id, device.pci_id.begin(),
                           [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  }
  if (amd) {
    device.partition =
        first_line("/sys/bus/pci/devices/" + device.pci_id + "/current_compute_partition");
  }
  device.driver = driver_version(api.vendor);
  device.runtime = runtime_version(api);
  return device;
}

std::vector<GpuDescription> describe_gpus(const GpuApi& api) {
  if (const hipError_t error = api.hipInit(0); error != kHipSuccess) {
    fail_without_device(api, "the driver does not start", error);
  }
  int count = 0;
  const hipError_t error = api.hipGetDeviceCount(&count);
  if (error != kHipSuccess || count == 0) {
    fail_without_device(api, "no device", error == kHipSuccess ? kHipErrorNoDevice : error);
  }
  std::vector<GpuDescription> all;
  for (int ordinal = 0; ordinal < count; ++ordinal) {
    all.push_back({ordinal, gpu_identity(api, ordinal)});
  }
  return all;
}

}  // namespace mla
