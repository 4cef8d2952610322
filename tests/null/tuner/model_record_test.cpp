// What the model puts first, held against what an H200 measured.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "kernels/params.hpp"
#include "tuner/measure.hpp"
#include "tuner/model.hpp"
#include "tuner/record.hpp"

namespace mla {
namespace {

struct Trial {
  double predicted;
  double measured;
};

// How many times the best variant's time that takes which the model puts first, of each problem. Of
// equal predictions the slowest counts.
std::vector<double> price_of_the_first(const std::string& name) {
  const std::string source = MLA_SOURCE;
  std::ifstream file(source + "/tests/data/" + name, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const Record record = decode_record(bytes);
  const Arch arch = load_arch(source + "/configs", record.arch);
  std::map<int, std::vector<Trial>> problems;
  for (const RecordRow& row : record.rows) {
    if (row.round != Round::search || row.verdict != Verdict::ok) continue;
    const RecordVariant& variant = record.variants[static_cast<std::size_t>(row.variant)];
    const Prediction p = predict(arch, record.problems[static_cast<std::size_t>(row.problem)],
                                 variant_launch(variant.params),
                                 record.codes[static_cast<std::size_t>(variant.code)]);
    problems[row.problem].push_back(
        {p.total_us, median_of({row.samples_us.begin(), row.samples_us.end()})});
  }
  std::vector<double> prices;
  for (const auto& [problem, trials] : problems) {
    double least = HUGE_VAL, first = 0, best = HUGE_VAL;
    for (const Trial& t : trials) {
      best = std::min(best, t.measured);
      if (t.predicted > least) continue;
      first = t.predicted < least ? t.measured : std::max(first, t.measured);
      least = t.predicted;
    }
    prices.push_back(first / best);
  }
  return prices;
}

double geometric_mean(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += std::log(value);
  return std::exp(sum / static_cast<double>(values.size()));
}

// Of variants that were chosen by hand for being good: 29 code objects by 8 launches.
TEST(ModelOnRecords, PutsFirstWhatIsNearlyTheBestOfGoodVariants) {
  const std::vector<double> prices = price_of_the_first("sm_90_h200_rows.json.zst");
  ASSERT_GE(prices.size(), 24u);
  EXPECT_LT(geometric_mean(prices), 1.03);
  EXPECT_LT(*std::ranges::max_element(prices), 1.15);
}

// Of 750 variants spread over the whole space, good and bad.
TEST(ModelOnRecords, TellsGoodFromBadOverTheWholeSpace) {
  const std::vector<double> prices = price_of_the_first("sm_90_h200.json.zst");
  ASSERT_GE(prices.size(), 24u);
  EXPECT_LT(geometric_mean(prices), 1.1);
  EXPECT_LT(*std::ranges::max_element(prices), 1.3);
}

}  // namespace
}  // namespace mla
