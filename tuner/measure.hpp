#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/compare.hpp"
#include "kernels/device.hpp"

namespace mla {

// A small problem on which a variant shows that it is right.
struct CheckCase {
  ProblemRecord problem;
  InputOptions inputs;
};

// What a variant must get right before it is timed for `problem`, or before it may win without ever
// being timed: with the problem's heads, pages and formats and the variant's own splits,
//   - lists long enough that waves come round their pipeline, some slots invalid, some twice;
//   - ragged lists that end inside a tile, empty rows, splits without work, rows that hold NaN,
//     infinite sinks.
// A function of the arguments alone. Equal for problems that differ in tokens and lengths only, so
// that a check can stand for all of them.
std::vector<CheckCase> check_cases(const ProblemRecord& problem, const Launch& launch,
                                   std::uint64_t seed);

// Names what check_cases() depends on, the seed aside: equal names, equal cases.
std::string check_class(const ProblemRecord& problem, const Launch& launch);

struct CheckResult {
  Verdict verdict = Verdict::ok;  // or wrong_result, launch_failed, timed_out, crashed
  std::string reason;             // empty when ok
  double max_error = -1;          // the worst of the cases; -1: none ran
  double cosine_gap = -1;
};

// Runs the cases on a device until one fails. `decode` and `reduce` as Runner::run() takes them.
CheckResult check(Runner& runner, const std::string& decode, const std::string& reduce,
                  const Launch& launch, const std::vector<CheckCase>& cases,
                  const Tolerance& tolerance, double deadline_seconds);

// An interval that holds the median with 95 %, whatever the distribution: between two order
// statistics (the sign test). With fewer than 6 samples none is that sure, and it is their range;
// of no samples {0, 0}. Cheap, for use while sampling.
struct Interval {
  double low = 0;
  double high = 0;
};
Interval median_interval(std::vector<float> samples_us);

double median_of(std::vector<double> values);  // of at least one

// What samples come to. The interval is of 95 % for the median, by 1000 bootstrap resamples from a
// fixed seed; with fewer than 3 samples it is their range.
struct Summary {
  double median_us = 0;
  double mad_us = 0;  // median absolute deviation from the median
  double ci_low_us = 0;
  double ci_high_us = 0;
};
Summary summarise(const std::vector<float>& samples_us);

// The median of `a` over that of `b`, and an interval of 95 % by the same bootstrap. Neither may be
// empty.
struct Ratio {
  double value = 0;
  double low = 0;
  double high = 0;
};
Ratio ratio_of_medians(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace mla
