#include "tuner/bench.hpp"

#include <cmath>

namespace mla {
namespace {

// More than a search takes: these are the numbers that are quoted.
constexpr int kFewestSamples = 12;
constexpr int kMostSamples = 120;
constexpr double kInterval = 0.005;

}  // namespace

BenchResult bench(Runner& runner, const BenchTask& task, const Tolerance& tolerance,
                  std::uint64_t seed, double seconds_each, const std::function<bool()>& stop) {
  SamplingRules rules;
  rules.prune = false;
  rules.fewest = kFewestSamples;
  rules.most = kMostSamples;
  rules.interval = kInterval;
  rules.seconds = seconds_each;
  BenchResult result;
  result.times.resize(task.variants.size());
  std::vector<std::vector<float>> samples(task.variants.size());
  const SamplingResult sampled =
      sample_problem(runner, task.problem, seed, task.variants, tolerance, rules, 0, stop,
                     [&](std::size_t i, Sampled what) {
                       BenchTime& time = result.times[i];
                       time.verdict = what.verdict;
                       time.reason = std::move(what.reason);
                       time.time = summarise(what.samples_us);
                       samples[i] = std::move(what.samples_us);
                     });
  result.stopped = sampled.stopped;
  if (sampled.verdict != Verdict::ok)
    for (BenchTime& time : result.times) time.reason = sampled.reason;
  for (std::size_t i = 1; i < samples.size(); ++i)
    if (!samples[0].empty() && !samples[i].empty())
      result.times[i].ratio = ratio_of_medians(samples[i], samples[0]);
  return result;
}

double geometric_mean(const std::vector<double>& values) {
  if (values.empty()) return 0;
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace mla
