#include "tuner/search.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <tuple>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "kernels/random.hpp"
#include "tuner/model.hpp"

namespace mla {
namespace {

bool can_be_launched(const Space& space, const Point& code) {
  return space.refusal(code) == nullptr && !space.launch_points(code).empty();
}

// How often each value of each parameter was taken.
class Balance {
 public:
  explicit Balance(const Space& space) : space_(space) {}

  // Smaller: its values are rarer among what was taken.
  double crowding(const Point& point) const {
    double sum = 0;
    for (std::size_t i = 0; i < point.size(); ++i) {
      const auto taken = taken_.find({i, point[i]});
      if (taken == taken_.end()) continue;
      sum += taken->second * static_cast<double>(space_.parameters()[i].values.size());
    }
    return sum;
  }
  bool covers(const Point& point) const {
    for (std::size_t i = 0; i < point.size(); ++i)
      if (!taken_.contains({i, point[i]})) return true;
    return false;
  }
  void take(const Point& point) {
    for (std::size_t i = 0; i < point.size(); ++i) ++taken_[{i, point[i]}];
  }

 private:
  const Space& space_;
  std::map<std::pair<std::size_t, int>, int> taken_;
};

constexpr std::size_t kLookedAt = 48;  // points that compete for each place of the sample

}  // namespace

PointReader::PointReader(const Space& space) {
  const auto find = [&](const std::string& name) {
    const auto& all = space.parameters();
    const auto at = std::ranges::find(all, name, &Parameter::name);
    if (at == all.end())
      throw Error(
          ErrorKind::usage,
          fmt::format("the space of {} has no parameter '{}'; add it with at least one value",
                      space.kernel(), name));
    places_.push_back(static_cast<std::size_t>(at - all.begin()));
  };
  Launch launch{};
  for_each_config_field(launch.config, [&](const char* name, auto) { find(name); });
  for_each_splits_field(launch.splits, [&](const char* name, auto) { find(name); });
  for_each_reduce_field(launch.reduce,
                        [&](const char* name, auto) { find(std::string("reduce_") + name); });
}

Launch PointReader::operator()(const Point& point) const {
  Launch launch{};
  auto place = places_.begin();
  const auto read = [&](const char*, auto& field) {
    if (*place < point.size())
      field = static_cast<std::remove_reference_t<decltype(field)>>(point[*place]);
    ++place;
  };
  for_each_config_field(launch.config, read);
  for_each_splits_field(launch.splits, read);
  for_each_reduce_field(launch.reduce, read);
  return launch;
}

void Odds::add(const Point& point, bool usable) {
  (usable ? all_.usable : all_.refused) += 1;
  for (std::size_t i = 0; i < point.size(); ++i) {
    Count& count = by_value_[{i, point[i]}];
    (usable ? count.usable : count.refused) += 1;
  }
}

bool Odds::promise(const Point& point) const {
  if (all_.usable == 0) return true;  // nothing is known of what is usable
  // Half a point of each kind is taken to have been seen, so that a few outcomes do not decide.
  double odds = std::log((all_.usable + 0.5) / (all_.refused + 0.5));
  for (std::size_t i = 0; i < point.size(); ++i) {
    const auto at = by_value_.find({i, point[i]});
    if (at == by_value_.end()) continue;
    odds += std::log((at->second.usable + 0.5) / (all_.usable + 1)) -
            std::log((at->second.refused + 0.5) / (all_.refused + 1));
  }
  return odds > -1;
}

std::vector<Point> spread(const Space& space, const std::vector<Point>& tried, std::size_t count,
                          std::uint64_t seed, const std::function<bool(const Point&)>& promising) {
  std::vector<Point> points = space.code_points();
  Random random(seed);
  random.shuffle(points);
  Balance balance(space);
  for (const Point& point : tried) balance.take(point);
  const std::set<Point> known(tried.begin(), tried.end());
  std::erase_if(points, [&](const Point& point) { return known.contains(point); });

  std::vector<Point> sample;
  const auto try_take = [&](std::size_t at) {
    const Point point = points[at];
    points[at] = std::move(points.back());
    points.pop_back();
    if (space.launch_points(point).empty()) return;
    balance.take(point);
    sample.push_back(point);
  };
  // A point brings several values at once: few points cover all. Promising ones go first, so that
  // the others only bring what is theirs alone.
  for (const bool any : {false, true}) {
    for (std::size_t at = 0; at < points.size() && sample.size() < count;) {
      if (balance.covers(points[at]) && (any || promising(points[at])))
        try_take(at);
      else
        ++at;
    }
  }
  std::erase_if(points, [&](const Point& p) { return !promising(p); });
  while (sample.size() < count && !points.empty()) {
    std::size_t best = random.below(points.size());
    for (std::size_t n = 1; n < kLookedAt; ++n) {
      const std::size_t other = random.below(points.size());
      if (balance.crowding(points[other]) < balance.crowding(points[best])) best = other;
    }
    try_take(best);
  }
  return sample;
}

std::vector<Point> neighbours(const Space& space, const std::vector<Point>& best,
                              const std::set<Point>& known, std::size_t count, std::uint64_t seed,
                              const std::function<bool(const Point&)>& promising) {
  std::set<Point> seen = known;
  std::vector<Point> found;
  const auto changes = [&](const Point& from) {
    std::vector<Point> all;
    for (std::size_t i = 0; i < from.size(); ++i) {
      for (const int value : space.parameters()[i].values) {
        if (value == from[i]) continue;
        all.push_back(from);
        all.back()[i] = value;
      }
    }
    return all;
  };
  for (const int distance : {1, 2}) {
    std::vector<std::vector<Point>> lists;
    for (std::size_t b = 0; b < best.size() && found.size() < count; ++b) {
      std::vector<Point> list = changes(best[b]);
      if (distance == 2) {
        std::vector<Point> further;
        for (const Point& near : list) {
          const std::vector<Point> more = changes(near);
          further.insert(further.end(), more.begin(), more.end());
        }
        list = std::move(further);
      }
      Random random(seed + 1000 * static_cast<std::uint64_t>(distance) + b);
      random.shuffle(list);
      lists.push_back(std::move(list));
    }
    for (bool more = true; more && found.size() < count;) {
      more = false;
      for (std::vector<Point>& list : lists) {
        while (!list.empty() && found.size() < count) {
          Point point = std::move(list.back());
          list.pop_back();
          if (seen.contains(point) || !promising(point) || !can_be_launched(space, point)) continue;
          seen.insert(point);
          found.push_back(std::move(point));
          more = true;
          break;
        }
      }
    }
  }
  return found;
}

std::vector<LaunchChoice> launch_choices(const Space& space, const PointReader& reader,
                                         const Point& code) {
  std::vector<LaunchChoice> choices;
  for (const Point& point : space.launch_points(code)) {
    const Launch launch = reader(point);
    choices.push_back({launch.splits, launch.reduce});
  }
  return choices;
}

std::vector<Candidate> best_launches(const Arch& arch, const ProblemRecord& problem,
                                     std::size_t code, const Config& config,
                                     const Resources& resources,
                                     const std::vector<LaunchChoice>& choices, std::size_t count,
                                     const std::set<ReduceId>& excluded) {
  using Id = std::tuple<int, int, int, int>;
  std::map<Id, std::size_t> places;
  std::vector<Candidate> best;
  Id last{-1, -1, -1, -1};
  double decode_us = 0;
  std::size_t place = 0;
  for (const LaunchChoice& choice : choices) {
    const int splits = partials(config, choice.splits, problem.extra_len > 0);
    const bool reduces = splits > 1 && config.merge == Merge::kernel;
    if (splits < 1 || (reduces && excluded.contains(reduce_id(choice.reduce)))) continue;
    // Without an extra scope its splits change nothing, nor does an order of one group of heads.
    const bool groups = problem.num_heads > config.block_h;
    const bool extra = problem.extra_len > 0 || choice.splits.split_main == 0;
    const Id id{choice.splits.split_main, extra ? choice.splits.split_extra : 0,
                static_cast<int>(choice.splits.split_map),
                groups ? static_cast<int>(choice.splits.grid_order) : 0};
    if (id != last) {
      last = id;
      decode_us = predict_decode_us(arch, problem, config, choice.splits, resources) +
                  launches_us(arch, config, splits);
      const auto [at, is_new] = places.try_emplace(id, best.size());
      if (is_new) best.push_back({code, {config, choice.splits, choice.reduce}, 1e300});
      place = at->second;
    }
    const double total_us =
        decode_us + predict_merge_us(arch, problem, config, choice.reduce, splits);
    if (total_us < best[place].predicted_us)
      best[place] = {code, {config, choice.splits, choice.reduce}, total_us};
  }
  std::ranges::stable_sort(best, {}, &Candidate::predicted_us);
  if (best.size() > count) best.resize(count);
  return best;
}

std::vector<Candidate> some_launches(const std::vector<Candidate>& sorted, std::size_t count) {
  if (sorted.size() <= count) return sorted;
  const std::size_t best = (count + 1) / 2, others = count - best;
  std::vector<Candidate> some(sorted.begin(), sorted.begin() + static_cast<std::ptrdiff_t>(best));
  const std::size_t rest = sorted.size() - best;
  // The last of each stretch, so that the worst is there too.
  for (std::size_t i = 1; i <= others; ++i) some.push_back(sorted[best + i * rest / others - 1]);
  return some;
}

std::vector<std::size_t> best_codes(const std::vector<std::vector<Candidate>>& by_problem,
                                    std::size_t codes, std::size_t count) {
  std::vector<double> badness(codes, 0);
  std::vector<std::size_t> seen(codes, 0);
  std::vector<std::size_t> order;
  for (const std::vector<Candidate>& candidates : by_problem) {
    if (candidates.empty()) continue;
    order.push_back(candidates.front().code);
    std::set<std::size_t> once;
    for (const Candidate& candidate : candidates) {
      if (!once.insert(candidate.code).second) continue;
      badness[candidate.code] += std::log(candidate.predicted_us / candidates.front().predicted_us);
      ++seen[candidate.code];
    }
  }
  std::vector<std::size_t> rest;
  for (std::size_t code = 0; code < codes; ++code)
    if (seen[code] > 0) rest.push_back(code);
  std::ranges::stable_sort(
      rest, {}, [&](std::size_t code) { return badness[code] / static_cast<double>(seen[code]); });
  order.insert(order.end(), rest.begin(), rest.end());
  std::vector<std::size_t> unique;
  std::set<std::size_t> taken;
  for (const std::size_t code : order)
    if (unique.size() < count && taken.insert(code).second) unique.push_back(code);
  return unique;
}

}  // namespace mla
