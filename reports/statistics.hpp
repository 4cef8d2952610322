#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace mla {

// The rank-sum test of Mann and Whitney (1947): whether values of one list tend to be larger than
// those of another. Two-sided. Exact where there are no ties and the product of the sizes is at
// most 1600, else the normal approximation with the corrections for ties and continuity.
struct MannWhitney {
  double u = 0;        // pairs in which the value of `a` is the larger; a tie counts a half
  double p_value = 1;  // of at least so uneven ranks by chance, were both lists of one distribution
  bool exact = false;
};
// Neither may be empty.
MannWhitney mann_whitney(const std::vector<double>& a, const std::vector<double>& b);

// The median of `over` over that of `under`, with the percentile bootstrap's interval: medians of
// `resamples` lists drawn with replacement, both sides anew each time. A function of its arguments
// alone. Neither may be empty; values are positive.
struct MedianRatio {
  double value = 1;
  double low = 1;
  double high = 1;
};
MedianRatio median_ratio(const std::vector<double>& over, const std::vector<double>& under,
                         double confidence = 0.95, std::size_t resamples = 2000,
                         std::uint64_t seed = 1);

// Of at least one value.
double sample_median(std::vector<double> values);

// Of positive values; 1 of none.
double geometric_mean_of(const std::vector<double>& values);

}  // namespace mla
