#pragma once

#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tuner/measure.hpp"
#include "tuner/sampling.hpp"

// Winners against baselines, measured side by side.

namespace mla {

// One problem: the winner first, then the baselines.
struct BenchTask {
  ProblemRecord problem;
  std::vector<SamplingCandidate> variants;
};

struct BenchTime {
  Verdict verdict = Verdict::unverified;  // unverified: not run
  std::string reason = {};
  Summary time = {};
  // Of this time over the winner's: above 1, the winner is faster. Nothing where either failed, and
  // for the winner.
  std::optional<Ratio> ratio = {};
};

struct BenchResult {
  std::vector<BenchTime> times;  // in order of BenchTask::variants
  bool stopped = false;
};

// Samples all of them in turns, to the end for each: nothing is cut for being slow.
BenchResult bench(Runner& runner, const BenchTask& task, const Tolerance& tolerance,
                  std::uint64_t seed, double seconds_each, const std::function<bool()>& stop);

// Of positive numbers; 0 of none.
double geometric_mean(const std::vector<double>& values);

}  // namespace mla
