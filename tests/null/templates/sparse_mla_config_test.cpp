#include "templates/sparse_mla_config.hpp"

#include <gtest/gtest.h>

#include "kernels/params.hpp"
#include "tests/decode_config.hpp"

namespace mla {
namespace {

constexpr Config kGood = test::with([](Config& c) { c.waves_per_eu = 2; });
static_assert(valid(kGood));
constexpr Config kRoles = test::with(
    [](Config& c) {
      c.wave_split = WaveSplit::roles;
      c.query_in = QueryIn::lds;
      c.stages = 2;
    },
    kGood);

TEST(Config, RefusesEveryForgottenField) {
  for_each_config_field(kGood, [](std::string_view name, const auto&) {
    Config config = kGood;
    for_each_config_field(config, [&](std::string_view field, auto& value) {
      if (field == name) value = {};
    });
    EXPECT_FALSE(valid(config)) << name;
  });
  EXPECT_FALSE(valid(ReduceConfig{.block_h = 4, .waves = 0}));
  EXPECT_FALSE(valid(ReduceConfig{.block_h = 0, .waves = 1}));
}

TEST(Config, RefusesFieldsThatDoNotFitEachOther) {
  const auto with = [](auto change) {
    Config config = kGood;
    change(config);
    return valid(config);
  };
  EXPECT_FALSE(with([](Config& c) { c.block_k = 32; })) << "two strips for four waves";
  EXPECT_FALSE(with([](Config& c) { c.mfma = 32; })) << "16 heads for a 32-wide instruction";
  EXPECT_FALSE(with([](Config& c) { c.waves = 1; })) << "nobody to share columns with";
  EXPECT_FALSE(with([](Config& c) { c.dequantise = Dequantise::at_use; }));
  EXPECT_FALSE(with([](Config& c) { c.wave_split = WaveSplit::heads; }))
      << "one head tile, four waves";
  EXPECT_TRUE(with([](Config& c) {
    c.wave_split = WaveSplit::heads;
    c.block_h = 64;
  }));
}

TEST(Config, TakesTwelveWavesWithRolesAlone) {
  Config config = kRoles;
  config.waves = 12;
  EXPECT_TRUE(valid(config));
  const auto refused_with = [&](auto change) {
    Config other = config;
    change(other);
    return !valid(other);
  };
  EXPECT_TRUE(refused_with([](Config& c) { c.waves = 4; })) << "nobody fills";
  EXPECT_TRUE(refused_with([](Config& c) { c.block_k = 128; })) << "two strips a multiplier";
  EXPECT_TRUE(refused_with([](Config& c) { c.rescale_threshold = -1; })) << "weights come first";
  EXPECT_TRUE(refused_with([](Config& c) { c.wave_split = WaveSplit::weights; }));
}

TEST(Config, TakesSixteenWavesWhereFourFetchRows) {
  Config config = kRoles;
  config.waves = 16;
  EXPECT_FALSE(valid(config)) << "nobody fetches";
  config.load_path = LoadPath::bulk;
  EXPECT_TRUE(valid(config));
  EXPECT_EQ(of_fillers(config).waves, 8);
  EXPECT_EQ(gathered_rows(of_fillers(config)), 8) << "two fillers a strip, half of its rows each";
  EXPECT_EQ((query_bytes(config) + tiles_bytes(config) + exchange_bytes(config)) % 128, 0)
      << "rows lie behind it";
  EXPECT_EQ(row_buffer_bytes(of_fillers(config)) % 128, 0);
  EXPECT_GE(raw_bytes(config), config.block_k * (kRowBytes + kScaleBytes));
  config.waves = 12;
  EXPECT_FALSE(valid(config));
  config.wave_split = WaveSplit::weights;
  config.waves = 4;
  EXPECT_FALSE(valid(config)) << "rows are copied whole beside roles alone";
}

TEST(Config, LetsGroupsOfScorersTakeTurns) {
  Config config = kRoles;
  config.wave_split = WaveSplit::scorers;
  config.waves = 16;
  config.prefetch = 3;
  config.load_path = LoadPath::bulk;
  EXPECT_TRUE(valid(config));
  EXPECT_EQ(of_fillers(config).waves, kScorers);
  EXPECT_EQ(gathered_rows(of_fillers(config)), 16) << "a scorer has a whole strip";
  EXPECT_EQ(sets_in_flight(config), kScorerGroups) << "each group has buffers of its own";
  config.lds_layout = LdsLayout::swizzled;
  EXPECT_LE(lds_bytes(config), 227 * 1024) << "what a block of Hopper's can have";
  EXPECT_EQ((query_bytes(config) + tiles_bytes(config) + exchange_bytes(config)) % 128, 0);
  const auto with = [&](auto change) {
    Config other = config;
    change(other);
    return valid(other);
  };
  EXPECT_TRUE(with([](Config& c) { c.block_h = 8; }));
  EXPECT_FALSE(with([](Config& c) { c.block_h = 32; })) << "registers are short";
  EXPECT_FALSE(with([](Config& c) { c.prefetch = 2; })) << "groups would share buffers";
  EXPECT_FALSE(with([](Config& c) { c.waves = 12; }));
  EXPECT_FALSE(with([](Config& c) { c.load_path = LoadPath::registers; }));
  EXPECT_FALSE(with([](Config& c) { c.rescale_threshold = -1; }));
}

TEST(Config, LeavesRowsAsTheyCame) {
  Config config = kRoles;
  config.wave_split = WaveSplit::rows;
  config.waves = 16;
  config.prefetch = 4;
  config.load_path = LoadPath::bulk;
  config.dequantise = Dequantise::at_use;
  EXPECT_TRUE(valid(config));
  EXPECT_EQ(of_fillers(config).waves, kScorers) << "who scores reads whole strips";
  EXPECT_EQ(of_multipliers(config).waves, kSummers);
  EXPECT_EQ(meeting_waves(of_multipliers(config)), kSummers);
  EXPECT_EQ(sets_in_flight(config), 4) << "tiles of rows in LDS";
  EXPECT_EQ(tiles_bytes(config), 0);
  EXPECT_EQ(readers(of_fillers(config)), 1 + kSummers);
  EXPECT_EQ((query_bytes(config) + exchange_bytes(config)) % 128, 0) << "rows lie behind it";
  EXPECT_EQ(row_pitch(config) % 16, 0) << "the copy engine writes multiples of 16";
  const auto with = [&](auto change) {
    Config other = config;
    change(other);
    return valid(other);
  };
  EXPECT_TRUE(with([](Config& c) { c.block_h = 8; }));
  EXPECT_TRUE(with([](Config& c) { c.block_h = 32; }));
  EXPECT_TRUE(with([](Config& c) { c.prefetch = 5; }));
  EXPECT_FALSE(with([](Config& c) { c.block_h = 64; })) << "registers are short";
  EXPECT_FALSE(with([](Config& c) { c.prefetch = 2; })) << "nothing would be on its way";
  EXPECT_FALSE(with([](Config& c) { c.dequantise = Dequantise::at_store; })) << "there is no tile";
  EXPECT_FALSE(with([](Config& c) { c.load_path = LoadPath::registers; }));
  EXPECT_FALSE(with([](Config& c) { c.stages = 1; }));
  EXPECT_FALSE(with([](Config& c) { c.rescale_threshold = -1; }));
}

TEST(Config, ClustersWholeSplitsOfFewHeads) {
  Config config = kGood;
  config.wave_split = WaveSplit::weights;
  config.query_in = QueryIn::lds;
  config.cluster = 4;
  EXPECT_TRUE(valid(config));
  EXPECT_TRUE(valid(config, {0, 8, SplitMap::contiguous}));
  EXPECT_FALSE(valid(config, {0, 6, SplitMap::contiguous})) << "half a cluster";
  EXPECT_FALSE(valid(config, {4, 4, SplitMap::contiguous})) << "as many as there are scopes";
  EXPECT_TRUE(valid(kGood, {4, 6, SplitMap::contiguous}));
  EXPECT_EQ(partials(config, {0, 4, SplitMap::contiguous}, true), 1);
  EXPECT_EQ(partials(config, {0, 8, SplitMap::contiguous}, false), 2);
  EXPECT_EQ(partials(kGood, {2, 8, SplitMap::contiguous}, true), 10);
  config.block_h = 64;
  EXPECT_FALSE(valid(config)) << "more than LDS holds";
  config = kGood;
  config.cluster = 2;
  EXPECT_FALSE(valid(config)) << "columns are not laid out for it";
}

TEST(Config, BringsRowsToBlocks) {
  Config config = kGood;
  config.wave_split = WaveSplit::blocks;
  config.query_in = QueryIn::lds;
  config.lds_layout = LdsLayout::swizzled;
  config.block_h = 64;
  config.waves = 12;
  config.load_path = LoadPath::bulk;
  EXPECT_EQ(of_fillers(config).waves, 8) << "who fills multiplies too";
  EXPECT_EQ(meeting_waves(of_fillers(config)), 8) << "fetchers have nothing to exchange";
  EXPECT_EQ((query_bytes(config) + tiles_bytes(config)) % 128, 0) << "rows lie behind it";
  const auto with = [&](auto change) {
    Config other = config;
    change(other);
    return valid(other);
  };
  EXPECT_TRUE(valid(config));
  EXPECT_TRUE(with([](Config& c) { c.prefetch = 3; }));
  EXPECT_TRUE(with([](Config& c) { c.block_h = 32, c.waves = 8; })) << "a strip for each of four";
  EXPECT_FALSE(with([](Config& c) { c.block_h = 32; })) << "a team has 16 heads a wave";
  EXPECT_FALSE(with([](Config& c) { c.prefetch = 1; })) << "no buffer would be filled ahead";
  EXPECT_FALSE(with([](Config& c) { c.stages = 2; }));
  EXPECT_FALSE(with([](Config& c) { c.block_k = 32; })) << "half of the fetchers have no strip";
  EXPECT_FALSE(with([](Config& c) { c.load_path = LoadPath::registers; }));
  config.prefetch = 3;
  EXPECT_LE(lds_bytes(config), 227 * 1024) << "what a block of Hopper's can have";
}

TEST(Config, ClustersBlocksByWholePanels) {
  Config config = kGood;
  config.wave_split = WaveSplit::blocks;
  config.query_in = QueryIn::lds;
  config.block_h = 64;
  config.waves = 12;
  config.load_path = LoadPath::bulk;
  for (const int cluster : {1, 2, 4}) {
    config.cluster = cluster;
    EXPECT_TRUE(valid(config)) << cluster;
  }
  config.cluster = 8;
  EXPECT_FALSE(valid(config)) << "a team has four panels";
}

TEST(Splits, JointScopesShareTheExtraScopesWorkgroups) {
  EXPECT_EQ(total_splits({0, 8, SplitMap::contiguous}, true), 8);
  EXPECT_EQ(total_splits({0, 8, SplitMap::contiguous}, false), 8);
  EXPECT_EQ(total_splits({2, 8, SplitMap::contiguous}, true), 10);
  EXPECT_EQ(total_splits({2, 8, SplitMap::contiguous}, false), 2);
}

TEST(Workspace, IsNoneForOneSplitAndCountsIn64Bits) {
  EXPECT_EQ(workspace_floats(512, 128, 1), 0);
  EXPECT_EQ(workspace_floats(1, 1, 2), 2 * 515);
  EXPECT_EQ(workspace_floats(512, 128, 128), 512ll * 128 * 128 * 515);
}

TEST(Arrivals, AreCountedForEachGroupOfHeadsAndRankOfACluster) {
  Config config = kGood;
  config.block_h = 32;
  EXPECT_EQ(arrival_counters(config, 7, 33), 14);
  config.cluster = 4;
  EXPECT_EQ(arrival_counters(config, 7, 33), 56);
}

TEST(Cluster, MergesWholeRowsAndAllOfThem) {
  for (const int heads : {8, 16, 32}) {
    for (const int cluster : {2, 4, 8, 10, 16}) {
      for (const int waves : {4, 8}) {
        Config config = kGood;
        config.block_h = heads;
        config.cluster = cluster;
        config.waves = waves;
        EXPECT_GE(cluster_rows(config) * cluster, heads) << heads << cluster << waves;
        EXPECT_EQ(4 * cluster_rows(config) % waves, 0) << "a wave has as many quarters as others";
      }
    }
  }
}

TEST(Grid, CoversHeadsThatDoNotFillAWorkgroup) {
  Config config = kGood;
  config.block_h = 32;
  const Dim3 grid = decode_grid(config, {0, 3, SplitMap::strided}, 7, 33, true);
  EXPECT_EQ(grid.x, 7u);
  EXPECT_EQ(grid.y, 2u);
  EXPECT_EQ(grid.z, 3u);
  EXPECT_EQ(reduce_grid({.block_h = 16, .waves = 1}, 7, 33).y, 3u);
}

}  // namespace
}  // namespace mla
