#include "kernels/dispatch.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cmath>
#include <cstdlib>
#include <new>
#include <random>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/kernels/some_winners.hpp"

namespace {
std::atomic<long> allocations = 0;
}  // namespace

// Not inlined: the compiler must not see malloc behind new and free behind delete.
[[gnu::noinline]] void* operator new(std::size_t size) {
  ++allocations;
  if (void* memory = std::malloc(size)) return memory;
  throw std::bad_alloc();
}
[[gnu::noinline]] void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  ++allocations;
  return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void* memory) noexcept { std::free(memory); }
[[gnu::noinline]] void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }

namespace mla {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

using test::in_clusters;
using test::query;
using test::winner;

const Query kServed = query(16, 8, 128, 1024);

int mark(const Answer& answer) { return variant_launch(answer.params).splits.split_extra; }

TEST(Dispatch, AnswersTheVeryShapeExactly) {
  const DispatchTable table("gfx950", {winner(kServed, 4)});
  const Answer answer = table.lookup(kServed);
  EXPECT_EQ(answer.grade, MatchGrade::exact);
  EXPECT_TRUE(answer.has_evidence);
  EXPECT_EQ(answer.evidence, Evidence::measured);
  EXPECT_EQ(answer.winner, 0);
  EXPECT_EQ(answer.variant, test::key(4));
  EXPECT_EQ(answer.tuned_for, kServed);
  EXPECT_EQ(answer.splits, 5);
  EXPECT_EQ(answer.workspace_bytes, 8LL * 16 * 5 * 515 * 4);
  EXPECT_EQ(answer.decode_grid.x, 8u);
  EXPECT_EQ(answer.decode_grid.y, 1u);
  EXPECT_EQ(answer.decode_grid.z, 5u);
  EXPECT_EQ(answer.decode_block, 128u);
  EXPECT_EQ(answer.reduce_grid.y, 16u);
  EXPECT_EQ(answer.reduce_block, 64u);
}

TEST(Dispatch, CountsWhatTheLastWorkgroupNeedsToMerge) {
  const auto merging = [](Winner w) {
    Launch launch = variant_launch(w.params);
    launch.config.merge = Merge::last;
    w.params = variant_params(launch);
    return w;
  };
  const Query many = query(128, 256, 128, 1024), most = query(128, 257, 128, 1024);
  const DispatchTable table(
      "gfx950", {winner(kServed, 4), merging(winner(query(64, 8, 128, 1024), 4)),
                 merging(in_clusters(winner(query(32, 8, 128, 1024), 6), 2, 6)),
                 merging(winner(many, 3)), merging(in_clusters(winner(most, 6), 2, 4))});
  EXPECT_EQ(table.lookup(kServed).arrival_counters, 0) << "a reduce kernel of its own does";
  const Answer answer = table.lookup(query(64, 8, 128, 1024));
  EXPECT_EQ(answer.arrival_counters, 8 * 4);
  EXPECT_TRUE(answer.borrows_reduce) << "for who has no counters";
  EXPECT_EQ(answer.reduce_block, 64u);
  EXPECT_EQ(table.lookup(query(32, 8, 128, 1024)).arrival_counters, 8 * 2 * 2);
  EXPECT_EQ(table.lookup(many).arrival_counters, 256 * 8);
  EXPECT_EQ(table.lookup(most).arrival_counters, 0) << "more than there are";
  EXPECT_EQ(table.lookup(most).partials, 2);
}

TEST(Dispatch, NeverCrossesArchitectures) {
  const DispatchTable table("gfx942", {winner(kServed, 4)});
  EXPECT_EQ(table.size(), 0u);
  EXPECT_EQ(table.lookup(kServed).grade, MatchGrade::fallback);
}

TEST(Dispatch, RefusesAnArchWithoutKernels) {
  EXPECT_THAT(test::error_of(ErrorKind::usage, [] { DispatchTable("gfx1100", WinnerRows()); }),
              HasSubstr("gfx950, gfx942"));
}

TEST(Dispatch, TakesNoShapeOfAnotherClassHoweverNear) {
  const DispatchTable table("gfx950", {winner(kServed, 4)});
  EXPECT_EQ(table.lookup(query(17, 8, 128, 1024)).grade, MatchGrade::fallback) << "heads";
  EXPECT_EQ(table.lookup(query(9, 8, 128, 1024)).grade, MatchGrade::nearest);
  EXPECT_EQ(table.lookup(query(16, 8, 128, 0)).grade, MatchGrade::fallback) << "extra scope";
  Query other = kServed;
  other.main_format = Fp8Format::fnuz;
  EXPECT_EQ(table.lookup(other).grade, MatchGrade::fallback) << "format";
  other = kServed;
  other.extra_page = 48;
  EXPECT_EQ(table.lookup(other).grade, MatchGrade::fallback) << "page";
  other.extra_page = 2;
  EXPECT_EQ(table.lookup(other).grade, MatchGrade::nearest);
}

TEST(Dispatch, TakesNothingMoreThanAFactorOfEightAway) {
  const DispatchTable table("gfx950", {winner(kServed, 4)});
  EXPECT_EQ(table.lookup(query(16, 64, 128, 1024)).grade, MatchGrade::nearest);
  EXPECT_EQ(table.lookup(query(16, 65, 128, 1024)).grade, MatchGrade::fallback);
  EXPECT_EQ(table.lookup(query(16, 1, 16, 128)).grade, MatchGrade::nearest);
  EXPECT_EQ(table.lookup(query(16, 1, 16, 127)).grade, MatchGrade::fallback);
  EXPECT_EQ(table.lookup(query(16, 1, 15, 128)).grade, MatchGrade::fallback);
}

TEST(Dispatch, BreaksATieForFewerTokens) {
  const DispatchTable table(
      "gfx950", {winner(query(16, 16, 128, 1024), 1), winner(query(16, 4, 128, 1024), 2)});
  EXPECT_EQ(mark(table.lookup(query(16, 8, 128, 1024))), 2);
}

TEST(Dispatch, LeavesAClusterThatWouldWaitForUnitsToWhoHasNothingElse) {
  Winner pairs = winner(query(16, 128, 128, 1024), 1), whole = winner(query(16, 512, 128, 1024), 1);
  pairs = in_clusters(pairs, 2, 2);
  const DispatchTable both("gfx950", {pairs, whole}), one("gfx950", {pairs});
  EXPECT_EQ(both.lookup(query(16, 100, 128, 1024)).tuned_for.tokens, 128);
  EXPECT_EQ(both.lookup(query(16, 140, 128, 1024)).tuned_for.tokens, 512)
      << "280 workgroups in pairs, of 256 units";
  EXPECT_EQ(one.lookup(query(16, 140, 128, 1024)).tuned_for.tokens, 128);
}

TEST(Dispatch, BreaksATieOfLengthsForTheLarger) {
  const DispatchTable table("gfx950",
                            {winner(query(16, 8, 0, 512), 1), winner(query(16, 8, 0, 2048), 2)});
  EXPECT_EQ(mark(table.lookup(query(16, 8, 0, 1024))), 2);
}

TEST(Dispatch, BreaksATieForWhoeverReadsAsManyKeysInAll) {
  const DispatchTable table(
      "gfx950", {winner(query(16, 4, 128, 512), 1), winner(query(16, 16, 128, 512), 2)});
  EXPECT_EQ(mark(table.lookup(query(16, 8, 128, 1024))), 2) << "8 * 1152 are nearly 16 * 640";
  EXPECT_EQ(mark(table.lookup(query(16, 8, 128, 256))), 1);
}

TEST(Dispatch, DoesNotTradeOneParameterForAnotherAsAVolumeWould) {
  // 1 x 4096 keys and 64 x 64 keys are the same volume; neither is near the other.
  const DispatchTable table(
      "gfx950", {winner(query(16, 1, 128, 4096), 1), winner(query(16, 32, 128, 128), 2)});
  EXPECT_EQ(mark(table.lookup(query(16, 64, 128, 64))), 2);
}

TEST(Dispatch, PrefersATimeToAPrediction) {
  const Query other = query(16, 16, 128, 1024);
  const DispatchTable table("gfx950", {winner(kServed, 1, Evidence::predicted),
                                       winner(other, 2, Evidence::measured, 50)});
  EXPECT_EQ(mark(table.lookup(kServed)), 2);
  EXPECT_EQ(table.lookup(kServed).grade, MatchGrade::nearest);
  EXPECT_EQ(table.lookup(other).grade, MatchGrade::exact);
}

TEST(Dispatch, CountsOneRowAShape) {
  Winner warm = winner(kServed, 1, Evidence::measured, 1), ragged = winner(kServed, 2), slow = warm,
         old = winner(kServed, 4), best = old;
  warm.problem.warm_cache = true;
  ragged.problem.lengths = "ragged";
  slow = winner(kServed, 3, Evidence::measured, 11);
  old.rocm = "7.2.4";
  best = winner(kServed, 5);
  best.rocm = "7.10.0";
  const DispatchTable table("gfx950", {warm, ragged, slow, old, best});
  EXPECT_EQ(table.size(), 1u);
  EXPECT_EQ(mark(table.lookup(kServed)), 5);
}

TEST(Dispatch, SaysThatAnAnswerIsPredictedWhateverItsShape) {
  const DispatchTable table("gfx950", {winner(kServed, 1, Evidence::predicted)});
  EXPECT_EQ(table.lookup(kServed).grade, MatchGrade::predicted);
  const Answer near = table.lookup(query(16, 9, 128, 1024));
  EXPECT_EQ(near.grade, MatchGrade::predicted);
  EXPECT_EQ(near.evidence, Evidence::predicted);
  EXPECT_EQ(near.tuned_for, kServed);
}

TEST(Dispatch, AnswersWithNothingThatWasForbidden) {
  const DispatchTable table(
      "gfx950", {winner(kServed, 1, Evidence::predicted), winner(query(16, 64, 128, 1024), 2)});
  const Query near = query(16, 60, 128, 1024);
  EXPECT_EQ(mark(table.lookup(kServed)), 2);
  EXPECT_EQ(mark(table.lookup(kServed, {.nearest = false})), 1) << "no other shape";
  EXPECT_EQ(table.lookup(near, {.nearest = false}).grade, MatchGrade::fallback);
  EXPECT_EQ(table.lookup(near, {.predicted = false}).grade, MatchGrade::nearest);
  EXPECT_EQ(table.lookup(kServed, {.nearest = false, .predicted = false}).grade,
            MatchGrade::fallback);
}

TEST(Dispatch, UsesAForcedWinnerHoweverFar) {
  const DispatchTable table("gfx950", {winner(kServed, 1)});
  const Answer far = table.force(query(128, 4096, 128, 0));
  EXPECT_EQ(far.grade, MatchGrade::nearest);
  EXPECT_EQ(far.splits, 1) << "of the query's own scopes";
  EXPECT_EQ(DispatchTable("gfx950", WinnerRows()).force(kServed).grade, MatchGrade::fallback);
}

TEST(Dispatch, PassesOverWinnersItCannotLaunchAndSaysSo) {
  Winner unknown = winner(kServed, 1), zero = winner(kServed, 2);
  unknown.params = "{\"block_q\":3}";
  Launch launch = variant_launch(zero.params);
  launch.config.block_k = 0;
  zero.params = variant_params(launch);
  const DispatchTable table("gfx950", {unknown, zero});
  EXPECT_EQ(table.size(), 0u);
  EXPECT_THAT(table.warnings(), ElementsAre(HasSubstr(test::key(1)), HasSubstr(test::key(2))));
}

TEST(Dispatch, AnswersNoneToWhatCannotBeLaunched) {
  const DispatchTable table("gfx950", {winner(kServed, 4)});
  Query bad_page = kServed, bad_format = kServed;
  bad_page.main_page = 0;
  bad_format.extra_format = static_cast<Fp8Format>(3);
  for (const Query& q :
       {query(0, 8, 1, 1), query(129, 8, 1, 1), query(16, 0, 1, 1), query(16, 8, -1, 1),
        query(16, 8, 1, -1), query(16, 1 << 20, 1, 4096), bad_page, bad_format}) {
    EXPECT_EQ(table.lookup(q).grade, MatchGrade::none);
    EXPECT_EQ(table.lookup(q).workspace_bytes, 0);
    EXPECT_NE(unlaunchable(q), nullptr);
  }
}

TEST(Dispatch, ReadsNoPageOfAnAbsentScope) {
  Query absent = query(16, 8, 128, 0);
  const DispatchTable table("gfx950", {winner(absent, 4)});
  absent.extra_page = 48;
  absent.extra_format = Fp8Format::fnuz;
  EXPECT_EQ(table.lookup(absent).grade, MatchGrade::exact);
  EXPECT_EQ(table.lookup(absent).splits, 1) << "split_main 1 and no extra scope";
  EXPECT_EQ(table.lookup(absent).reduce_block, 0u);
}

TEST(Dispatch, FallsBackToSomethingThatTheKernelsTake) {
  const DispatchTable table("gfx950", WinnerRows());
  for (int tokens : {1, 3, 64, 100000}) {
    for (int length : {0, 1, 100, 5000}) {
      const Query q = query(128, tokens, length, length);
      const Answer answer = table.lookup(q);
      EXPECT_EQ(answer.grade, MatchGrade::fallback);
      EXPECT_FALSE(answer.has_evidence);
      EXPECT_EQ(answer.variant, "fallback");
      EXPECT_TRUE(valid(answer.launch.config));
      EXPECT_EQ(answer.params, variant_params(answer.launch));
      EXPECT_EQ(variant_params(fallback_launch("gfx950", q)), answer.params);
      EXPECT_EQ(answer.workspace_bytes, workspace_bytes(answer.launch, q));
    }
  }
  EXPECT_EQ(table.lookup(query(16, 4096, 128, 4096)).splits, 1);
  EXPECT_EQ(table.lookup(query(16, 1, 128, 4096)).splits, 16);
}

double in_octaves(int n) { return std::round(std::log2(std::max(n, 1)) * 1024); }

// Whether a winner's cluster is more splits than fit a query, on the 256 units of gfx950.
bool is_crowded(const Winner& w, const Query& q) {
  const Launch launch = variant_launch(w.params);
  const auto groups = [&](int heads) {
    return (heads + launch.config.block_h - 1) / launch.config.block_h;
  };
  const int had = w.problem.num_tokens * groups(w.problem.num_heads) *
                  total_splits(launch.splits, w.problem.extra_len > 0);
  const bool leaves_one = partials(launch, w.problem.extra_len > 0) == 1;
  const int wanted = leaves_one ? had : std::max(had, 256);
  return launch.config.cluster > 1 &&
         std::max(wanted / (q.tokens * groups(q.heads)), 1) < launch.config.cluster;
}
// The rule of the header, written the long way round.
const Winner* nearest_by_rule(const std::vector<Winner>& winners, const Query& q) {
  const Winner* best = nullptr;
  std::vector<double> best_rank;
  for (const Winner& w : winners) {
    const ProblemRecord& p = w.problem;
    const auto octaves = [](int a, int b) { return std::abs(in_octaves(a) - in_octaves(b)); };
    const double keys = std::abs(in_octaves(p.num_tokens) + in_octaves(p.main_len + p.extra_len) -
                                 in_octaves(q.tokens) - in_octaves(q.main_len + q.extra_len));
    const double t = octaves(p.num_tokens, q.tokens), m = octaves(p.main_len, q.main_len),
                 e = octaves(p.extra_len, q.extra_len);
    if ((p.num_heads + 15) / 16 != (q.heads + 15) / 16) continue;
    if ((p.extra_len == 0) != (q.extra_len == 0)) continue;
    if (std::max({t, m, e}) > 3 * 1024) continue;
    const bool same = p.num_heads == q.heads && t + m + e == 0;
    const std::vector<double> rank = {double(w.evidence),
                                      double(!same && is_crowded(w, q)),
                                      std::max({t, m, e}),
                                      t + m + e,
                                      0,
                                      double(std::abs(p.num_heads - q.heads)),
                                      keys,
                                      double(p.num_tokens),
                                      double(-p.extra_len),
                                      double(-p.main_len),
                                      double(-p.num_heads)};
    if (best == nullptr || rank < best_rank) {
      best = &w;
      best_rank = rank;
    }
  }
  return best;
}

TEST(Dispatch, FollowsItsWrittenRuleOnRandomTables) {
  std::mt19937 random(7);
  const auto pick = [&](std::initializer_list<int> of) {
    return of.begin()[std::uniform_int_distribution<std::size_t>(0, of.size() - 1)(random)];
  };
  int answered = 0;
  for (int round = 0; round < 300; ++round) {
    std::vector<Winner> winners;
    std::vector<Query> seen;
    for (int i = 0; i < 12; ++i) {
      const Query q = query(pick({8, 16, 24, 64}), pick({1, 2, 7, 8, 64, 512}), pick({0, 64, 128}),
                            pick({0, 100, 512, 1024}));
      if (std::ranges::find(seen, q) != seen.end()) continue;
      seen.push_back(q);
      winners.push_back(
          winner(q, i + 1, pick({0, 3}) == 0 ? Evidence::measured : Evidence::predicted));
      if (pick({0, 1, 2}) == 0) {
        const int cluster = pick({2, 4});
        winners.back() = in_clusters(winners.back(), cluster, cluster * (i + 1));
      }
    }
    const DispatchTable table("gfx950", winners);
    for (int i = 0; i < 40; ++i) {
      const Query q = query(pick({8, 12, 16, 20, 64}), pick({1, 3, 8, 20, 500, 4096}),
                            pick({0, 1, 90, 128}), pick({0, 1, 200, 1000}));
      const Winner* expected = nearest_by_rule(winners, q);
      const Answer answer = table.lookup(q);
      ASSERT_EQ(answer.grade == MatchGrade::fallback, expected == nullptr);
      if (expected == nullptr) continue;
      ++answered;
      ASSERT_EQ(answer.variant, expected->variant);
    }
  }
  EXPECT_GT(answered, 1000);
}

TEST(Dispatch, AllocatesNothingToLookUp) {
  std::vector<Winner> winners;
  for (int tokens = 1; tokens <= 512; tokens *= 2)
    winners.push_back(winner(query(16, tokens, 128, 1024), tokens));
  const DispatchTable table("gfx950", winners);
  const long before = allocations;
  int found = 0;
  for (int tokens = 1; tokens < 9000; ++tokens)
    found += table.lookup(query(16, tokens, 128, 1024)).has_evidence;
  EXPECT_EQ(allocations, before);
  EXPECT_GE(found, 4096);
  static_assert(noexcept(table.lookup(kServed)));
}

TEST(Dispatch, LoadsTheWinnersOfOneReleaseFromADatabase) {
  const test::TempDir folder;
  const auto path = folder / "t.db";
  {
    Store store = test::create(path);
    for (const char* release : {"7.2.4", "7.20.0"}) {
      test::Ids ids = test::put_ids(store);
      ids.toolchain = store.put(test::a_toolchain(release));
      const int mark = release[3] == '.' ? 2 : 20;
      const Winner w = winner(kServed, mark);
      ids.variant = store.put(VariantRecord{0, w.variant, "sparse_mla_decode", w.params});
      store.put(test::a_prediction(ids, Round::final, mark));
    }
  }
  const Query q{.heads = 16, .tokens = 8, .main_len = 128, .extra_len = 1024, .extra_page = 2};
  EXPECT_EQ(mark(DispatchTable::load(path, "gfx950").lookup(q)), 2) << "the shorter time";
  EXPECT_EQ(mark(DispatchTable::load(path, "gfx950", "7.2").lookup(q)), 2);
  EXPECT_EQ(mark(DispatchTable::load(path, "gfx950", "7.20").lookup(q)), 20);
  EXPECT_EQ(DispatchTable::load(path, "gfx950", "6").lookup(q).grade, MatchGrade::fallback);
}

TEST(Dispatch, SaysWhyADatabaseCannotBeRead) {
  const test::TempDir folder;
  EXPECT_THAT(test::error_of(ErrorKind::database,
                             [&] { DispatchTable::load(folder / "none.db", "gfx950"); }),
              HasSubstr("does not exist"));
}

}  // namespace
}  // namespace mla
