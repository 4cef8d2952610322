#pragma once

// What of a launch's arguments follows from the rest.

#include "templates/sparse_mla_config.hpp"

namespace mla {

constexpr void set_splits(DecodeArgs& decode, const Splits& splits) noexcept {
  decode.split_main = splits.split_main;
  decode.split_extra = splits.split_extra;
  decode.split_map = splits.split_map;
  decode.grid_order = splits.grid_order;
}

// For the kernel that merges the `partials` results a row that a launch with `decode` leaves.
constexpr ReduceArgs reduce_arguments(const DecodeArgs& decode, int partials) noexcept {
  return {.workspace = decode.workspace,
          .sink = decode.sink,
          .out = decode.out,
          .out_token_stride = decode.out_token_stride,
          .out_head_stride = decode.out_head_stride,
          .lse = decode.lse,
          .lse_token_stride = decode.lse_token_stride,
          .tokens = decode.tokens,
          .heads = decode.heads,
          .splits = partials,
          .reserved = 0};
}

}  // namespace mla
