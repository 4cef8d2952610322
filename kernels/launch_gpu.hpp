#pragma once

#include <string>
#include <vector>

#include "kernels/gpu_api.hpp"
#include "kernels/launch_device.hpp"

namespace mla {

// A GPU of the host process's: kernels go to the streams that the caller names, in the device's
// primary context. The thread that calls may have any device or context current, and finds it so
// afterwards.
class GpuLaunchDevice : public LaunchDevice {
 public:
  // Throws Error{device}: the driver does not start, or has no such device.
  GpuLaunchDevice(const GpuApi& api, int ordinal);
  ~GpuLaunchDevice() override;
  GpuLaunchDevice(const GpuLaunchDevice&) = delete;
  GpuLaunchDevice& operator=(const GpuLaunchDevice&) = delete;

  void* load(const std::string& code, int dynamic_lds) override;
  int launch(const KernelLaunch* kernels, int count, void* stream) const noexcept override;
  std::string explain(int error) const override;

  const std::string& arch() const noexcept { return arch_; }
  const std::string& name() const noexcept { return name_; }
  // Major and minor of the ROCm or CUDA that runs here: "7.2".
  const std::string& release() const noexcept { return release_; }

 private:
  class Current;
  void check(hipError_t error, const char* what) const;

  GpuApi api_;
  int ordinal_;
  hipCtx_t context_ = nullptr;  // NVIDIA's
  std::string arch_, name_, release_;
  std::vector<hipModule_t> modules_;
};

}  // namespace mla
