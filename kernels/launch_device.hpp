#pragma once

#include <string>

#include "templates/sparse_mla_config.hpp"

namespace mla {

// One kernel of a launch. `arguments` points to its DecodeArgs or ReduceArgs.
struct KernelLaunch {
  void* function;
  Dim3 grid;
  unsigned block;
  unsigned dynamic_lds;
  void* arguments;
  bool reduces;
  // Whether it waits itself for the kernel ahead of it on the stream, and so may begin before that
  // has ended.
  bool waits = false;
};

// What the dispatcher launches on. load() one thread at a time, also while others launch.
class LaunchDevice {
 public:
  virtual ~LaunchDevice() = default;

  // The function `entry` of a code object, for as long as the device lives. May be called while a
  // stream of the process is captured. Throws Error{device} or Error{system}.
  virtual void* load(const std::string& code, int dynamic_lds) = 0;
  // Enqueues `count` kernels in order; on the host, runs them. 0, or the first error there was;
  // whatever comes after it is not launched. The thread's current device is as before.
  virtual int launch(const KernelLaunch* kernels, int count, void* stream) const noexcept = 0;
  virtual std::string explain(int error) const = 0;
};

}  // namespace mla
