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

}  // namespace

bool may_reduce(const Launch& launch) noexcept {
  return partials(launch, false) > 1 || partials(launch, true) > 1;
}

Splits fit_splits(const Launch& launch, const Query& tuned, const Query& query,
                  int units) noexcept {
  const Splits& s = launch.splits;
  const std::int64_t splits = total_splits(s, tuned.extra_len > 0);
  const Work was(launch.config, tuned), is(launch.config, query);
  if (was == is) return s;
  // Who left units idle and split nothing wanted no more of them.
  const std::int64_t wanted =
      std::max<std::int64_t>(was.workgroups * splits, splits > 1 ? units : 0);
  const std::int64_t most =
      std::clamp<std::int64_t>(wanted / is.workgroups, 1, std::max<std::int64_t>(is.tiles(), 1));
  if (most == 1 && launch.config.cluster == 1)
    return splits == 1 ? s : Splits{0, 1, SplitMap::contiguous};
  const std::int64_t each = ceil_div(is.tiles(), most);
  const auto shares = [&](std::int64_t tiles) { return static_cast<int>(ceil_div(tiles, each)); };
  if (const int cluster = launch.config.cluster; cluster > 1)
    return {0, static_cast<int>(ceil_div(shares(is.tiles()), cluster)) * cluster, s.split_map};
  const int main = shares(is.main_tiles), extra = shares(is.extra_tiles);
  if (s.split_main > 0 && main > 0 && extra > 0 && main + extra <= most)
    return {main, extra, s.split_map};
  return {0, shares(is.tiles()), s.split_map};
}

}  // namespace mla
