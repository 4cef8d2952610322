#pragma once

#include <memory>
#include <string>

#include "kernels/device.hpp"

namespace mla {

// The CPU as a device, arch "host": proves what kernels compute, and times them for their own sake;
// never ranked against a GPU.
//
// Each launch that is checked and each sample() has a worker process to itself, `worker` being the
// path of mla-host-worker; `threads` share its workgroups. Code objects are paths of shared objects
// as templates/host_abi.hpp describes them. Buffers end at pages that cannot be touched; out, lse,
// workspace and shared memory are poisoned with NaN; q, out and lse have gaps between their rows.
// Verdicts:
//   ok             the kernel ran; after run(), whether it is right is for compare() to say
//   launch_failed  the object or its symbol cannot be loaded, or no workgroup would run
//   crashed        a signal, exit(), a barrier that not all waves reached; the reason names the
//                  memory missed
//   wrong_result   it wrote where it must not, and nothing stopped it; or, of a candidate, it is
//                  out of tolerance of the float64 reference of evenly spaced tokens
//   timed_out      the deadline came; the worker is gone
// A sample is one launch of decode and reduce, after an untimed one. There is one set of inputs,
// whatever warm_cache says. Throws Error{system} where no worker can be started, Error{usage} for
// data that contradicts itself.
std::unique_ptr<Runner> make_host_runner(const std::string& worker, int threads);

// What this machine's CPU is, as the store knows devices.
Device host_identity(int threads);

}  // namespace mla
