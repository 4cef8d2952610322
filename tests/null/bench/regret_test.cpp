#include "tests/bench/regret.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernels/params.hpp"

namespace mla::regret {
namespace {

using testing::ElementsAre;
using testing::SizeIs;

ProblemRecord problem_of(int tokens, int extra_len, int extra_page = 64) {
  return {.kernel = "sparse_mla_decode",
          .num_heads = 16,
          .num_tokens = tokens,
          .main_len = 128,
          .extra_len = extra_len,
          .main_page = 64,
          .extra_page = extra_len == 0 ? 0 : extra_page};
}

Launch launch_of(int waves, Splits splits, int reduce_block_h = 1) {
  Launch launch = fallback_launch("sm_90", {.heads = 16, .tokens = 1, .main_len = 128});
  launch.config.waves = waves;
  launch.config.block_k = 16 * waves;
  launch.splits = splits;
  launch.reduce = {reduce_block_h, 1};
  return launch;
}
Splits joint(int splits) { return {0, splits, SplitMap::contiguous}; }

Truth truth_of(const ProblemRecord& p, std::vector<Timed> times) {
  Truth truth{.problem = p,
              .query = {.heads = p.num_heads,
                        .tokens = p.num_tokens,
                        .main_len = p.main_len,
                        .extra_len = p.extra_len,
                        .main_page = p.main_page,
                        .extra_page = p.extra_page},
              .times = std::move(times)};
  const Timed* best = &truth.times[0];
  for (const Timed& timed : truth.times)
    if (timed.us < best->us) best = &timed;
  truth.best_us = best->us;
  truth.winner = best->launch;
  return truth;
}

Truth truth_of(const ProblemRecord& p) { return truth_of(p, {{launch_of(2, joint(1)), 10}}); }

TEST(Truths, AreMediansOfTheSearchAndWinnersOfTheFinalRound) {
  Record record;
  record.problems = {problem_of(1, 512), problem_of(2, 512), problem_of(4, 512)};
  for (const int splits : {1, 4})
    record.variants.push_back({variant_params(launch_of(2, joint(splits))), 0});
  const auto add = [&](int problem, int variant, Round round, std::vector<float> samples) {
    record.rows.push_back({.problem = problem,
                           .variant = variant,
                           .round = round,
                           .verdict = samples.empty() ? Verdict::wrong_result : Verdict::ok,
                           .samples_us = std::move(samples)});
  };
  add(0, 0, Round::search, {9, 11, 10});
  add(0, 1, Round::search, {12, 11});
  add(0, 0, Round::final, {12});
  add(0, 1, Round::final, {11});
  add(1, 1, Round::search, {7});
  add(1, 0, Round::search, {});
  add(2, 0, Round::search, {});
  const std::vector<Truth> all = truths(record);
  ASSERT_THAT(all, SizeIs(2)) << "nothing of the third has a time";
  ASSERT_THAT(all[0].times, SizeIs(2));
  EXPECT_EQ(all[0].times[0].us, 10);
  EXPECT_EQ(all[0].times[1].us, 11.5);
  EXPECT_EQ(all[0].best_us, 10);
  EXPECT_EQ(all[0].winner.splits.split_extra, 4);
  EXPECT_EQ(all[1].winner.splits.split_extra, 4) << "no final round: the best of the search";
  EXPECT_EQ(all[1].query.tokens, 2);
}

TEST(HoldOut, TakesEveryOtherTokenCountAndLengthOfThoseThatAnswerForEachOther) {
  std::vector<Truth> all;
  for (const int tokens : {4, 1, 2})
    for (const int extra_len : {512, 1024}) all.push_back(truth_of(problem_of(tokens, extra_len)));
  all.push_back(truth_of(problem_of(1, 4096, 2)));  // the only length of its page
  all.push_back(truth_of(problem_of(8, 0)));        // the only problem of its scopes
  EXPECT_THAT(hold_out(all), ElementsAre(Held::no, Held::length, Held::no, Held::length,
                                         Held::tokens, Held::both, Held::no, Held::no));
  EXPECT_THAT(hold_out(all, {.smallest_length = true}),
              ElementsAre(Held::length, Held::no, Held::length, Held::no, Held::both, Held::tokens,
                          Held::no, Held::no));
}

TEST(Score, IsTheTimeOfThatLaunchWhereItWasMeasured) {
  const Truth truth = truth_of(
      problem_of(1, 512),
      {{launch_of(2, joint(4)), 10}, {launch_of(2, joint(8)), 12}, {launch_of(4, joint(8)), 13}});
  const Score found = score(truth, launch_of(4, joint(8)));
  EXPECT_EQ(found.us, 13);
  EXPECT_EQ(found.found, Found::measured);
  EXPECT_EQ(score(truth, launch_of(8, joint(8))).found, Found::none) << "another decode kernel";
}

TEST(Score, OfAnUnmeasuredLaunchIsThatOfTheNearestAndSaysSo) {
  const Truth truth = truth_of(problem_of(1, 512), {{launch_of(2, joint(4)), 10},
                                                    {launch_of(2, {1, 8, SplitMap::strided}), 11},
                                                    {launch_of(2, joint(16), 4), 12}});
  Score found = score(truth, launch_of(2, joint(16), 1));
  EXPECT_EQ(found.us, 12);
  EXPECT_EQ(found.found, Found::reduce);
  found = score(truth, launch_of(2, joint(8)));
  EXPECT_EQ(found.us, 11) << "9 splits are nearest to 8";
  EXPECT_EQ(found.found, Found::near);
  EXPECT_NEAR(found.off, 0.42, 0.01) << "its longest has 4 tiles, not 3";
}

TEST(Score, KnowsLaunchesThatWorkTheSame) {
  const Truth truth =
      truth_of(problem_of(1, 0), {{launch_of(2, {1, 1, SplitMap::contiguous}), 10}});
  EXPECT_EQ(score(truth, launch_of(2, {1, 8, SplitMap::strided}, 4)).found, Found::measured)
      << "there is no extra scope, and nothing to reduce";
  EXPECT_EQ(score(truth, launch_of(2, joint(1))).found, Found::near);
}

TEST(Policies, AnswerWithWhatTheDispatcherOrOneConfigWould) {
  const Launch wide = launch_of(4, joint(2)), narrow = launch_of(2, joint(8));
  const Truth one = truth_of(problem_of(1, 512), {{wide, 30}, {narrow, 10}});
  const Truth many = truth_of(problem_of(4, 512), {{wide, 20}, {narrow, 24}});
  const Query near_many{.heads = 16, .tokens = 5, .main_len = 128, .extra_len = 512};
  EXPECT_EQ(dispatched("sm_90", {&one, &many})(near_many).config.waves, 4);
  EXPECT_EQ(fixed({&one, &many})(near_many).config.waves, 2);
  const auto nine = [](const Query&, int, int, int) { return 9; };
  const Launch split = by_formula(nine, 132, {&one, &many})(near_many);
  EXPECT_EQ(split.config.waves, 2);
  EXPECT_EQ(split.splits.split_extra, 8) << "9 is not listed";
}

TEST(PeersFormulas, GiveTheSplitsThatTheyAreKnownFor) {
  const auto query = [](int tokens) {
    return Query{.heads = 16, .tokens = tokens, .main_len = 128, .extra_len = 1024};
  };
  // 36 tiles of 32 keys: from 18 splits on 2 tiles each, and all in one wave.
  EXPECT_EQ(vllm_gfx950_splits(query(1), 16, 32, 256), 18);
  // One wave of 16 workgroups by 16: 3 tiles each, which 12 splits do as well.
  EXPECT_EQ(vllm_gfx950_splits(query(16), 16, 32, 256), 12);
  EXPECT_EQ(vllm_gfx950_splits(query(256), 16, 32, 256), 2);
  EXPECT_EQ(vllm_gfx942_splits(query(1), 16, 32, 304), 12);
  EXPECT_EQ(aiter_splits(query(256), 16, 64, 256), 1);
  EXPECT_GT(aiter_splits(query(1), 16, 64, 256), 4);
}

}  // namespace
}  // namespace mla::regret
