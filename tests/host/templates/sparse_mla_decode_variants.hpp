#pragma once

// What of each parameter's values the tests of the decode template run, in few variants.

#include <ostream>

#include "tests/decode_config.hpp"

namespace mla::test {

inline constexpr Config kKeys = with([](Config& c) {
  c.wave_split = WaveSplit::keys;
  c.block_k = 32;
});
inline constexpr Config kHeads = with([](Config& c) {
  c.wave_split = WaveSplit::heads;
  c.block_h = 64;
  c.block_k = 32;  // two strips among four waves: each gathers half of one
});

inline constexpr Config kBlocks = with(
    [](Config& c) {
      c.wave_split = WaveSplit::blocks;
      c.block_h = 64;
      c.waves = 12;
      c.load_path = LoadPath::bulk;
    },
    kWeights);

inline constexpr Config kScorersOf16 = with(
    [](Config& c) {
      c.wave_split = WaveSplit::scorers;
      c.waves = 16;
      c.stages = 2;
      c.prefetch = 3;
      c.load_path = LoadPath::bulk;
    },
    kWeights);

inline constexpr Config kRowsOf32 = with(
    [](Config& c) {
      c.wave_split = WaveSplit::rows;
      c.block_h = 32;
      c.waves = 16;
      c.stages = 2;
      c.prefetch = 4;
      c.dequantise = Dequantise::at_use;
      c.load_path = LoadPath::bulk;
    },
    kWeights);

inline constexpr Config kRoles = with(
    [](Config& c) {
      c.wave_split = WaveSplit::roles;
      c.waves = 8;
      c.stages = 2;
    },
    kWeights);

struct Variant {
  const char* name;
  Config config;

  friend void PrintTo(const Variant& variant, std::ostream* to) { *to << variant.name; }
};
inline const Variant kVariants[] = {
    {"Columns", kColumns},
    {"Roles", kRoles},
    {"RolesEightHeadsTwoFillersAStrip", with(
                                            [](Config& c) {
                                              c.block_h = 8;
                                              c.waves = 12;
                                              c.prefetch = 3;
                                            },
                                            kRoles)},
    {"RolesManyHeadsDirect", with(
                                 [](Config& c) {
                                   c.block_h = 32;
                                   c.load_path = LoadPath::direct;
                                   c.rescale_threshold = 1;
                                 },
                                 kRoles)},
    {"RolesFetching", with(
                          [](Config& c) {
                            c.waves = 16;
                            c.prefetch = 3;
                            c.load_path = LoadPath::bulk;
                          },
                          kRoles)},
    {"RolesEightHeadsFetchingOneTileAhead", with(
                                                [](Config& c) {
                                                  c.block_h = 8;
                                                  c.waves = 16;
                                                  c.load_path = LoadPath::bulk;
                                                  c.rescale_threshold = 1;
                                                },
                                                kRoles)},
    {"Scorers", kScorersOf16},
    {"ScorersEightHeads", with(
                              [](Config& c) {
                                c.block_h = 8;
                                c.rescale_threshold = 1;
                              },
                              kScorersOf16)},
    {"Rows", kRowsOf32},
    {"RowsEightHeadsThreeTiles", with(
                                     [](Config& c) {
                                       c.block_h = 8;
                                       c.prefetch = 3;
                                       c.rescale_threshold = 1;
                                     },
                                     kRowsOf32)},
    {"ColumnsTwoStagesQueriesInLds", with([](Config& c) {
       c.stages = 2;
       c.query_in = QueryIn::lds;
       c.prefetch = 3;
       c.rescale_threshold = -1;
     })},
    {"ColumnsWideInstructions", with([](Config& c) {
       c.mfma = 32;
       c.block_h = 32;
       c.block_k = 128;
       c.load_path = LoadPath::direct;
     })},
    {"Keys", kKeys},
    {"KeysOneWave", with(
                        [](Config& c) {
                          c.waves = 1;
                          c.prefetch = 1;
                          c.lds_layout = LdsLayout::linear;
                        },
                        kKeys)},
    {"KeysDequantisedAtUse", with(
                                 [](Config& c) {
                                   c.dequantise = Dequantise::at_use;
                                   c.block_k = 16;
                                   c.rescale_threshold = 1;
                                   c.query_in = QueryIn::lds;
                                 },
                                 kKeys)},
    {"KeysAtUseWideDirect", with(
                                [](Config& c) {
                                  c.dequantise = Dequantise::at_use;
                                  c.mfma = 32;
                                  c.block_h = 32;
                                  c.waves = 2;
                                  c.load_path = LoadPath::direct;
                                },
                                kKeys)},
    {"Heads", kHeads},
    {"HeadsTwoStagesLargeTile", with(
                                    [](Config& c) {
                                      c.stages = 2;
                                      c.block_k = 128;
                                      c.block_h = 128;
                                      c.load_width = 8;
                                      c.value_read = ValueRead::permuting;
                                    },
                                    kHeads)},
    {"HeadsEightWavesOneStrip", with(
                                    [](Config& c) {
                                      c.waves = 8;
                                      c.block_h = 128;
                                      c.block_k = 16;
                                      c.value_read = ValueRead::strided;
                                    },
                                    kHeads)},
    {"Weights", kWeights},
    {"WeightsEightHeadsTwoStages", with(
                                       [](Config& c) {
                                         c.block_h = 8;
                                         c.stages = 2;
                                         c.rescale_threshold = -1;
                                       },
                                       kWeights)},
    {"WeightsTwoWavesAStripDirect", with(
                                        [](Config& c) {
                                          c.waves = 8;
                                          c.block_h = 32;
                                          c.load_path = LoadPath::direct;
                                          c.unroll = 1;
                                        },
                                        kWeights)},
    {"WeightsTwoStripsAWave", with(
                                  [](Config& c) {
                                    c.block_k = 128;
                                    c.block_h = 64;
                                    c.load_path = LoadPath::direct;
                                    c.rescale_threshold = 1;
                                    c.prefetch = 1;
                                  },
                                  kWeights)},
    {"Blocks", kBlocks},
    {"BlocksFewHeadsTwoTilesAhead", with(
                                        [](Config& c) {
                                          c.block_h = 32;
                                          c.waves = 8;
                                          c.prefetch = 3;
                                          c.rescale_threshold = -1;
                                        },
                                        kBlocks)},
};

}  // namespace mla::test
