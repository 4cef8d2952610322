#pragma once

// How a variant of WaveSplit::weights becomes one of Hopper's others.

#include <ostream>

#include "tests/decode_config.hpp"

namespace mla::test {

constexpr void score_in_turn(Config& c) {
  c.wave_split = WaveSplit::scorers;
  c.waves = 16;
  c.waves_per_eu = 4;
  c.stages = 2;
  c.prefetch = 3;
  c.load_path = LoadPath::bulk;
}

constexpr void keep_rows(Config& c) {
  score_in_turn(c);
  c.wave_split = WaveSplit::rows;
  c.dequantise = Dequantise::at_use;
  c.block_h = 32;
  c.prefetch = 4;
}

constexpr void multiply_in_blocks(Config& c) {
  c.wave_split = WaveSplit::blocks;
  c.block_h = 64;
  c.waves = 12;
  c.waves_per_eu = 3;
  c.load_path = LoadPath::bulk;
}
constexpr void share_roles(Config& c, int waves) {
  c.wave_split = WaveSplit::roles;
  c.waves = waves;
  c.waves_per_eu = waves / 4;
  c.stages = 2;
}

struct Variant {
  const char* name;
  Config config;
  ReduceConfig reduce = {4, 2};

  friend void PrintTo(const Variant& variant, std::ostream* to) { *to << variant.name; }
};

}  // namespace mla::test
