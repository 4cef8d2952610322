#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "db/records.hpp"
#include "kernels/problem.hpp"

namespace mla {

// A launch of one variant: its decode kernel, and its reduce kernel where that leaves partial
// results.
struct Launch {
  Config config;
  Splits splits;
  ReduceConfig reduce;
};

// Whether the kernels take it.
constexpr bool valid(const Launch& launch) {
  return valid(launch.config) && valid(launch.config, launch.splits) && valid(launch.reduce);
}
// Results a row that the decode kernel leaves to be merged; one is final.
constexpr int partials(const Launch& launch, bool has_extra) {
  return partials(launch.config, launch.splits, has_extra);
}
// Whether a reduce kernel follows, where DecodeArgs::arrivals is given.
constexpr bool reduces(const Launch& launch, bool has_extra) {
  return launch.config.merge == Merge::kernel && partials(launch, has_extra) > 1;
}

// What a kernel left behind, in host memory; poisoned before the launch, so that what was not
// written shows.
struct Output {
  std::vector<std::uint16_t> out;  // bf16 [tokens, heads, 512]
  std::vector<float> lse;          // [tokens, heads]
};

// What running once, or timing, came to. Not an exception: a failed variant is a row.
struct RunResult {
  Verdict verdict = Verdict::ok;
  std::string reason = {};  // empty when ok
  Output output = {};
  std::vector<float> samples_us = {};
  // Of out against a reference, where the runner itself compared: largest |error| over finite
  // elements, and Comparison::cosine_gap; -1: it did not.
  double max_error = -1;
  double cosine_gap = -1;
};

struct Tolerance;  // kernels/compare.hpp

// Turns code objects into running kernels and running kernels into seconds. Implementations:
// device_host (the CPU) and device_gpu. Not thread-safe: one thread at a time for each Runner;
// Runners of different devices work side by side.
//
// `decode` and `reduce` are code objects for this device (for the host: paths of shared objects,
// which must stay where they are as long as the candidate is sampled); `reduce` is empty where
// reduces() says that none follows. Each deadline holds for the whole call. A variant that is
// wrong, crashes or hangs costs its own result only: whatever of the device's state it took along
// is restored by the Runner before the next call that needs it, the inputs and the other candidates
// included. Throws Error where the device itself is lost, and Error{usage} for problems or data
// that cannot be.
class Runner {
 public:
  virtual ~Runner() = default;
  virtual const Device& identity() const = 0;

  // One checked launch on small data; its output comes back to the host, poisoned before.
  virtual RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                        const ProblemData& data, double deadline_seconds) = 0;

  // Puts fresh inputs of the problem on the device: several sets that launches rotate over, larger
  // together than the last-level cache; of a warm_cache problem one set. Forgets earlier
  // candidates. Not ok: this problem cannot be timed here, for want of memory say.
  virtual RunResult begin_timing(const ProblemRecord& problem, std::uint64_t seed,
                                 double deadline_seconds) = 0;
  // Loads a candidate, checks it on those inputs against the device's own reference, outputs
  // poisoned, and warms it up. `candidate` is a number of the caller's, new since begin_timing().
  // max_error and cosine_gap are set where it ran to its end.
  virtual RunResult add_candidate(int candidate, const std::string& decode,
                                  const std::string& reduce, const Launch& launch,
                                  const Tolerance& tolerance, double deadline_seconds) = 0;
  // `count` samples in us, in order of time, each the mean time of one launch of decode and reduce.
  // `candidate` was added and was ok. Once a call was not ok the candidate is gone; it must not be
  // sampled again.
  virtual RunResult sample(int candidate, int count, double deadline_seconds) = 0;

  // JSON object of what the device is up to now: clocks, temperature, throttle state; "{}" where
  // that is unknown.
  virtual std::string conditions() = 0;
};

}  // namespace mla
