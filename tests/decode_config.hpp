#pragma once

// Good variants of the decode template that tests start from; each names what it changes of them.

#include "templates/sparse_mla_config.hpp"

namespace mla::test {

inline constexpr Config kColumns{.block_h = 16,
                                 .block_k = 64,
                                 .waves = 4,
                                 .wave_split = WaveSplit::columns,
                                 .mfma = 16,
                                 .stages = 1,
                                 .prefetch = 2,
                                 .dequantise = Dequantise::at_store,
                                 .load_path = LoadPath::registers,
                                 .load_width = 16,
                                 .lds_layout = LdsLayout::padded,
                                 .query_in = QueryIn::registers,
                                 .value_read = ValueRead::transposing,
                                 .waves_per_eu = 1,
                                 .unroll = 8,
                                 .rescale_threshold = 8};

template <typename Change>
constexpr Config with(Change change, Config config = kColumns) {
  change(config);
  return config;
}

inline constexpr Config kWeights = with([](Config& c) {
  c.wave_split = WaveSplit::weights;
  c.query_in = QueryIn::lds;
  c.lds_layout = LdsLayout::swizzled;
});

}  // namespace mla::test
