#include "kernels/problem.hpp"

#include <gmock/gmock.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <set>

#include "db/error.hpp"
#include "kernels/fp8.hpp"

namespace mla {
namespace {

using testing::HasSubstr;

ProblemRecord small_problem() {
  ProblemRecord problem;
  problem.kernel = "sparse_mla_decode";
  problem.num_heads = 16;
  problem.num_tokens = 9;
  problem.main_len = 128;
  problem.extra_len = 70;
  problem.main_page = 64;
  problem.extra_page = 2;
  return problem;
}

std::string refusal(const ProblemRecord& problem) {
  try {
    validate(problem);
  } catch (const Error& error) {
    EXPECT_EQ(ErrorKind::usage, error.kind());
    return error.what();
  }
  return "";
}

TEST(Problem, AcceptsTheShapesOfTheModel) {
  ProblemRecord problem = small_problem();
  EXPECT_EQ("", refusal(problem));
  problem.extra_len = problem.extra_page = 0;
  EXPECT_EQ("", refusal(problem));
  problem.main_len = 0;
  EXPECT_EQ("", refusal(problem));
}

TEST(Problem, NamesTheFieldItRefuses) {
  const auto with = [](auto change) {
    ProblemRecord problem = small_problem();
    change(problem);
    return refusal(problem);
  };
  EXPECT_THAT(with([](auto& p) { p.kernel = "gemm"; }), HasSubstr("kernel"));
  EXPECT_THAT(with([](auto& p) { p.num_heads = 0; }), HasSubstr("num_heads"));
  EXPECT_THAT(with([](auto& p) { p.num_heads = 129; }), HasSubstr("1 to 128"));
  EXPECT_THAT(with([](auto& p) { p.num_tokens = 0; }), HasSubstr("num_tokens"));
  EXPECT_THAT(with([](auto& p) { p.main_len = -1; }), HasSubstr("main_len"));
  EXPECT_THAT(with([](auto& p) { p.main_page = 0; }), HasSubstr("main_page"));
  EXPECT_THAT(with([](auto& p) { p.extra_page = -2; }), HasSubstr("extra_page"));
  EXPECT_THAT(with([](auto& p) { p.main_format = 3; }), HasSubstr("main_format"));
  EXPECT_THAT(with([](auto& p) { p.lengths = "odd"; }), HasSubstr("ragged"));
  EXPECT_THAT(with([](auto& p) { p.num_tokens = 100000, p.extra_len = 100000; }),
              HasSubstr("32-bit"));
}

TEST(Problem, CountsBytesAndOperations) {
  ProblemRecord problem = small_problem();
  problem.num_tokens = 1;
  problem.num_heads = 1;
  problem.main_len = 1;
  problem.extra_len = 0;
  EXPECT_EQ(584 + 4 + 2 * 4 + 2 * 1024, minimum_bytes(problem));
  EXPECT_EQ(2048, flops(problem));
  problem.lengths = "ragged";  // one token is the one of nominal length
  EXPECT_EQ(2048, flops(problem));
}

TEST(Inputs, AreTheSameForASeedAndOthersForAnother) {
  const ProblemData a = make_inputs(small_problem(), {.seed = 5});
  const ProblemData b = make_inputs(small_problem(), {.seed = 5});
  const ProblemData c = make_inputs(small_problem(), {.seed = 6});
  EXPECT_EQ(a.q, b.q);
  EXPECT_EQ(a.main.cache, b.main.cache);
  EXPECT_EQ(a.extra.indices, b.extra.indices);
  EXPECT_EQ(a.sink, b.sink);
  EXPECT_NE(a.q, c.q);
  EXPECT_NE(a.main.indices, c.main.indices);
}

TEST(Inputs, LieInPagesAsTheLayoutSays) {
  const ProblemData data = make_inputs(small_problem(), {});
  EXPECT_EQ(37440, data.main.page_stride);
  EXPECT_EQ(1728, data.extra.page_stride);
  ProblemRecord large_pages = small_problem();
  large_pages.main_page = 256;
  EXPECT_EQ(149760, make_inputs(large_pages, {}).main.page_stride);
  EXPECT_EQ(9 * 128 + 64, data.main.rows);
  EXPECT_EQ(std::size_t(19 * 37440), data.main.cache.size());
  EXPECT_EQ(9u * 16 * 512, data.q.size());
  EXPECT_EQ(16u, data.sink.size());
  ASSERT_EQ(10u, data.main.indptr.size());
  for (int t = 0; t <= 9; ++t) EXPECT_EQ(128 * t, data.main.indptr[std::size_t(t)]);
}

TEST(Inputs, HaveNoExtraScopeWhereTheProblemHasNone) {
  ProblemRecord problem = small_problem();
  problem.extra_len = 0;
  EXPECT_TRUE(make_inputs(problem, {}).extra.indptr.empty());
}

TEST(Inputs, AreQuantisedToTheFullRangeOfTheFormat) {
  for (const int format : {1, 2}) {
    ProblemRecord problem = small_problem();
    problem.main_format = format;
    const ProblemData data = make_inputs(problem, {});
    const double largest = e4m3_largest(data.main.format);
    for (const int slot : data.main.indices) {
      const std::uint8_t* page = data.main.cache.data() + slot / 64 * data.main.page_stride;
      const std::uint8_t* row = page + slot % 64 * 576;
      for (int group = 0; group < 7; ++group) {
        double peak = 0;
        for (int i = 0; i < 64; ++i) {
          const double value = e4m3_to_double(row[group * 64 + i], data.main.format);
          ASSERT_FALSE(std::isnan(value));
          peak = std::max(peak, std::fabs(value));
        }
        // The scale is the smallest power of two under which nothing saturates.
        ASSERT_GE(peak, largest / 2 * 0.93);
        const std::uint8_t scale = page[64 * 576 + slot % 64 * 8 + group];
        ASSERT_GE(scale, 105);
        ASSERT_LT(scale, 140);
      }
    }
  }
}

TEST(Inputs, ScatterDistinctRowsOverTheCacheAndLeaveTheSpareOnesNaN) {
  const ProblemData data = make_inputs(small_problem(), {});
  const std::set<int> used(data.main.indices.begin(), data.main.indices.end());
  EXPECT_EQ(data.main.indices.size(), used.size());
  EXPECT_FALSE(std::is_sorted(data.main.indices.begin(), data.main.indices.end()));
  int spare = 0;
  for (int slot = 0; slot < data.main.rows; ++slot) {
    if (used.count(slot)) continue;
    ++spare;
    const std::uint8_t* page = data.main.cache.data() + slot / 64 * data.main.page_stride;
    EXPECT_EQ(576, std::count(page + slot % 64 * 576, page + slot % 64 * 576 + 576, 0xFF));
    const std::uint8_t* scales = page + 64 * 576 + slot % 64 * 8;
    EXPECT_EQ(8, std::count(scales, scales + 8, 0xFF));
  }
  EXPECT_EQ(64, spare);
}

TEST(Inputs, ShareRowsBetweenTokensWhereTheCacheIsCapped) {
  const ProblemData data = make_inputs(small_problem(), {.spare_rows = 10, .max_rows = 100});
  EXPECT_EQ(110, data.main.rows);
  const std::set<int> used(data.main.indices.begin(), data.main.indices.end());
  EXPECT_EQ(100u, used.size());
}

TEST(Inputs, VaryRaggedLengthsUpToTheNominalOne) {
  ProblemRecord problem = small_problem();
  problem.lengths = "ragged";
  problem.num_tokens = 40;
  const ProblemData data = make_inputs(problem, {});
  std::set<int> lengths;
  for (std::size_t t = 0; t < 40; ++t) {
    lengths.insert(data.main.indptr[t + 1] - data.main.indptr[t]);
  }
  EXPECT_EQ(128, *lengths.rbegin());
  EXPECT_GE(*lengths.begin(), 0);
  EXPECT_GT(lengths.size(), 10u);
}

TEST(Inputs, HoldTheTroubleAskedFor) {
  ProblemRecord problem = small_problem();
  problem.num_tokens = 20;
  const ProblemData data = make_inputs(problem, {.sink_infinities = true,
                                                 .invalid_fraction = 0.25,
                                                 .poisoned_fraction = 0.5,
                                                 .duplicate_fraction = 0.25,
                                                 .empty_rows = true});
  const auto& main = data.main;
  std::size_t invalid = 0, duplicates = 0;
  for (std::size_t i = 0; i < main.indices.size(); ++i) {
    invalid += main.indices[i] < 0 || main.indices[i] >= main.rows;
    duplicates += i > 0 && main.indices[i] == main.indices[i - 1];
  }
  EXPECT_GT(invalid, main.indices.size() / 5);
  EXPECT_GT(duplicates, main.indices.size() / 10);
  EXPECT_GT(std::count(main.indices.begin(), main.indices.end(), -1), 0);
  EXPECT_GT(std::count(main.indices.begin(), main.indices.end(), main.rows), 0);
  EXPECT_EQ(main.indptr[1], main.indptr[2]);               // token 1 has no entry
  for (int i = main.indptr[3]; i < main.indptr[4]; ++i) {  // token 3 has no valid one
    const int slot = main.indices[std::size_t(i)];
    EXPECT_TRUE(slot < 0 || slot >= main.rows) << slot;
  }
  EXPECT_EQ(std::numeric_limits<float>::infinity(), data.sink[0]);
  EXPECT_EQ(-std::numeric_limits<float>::infinity(), data.sink[1]);
  EXPECT_TRUE(std::isfinite(data.sink[2]));
}

TEST(Inputs, EmptyTheOnlyTokenToo) {
  ProblemRecord problem = small_problem();
  problem.num_tokens = 1;
  const ProblemData data = make_inputs(problem, {.empty_rows = true});
  EXPECT_EQ(128u, data.main.indices.size());
  for (const int slot : data.main.indices) EXPECT_TRUE(slot < 0 || slot >= data.main.rows);
}

}  // namespace
}  // namespace mla
