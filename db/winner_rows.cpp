#include "db/winner_rows.hpp"

#include <unordered_map>

namespace mla {

WinnerRows winner_rows(std::string_view arch, const std::vector<Winner>& winners) {
  WinnerRows all;
  std::unordered_map<std::string_view, int> releases, variants;
  for (const Winner& winner : winners) {
    if (winner.arch != arch) continue;
    const auto [release, new_release] =
        releases.try_emplace(winner.rocm, static_cast<int>(all.releases.size()));
    if (new_release) all.releases.push_back(winner.rocm);
    const int next = static_cast<int>(all.variants.size());
    const auto [variant, new_variant] = variants.try_emplace(winner.variant, next);
    // Of one key and other parameters, as hands may have edited them, there is a variant each.
    if (!new_variant &&
        all.variants[static_cast<std::size_t>(variant->second)].params != winner.params)
      variant->second = next;
    if (variant->second == next) all.variants.push_back({winner.variant, winner.params});
    all.rows.push_back({.problem = winner.problem,
                        .evidence = winner.evidence,
                        .median_us = winner.median_us,
                        .release = release->second,
                        .variant = variant->second});
  }
  return all;
}

}  // namespace mla
