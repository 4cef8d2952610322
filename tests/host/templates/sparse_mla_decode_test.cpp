// The kernel templates on the CPU, against float64: every value of every parameter, every trouble
// that inputs bring.

#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "kernels/compare.hpp"
#include "kernels/device_host.hpp"
#include "kernels/fp8.hpp"
#include "kernels/params.hpp"
#include "tests/host/templates/compiled.hpp"
#include "tests/host/templates/sparse_mla_decode_variants.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

using test::compile;
using test::kKeys;
using test::kVariants;
using test::Variant;

class SparseMlaDecode : public ::testing::TestWithParam<Variant> {
 protected:
  // Compiled once for all the tests of a process: ctest runs each in its own.
  void SetUp() override { decode_ = compile(decode_source(GetParam().config), folder_, "decode"); }

  void expect_right(const ProblemRecord& problem, const InputOptions& inputs,
                    Splits splits = {0, 1, SplitMap::contiguous},
                    ReduceConfig reduce = {.block_h = 4, .waves = 2}) {
    const bool needs_reduce = total_splits(splits, problem.extra_len > 0) > 1;
    if (needs_reduce && reduce_.empty())
      reduce_ = compile(reduce_source(reduce), folder_, "reduce");
    const ProblemData data = make_inputs(problem, inputs);
    const RunResult run = runner_->run(decode_, needs_reduce ? reduce_ : std::string(),
                                       {GetParam().config, splits, reduce}, data, 60);
    ASSERT_EQ(run.verdict, Verdict::ok) << run.reason;
    const Comparison result = compare(run.output, compute_reference(data, 2), Tolerance{});
    EXPECT_TRUE(result.ok) << result.reason;
  }

  static ProblemRecord problem(int heads, int tokens, int main_len, int extra_len,
                               int main_page = 64, int extra_page = 64) {
    ProblemRecord p;
    p.kernel = "sparse_mla_decode";
    p.num_heads = heads;
    p.num_tokens = tokens;
    p.main_len = main_len;
    p.extra_len = extra_len;
    p.main_page = main_page;
    p.extra_page = extra_len > 0 ? extra_page : 0;
    return p;
  }

