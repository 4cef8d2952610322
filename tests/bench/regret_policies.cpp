// What answers a problem that was not tuned: the dispatcher, one config for all, peers' formulas.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <set>

#include "kernels/params.hpp"
#include "tests/bench/regret.hpp"

namespace mla::regret {
namespace {

constexpr int kListedSplits[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 32};

int ceil_div(int a, int b) { return (a + b - 1) / b; }

// What the formulas are about.
struct Load {
  int units;
  int workgroups;  // without splits
  int tiles;       // of a workgroup without splits

  Load(const Query& q, int block_h, int block_k, int compute_units)
      : units(compute_units),
        workgroups(q.tokens * ceil_div(q.heads, block_h)),
        tiles(std::max(1, ceil_div(q.main_len, block_k) + ceil_div(q.extra_len, block_k))) {}
  int waves(int splits) const { return ceil_div(workgroups * splits, units); }
  int iterations(int splits) const { return ceil_div(tiles, splits); }
  int fewest_alike(int splits) const {
    int fewest = splits;
    for (int s = splits - 1; s >= 1; --s)
      if (waves(s) == waves(splits) && iterations(s) == iterations(splits)) fewest = s;
    return fewest;
  }
};

template <class Cost>
int least(int most, Cost cost) {
  int best = 1;
  for (int s = 2; s <= most; ++s)
    if (cost(s) < cost(best)) best = s;
  return best;
}

// Geometric mean of time over best time; what was never measured counts as ten times the best.
double mean_ratio(const std::vector<const Truth*>& known, const Policy& policy) {
  double sum = 0;
  for (const Truth* truth : known) {
    const Score s = score(*truth, policy(truth->query));
    sum += std::log(s.found == Found::none ? 10 : s.us / truth->best_us);
  }
  return std::exp(sum / static_cast<double>(known.size()));
}

// Of `launches`, each standing for a policy, the best one's policy.
template <class MakePolicy>
Policy best_of(const std::vector<const Truth*>& known, bool by_config, MakePolicy make) {
  std::set<std::string> seen;
  double least = std::numeric_limits<double>::infinity();
  Policy best;
  for (const Truth* truth : known)
    for (const Timed& timed : truth->times) {
      // Three times the best is not the best on average.
      if (timed.us > 3 * truth->best_us) continue;
      Launch id = timed.launch;
      if (by_config) id.splits = {}, id.reduce = {};
      if (!seen.insert(variant_params(id)).second) continue;
      const Policy policy = make(timed.launch);
      const double mean = mean_ratio(known, policy);
      if (mean >= least) continue;
      least = mean;
      best = policy;
    }
  return best;
}

}  // namespace

Policy dispatched(const std::string& arch, const std::vector<const Truth*>& known, bool fits) {
  std::vector<Winner> winners;
  for (const Truth* truth : known) {
    const std::string params = variant_params(truth->winner);
    winners.push_back({.arch = arch,
                       .problem = truth->problem,
                       .rocm = "",
                       .variant = params,
                       .params = params,
                       .evidence = Evidence::measured,
                       .median_us = truth->best_us});
  }
  const auto table = std::make_shared<DispatchTable>(arch, winners);
  return [table, fits](const Query& query) {
    return table->lookup(query, {.fit_splits = fits}).launch;
  };
}

Policy fixed(const std::vector<const Truth*>& known) {
  return best_of(known, false,
                 [](const Launch& launch) { return [launch](const Query&) { return launch; }; });
}

int vllm_gfx950_splits(const Query& query, int block_h, int block_k, int units) {
  constexpr int kMost = 32;
  const Load load(query, block_h, block_k, units);
  const auto filling = [&](int waves) {
    return std::clamp(ceil_div(waves * units, load.workgroups), 1, kMost);
  };
  if (load.workgroups >= 16 && load.iterations(4) <= 3) return load.fewest_alike(4);
  const bool one_wave =
      load.workgroups >= 16 && load.workgroups < 64 && load.iterations(filling(1)) <= 9;
  return load.fewest_alike(filling(one_wave ? 1 : 2));
}

int vllm_gfx942_splits(const Query& query, int block_h, int block_k, int units) {
  const Load load(query, block_h, block_k, units);
  return load.fewest_alike(
      least(16, [&](int splits) { return load.waves(splits) * (1.0 / splits + 0.04); }));
}

int aiter_splits(const Query& query, int block_h, int block_k, int units) {
  const Load load(query, block_h, block_k, units);
  return least(16, [&](int splits) {
    const int waves = load.waves(splits);
    const double idle = 1 - static_cast<double>(load.workgroups) * splits / (waves * units);
    return waves * load.iterations(splits) + 0.32 * splits + 2.0 * idle;
  });
}

Policy by_formula(SplitFormula formula, int units, const std::vector<const Truth*>& known) {
  return best_of(known, true, [=](const Launch& first) -> Policy {
    return [=](const Query& query) {
      const Config& c = first.config;
      const int wanted = formula(query, c.block_h, c.block_k, units);
      Launch launch = first;
      launch.splits = {0, 1, SplitMap::contiguous};
      for (const int listed : kListedSplits)
        if (listed <= wanted) launch.splits.split_extra = listed;
      return launch;
    };
  });
}

}  // namespace mla::regret
