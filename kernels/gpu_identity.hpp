#pragma once

#include <string>
#include <vector>

#include "kernels/device.hpp"
#include "kernels/gpu_api.hpp"

namespace mla {

// A device of a loaded library, as the store knows devices.
struct GpuDescription {
  int ordinal = 0;
  Device device;
};

// Initialises the library and describes every device it knows. Throws Error{device} with the
// driver's words and a remedy where there is none.
std::vector<GpuDescription> describe_gpus(const GpuApi& api);

// The device `ordinal` of an initialised library: arch as "sm_90" or "gfx950", clock as the most
// that it runs at, partition as ROCm's compute partition mode.
Device gpu_identity(const GpuApi& api, int ordinal);

// What the device is up to now, as a JSON object: clocks in MHz, temperature in degrees Celsius,
// power in W, and with NVIDIA the reasons why clocks are held back, in words. What cannot be had is
// left out.
std::string gpu_conditions(GpuVendor vendor, const std::string& pci_id);

}  // namespace mla
