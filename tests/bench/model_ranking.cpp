// What today's model is worth beside measurements: of each record, how well its times rank
// variants, and how much slower than the best is what it puts first.
//
//   model_ranking [RECORD.json.zst...]      prints a Markdown table; without names all of
//   tests/data
//
// A record's own predictions are those of the model that wrote it; `now` are this one's. A rank
// correlation is Spearman's, over the variants of a problem; of variants with equal predictions the
// middle one counts as first.

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/params.hpp"
#include "tuner/model.hpp"
#include "tuner/record.hpp"

namespace mla {
namespace {

struct Trial {
  double measured, recorded, now;
};

double middle(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  return values[values.size() / 2];
}

// Of each problem, in the order of the record.
std::map<int, std::vector<Trial>> trials_of(const std::string& path, const std::string& configs) {
  std::ifstream file(path, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(file), {}};
  const Record record = decode_record(bytes);
  const Arch arch = load_arch(configs, record.arch);
  std::map<int, std::vector<Trial>> problems;
  for (const RecordRow& row : record.rows) {
    if (row.round != Round::search || row.verdict != Verdict::ok) continue;
    const RecordVariant& variant = record.variants[static_cast<std::size_t>(row.variant)];
    const Prediction now = predict(arch, record.problems[static_cast<std::size_t>(row.problem)],
                                   variant_launch(variant.params),
                                   record.codes[static_cast<std::size_t>(variant.code)]);
    problems[row.problem].push_back(
        {middle({row.samples_us.begin(), row.samples_us.end()}), row.predicted_us, now.total_us});
  }
  return problems;
}

// The mean rank of equals.
std::vector<double> ranks(const std::vector<Trial>& trials, double Trial::*of) {
  std::vector<std::size_t> order(trials.size());
  std::iota(order.begin(), order.end(), 0);
  std::sort(order.begin(), order.end(),
            [&](std::size_t a, std::size_t b) { return trials[a].*of < trials[b].*of; });
  std::vector<double> rank(trials.size());
  for (std::size_t from = 0, to = 0; from < order.size(); from = to) {
    while (to < order.size() && trials[order[to]].*of == trials[order[from]].*of) ++to;
    for (std::size_t i = from; i < to; ++i) rank[order[i]] = double(from + to - 1) / 2;
  }
  return rank;
}

double correlation(const std::vector<double>& a, const std::vector<double>& b) {
  const double mean = double(a.size() - 1) / 2;
  double both = 0, first = 0, second = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    both += (a[i] - mean) * (b[i] - mean);
    first += (a[i] - mean) * (a[i] - mean);
    second += (b[i] - mean) * (b[i] - mean);
  }
  return first == 0 || second == 0 ? 0 : both / std::sqrt(first * second);
}

void print_row(const std::string& name, const std::map<int, std::vector<Trial>>& problems,
               const char* whose, double Trial::*predicted) {
  std::vector<double> correlations;
  double first = 0, worst = 1, five = 0;
  for (auto [problem, trials] : problems) {
    correlations.push_back(correlation(ranks(trials, predicted), ranks(trials, &Trial::measured)));
    std::stable_sort(trials.begin(), trials.end(),
                     [&](const Trial& a, const Trial& b) { return a.*predicted < b.*predicted; });
    double best = trials.front().measured, of_five = best;
    std::vector<double> firsts;
    for (std::size_t i = 0; i < trials.size(); ++i) {
      best = std::min(best, trials[i].measured);
      if (i < 5) of_five = std::min(of_five, trials[i].measured);
      if (trials[i].*predicted == trials.front().*predicted) firsts.push_back(trials[i].measured);
    }
    first += std::log(middle(firsts) / best);
    worst = std::max(worst, middle(firsts) / best);
    five += std::log(of_five / best);
  }
  const double count = double(problems.size());
  fmt::print("| {} | {} | {} | {:.2f} | {:.2f} | {:.3f} | {:.2f} | {:.3f} |\n", name, whose,
             problems.size(), middle(correlations), *std::ranges::min_element(correlations),
             std::exp(first / count), worst, std::exp(five / count));
}

}  // namespace
}  // namespace mla

int main(int argc, char** argv) {
  std::vector<std::string> paths(argv + 1, argv + argc);
  if (paths.empty()) {
    for (const auto& entry : std::filesystem::directory_iterator(MLA_TEST_DATA))
      if (entry.path().extension() == ".zst") paths.push_back(entry.path());
    std::sort(paths.begin(), paths.end());
  }
  fmt::print(
      "| record | model | problems | rank correlation, median | least | first, x best | worst | of "
      "five |\n|---|---|--:|--:|--:|--:|--:|--:|\n");
  for (const std::string& path : paths) {
    const std::string name = std::filesystem::path(path).filename();
    const auto problems = mla::trials_of(path, MLA_CONFIGS);
    mla::print_row(name, problems, "then", &mla::Trial::recorded);
    mla::print_row(name, problems, "now", &mla::Trial::now);
  }
}
