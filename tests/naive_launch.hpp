#pragma once

#include "kernels/device.hpp"

namespace mla {

// How a decode kernel is launched that takes one wave for each head and one split, as the naive
// reference does; what the Config says besides is not read.
inline constexpr Launch kNaiveLaunch{.config = {.block_h = 1,
                                                .block_k = 16,
                                                .waves = 1,
                                                .wave_split = WaveSplit::columns,
                                                .mfma = 16,
                                                .stages = 1,
                                                .prefetch = 1,
                                                .dequantise = Dequantise::at_store,
                                                .load_path = LoadPath::registers,
                                                .load_width = 16,
                                                .lds_layout = LdsLayout::padded,
                                                .query_in = QueryIn::lds,
                                                .value_read = ValueRead::transposing,
                                                .waves_per_eu = 1,
                                                .rescale_threshold = 8},
                                     .splits = {0, 1, SplitMap::contiguous},
                                     .reduce = {1, 1}};

}  // namespace mla
