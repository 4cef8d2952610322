#pragma once

#include "kernels/dispatch.hpp"

namespace mla {

// The built-in variant of an arch for a query of 16 heads with an extra scope, which takes several
// splits.
inline Launch some_launch(std::string_view arch) {
  Launch launch =
      fallback_launch(arch, {.heads = 16, .tokens = 3, .main_len = 128, .extra_len = 333});
  launch.splits = {1, 4, SplitMap::contiguous};
  return launch;
}

// How a decode kernel is launched that takes one wave for each head and one split, as the naive
// reference does; what the Config says besides is not read.
inline Launch naive_launch(std::string_view arch) {
  Launch launch = some_launch(arch);
  launch.config.block_h = launch.config.waves = 1;
  launch.splits = {0, 1, SplitMap::contiguous};
  return launch;
}

}  // namespace mla
