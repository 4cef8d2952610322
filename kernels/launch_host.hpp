#pragma once

#include <string>
#include <vector>

#include "kernels/launch_device.hpp"

namespace mla {

// The CPU, in this process: a launch runs every workgroup on the calling thread, waves as fibers,
// and has ended when it returns. Any number of threads may launch at once. Streams mean nothing.
class HostLaunchDevice : public LaunchDevice {
 public:
  HostLaunchDevice() = default;
  ~HostLaunchDevice() override;
  HostLaunchDevice(const HostLaunchDevice&) = delete;
  HostLaunchDevice& operator=(const HostLaunchDevice&) = delete;

  void* load(const std::string& code, int dynamic_lds) override;
  int launch(const KernelLaunch* kernels, int count, void* stream) const noexcept override;
  std::string explain(int error) const override;

 private:
  std::vector<void*> libraries_;
};

}  // namespace mla
