#pragma once

// The variants that a GPU runs in tests, each on the archs that have what it takes.

#include <algorithm>
#include <ostream>
#include <string_view>

#include "tests/decode_config.hpp"

namespace mla::test {

struct Variant {
  const char* name;
  Config config;
  ReduceConfig reduce = {4, 2};
  std::string_view arch = "sm_90";  // what the names of its archs begin with

  friend void PrintTo(const Variant& variant, std::ostream* to) { *to << variant.name; }
};

// How a variant of WaveSplit::weights becomes one of Hopper's others.
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

template <typename Change>
constexpr Config hopper(Change change, Config config = kWeights) {
  return with(change, config);
}

// gfx942 has 64 KiB of LDS, and no read from it that transposes.
template <typename Change>
constexpr Variant gfx9(const char* name, Change change) {
  Config config = kColumns;
  config.block_k = 32;
  config.waves = 2;
  config.value_read = ValueRead::permuting;
  return {name, with(change, config), {4, 2}, "gfx9"};
}
template <typename Change>
constexpr Variant gfx950(const char* name, Change change) {
  return {name, with(change), {4, 2}, "gfx950"};
}

inline constexpr Variant kVariants[] = {
    {"Columns", hopper([](Config& c) { c.query_in = QueryIn::lds; }, kColumns)},
    {"Weights", kWeights},
    {"WeightsEightHeadsDirect", hopper([](Config& c) {
       c.block_h = 8;
       c.load_path = LoadPath::direct;
       c.unroll = 1;
     })},
    {"WeightsTwoWavesAStrip", hopper([](Config& c) {
       c.waves = 8;
       c.waves_per_eu = 2;
       c.load_path = LoadPath::direct;
       c.unroll = 1;
       c.rescale_threshold = -1;
     })},
    {"Roles", hopper([](Config& c) { share_roles(c, 8); })},
    {"RolesEightHeadsTwoFillersAStrip", hopper([](Config& c) {
       share_roles(c, 12);
       c.block_h = 8;
       c.prefetch = 3;
     })},
    {"RolesManyHeadsDirect", hopper([](Config& c) {
       share_roles(c, 8);
       c.block_h = 32;
       c.load_path = LoadPath::direct;
     })},
    {"RolesFetching", hopper([](Config& c) {
       share_roles(c, 16);
       c.prefetch = 3;
       c.load_path = LoadPath::bulk;
     })},
    {"RolesFetchingManyHeadsInClusters", hopper([](Config& c) {
       share_roles(c, 16);
       c.block_h = 32;
       c.load_path = LoadPath::bulk;
       c.cluster = 2;
     })},
    {"RolesEightHeadsInClusters", hopper([](Config& c) {
       share_roles(c, 12);
       c.block_h = 8;
       c.cluster = 16;
     })},
    {"WeightsInClusters", hopper([](Config& c) { c.cluster = 4; }), {1, 4}},
    {"WeightsInPairsThreeWorkgroupsAnSm", hopper([](Config& c) {
       c.block_h = 8;
       c.waves_per_eu = 3;
       c.prefetch = 1;
       c.rescale_threshold = -1;
       c.cluster = 2;
     })},
    {"Scorers", hopper([](Config& c) { score_in_turn(c); }), {1, 4}},
    {"ScorersInPairs", hopper([](Config& c) {
       score_in_turn(c);
       c.cluster = 2;
     })},
    {"ScorersEightHeadsInClusters", hopper([](Config& c) {
       score_in_turn(c);
       c.block_h = 8;
       c.rescale_threshold = 1;
       c.cluster = 10;
     })},
    {"Rows", hopper([](Config& c) { keep_rows(c); }), {1, 4}},
    {"RowsInPairs", hopper([](Config& c) {
       keep_rows(c);
       c.cluster = 2;
     })},
    {"RowsEightHeadsInClusters", hopper([](Config& c) {
       keep_rows(c);
       c.block_h = 8;
       c.prefetch = 5;
       c.rescale_threshold = 1;
       c.cluster = 4;
     })},
    {"Blocks", hopper([](Config& c) { multiply_in_blocks(c); })},
    {"BlocksInPairs", hopper([](Config& c) {
       multiply_in_blocks(c);
       c.cluster = 2;
     })},
    {"BlocksTwoTilesAheadInClusters", hopper([](Config& c) {
       multiply_in_blocks(c);
       c.prefetch = 3;
       c.cluster = 4;
     })},
    {"BlocksRescaledAtEveryTile", hopper([](Config& c) {
       multiply_in_blocks(c);
       c.prefetch = 3;
       c.rescale_threshold = -1;
     })},
    gfx9("Gfx9Columns", [](Config&) {}),
    gfx9("Gfx9ColumnsSwizzledRescaledAtEveryTile",
         [](Config& c) {
           c.lds_layout = LdsLayout::swizzled;
           c.rescale_threshold = -1;
         }),
    gfx9("Gfx9KeysOneWave",
         [](Config& c) {
           c.wave_split = WaveSplit::keys;
           c.block_k = 16;
           c.waves = 1;
           c.prefetch = 1;
           c.lds_layout = LdsLayout::linear;
           c.value_read = ValueRead::strided;
         }),
    gfx9("Gfx9KeysDequantisedAtUse",
         [](Config& c) {
           c.wave_split = WaveSplit::keys;
           c.block_k = 16;
           c.waves = 4;
           c.prefetch = 1;
           c.dequantise = Dequantise::at_use;
           c.query_in = QueryIn::lds;
           c.rescale_threshold = 1;
         }),
    gfx9("Gfx9ColumnsDirect",
         [](Config& c) {
           c.load_path = LoadPath::direct;
           c.load_width = 4;
           c.prefetch = 1;
         }),
    gfx9("Gfx9Heads",
         [](Config& c) {
           c.wave_split = WaveSplit::heads;
           c.block_h = 32;
         }),
    gfx950("Gfx950Columns", [](Config& c) { c.query_in = QueryIn::lds; }),
    gfx950("Gfx950ColumnsWideDirect",
           [](Config& c) {
             c.mfma = 32;
             c.block_h = 32;
             c.waves = 2;
             c.load_path = LoadPath::direct;
             c.query_in = QueryIn::lds;
           }),
    gfx950("Gfx950Keys",
           [](Config& c) {
             c.wave_split = WaveSplit::keys;
             c.block_k = 32;
             c.query_in = QueryIn::lds;
           }),
    gfx950("Gfx950HeadsTwoStages",
           [](Config& c) {
             c.wave_split = WaveSplit::heads;
             c.block_h = 64;
             c.block_k = 32;
             c.stages = 2;
           }),
};

static_assert(std::ranges::all_of(kVariants, [](const Variant& v) {
  return valid(v.config) && valid(v.reduce);
}));

}  // namespace mla::test
