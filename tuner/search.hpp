#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "kernels/device.hpp"
#include "tuner/arch.hpp"
#include "tuner/space.hpp"

// What to try next, as pure functions of what is known: the same knowledge and seed give the same
// answer, so that a run that was killed takes up its own plan.

namespace mla {

// Makes the points of one space what kernels are launched with.
class PointReader {
 public:
  // Throws Error{usage} naming a field of Launch that is no parameter of the space.
  explicit PointReader(const Space& space);
  // A code point leaves splits and reduce zero.
  Launch operator()(const Point& point) const;

 private:
  std::vector<std::size_t> places_;  // of the fields of Launch, in for_each order
};

// Which code points are likely to be usable, judged by those that were tried: each parameter's
// value speaks for or against a point by how often points with it were usable (naive Bayes).
class Odds {
 public:
  void add(const Point& point, bool usable);
  // Whether a point is not much more likely to be refused than not. Every point is, as long as none
  // was usable.
  bool promise(const Point& point) const;

 private:
  struct Count {
    double usable = 0;
    double refused = 0;
  };
  Count all_;
  std::map<std::pair<std::size_t, int>, Count> by_value_;
};

// The next `count` code points of a diverse sample, `tried` being what it has so far; each can be
// launched, and none is in `tried`. Every value of every parameter that any such point has comes
// first; then values occur as evenly as the constraints let them. Beyond the values' first
// occurrences only `promising` points are taken.
std::vector<Point> spread(const Space& space, const std::vector<Point>& tried, std::size_t count,
                          std::uint64_t seed, const std::function<bool(const Point&)>& promising);

// Up to `count` code points not in `known`, each differing from one of `best` (best first, which
// take turns) in one parameter, or where that is exhausted in two. Promising ones only.
std::vector<Point> neighbours(const Space& space, const std::vector<Point>& best,
                              const std::set<Point>& known, std::size_t count, std::uint64_t seed,
                              const std::function<bool(const Point&)>& promising);

// How a code may be launched.
struct LaunchChoice {
  Splits splits;
  ReduceConfig reduce;
};
std::vector<LaunchChoice> launch_choices(const Space& space, const PointReader& reader,
                                         const Point& code);

// One way to launch one of the codes that compiled, with its predicted time.
struct Candidate {
  std::size_t code = 0;
  Launch launch = {};
  double predicted_us = 0;
};

using ReduceId = std::pair<int, int>;  // block_h, waves
inline ReduceId reduce_id(const ReduceConfig& config) { return {config.block_h, config.waves}; }

// The best `count` launches of a code for a problem, by predicted time and then by place in
// `choices`; one for each Splits that works differently. Choices with an excluded reduce kernel are
// left out where there is something to reduce.
std::vector<Candidate> best_launches(const Arch& arch, const ProblemRecord& problem,
                                     std::size_t code, const Config& config,
                                     const Resources& resources,
                                     const std::vector<LaunchChoice>& choices, std::size_t count,
                                     const std::set<ReduceId>& excluded);

// Of candidates sorted by time at most `count`: the best half, rounded up, and as many spread
// evenly over the others. All of them where there are no more.
std::vector<Candidate> some_launches(const std::vector<Candidate>& sorted, std::size_t count);

// The codes (below `codes`) whose neighbourhoods deserve a look, best first, at most `count`: first
// the best of each problem, then by the geometric mean over the problems of predicted time over
// that problem's best. Each problem's candidates are sorted by time.
std::vector<std::size_t> best_codes(const std::vector<std::vector<Candidate>>& by_problem,
                                    std::size_t codes, std::size_t count);

}  // namespace mla
