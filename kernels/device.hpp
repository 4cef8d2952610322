#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "db/records.hpp"
#include "kernels/problem.hpp"

namespace mla {

// A launch of one variant: its decode kernel, and its reduce kernel where there is more than one
// split.
struct Launch {
  Config config;
  Splits splits;
  ReduceConfig reduce;
};

// What a kernel left behind, in host memory; poisoned before the launch, so that what was not
// written shows.
struct Output {
  std::vector<std::uint16_t> out;  // bf16 [tokens, heads, 512]
  std::vector<float> lse;          // [tokens, heads]
};

// What running once, or timing, came to. Not an exception: a failed variant is a row.
struct RunResult {
  Verdict verdict = Verdict::ok;
  std::string reason;
  Output output;
  std::vector<float> samples_us;
};

// Turns code objects into running kernels and running kernels into seconds. Implementations:
// device_host (the CPU) and device_gpu. Not thread-safe: one Runner per thread. A variant that
// crashes or hangs costs its own result only.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual const Device& identity() const = 0;
  // `decode` and `reduce` are code objects for this device (for the host: paths of shared objects);
  // `reduce` is empty when there is one split. samples: how many timed launches to make after the
  // checked one; 0 for none.
  virtual RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                        const ProblemData& data, int samples, double deadline_seconds) = 0;
};

}  // namespace mla
