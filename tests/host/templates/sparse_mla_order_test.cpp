// Which token and heads a workgroup computes, as the host's machine has it.

#include "templates/sparse_mla_order.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <numeric>
#include <random>
#include <vector>

// No wave runs here.
__thread const mla::host::Wave* mla_host_wave;

namespace mla {
namespace {

struct Batch {
  explicit Batch(const std::vector<int>& lengths, bool ragged = true) {
    for (const int length : lengths) indptr.push_back(indptr.back() + length);
    args.tokens = static_cast<int>(lengths.size());
    args.main.indptr = indptr.data();
    args.main.ragged = ragged ? 1 : 0;
  }
  std::vector<int> order() const {
    std::vector<int> tokens;
    for (int place = 0; place < args.tokens; ++place) tokens.push_back(token_at(args, place));
    return tokens;
  }
  std::vector<int> indptr{0};
  DecodeArgs args{};
};

TEST(Order, AttendsToEveryTokenOnceWhateverTheLengths) {
  std::mt19937 random(4);
  for (int tokens = 1; tokens <= 70; ++tokens) {
    std::vector<int> lengths(static_cast<std::size_t>(tokens));
    for (int& length : lengths) length = static_cast<int>(random() % 5 * 100);
    std::vector<int> order = Batch(lengths).order();
    std::ranges::sort(order);
    std::vector<int> all(lengths.size());
    std::iota(all.begin(), all.end(), 0);
    EXPECT_EQ(order, all) << tokens << " tokens";
  }
}

TEST(Order, PutsTheLongestOfEachGroupFirst) {
  // Two groups of four and three: 0 to 3 and 4 to 6.
  const Batch batch({100, 900, 0, 500, 64, 65, 640});
  EXPECT_EQ(batch.order(), (std::vector<int>{1, 6, 3, 5, 0, 4, 2}));
}

TEST(Order, CountsBothScopes) {
  Batch batch({10, 200, 100});
  const std::vector<int> extra{0, 500, 500, 900};
  batch.args.extra.indptr = extra.data();
  EXPECT_EQ(batch.order(), (std::vector<int>{0, 2, 1})) << "510, 500 and 200 keys";
}

TEST(Order, LeavesListsOfAsManyTilesAsTheyCome) {
  EXPECT_EQ(Batch({70, 128, 65, 100}).order(), (std::vector<int>{0, 1, 2, 3}));
}

TEST(Order, LeavesListsAsTheyComeThatNobodyCallsRagged) {
  EXPECT_EQ(Batch({1, 1000, 100}, false).order(), (std::vector<int>{0, 1, 2}));
}

GridPlace place_of(const DecodeArgs& args, int x, int y, int groups) {
  return place_in_grid(args, {static_cast<unsigned>(x), static_cast<unsigned>(y), 0}, groups);
}

TEST(GridOrder, ByTokensIsTheGridsOwn) {
  DecodeArgs args{};
  args.tokens = 7;
  for (const GridOrder order : {GridOrder{}, GridOrder::tokens}) {
    args.grid_order = order;
    EXPECT_EQ(place_of(args, 5, 2, 3).token, 5);
    EXPECT_EQ(place_of(args, 5, 2, 3).group, 2);
  }
}

// Workgroups are dealt to dies in the order of the grid, x first.
TEST(GridOrder, ByHeadsDealsATokensGroupsToOneDieInTurn) {
  DecodeArgs args{};
  args.grid_order = GridOrder::heads;
  for (int tokens = 1; tokens <= 3 * kDies; ++tokens) {
    for (int groups = 1; groups <= 5; ++groups) {
      args.tokens = tokens;
      std::vector<std::vector<int>> dealt(static_cast<std::size_t>(tokens));
      for (int n = 0; n < tokens * groups; ++n) {
        const GridPlace place = place_of(args, n % tokens, n / tokens, groups);
        ASSERT_GE(place.token, 0);
        ASSERT_LT(place.token, tokens);
        std::vector<int>& of_token = dealt[static_cast<std::size_t>(place.token)];
        ASSERT_EQ(place.group, static_cast<int>(of_token.size())) << "each once, in turn";
        of_token.push_back(n);
      }
      for (int token = 0; token < tokens; ++token) {
        const std::vector<int>& of_token = dealt[static_cast<std::size_t>(token)];
        ASSERT_EQ(static_cast<int>(of_token.size()), groups);
        if (token >= tokens / kDies * kDies) continue;  // too few are left for every die
        for (const int n : of_token) EXPECT_EQ(n % kDies, token % kDies) << tokens << ' ' << groups;
        EXPECT_EQ(of_token.back() - of_token.front(), (groups - 1) * kDies)
            << "one after the other";
      }
    }
  }
}

}  // namespace
}  // namespace mla
