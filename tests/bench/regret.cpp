#include "tests/bench/regret.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <map>
#include <set>
#include <tuple>
#include <type_traits>

#include "kernels/dispatch_shape.hpp"
#include "kernels/params.hpp"

namespace mla::regret {
namespace {

double median(std::vector<float> samples) {
  std::ranges::sort(samples);
  const std::size_t n = samples.size();
  return (static_cast<double>(samples[(n - 1) / 2]) + static_cast<double>(samples[n / 2])) / 2;
}

bool same(const Config& a, const Config& b) {
  static_assert(std::has_unique_object_representations_v<Config>);
  return std::memcmp(&a, &b, sizeof a) == 0;
}

// What of the splits makes a difference for a problem.
std::tuple<int, int, int> at_work(const Splits& s, bool has_extra) {
  const int total = total_splits(s, has_extra);
  const int extra = has_extra || s.split_main == 0 ? s.split_extra : 0;
  return {s.split_main, extra, total == 1 ? 0 : static_cast<int>(s.split_map)};
}

// Tiles of the split that takes longest.
int longest(const Launch& launch, const Query& q) {
  const auto ceil_div = [](int a, int b) { return (a + b - 1) / b; };
  const Splits& s = launch.splits;
  const int main = ceil_div(q.main_len, launch.config.block_k);
  const int extra = ceil_div(q.extra_len, launch.config.block_k);
  if (s.split_main == 0) return std::max(1, ceil_div(main + extra, s.split_extra));
  return std::max({1, ceil_div(main, s.split_main), ceil_div(extra, s.split_extra)});
}

// Farther than that a time says nothing of another number of splits: a factor of 1.5.
constexpr double kMostOff = 0.585;

}  // namespace

std::string_view name(Held held) {
  switch (held) {
    case Held::tokens:
      return "tokens";
    case Held::length:
      return "length";
    case Held::both:
      return "both";
    case Held::no:
      break;
  }
  return "no";
}

std::vector<Truth> truths(const Record& record) {
  std::vector<Launch> launches;
  for (const RecordVariant& variant : record.variants)
    launches.push_back(variant_launch(variant.params));
  std::vector<Truth> all(record.problems.size());
  std::vector<double> final_us(all.size(), std::numeric_limits<double>::infinity());
  for (const RecordRow& row : record.rows) {
    if (row.verdict != Verdict::ok || row.samples_us.empty()) continue;
    const auto p = static_cast<std::size_t>(row.problem);
    const Launch& launch = launches[static_cast<std::size_t>(row.variant)];
    const double us = median(row.samples_us);
    if (row.round == Round::search) all[p].times.push_back({launch, us});
    if (row.round == Round::final && us < final_us[p]) {
      final_us[p] = us;
      all[p].winner = launch;
    }
  }
  for (std::size_t p = 0; p < all.size(); ++p) {
    Truth& truth = all[p];
    truth.problem = record.problems[p];
    truth.query = canonical(query_of(truth.problem));
    if (truth.times.empty()) continue;
    const Timed& best = *std::ranges::min_element(truth.times, {}, &Timed::us);
    truth.best_us = best.us;
    if (std::isinf(final_us[p])) truth.winner = best.launch;
  }
  std::erase_if(all, [](const Truth& truth) { return truth.times.empty(); });
  return all;
}

std::vector<Held> hold_out(const std::vector<Truth>& truths, const From& from) {
  // Every other one of the values that a field takes among the problems of one kind is held out.
  const auto every_other = [&](auto kind, auto field, bool smallest) {
    std::map<decltype(kind(truths[0].query)), std::set<int>> values;
    for (const Truth& t : truths) values[kind(t.query)].insert(field(t.query));
    std::vector<bool> held;
    for (const Truth& t : truths) {
      const std::set<int>& of_kind = values[kind(t.query)];
      const auto place = std::distance(of_kind.begin(), of_kind.find(field(t.query)));
      held.push_back(of_kind.size() > 1 && place % 2 == (smallest ? 0 : 1));
    }
    return held;
  };
  const auto main_kind = [](const Query& q) { return std::pair(class_of(q), q.main_page); };
  const auto extra_kind = [](const Query& q) { return std::pair(class_of(q), q.extra_page); };
  const auto tokens = every_other(
      class_of, [](const Query& q) { return q.tokens; }, from.smallest_tokens);
  const auto main = every_other(
      main_kind, [](const Query& q) { return q.main_len; }, from.smallest_length);
  const auto extra = every_other(
      extra_kind, [](const Query& q) { return q.extra_len; }, from.smallest_length);
  std::vector<Held> held;
  for (std::size_t i = 0; i < truths.size(); ++i) {
    const bool length = main[i] || extra[i];
    held.push_back(tokens[i] && length ? Held::both
                   : tokens[i]         ? Held::tokens
                   : length            ? Held::length
                                       : Held::no);
  }
  return held;
}

Score score(const Truth& truth, const Launch& launch) {
  const bool has_extra = truth.query.extra_len > 0;
  const int splits = total_splits(launch.splits, has_extra);
  const auto wanted = at_work(launch.splits, has_extra);
  const auto ratio = [](int a, int b) {
    return std::abs(std::log2(static_cast<double>(a) / static_cast<double>(b)));
  };
  const int longest_wanted = longest(launch, truth.query);
  Score best;
  auto least = std::tuple(1e9, 1e9, 1e9, true, true);
  for (const Timed& timed : truth.times) {
    if (!same(timed.launch.config, launch.config)) continue;
    const Splits& s = timed.launch.splits;
    const auto has = at_work(s, has_extra);
    const int its_splits = total_splits(s, has_extra);
    const bool other_reduce = splits > 1 && its_splits > 1 &&
                              (timed.launch.reduce.block_h != launch.reduce.block_h ||
                               timed.launch.reduce.waves != launch.reduce.waves);
    const double off = std::max(ratio(longest(timed.launch, truth.query), longest_wanted),
                                ratio(its_splits, splits));
    const auto distance = std::tuple(off, ratio(its_splits, splits),
                                     ratio(std::get<0>(has) + 1, std::get<0>(wanted) + 1),
                                     std::get<2>(has) != std::get<2>(wanted), other_reduce);
    if (off > kMostOff || distance >= least) continue;
    least = distance;
    best = {timed.us,
            has != wanted  ? Found::near
            : other_reduce ? Found::reduce
                           : Found::measured,
            off};
  }
  return best;
}

}  // namespace mla::regret
