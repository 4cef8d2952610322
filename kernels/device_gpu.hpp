#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "kernels/device.hpp"

namespace mla {

// How to reach one GPU: the command that starts mla-gpu-worker for a library (with a loader of its
// own in front, where that library needs one), and the device's number there.
struct GpuAddress {
  std::vector<std::string> command;
  int ordinal = 0;
  Device device;
};

// The GPUs that a worker started by `command` finds. Empty where there is none; `why` then says
// why, with the remedy.
std::vector<GpuAddress> list_gpus(const std::vector<std::string>& command, std::string& why);

// Code objects for the GPU's arch of the kernels that check others (tuner/source.hpp).
struct CheckCode {
  std::string naive;
  std::string compare;
};

// A GPU as a device. Code objects are passed as bytes. The worker process starts with the first
// call; when a variant crashes or hangs it, it is ended and started again, and what it held is
// prepared again, within deadlines of its own, by the next call that needs it. Verdicts:
//   launch_failed  the code object cannot be loaded, the device refuses the launch, or has no
//   memory crashed        an illegal access, an abort; the reason has the driver's words
//   wrong_result   it differs from the reference, wrote between rows, or to its inputs
//   timed_out      the deadline came; the worker is gone
// `llc_bytes` is the size of the last-level cache where the device does not tell (AMD's Infinity
// Cache); the larger counts. Throws Error{device} where the device does not come back.
std::unique_ptr<Runner> make_gpu_runner(GpuAddress gpu, CheckCode checks, std::int64_t llc_bytes);

}  // namespace mla
