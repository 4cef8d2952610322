#include "tuner/measure.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <thread>
#include <utility>

#include "kernels/params.hpp"
#include "kernels/reference.hpp"

namespace mla {
namespace {

// Keys times heads times tokens of one case: what the host device computes in about a second.
constexpr double kCaseWork = 50e3;

// Keys per token in one scope that let each wave of each of `parts` splits see `tiles` tiles.
int enough_keys(const Config& c, int parts, int tiles, double at_most) {
  const int waves = c.wave_split == WaveSplit::keys ? c.waves : 1;
  const double wanted = double(c.block_k) * waves * parts * tiles;
  // Not a multiple of anything: the last tile is never full.
  return std::max(7, static_cast<int>(std::min(wanted, at_most)) - 5);
}

// The percentile bootstrap, from a fixed seed: launch times are skewed, so no formula for a normal
// mean applies.
constexpr std::size_t kResamples = 1000;

class Bootstrap {
 public:
  // Of as many values, drawn with replacement.
  double median(const std::vector<double>& values) {
    resample_.resize(values.size());
    for (double& value : resample_) {
      state_ = state_ * 6364136223846793005u + 1442695040888963407u;
      value = values[static_cast<std::size_t>(state_ >> 33) % values.size()];
    }
    return median_of(resample_);
  }

 private:
  std::uint64_t state_ = 1;
  std::vector<double> resample_;
};

// What 2.5 % lie below, and above; of kResamples.
std::pair<double, double> middle_95(std::vector<double>& values) {
  std::ranges::sort(values);
  return {values[kResamples / 40], values[kResamples - 1 - kResamples / 40]};
}

}  // namespace

std::vector<CheckCase> check_cases(const ProblemRecord& problem, const Launch& launch,
                                   std::uint64_t seed) {
  const Config& c = launch.config;
  const Splits& s = launch.splits;
  const bool has_extra = problem.extra_len > 0;
  const double keys = kCaseWork / std::max(16, problem.num_heads);

  CheckCase walk;
  walk.problem = problem;
  walk.problem.num_tokens = 1;
  walk.problem.lengths = "uniform";
  walk.problem.warm_cache = false;
  const int tiles = c.prefetch + 1;
  const int main_parts =
      s.split_main == 0 && !has_extra ? s.split_extra : std::max(1, s.split_main);
  walk.problem.main_len = enough_keys(c, main_parts, tiles, has_extra ? keys / 3 : keys);
  if (has_extra)
    walk.problem.extra_len = enough_keys(c, s.split_extra, tiles, keys - walk.problem.main_len);
  walk.inputs.seed = seed;
  walk.inputs.invalid_fraction = 0.05;
  walk.inputs.duplicate_fraction = 0.05;

  CheckCase trouble = walk;
  trouble.problem.num_tokens = 5;
  trouble.problem.lengths = "ragged";
  trouble.problem.main_len = std::min(2 * c.block_k + 3, static_cast<int>(keys / 8));
  if (has_extra)
    trouble.problem.extra_len = std::min(3 * c.block_k + 1, static_cast<int>(keys / 8));
  trouble.inputs.seed = seed + 1;
  trouble.inputs.sink_infinities = true;
  trouble.inputs.invalid_fraction = 0.15;
  trouble.inputs.poisoned_fraction = 0.2;
  trouble.inputs.empty_rows = true;
  return {walk, trouble};
}

std::string check_class(const ProblemRecord& p, const Launch& launch) {
  return fmt::format("{} heads {} pages {} {} formats {} {} {}", variant_params(launch),
                     p.num_heads, p.main_page, p.extra_page, p.main_format, p.extra_format,
                     p.extra_len > 0);
}

CheckResult check(Runner& runner, const std::string& decode, const std::string& reduce,
                  const Launch& launch, const std::vector<CheckCase>& cases,
                  const Tolerance& tolerance, double deadline_seconds) {
  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  CheckResult result;
  for (const CheckCase& one : cases) {
    const ProblemData data = make_inputs(one.problem, one.inputs);
    RunResult run = runner.run(decode, reduce, launch, data, deadline_seconds);
    result.verdict = run.verdict;
    result.reason = std::move(run.reason);
    if (run.verdict == Verdict::ok) {
      const Comparison seen = compare(run.output, compute_reference(data, threads), tolerance);
      if (std::isfinite(seen.max_error))
        result.max_error = std::max(result.max_error, seen.max_error);
      if (std::isfinite(seen.cosine_gap))
        result.cosine_gap = std::max(result.cosine_gap, seen.cosine_gap);
      if (!seen.ok) {
        result.verdict = Verdict::wrong_result;
        result.reason = seen.reason;
      }
    }
    if (result.verdict == Verdict::ok) continue;
    result.reason += fmt::format(" ({} tokens, {} + {} keys, {} lengths, seed {})",
                                 one.problem.num_tokens, one.problem.main_len,
                                 one.problem.extra_len, one.problem.lengths, one.inputs.seed);
    return result;
  }
  return result;
}

double median_of(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  if (values.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(values.begin(), middle)) / 2;
}

Interval median_interval(std::vector<float> samples_us) {
  if (samples_us.empty()) return {};
  std::ranges::sort(samples_us);
  const auto n = samples_us.size();
  // The k-th smallest is above the median with P(Binomial(n, 1/2) < k), and may be with 2.5 %.
  double term = std::pow(0.5, static_cast<double>(n));
  double below = term;
  std::size_t k = 1;
  while (k < n / 2) {
    term *= static_cast<double>(n - k + 1) / static_cast<double>(k);
    if (below + term > 0.025) break;
    below += term;
    ++k;
  }
  return {samples_us[k - 1], samples_us[n - k]};
}

Summary summarise(const std::vector<float>& samples_us) {
  Summary summary;
  if (samples_us.empty()) return summary;
  const std::vector<double> values(samples_us.begin(), samples_us.end());
  summary.median_us = median_of(values);
  std::vector<double> deviations;
  for (const double value : values) deviations.push_back(std::fabs(value - summary.median_us));
  summary.mad_us = median_of(deviations);
  const auto [low, high] = std::ranges::minmax(values);
  summary.ci_low_us = low;
  summary.ci_high_us = high;
  if (values.size() < 3) return summary;

  Bootstrap bootstrap;
  std::vector<double> medians;
  for (std::size_t n = 0; n < kResamples; ++n) medians.push_back(bootstrap.median(values));
  const auto [from, to] = middle_95(medians);
  summary.ci_low_us = from;
  summary.ci_high_us = to;
  return summary;
}

Ratio ratio_of_medians(const std::vector<float>& a, const std::vector<float>& b) {
  const std::vector<double> over(a.begin(), a.end()), under(b.begin(), b.end());
  Bootstrap bootstrap;
  std::vector<double> ratios;
  for (std::size_t n = 0; n < kResamples; ++n)
    ratios.push_back(bootstrap.median(over) / bootstrap.median(under));
  const auto [low, high] = middle_95(ratios);
  return {median_of(over) / median_of(under), low, high};
}

}  // namespace mla
