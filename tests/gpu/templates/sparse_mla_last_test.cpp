// Config::merge last on a GPU, where the workgroups of a row end when they like.

#include <gtest/gtest.h>

#include "kernels/device_gpu.hpp"
#include "tests/gpu/found_gpus.hpp"
#include "tests/gpu/templates/sparse_mla_decode_variants.hpp"

namespace mla {
namespace {

using test::kColumns;
using test::kWeights;
using test::Variant;
using test::with;

// One of each way to leave results.
constexpr Variant kLeaving[] = {
    {"Columns", with([](Config& c) { c.query_in = QueryIn::lds; })},
    {"WeightsEightHeads", with([](Config& c) { c.block_h = 8; }, kWeights)},
    {"RolesEightHeadsInClusters", with(
                                      [](Config& c) {
                                        test::share_roles(c, 8);
                                        c.block_h = 8;
                                        c.cluster = 4;
                                      },
                                      kWeights)},
    {"RolesInLargeClusters", with(
                                 [](Config& c) {
                                   test::share_roles(c, 8);
                                   c.cluster = 10;
                                 },
                                 kWeights)},
    {"ScorersInPairs", with(
                           [](Config& c) {
                             test::score_in_turn(c);
                             c.cluster = 2;
                           },
                           kWeights)},
    {"Rows", with([](Config& c) { test::keep_rows(c); }, kWeights)},
    {"RowsInPairs", with(
                        [](Config& c) {
                          test::keep_rows(c);
                          c.cluster = 2;
                        },
                        kWeights)},
    {"Blocks", with([](Config& c) { test::multiply_in_blocks(c); }, kWeights)},
    {"BlocksInPairs", with(
                          [](Config& c) {
                            test::multiply_in_blocks(c);
                            c.cluster = 2;
                          },
                          kWeights)},
};

class SparseMlaLastOnGpu : public ::testing::TestWithParam<Variant> {
 protected:
  static void SetUpTestSuite() { found_ = find_gpus_to_test(missing_); }
  static void TearDownTestSuite() { found_.reset(); }
  void SetUp() override {
    if (!found_) GTEST_SKIP() << missing_;
    if (!found_->gpu.device.arch.starts_with("sm_")) GTEST_SKIP() << "these variants are Hopper's";
    runner_ = make_gpu_runner(found_->gpu, found_->checks, 0);
  }
  std::string compiled(const std::string& source) {
    const CompileResult result = compile_to_test(*found_, source);
    EXPECT_EQ(result.verdict, Verdict::ok) << result.log;
    return result.code;
  }

  static inline std::optional<FoundGpus> found_;
  static inline std::string missing_;
  std::unique_ptr<Runner> runner_;
};
INSTANTIATE_TEST_SUITE_P(Variants, SparseMlaLastOnGpu, ::testing::ValuesIn(kLeaving),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(SparseMlaLastOnGpu, GivesTheBitsOfTheReduceKernelEveryTime) {
  const ReduceConfig reducing = GetParam().reduce;
  const Config config = GetParam().config;
  Config merging = config;
  merging.merge = Merge::last;
  const std::string apart = compiled(decode_source(config)),
                    last = compiled(decode_source(merging)),
                    reduce = compiled(reduce_source(reducing));
  for (const auto& [tokens, extra, clusters] :
       {std::array{1, 1024, 16}, {5, 333, 3}, {64, 512, 2}, {200, 200, 3}}) {
    ProblemRecord problem{.kernel = "sparse_mla_decode",
                          .num_heads = 61,
                          .num_tokens = tokens,
                          .main_len = 128,
                          .extra_len = extra,
                          .main_page = 64,
                          .extra_page = 64};
    problem.lengths = "ragged";
    const ProblemData data =
        make_inputs(problem, {.seed = 3, .sink_infinities = true, .empty_rows = true});
    const Splits splits{0, clusters * config.cluster, SplitMap::strided};
    const RunResult want = runner_->run(apart, reduce, {config, splits, reducing}, data, 30);
    ASSERT_EQ(want.verdict, Verdict::ok) << want.reason;
    for (int repeat = 0; repeat < 5; ++repeat) {
      const RunResult got = runner_->run(last, {}, {merging, splits, reducing}, data, 30);
      ASSERT_EQ(got.verdict, Verdict::ok) << got.reason;
      ASSERT_TRUE(got.output.out == want.output.out) << tokens << " tokens, repeat " << repeat;
      ASSERT_TRUE(got.output.lse == want.output.lse) << tokens << " tokens, repeat " << repeat;
    }
  }
}

}  // namespace
}  // namespace mla
