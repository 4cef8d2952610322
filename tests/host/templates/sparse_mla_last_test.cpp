// Config::merge last on the CPU: the workgroups of a row run on several threads, in any order.

#include <gtest/gtest.h>

#include "kernels/device_host.hpp"
#include "tests/host/templates/compiled.hpp"
#include "tests/host/templates/sparse_mla_decode_variants.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

using test::compile;
using test::Variant;

constexpr Variant kOfEachSplit[] = {
    {"Keys", test::kKeys},           {"Heads", test::kHeads},   {"Columns", test::kColumns},
    {"Weights", test::kWeights},     {"Blocks", test::kBlocks}, {"Roles", test::kRoles},
    {"Scorers", test::kScorersOf16}, {"Rows", test::kRowsOf32},
};

class SparseMlaLast : public ::testing::TestWithParam<Variant> {};
INSTANTIATE_TEST_SUITE_P(Variants, SparseMlaLast, ::testing::ValuesIn(kOfEachSplit),
                         [](const auto& info) { return std::string(info.param.name); });

// The runner also sees to it that arrivals are zeros again.
TEST_P(SparseMlaLast, GivesTheBitsOfTheReduceKernel) {
  constexpr ReduceConfig kReduce{.block_h = 4, .waves = 2};
  Config last = GetParam().config;
  last.merge = Merge::last;
  const TemporaryFolder folder;
  const std::string apart = compile(decode_source(GetParam().config), folder, "apart"),
                    reduce = compile(reduce_source(kReduce), folder, "reduce"),
                    decode = compile(decode_source(last), folder, "last");
  const auto runner = make_host_runner(MLA_WORKER, 3);
  // More heads than a workgroup has, rows without keys, and scopes cut each or together.
  ProblemRecord problem{.kernel = "sparse_mla_decode",
                        .num_heads = 67,
                        .num_tokens = 3,
                        .main_len = 100,
                        .extra_len = 200,
                        .main_page = 64,
                        .extra_page = 2};
  problem.lengths = "ragged";
  const ProblemData data =
      make_inputs(problem, {.seed = 71, .sink_infinities = true, .empty_rows = true});
  for (const Splits& splits : {Splits{0, 2, SplitMap::contiguous}, Splits{0, 7, SplitMap::strided},
                               Splits{1, 4, SplitMap::strided}, Splits{0, 1, SplitMap::strided}}) {
    const RunResult want =
        runner->run(apart, reduce, {GetParam().config, splits, kReduce}, data, 60);
    const RunResult got = runner->run(decode, {}, {last, splits, kReduce}, data, 60);
    ASSERT_EQ(want.verdict, Verdict::ok) << want.reason;
    ASSERT_EQ(got.verdict, Verdict::ok) << got.reason;
    EXPECT_TRUE(got.output.out == want.output.out) << splits.split_extra << " splits";
    EXPECT_TRUE(got.output.lse == want.output.lse) << splits.split_extra << " splits";
  }
}

}  // namespace
}  // namespace mla
