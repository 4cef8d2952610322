#include "reports/statistics.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/random.hpp"

namespace mla {
namespace {

constexpr std::size_t kExactProduct = 1600;

struct Ranks {
  double sum_of_a = 0;
  double tie_term = 0;  // sum of t^3 - t over groups of t equal values
};

// Equal values share the mean of their ranks.
Ranks rank(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<std::pair<double, bool>> all;  // value, whether of a
  for (const double value : a) all.emplace_back(value, true);
  for (const double value : b) all.emplace_back(value, false);
  std::ranges::sort(all);
  Ranks ranks;
  for (std::size_t from = 0; from < all.size();) {
    std::size_t to = from;
    while (to < all.size() && all[to].first == all[from].first) ++to;
    const double shared = static_cast<double>(from + 1 + to) / 2;
    const auto ties = static_cast<double>(to - from);
    ranks.tie_term += ties * ties * ties - ties;
    for (std::size_t i = from; i < to; ++i)
      if (all[i].second) ranks.sum_of_a += shared;
    from = to;
  }
  return ranks;
}

// P(U <= u) where all orders of n and m values are equally likely. Probabilities of U over orders
// of i and j values obey p(i, j, u) = (i p(i - 1, j, u - j) + j p(i, j - 1, u)) / (i + j).
double exact_tail(std::size_t n, std::size_t m, std::size_t u) {
  std::vector<std::vector<double>> row(m + 1);  // of i - 1, then of i
  for (std::size_t j = 0; j <= m; ++j) row[j] = {1};
  for (std::size_t i = 1; i <= n; ++i) {
    std::vector<std::vector<double>> next(m + 1);
    next[0] = {1};
    for (std::size_t j = 1; j <= m; ++j) {
      std::vector<double>& p = next[j];
      p.assign(std::min(i * j, u) + 1, 0);
      const double all = static_cast<double>(i + j);
      for (std::size_t k = 0; k < p.size(); ++k) {
        if (k >= j && k - j < row[j].size()) p[k] += static_cast<double>(i) / all * row[j][k - j];
        if (k < next[j - 1].size()) p[k] += static_cast<double>(j) / all * next[j - 1][k];
      }
    }
    row = std::move(next);
  }
  return std::accumulate(row[m].begin(), row[m].end(), 0.0);
}

double resampled_median(const std::vector<double>& values, Random& draws,
                        std::vector<double>& scratch) {
  scratch.resize(values.size());
  for (double& value : scratch) value = values[draws.below(values.size())];
  const auto middle = scratch.begin() + static_cast<std::ptrdiff_t>(scratch.size() / 2);
  std::nth_element(scratch.begin(), middle, scratch.end());
  if (scratch.size() % 2 == 1) return *middle;
  return (*middle + *std::max_element(scratch.begin(), middle)) / 2;
}

}  // namespace

MannWhitney mann_whitney(const std::vector<double>& a, const std::vector<double>& b) {
  const Ranks ranks = rank(a, b);
  const auto n = static_cast<double>(a.size()), m = static_cast<double>(b.size());
  MannWhitney result;
  result.u = ranks.sum_of_a - n * (n + 1) / 2;
  const double smaller = std::min(result.u, n * m - result.u);
  if (ranks.tie_term == 0 && a.size() * b.size() <= kExactProduct) {
    result.exact = true;
    const auto whole = static_cast<std::size_t>(std::llround(smaller));
    result.p_value = std::min(1.0, 2 * exact_tail(a.size(), b.size(), whole));
    return result;
  }
  const double all = n + m;
  const double variance = n * m / 12 * (all + 1 - ranks.tie_term / (all * (all - 1)));
  if (variance <= 0) return result;  // all values are equal
  const double z = std::max(0.0, n * m / 2 - smaller - 0.5) / std::sqrt(variance);
  result.p_value = std::erfc(z / std::sqrt(2.0));
  return result;
}

MedianRatio median_ratio(const std::vector<double>& over, const std::vector<double>& under,
                         double confidence, std::size_t resamples, std::uint64_t seed) {
  Random draws(seed);
  std::vector<double> ratios, scratch;
  ratios.reserve(resamples);
  for (std::size_t i = 0; i < resamples; ++i) {
    const double top = resampled_median(over, draws, scratch);
    ratios.push_back(top / resampled_median(under, draws, scratch));
  }
  std::ranges::sort(ratios);
  const auto outside =
      static_cast<std::size_t>(static_cast<double>(resamples) * (1 - confidence) / 2);
  return {sample_median(over) / sample_median(under), ratios[outside],
          ratios[resamples - 1 - outside]};
}

double sample_median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double geometric_mean_of(const std::vector<double>& values) {
  if (values.empty()) return 1;
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

}  // namespace mla
