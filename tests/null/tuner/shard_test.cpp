#include "tuner/shard.hpp"

#include <gmock/gmock.h>

#include "db/error.hpp"
#include "db/merge.hpp"
#include "tests/null/db/content.hpp"
#include "tests/null/tuner/tune_fixture.hpp"

namespace mla {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST(Shard, IsReadAsPlaceAndCount) {
  EXPECT_EQ(parse_shard("1/1").count, 1u);
  EXPECT_EQ(parse_shard("2/8").index, 1u);
  EXPECT_EQ(parse_shard("8/8").index, 7u);
}

TEST(Shard, RefusesEverythingElseWithTheRemedy) {
  const auto refusal = [](const char* text) {
    try {
      parse_shard(text);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::usage);
      EXPECT_THAT(error.what(), HasSubstr(text));
      return std::string(error.what());
    }
    ADD_FAILURE() << text;
    return std::string();
  };
  for (const char* text : {"2", "2/", "/8", "0/8", "2/0", "-1/8", "2/8/9", "a/b", "2 /8", "+1/8",
                           "1.5/8", "99999999999999999999/8"})
    EXPECT_THAT(refusal(text), HasSubstr("write 2/8 for the second of eight"));
  EXPECT_THAT(refusal("9/8"), HasSubstr("the last is 8/8"));
  EXPECT_THAT(refusal("1/10001"), HasSubstr("10000 shards at most"));
}

TEST(Shard, EveryProblemBelongsToOneShard) {
  for (std::size_t count = 1; count < 9; ++count) {
    for (std::size_t problem = 0; problem < 40; ++problem) {
      int owners = 0;
      for (std::size_t index = 0; index < count; ++index)
        owners += Shard{index, count}.has(problem);
      EXPECT_EQ(owners, 1);
    }
    for (std::size_t size = 0; size < 30; ++size)
      for (std::size_t index = 0; index < count; ++index)
        EXPECT_LT((Shard{index, count}.begin(size)), std::max<std::size_t>(size, 1));
  }
}

class ShardedTune : public Tune, public testing::WithParamInterface<Bench> {
 protected:
  ShardedTune() {
    problems_.clear();
    for (int n = 0; n < 5; ++n)
      problems_.push_back({.kernel = "sparse_mla_decode",
                           .num_heads = n < 3 ? 4 : 20,
                           .num_tokens = 1 << (2 * n),
                           .main_len = 20,
                           .extra_len = n % 2 == 0 ? 4000 >> (2 * n) : 0,
                           .main_page = 4,
                           .extra_page = n % 2 == 0 ? 2 : 0});
    if (GetParam() == Bench::target) runner_ = FakeRunner("gfx950");
    limits_.code_objects = 20;
    compiler_.spilling = ".block_k = 64";
    compiler_.failing = ".block_h = 4";  // reduce kernels that were wanted
  }
  TuneReport run_as(const std::string& name, Shard shard) {
    path_ = folder_.path(name);
    limits_.shard = shard;
    return run(GetParam());
  }
};

TEST_P(ShardedTune, ShardsTogetherFindWhatOneRunFinds) {
  run_as("whole.db", {});
  const auto whole = test::content_of(path_);
  ASSERT_THAT(whole.at("problems"), SizeIs(5));
  ASSERT_THAT(whole.at("winners"), SizeIs(GetParam() == Bench::none ? 0 : 5));
  const int compiled = compiler_.count;
  for (const std::size_t count : {2u, 3u, 5u}) {
    std::vector<std::filesystem::path> parts;
    std::size_t rows = 0;
    for (std::size_t index = 0; index < count; ++index) {
      compiler_.count = 0;
      run_as(std::to_string(index) + "of" + std::to_string(count) + ".db", {index, count});
      EXPECT_EQ(compiler_.count, compiled) << "all shards follow one plan";
      parts.push_back(path_);
      rows += test::content_of(path_).at("measurements").size();
    }
    EXPECT_EQ(rows, whole.at("measurements").size()) << "nothing is tried by two shards";
    path_ = folder_.path("merged" + std::to_string(count) + ".db");
    merge_databases(path_, parts);
    for (const auto& [table, content] : test::content_of(path_))
      EXPECT_EQ(content, whole.at(table)) << table << " of " << count << " shards";
    EXPECT_THAT(store().check(), IsEmpty());

    // A run that is not sharded takes the merged file for its own.
    compiler_.count = 0;
    const int ran = runner_.count;
    const auto merged = test::content_of(path_);
    run_as("merged" + std::to_string(count) + ".db", {});
    EXPECT_EQ(compiler_.count, 0);
    EXPECT_EQ(runner_.count, ran);
    EXPECT_EQ(test::content_of(path_), merged);
  }
}

TEST_P(ShardedTune, ShardsWithOneCacheEachBeginWithAPartOfTheirOwn) {
  std::set<std::string> first;
  for (const std::size_t index : {0u, 1u, 2u, 3u}) {
    compiler_.order.clear();
    run_as(std::to_string(index) + ".db", {index, 4});
    for (std::size_t n = 0; n < 2; ++n)
      EXPECT_TRUE(first.insert(compiler_.order.at(n)).second) << "shard " << index;
  }
}

INSTANTIATE_TEST_SUITE_P(Benches, ShardedTune,
                         testing::Values(Bench::none, Bench::host, Bench::target),
                         [](const auto& bench) {
                           return std::string(bench.param == Bench::none   ? "None"
                                              : bench.param == Bench::host ? "Host"
                                                                           : "Target");
                         });

}  // namespace
}  // namespace mla
