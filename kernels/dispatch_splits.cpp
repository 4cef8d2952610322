// In how many splits a winner of another shape is launched.

#include <algorithm>

#include "kernels/dispatch_shape.hpp"

namespace mla {
namespace {

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

struct Work {
  std::int64_t workgroups;  // of a launch in one split
  std::int64_t main_tiles, extra_tiles;

  Work(const Config& c, const Query& q)
      : workgroups(q.tokens * ceil_div(q.heads, c.block_h)),
        main_tiles(ceil_div(q.main_len, c.block_k)),
        extra_tiles(ceil_div(q.extra_len, c.block_k)) {}
  std::int64_t tiles() const { return main_tiles + extra_tiles; }
  friend bool operator==(const Work&, const Work&) = default;
};

// As many as the winner had workgroups, or units; at least 1. Who left units idle and leaves one
// result a row, whole or merged by one cluster, wanted no more of them; nor, of workgroups that
// fill a unit, who had more than there are and split nothing.
std::int64_t most_splits(const Launch& launch, const Query& tuned, const Query& query, int units) {
  const bool has_extra = tuned.extra_len > 0;
  const Work was(launch.config, tuned), is(launch.config, query);
  const std::int64_t had = was.workgroups * total_splits(launch.splits, has_extra);
  const bool fills = launch.config.load_path == LoadPath::bulk;
  std::int64_t wanted = had;
  if (partials(launch, has_extra) > 1) wanted = std::max<std::int64_t>(had, units);
  if (fills && total_splits(launch.splits, has_extra) == 1)
    wanted = std::min<std::int64_t>(had, units);
  return std::max<std::int64_t>(wanted / is.workgroups, 1);
}

}  // namespace

bool may_reduce(const Launch& launch) noexcept {
  return reduces(launch, false) || reduces(launch, true);
}

bool overfills(const Launch& launch, const Query& tuned, const Query& query, int units) noexcept {
  const int cluster = launch.config.cluster;
  return cluster > 1 && most_splits(launch, tuned, query, units) < cluster;
}

Splits fit_splits(const Launch& launch, const Query& tuned, const Query& query,
                  int units) noexcept {
  const Splits& s = launch.splits;
  const std::int64_t splits = total_splits(s, tuned.extra_len > 0);
  const Work was(launch.config, tuned), is(launch.config, query);
  if (was == is) return s;
  const std::int64_t tiles = std::max<std::int64_t>(is.tiles(), 1);  // of no keys, too
  const std::int64_t most = std::min(most_splits(launch, tuned, query, units), tiles);
  if (most == 1 && launch.config.cluster == 1)
    return splits == 1 ? s : Splits{0, 1, SplitMap::contiguous, s.grid_order};
  const std::int64_t each = ceil_div(tiles, most);
  const auto shares = [&](std::int64_t of) { return static_cast<int>(ceil_div(of, each)); };
  if (const int cluster = launch.config.cluster; cluster > 1)
    return {0, static_cast<int>(ceil_div(shares(tiles), cluster)) * cluster, s.split_map,
            s.grid_order};
  const int main = shares(is.main_tiles), extra = shares(is.extra_tiles);
  if (s.split_main > 0 && main > 0 && extra > 0 && main + extra <= most)
    return {main, extra, s.split_map, s.grid_order};
  return {0, shares(tiles), s.split_map, s.grid_order};
}

}  // namespace mla
