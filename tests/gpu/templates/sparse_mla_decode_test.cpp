// The bodies of sparse_mla_decode that a GPU runs, on inputs that ordinary rows do not have.

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/compare.hpp"
#include "kernels/fp8.hpp"
#include "tests/gpu/templates/variant_on_gpu.hpp"

namespace mla {
namespace {

using test::kVariants;
using test::Variant;

class SparseMlaDecodeOnGpu : public test::VariantOnGpu {
 protected:
  void SetUp() override {
    VariantOnGpu::SetUp();
    if (IsSkipped()) return;
    decode_ = compile(decode_source(GetParam().config));
    reduce_ = compile(reduce_source(GetParam().reduce));
    ASSERT_FALSE(HasFailure());
  }
  RunResult run(const ProblemData& data, Splits splits) {
    return runner_->run(decode_, reduce_, {GetParam().config, splits, GetParam().reduce}, data, 30);
  }
  // As many clusters as there were to be splits.
  static Splits whole_clusters(const Splits& splits) {
    const int cluster = GetParam().config.cluster;
    if (cluster == 1) return splits;
    return {0, cluster * total_splits(splits, true), splits.split_map};
  }
  void expect_right(const ProblemData& data, Splits splits) {
    const RunResult ran = run(data, whole_clusters(splits));
    ASSERT_EQ(ran.verdict, Verdict::ok) << ran.reason;
    const Comparison seen = compare(ran.output, compute_reference(data), {});
    EXPECT_TRUE(seen.ok) << seen.reason;
  }
  static ProblemRecord problem(int heads, int tokens, int main_len, int extra_len) {
    ProblemRecord p;
    p.kernel = "sparse_mla_decode";
    p.num_heads = heads;
    p.num_tokens = tokens;
    p.main_len = main_len;
    p.extra_len = extra_len;
    p.main_page = 64;
    p.extra_page = extra_len > 0 ? 2 : 0;
    return p;
  }

  std::string decode_;
  std::string reduce_;
};
INSTANTIATE_TEST_SUITE_P(Variants, SparseMlaDecodeOnGpu, ::testing::ValuesIn(kVariants),
                         [](const auto& info) { return std::string(info.param.name); });

constexpr Splits kWhole{0, 1, SplitMap::contiguous};

// The scale bytes of a scope's row.
std::uint8_t* scales_of(ScopeData& scope, int slot) {
  return scope.cache.data() + slot / scope.page_size * scope.page_stride +
         scope.page_size * kRowBytes + slot % scope.page_size * kScaleBytes;
}

TEST_P(SparseMlaDecodeOnGpu, IsRightWhateverTheInputs) {
  for (const int heads : {3, 16, 61, 128}) {
    ProblemRecord p = problem(heads, 5, 128, 333);
    p.lengths = "ragged";
    InputOptions options{.seed = 5 + static_cast<std::uint64_t>(heads),
                         .sink_infinities = true,
                         .invalid_fraction = 0.1,
                         .duplicate_fraction = 0.1,
                         .empty_rows = true};
    expect_right(make_inputs(p, options), kWhole);
    options.poisoned_fraction = 0.1;
    expect_right(make_inputs(p, options), kWhole);
    expect_right(make_inputs(p, options), {2, 3, SplitMap::strided});
    p.main_format = static_cast<int>(Fp8Format::fnuz);
    expect_right(make_inputs(p, options), {1, 6, SplitMap::contiguous});
  }
}

// Keys next to each other whose scales are octaves apart, some of them groups of one key.
TEST_P(SparseMlaDecodeOnGpu, IsRightWhereScalesAreFarApart) {
  std::mt19937 random(77);
  for (const int step : {1, 3, 9, 40}) {
    ProblemData data = make_inputs(problem(16, 4, 128, 200), {.seed = 91});
    for (ScopeData* scope : {&data.main, &data.extra}) {
      for (int slot = 0; slot < scope->rows; ++slot) {
        const int shift = step * static_cast<int>(random() % 4);
        for (int g = 0; g < kGroups - 1; ++g) {
          std::uint8_t& byte = scales_of(*scope, slot)[g];
          if (byte != 255 && random() % 2 != 0)
            byte = static_cast<std::uint8_t>(std::max(1, byte - shift));
        }
      }
    }
    expect_right(data, kWhole);
    expect_right(data, {1, 2, SplitMap::contiguous});
  }
}

// Token t reads one row, all of whose scale bytes are t, and its weight is 1: out is that row.
TEST_P(SparseMlaDecodeOnGpu, DequantisesEveryScale) {
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
      for (int i = 0; i < kNopeDim; ++i)
        page[slot % data.main.page_size * kRowBytes + i] = byte_of(i);
      std::fill_n(scales_of(data.main, slot), kGroups - 1, static_cast<std::uint8_t>(token));
    }
    const RunResult ran = run(data, whole_clusters(kWhole));
    ASSERT_EQ(ran.verdict, Verdict::ok) << ran.reason;
    for (int token = 0; token < 255; ++token) {
      const std::uint16_t* first_head =
          ran.output.out.data() + std::ptrdiff_t{token} * 2 * kHeadDim;
      for (int i = 0; i < kNopeDim; ++i) {
        const double want =
            e4m3_to_double(byte_of(i), format) * ue8m0_to_double(static_cast<std::uint8_t>(token));
        const double got = bf16_to_float(first_head[i]);
        // f16 has no step finer than 2^-24; the keys next to this one may have set its range.
        ASSERT_LE(std::fabs(got - want), std::fabs(want) < 0x1p-21 ? 0x1p-25 : 0)
            << "scale byte " << token << ", e4m3 byte " << int{byte_of(i)} << ", format "
            << static_cast<int>(format);
      }
    }
  }
}

// More tokens than workgroups begin at once, so that long lists come first.
TEST_P(SparseMlaDecodeOnGpu, AttendsToEveryTokenOfARaggedBatch) {
  for (const int tokens : {115, 150}) {
    ProblemRecord p = problem(16, tokens, 64, 300);
    p.lengths = "ragged";
    expect_right(make_inputs(p, {.seed = 8, .empty_rows = true}), kWhole);
  }
}

// Nothing in a kernel depends on who comes first, so that a difference is a race. Head groups read
// the same rows, the later ones from L2.
TEST_P(SparseMlaDecodeOnGpu, GivesTheSameBitsEveryTime) {
  const ProblemData data = make_inputs(problem(128, 64, 128, 512), {.seed = 29});
  const Splits splits = whole_clusters({0, 2, SplitMap::strided});
  const RunResult first = run(data, splits);
  ASSERT_EQ(first.verdict, Verdict::ok) << first.reason;
  for (int repeat = 0; repeat < 20; ++repeat) {
    const RunResult again = run(data, splits);
    ASSERT_EQ(again.verdict, Verdict::ok) << again.reason;
    ASSERT_TRUE(again.output.out == first.output.out) << "out, repeat " << repeat;
    ASSERT_TRUE(again.output.lse == first.output.lse) << "LSE, repeat " << repeat;
  }
}

TEST_P(SparseMlaDecodeOnGpu, TakesQueriesThatF16HasNoRoomFor) {
  ProblemData data = make_inputs(problem(16, 3, 128, 70), {.seed = 15});
  data.scale *= 0x1p-30f;
  for (std::uint16_t& x : data.q) {
    if ((x & 0x7fff) != 0) x = static_cast<std::uint16_t>(x + (30 << 7));
  }
  expect_right(data, kWhole);
}

}  // namespace
}  // namespace mla
