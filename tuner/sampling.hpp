#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "kernels/device.hpp"

// The measuring of one problem's candidates on one device, knowing nothing of a store.

namespace mla {

// When a candidate has been sampled enough. Intervals are median_interval()s.
struct SamplingRules {
  // Whether each candidate ends by itself, as soon as it has enough or is slow. Otherwise those who
  // have enough go on until all have: a clock that falls late would slow down him alone who needs
  // more samples.
  bool prune = true;
  double slow = 3;   // cut after its first sample: slower than so many times the best
  double far = 0.2;  // from the second sample on: its fastest is so much above the best's interval
  double margin = 0.01;    // its interval is so much above the best's interval
  double interval = 0.01;  // the width of its interval is less than that of its median
  int fewest = 6;          // samples before an interval counts
  int most = 40;
  double seconds = 1;             // that sampling one candidate may take; from 3 samples on
  double deadline_seconds = 120;  // of each call of the runner
};

// Owned by the caller, as are the strings.
struct SamplingCandidate {
  const std::string* decode = nullptr;  // as Runner::add_candidate() takes them
  const std::string* reduce = nullptr;
  Launch launch = {};
};

// Why sampling ended.
enum class SamplingEnd {
  failed,   // verdict and reason say how; no samples
  slow,     // cut after its first sample
  worse,    // beyond doubt
  precise,  // its interval is narrow enough
  spent,    // its samples or its time
};

struct Sampled {
  SamplingEnd end = SamplingEnd::failed;
  Verdict verdict = Verdict::ok;
  std::string reason = {};
  double max_error = -1;
  double cosine_gap = -1;
  std::vector<float> samples_us = {};  // in order of time
};

// What became of the problem as a whole.
struct SamplingResult {
  Verdict verdict = Verdict::ok;  // not ok: it cannot be timed there, and nothing was
  std::string reason = {};
  bool stopped = false;
};

// Adds every candidate in the order given, which verifies it, and takes its first sample; before
// the first of all, samples that are not counted, until they agree. Then those still in question
// take turns of one sample each, in an order shuffled anew each round, until each has its end.
// `finished(index, what)` is called once for each candidate as it ends; for none that `stop` left
// in the middle. `stop` is asked between calls of the runner. `best_us`: the best that is already
// known of this problem (0: nothing), for cutting alone. Equal arguments and times give equal
// results.
SamplingResult sample_problem(Runner& runner, const ProblemRecord& problem, std::uint64_t seed,
                              const std::vector<SamplingCandidate>& candidates,
                              const Tolerance& tolerance, const SamplingRules& rules,
                              double best_us, const std::function<bool()>& stop,
                              const std::function<void(std::size_t, Sampled)>& finished);

}  // namespace mla
