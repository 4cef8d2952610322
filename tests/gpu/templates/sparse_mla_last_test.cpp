// Config::merge last on a GPU, where the workgroups of a row end when they like.

#include <gtest/gtest.h>

#include "tests/gpu/templates/variant_on_gpu.hpp"

namespace mla {
namespace {

using test::gfx9;
using test::gfx950;
using test::hopper;
using test::kColumns;
using test::Variant;

// One of each way to leave results.
constexpr Variant kLeaving[] = {
    {"Columns", hopper([](Config& c) { c.query_in = QueryIn::lds; }, kColumns)},
    {"WeightsEightHeads", hopper([](Config& c) { c.block_h = 8; })},
    {"RolesEightHeadsInClusters", hopper([](Config& c) {
       test::share_roles(c, 8);
       c.block_h = 8;
       c.cluster = 4;
     })},
    {"RolesInLargeClusters", hopper([](Config& c) {
       test::share_roles(c, 8);
       c.cluster = 10;
     })},
    {"ScorersInPairs", hopper([](Config& c) {
       test::score_in_turn(c);
       c.cluster = 2;
     })},
    {"Rows", hopper([](Config& c) { test::keep_rows(c); })},
    {"RowsInPairs", hopper([](Config& c) {
       test::keep_rows(c);
       c.cluster = 2;
     })},
    {"Blocks", hopper([](Config& c) { test::multiply_in_blocks(c); })},
    {"BlocksInPairs", hopper([](Config& c) {
       test::multiply_in_blocks(c);
       c.cluster = 2;
     })},
    gfx9("Gfx9Columns", [](Config&) {}),
    gfx9("Gfx9KeysOneWave",
         [](Config& c) {
           c.wave_split = WaveSplit::keys;
           c.waves = 1;
         }),
    gfx9("Gfx9Heads",
         [](Config& c) {
           c.wave_split = WaveSplit::heads;
           c.block_h = 32;
         }),
    gfx950("Gfx950Keys",
           [](Config& c) {
             c.wave_split = WaveSplit::keys;
             c.block_k = 32;
             c.query_in = QueryIn::lds;
           }),
};

class SparseMlaLastOnGpu : public test::VariantOnGpu {};
INSTANTIATE_TEST_SUITE_P(Variants, SparseMlaLastOnGpu, ::testing::ValuesIn(kLeaving),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(SparseMlaLastOnGpu, GivesTheBitsOfTheReduceKernelEveryTime) {
  const ReduceConfig reducing = GetParam().reduce;
  const Config config = GetParam().config;
  Config merging = config;
  merging.merge = Merge::last;
  const std::string apart = compile(decode_source(config)), last = compile(decode_source(merging)),
                    reduce = compile(reduce_source(reducing));
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
