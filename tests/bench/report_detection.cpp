// How often a report sees a slowdown that was planted, and how often one that was not: the verdicts
// of reports/verdict.hpp over times whose noise is that of a measured record.
//
//   report_detection [RECORD.json.zst]      prints a Markdown table
//
// Each repeat picks a row of a final round, draws a baseline and a candidate of as many samples as
// the row has from its samples, with replacement, and makes the candidate slower. Half of the table
// adds what a record of one run cannot show: that whole runs differ, by a factor drawn for each
// side (normal, 0.5 %: an assumption).

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

#include "reports/statistics.hpp"
#include "reports/verdict.hpp"
#include "tuner/record.hpp"

namespace mla {
namespace {

constexpr int kRepeats = 200;
constexpr double kRunToRun = 0.005;

using Samples = std::vector<float>;

std::vector<Samples> noisy_rows(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  std::vector<Samples> rows;
  for (RecordRow& row : decode_record(bytes).rows)
    if (row.round == Round::final && row.verdict == Verdict::ok)
      rows.push_back(std::move(row.samples_us));
  return rows;
}

// `noise`: times that of the record.
TimeSample drawn(const Samples& from, double noise, double factor, std::mt19937_64& random) {
  std::uniform_int_distribution<std::size_t> which(0, from.size() - 1);
  TimeSample sample{Evidence::measured, 0, {}};
  const double middle = sample_median({from.begin(), from.end()});
  std::vector<double> values;
  for (std::size_t i = 0; i < from.size(); ++i) {
    values.push_back((middle + noise * (from[which(random)] - middle)) * factor);
    sample.samples_us.push_back(static_cast<float>(values.back()));
  }
  sample.median_us = sample_median(values);
  return sample;
}

void print_row(const std::vector<Samples>& rows, double effect, double threshold, double noise,
               double drift) {
  std::mt19937_64 random(20261121);
  std::uniform_int_distribution<std::size_t> which(0, rows.size() - 1);
  std::normal_distribution<double> run(1, drift > 0 ? drift : 1);
  const auto factor = [&] { return drift > 0 ? run(random) : 1.0; };
  VerdictRules rules;
  rules.threshold = threshold;
  int regressed = 0, improved = 0, same = 0;
  for (int i = 0; i < kRepeats; ++i) {
    const Samples& row = rows[which(random)];
    const TimeSample before = drawn(row, noise, factor(), random);
    const TimeSample now = drawn(row, noise, factor() * (1 + effect), random);
    const Change change = compare_times(before, now, rules).change;
    regressed += change == Change::regressed;
    improved += change == Change::improved;
    same += change == Change::same;
  }
  const auto share = [](int count) { return 100.0 * count / kRepeats; };
  fmt::print("| {:g} % | {:g} % | {} | {:.1f} % | {:.1f} % | {:.1f} % | {:.1f} % |\n", 100 * effect,
             100 * threshold,
             fmt::format("{}{}", noise == 1 ? "recorded" : fmt::format("recorded x {:g}", noise),
                         drift > 0 ? ", runs 0.5 % apart" : ""),
             share(regressed), share(same), share(kRepeats - regressed - improved - same),
             share(improved));
}

}  // namespace
}  // namespace mla

int main(int argc, char** argv) {
  const std::vector<mla::Samples> rows =
      mla::noisy_rows(argc > 1 ? argv[1] : "tests/data/sm_90_h200.json.zst");
  std::vector<double> spreads, sizes;
  for (const mla::Samples& row : rows) {
    const std::vector<double> values(row.begin(), row.end());
    const double median = mla::sample_median(values);
    std::vector<double> off;
    for (const double value : values) off.push_back(std::abs(value - median) / median);
    spreads.push_back(1.4826 * mla::sample_median(off));
    sizes.push_back(static_cast<double>(row.size()));
  }
  fmt::print(
      "{} rows, median {:g} samples, median spread {:.2f} % (robust), largest {:.2f} %; {} "
      "repeats a line\n\n",
      rows.size(), mla::sample_median(sizes), 100 * mla::sample_median(spreads),
      100 * *std::max_element(spreads.begin(), spreads.end()), mla::kRepeats);
  fmt::print(
      "| planted | threshold | noise | regressed | same | inconclusive | improved |\n"
      "|--:|--:|---|--:|--:|--:|--:|\n");
  const std::pair<double, double> noises[] = {{1, 0}, {10, 0}, {1, mla::kRunToRun}};
  for (const auto& [noise, drift] : noises)
    for (const double threshold : {0.01, 0.03})
      for (const double effect : {0.0, 0.02, 0.05, 0.20})
        mla::print_row(rows, effect, threshold, noise, drift);
}
