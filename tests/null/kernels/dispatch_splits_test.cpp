#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/null/kernels/some_winners.hpp"

namespace mla {
namespace {

using test::in_clusters;
using test::query;
using test::winner;

Splits fitted(Splits own, const Query& tuned, const Query& asked) {
  Winner w = winner(tuned, 1);
  Launch launch = variant_launch(w.params);
  launch.config.block_k = 64;
  launch.splits = own;
  w.params = variant_params(launch);
  const Answer answer = DispatchTable("gfx950", {w}).lookup(asked);
  EXPECT_NE(answer.grade, MatchGrade::fallback);
  return answer.launch.splits;
}

MATCHER_P2(Shared, main, extra, "") { return arg.split_main == main && arg.split_extra == extra; }

TEST(DispatchSplits, FitsTheSplitsOfANearWinnerToTheQuery) {
  const Splits joint{0, 4, SplitMap::strided}, apart{2, 16, SplitMap::strided};
  const Query many = query(16, 64, 128, 512), few = query(16, 4, 128, 1024);
  EXPECT_THAT(fitted(joint, many, many), Shared(0, 4));
  EXPECT_THAT(fitted(joint, many, query(16, 32, 128, 512)), Shared(0, 5)) << "8 splits of 2 tiles";
  EXPECT_THAT(fitted(joint, many, query(16, 128, 128, 512)), Shared(0, 2));
  EXPECT_THAT(fitted(joint, many, query(16, 256, 128, 512)), Shared(0, 1));
  EXPECT_THAT(fitted(joint, many, query(16, 8, 128, 512)), Shared(0, 10)) << "a tile each";
  EXPECT_THAT(fitted(apart, few, query(16, 2, 128, 1024)), Shared(2, 16)) << "a tile each";
  EXPECT_THAT(fitted(apart, few, query(16, 4, 128, 2048)), Shared(2, 32)) << "one for each unit";
  EXPECT_THAT(fitted(apart, few, query(16, 32, 128, 1024)), Shared(1, 6)) << "8 splits of 3 tiles";
  EXPECT_THAT(fitted(apart, query(16, 16, 128, 1024), query(16, 64, 128, 1024)), Shared(0, 4))
      << "of 5 tiles: apart, 4 splits would have 6";
  EXPECT_THAT(fitted(joint, query(16, 8, 128, 512), many), Shared(0, 4)) << "units were idle";
}

TEST(DispatchSplits, KeepsTheOrderOfTheGrid) {
  const Query tuned = query(64, 64, 128, 512);
  for (const int tokens : {16, 32, 64, 128, 256}) {
    const Query asked = query(64, tokens, 128, 512);
    EXPECT_EQ(fitted({0, 4, SplitMap::strided, GridOrder::heads}, tuned, asked).grid_order,
              GridOrder::heads);
    EXPECT_EQ(fitted({1, 4, SplitMap::strided, GridOrder::heads}, tuned, asked).grid_order,
              GridOrder::heads);
    EXPECT_EQ(fitted({0, 4, SplitMap::strided}, tuned, asked).grid_order, GridOrder::tokens);
  }
}

TEST(DispatchSplits, FitsWholeClusters) {
  const auto fitted = [](const Query& asked) {
    const Winner w = in_clusters(winner(query(16, 64, 128, 512), 1), 4, 4);
    return DispatchTable("gfx950", {w}).lookup(asked);
  };
  const Answer own = fitted(query(16, 64, 128, 512));
  EXPECT_EQ(own.splits, 4);
  EXPECT_EQ(own.partials, 1);
  EXPECT_EQ(own.workspace_bytes, 0);
  EXPECT_EQ(own.reduce_grid.x, 0u);
  const Answer few = fitted(query(16, 32, 128, 512));
  EXPECT_THAT(few.launch.splits, Shared(0, 8)) << "5 would do, and are not whole clusters";
  EXPECT_EQ(few.partials, 2);
  EXPECT_EQ(few.workspace_bytes, workspace_floats(32, 16, 2) * 4);
  EXPECT_THAT(fitted(query(16, 128, 128, 512)).launch.splits, Shared(0, 4)) << "never less";
  const Winner w = in_clusters(winner(query(16, 64, 1, 0), 1), 4, 4);
  EXPECT_THAT(DispatchTable("gfx950", {w}).lookup(query(16, 64, 0, 0)).launch.splits, Shared(0, 4))
      << "of no keys at all";
}

TEST(DispatchSplits, AsksForNoMoreThanTheOneClusterThatMergedARow) {
  const auto fitted = [](int splits, const Query& asked) {
    const Winner w = in_clusters(winner(query(16, 1, 128, 512), 1), 4, splits);
    return DispatchTable("gfx950", {w}).lookup(asked).launch.splits;
  };
  EXPECT_THAT(fitted(4, query(16, 1, 128, 1024)), Shared(0, 4)) << "it left units idle";
  EXPECT_THAT(fitted(8, query(16, 1, 128, 1024)), Shared(0, 20)) << "it had two, a tile each";
}

TEST(DispatchSplits, SplitsNothingForUnitsThatAreAllTaken) {
  const auto fitted = [](LoadPath load_path, int tokens) {
    Winner w = winner(query(16, 512, 128, 1024), 1);
    Launch launch = variant_launch(w.params);
    launch.config.wave_split = WaveSplit::roles;
    launch.config.query_in = QueryIn::lds;
    launch.config.block_k = 64;
    launch.config.waves = load_path == LoadPath::bulk ? 16 : 12;
    launch.config.stages = 2;
    launch.config.prefetch = 2;
    launch.config.load_width = 16;
    launch.config.rescale_threshold = 8;
    launch.config.load_path = load_path;
    launch.splits = {0, 1, SplitMap::contiguous};
    w.params = variant_params(launch);
    EXPECT_TRUE(valid(launch.config));
    return DispatchTable("gfx950", {w}).lookup(query(16, tokens, 128, 1024)).launch.splits;
  };
  EXPECT_THAT(fitted(LoadPath::bulk, 256), Shared(0, 1)) << "a unit each";
  EXPECT_THAT(fitted(LoadPath::bulk, 128), Shared(0, 2));
  EXPECT_THAT(fitted(LoadPath::registers, 256), Shared(0, 2)) << "a unit may hold two";
}

TEST(DispatchSplits, SplitsAWinnerOfOneSplitWithTheFallbacksReduceKernel) {
  const Splits one{0, 1, SplitMap::contiguous};
  const Query tuned = query(16, 64, 128, 512);
  EXPECT_THAT(fitted(one, tuned, query(16, 8, 128, 512)), Shared(0, 5)) << "8 of 2 tiles, fewest";
  EXPECT_THAT(fitted(one, tuned, query(16, 64, 128, 1024)), Shared(0, 1))
      << "it left units idle, and wanted no more";
  Winner w = winner(tuned, 1);
  Launch launch = variant_launch(w.params);
  launch.splits = one;
  launch.reduce = {.block_h = 4, .waves = 2};
  w.params = variant_params(launch);
  const DispatchTable table("gfx950", {w});
  EXPECT_FALSE(table.lookup(tuned).borrows_reduce);
  const Answer near = table.lookup(query(16, 8, 128, 512));
  EXPECT_TRUE(near.borrows_reduce);
  EXPECT_EQ(near.reduce_grid.y, 16u) << "a head each, as the fallback reduces";
  EXPECT_EQ(near.workspace_bytes, workspace_bytes(near.launch, query(16, 8, 128, 512)));
}

}  // namespace
}  // namespace mla