  TemporaryFolder folder_;
  std::string decode_;
  std::string reduce_;
  std::unique_ptr<Runner> runner_ = make_host_runner(MLA_WORKER, 2);
};
INSTANTIATE_TEST_SUITE_P(Variants, SparseMlaDecode, ::testing::ValuesIn(kVariants),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(SparseMlaDecode, IsRightOnBothScopesWithTailsAndOddPages) {
  expect_right(problem(16, 2, 128, 70), {.seed = 11});
  expect_right(problem(33, 3, 40, 31, 7, 2), {.seed = 12});
  expect_right(problem(3, 1, 1, 65, 256, 61), {.seed = 13, .sink = false});
}

TEST_P(SparseMlaDecode, IsRightWithoutAnExtraScope) {
  expect_right(problem(16, 2, 129, 0), {.seed = 21});
}

TEST_P(SparseMlaDecode, SkipsInvalidSlotsAndScrubsPoison) {
  expect_right(
      problem(20, 3, 96, 130, 64, 2),
      {.seed = 31, .invalid_fraction = 0.3, .poisoned_fraction = 0.3, .duplicate_fraction = 0.2});
}

TEST_P(SparseMlaDecode, GivesZeroAndInfiniteLseForEmptyRowsAndHonoursInfiniteSinks) {
  ProblemRecord ragged = problem(16, 6, 64, 90);
  ragged.lengths = "ragged";
  expect_right(ragged, {.seed = 41, .sink_infinities = true, .empty_rows = true});
}

TEST_P(SparseMlaDecode, SplitsInEveryWayIncludingEmptySplits) {
  ProblemRecord ragged = problem(17, 4, 128, 200);
  ragged.lengths = "ragged";
  const InputOptions inputs{.seed = 51, .sink_infinities = true, .empty_rows = true};
  expect_right(ragged, inputs, {0, 2, SplitMap::contiguous});
  expect_right(ragged, inputs, {0, 16, SplitMap::strided});
  expect_right(ragged, inputs, {1, 3, SplitMap::strided});
  expect_right(ragged, inputs, {4, 8, SplitMap::contiguous});
  expect_right(problem(5, 2, 40, 0), {.seed = 52}, {2, 8, SplitMap::contiguous});
  expect_right(problem(67, 6, 40, 31), {.seed = 53}, {0, 2, SplitMap::strided, GridOrder::heads});
}

TEST_P(SparseMlaDecode, ReadsFnuzInMainAndOcpInExtra) {
  ProblemRecord mixed = problem(16, 2, 64, 64);
  mixed.main_format = static_cast<int>(Fp8Format::fnuz);
  expect_right(mixed, {.seed = 61, .poisoned_fraction = 0.2});
}

// Token t reads one row, all of whose scale bytes are t, and its weight is 1: out is that row.
TEST_P(SparseMlaDecode, DequantisesExactlyWithEveryScale) {
  for (const Fp8Format format : {Fp8Format::ocp, Fp8Format::fnuz}) {
    ProblemRecord one_key = problem(2, 255, 1, 0);
    one_key.main_format = static_cast<int>(format);
    ProblemData data = make_inputs(one_key, {.seed = 65, .sink = false, .spare_rows = 0});
    std::ranges::fill(data.q, std::uint16_t{0});
    // Below 2, so that times 2^127 is finite; 0x80 is NaN to FNUZ.
    const auto byte_of = [](int column) {
      const int byte = column % 64 | (column / 64 % 2 << 7);
      return static_cast<std::uint8_t>(byte == 0x80 ? 0x81 : byte);
    };
    for (int token = 0; token < 255; ++token) {
      const int slot = data.main.indices[static_cast<std::size_t>(token)];
      std::uint8_t* page =
          data.main.cache.data() + slot / data.main.page_size * data.main.page_stride;
      const int row = slot % data.main.page_size;
      for (int i = 0; i < kNopeDim; ++i) page[row * kRowBytes + i] = byte_of(i);
      std::fill_n(page + data.main.page_size * kRowBytes + row * kScaleBytes, kGroups - 1,
                  static_cast<std::uint8_t>(token));
    }
    const RunResult run = runner_->run(
        decode_, "", {GetParam().config, {0, 1, SplitMap::contiguous}, {1, 1}}, data, 60);
    ASSERT_EQ(run.verdict, Verdict::ok) << run.reason;
    for (int token = 0; token < 255; ++token) {
      for (int i = 0; i < kNopeDim; ++i) {
        const double want =
            e4m3_to_double(byte_of(i), format) * ue8m0_to_double(static_cast<std::uint8_t>(token));
        const double got =
            bf16_to_float(run.output.out[static_cast<std::size_t>(token * 2 * kHeadDim + i)]);
        // bf16 has no step finer than 2^-133.
        ASSERT_LE(std::fabs(got - want), std::fabs(want) < 0x1p-126 ? 0x1p-133 : 0)
            << "scale byte " << token << ", e4m3 byte " << int{byte_of(i)} << ", format "
            << static_cast<int>(format);
      }
    }
  }
}

// Every page the same, `stride` bytes apart: a cache as large as wished from rows that are few.
void spread_pages(ScopeData& scope, std::int64_t stride) {
  const std::int64_t pages = (scope.rows + scope.page_size - 1) / scope.page_size;
  std::vector<std::uint8_t> spread(static_cast<std::size_t>(pages * stride));
  for (std::int64_t p = 0; p < pages; ++p) {
    std::copy_n(scope.cache.begin() + p * scope.page_stride, scope.page_stride,
                spread.begin() + p * stride);
  }
  scope.cache = std::move(spread);
  scope.page_stride = stride;
}

TEST(SparseMlaDecodeLarge, ReadsRowsBeyondTwoGibibytes) {
  const std::int64_t memory =
      static_cast<std::int64_t>(::sysconf(_SC_PHYS_PAGES)) * ::sysconf(_SC_PAGESIZE);
  if (memory < (12ll << 30)) GTEST_SKIP() << "needs 12 GiB of memory for two copies of the cache";
  TemporaryFolder folder;
  const std::string decode = compile(decode_source(kKeys), folder, "decode");
  ProblemRecord p;
  p.kernel = "sparse_mla_decode";
  p.num_heads = 3;
  p.num_tokens = 1;
  p.main_len = 40;
  p.main_page = 2;
  ProblemData data = make_inputs(p, {.seed = 81, .spare_rows = 0});
  spread_pages(data.main, 576ll * 200'000);  // 20 pages: 2.3 GB
  ASSERT_GT(data.main.cache.size(), std::size_t{1} << 31);
  const RunResult run =
      make_host_runner(MLA_WORKER, 1)
          ->run(decode, "", {kKeys, {0, 1, SplitMap::contiguous}, {1, 1}}, data, 120);
  ASSERT_EQ(run.verdict, Verdict::ok) << run.reason;
  const Comparison result = compare(run.output, compute_reference(data), Tolerance{});
  EXPECT_TRUE(result.ok) << result.reason;
}

class SparseMlaReduce : public ::testing::TestWithParam<ReduceConfig> {};
INSTANTIATE_TEST_SUITE_P(Variants, SparseMlaReduce,
                         ::testing::Values(ReduceConfig{1, 1}, ReduceConfig{1, 4},
                                           ReduceConfig{2, 4}, ReduceConfig{8, 2},
                                           ReduceConfig{16, 4}),
                         [](const auto& info) {
                           return std::to_string(info.param.block_h) + "Heads" +
                                  std::to_string(info.param.waves) + "Waves";
                         });

TEST_P(SparseMlaReduce, CombinesSplitsOfRaggedRows) {
  TemporaryFolder folder;
  const std::string decode = compile(decode_source(kKeys), folder, "decode");
  const std::string reduce = compile(reduce_source(GetParam()), folder, "reduce");
  ProblemRecord p;
  p.kernel = "sparse_mla_decode";
  p.num_heads = 21;
  p.num_tokens = 5;
  p.main_len = 70;
  p.extra_len = 140;
  p.main_page = p.extra_page = 64;
  p.lengths = "ragged";
  const ProblemData data =
      make_inputs(p, {.seed = 71, .sink_infinities = true, .empty_rows = true});
  const RunResult run =
      make_host_runner(MLA_WORKER, 2)
          ->run(decode, reduce, {kKeys, {1, 6, SplitMap::strided}, GetParam()}, data, 60);
  ASSERT_EQ(run.verdict, Verdict::ok) << run.reason;
  const Comparison result = compare(run.output, compute_reference(data, 2), Tolerance{});
  EXPECT_TRUE(result.ok) << result.reason;
}

}  // namespace
}  // namespace mla
