#include "kernels/reference.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "db/error.hpp"
#include "kernels/fp8.hpp"

namespace mla {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// A scope of pages of 2 whose row r has the value values[r] in each of its 512 columns.
ScopeData constant_rows(const std::vector<float>& values) {
  ScopeData scope;
  scope.page_size = 2;
  scope.page_stride = 1728;
  scope.rows = int(values.size());
  scope.cache.assign((values.size() + 1) / 2 * 1728, 0xFF);
  for (std::size_t r = 0; r < values.size(); ++r) {
    std::uint8_t* page = scope.cache.data() + r / 2 * 1728;
    std::memset(page + r % 2 * 576, e4m3_from_float(values[r], Fp8Format::ocp), 448);
    for (std::size_t i = 0; i < 64; ++i) {
      const std::uint16_t bits = bf16_from_float(values[r]);
      std::memcpy(page + r % 2 * 576 + 448 + 2 * i, &bits, 2);
    }
    std::memset(page + 1152 + r % 2 * 8, 127, 7);
  }
  return scope;
}

void set_lists(ScopeData& scope, const std::vector<std::vector<int>>& lists) {
  scope.indices.clear();
  scope.indptr = {0};
  for (const auto& list : lists) {
    scope.indices.insert(scope.indices.end(), list.begin(), list.end());
    scope.indptr.push_back(int(scope.indices.size()));
  }
}

// One token and one head whose query is 1/512 in each column, scale 1: the score of a constant row
// is its value.
ProblemData one_query(const std::vector<float>& rows, const std::vector<int>& list) {
  ProblemData data;
  data.tokens = data.heads = 1;
  data.scale = 1;
  data.q.assign(512, bf16_from_float(0x1p-9f));
  data.main = constant_rows(rows);
  set_lists(data.main, {list});
  return data;
}

TEST(Reference, OfOneKeyIsThatKey) {
  const Reference r = compute_reference(one_query({1.5f, -3.f, 0.25f}, {2}));
  for (const double value : r.out) EXPECT_EQ(0.25, value);
  EXPECT_DOUBLE_EQ(0.25, r.lse[0]);
}

TEST(Reference, WeighsTwoKeysByTheirExponentials) {
  const Reference r = compute_reference(one_query({1.f, 2.f}, {0, 1}));
  const double l = std::exp(1) + std::exp(2);
  EXPECT_NEAR((std::exp(1) * 1 + std::exp(2) * 2) / l, r.out[0], 1e-14);
  EXPECT_NEAR((std::exp(1) * 1 + std::exp(2) * 2) / l, r.out[511], 1e-14);
  EXPECT_NEAR(std::log(l), r.lse[0], 1e-14);
}

TEST(Reference, CountsDuplicatesTwice) {
  const Reference r = compute_reference(one_query({1.f, 2.f}, {0, 1, 0}));
  const double l = 2 * std::exp(1) + std::exp(2);
  EXPECT_NEAR((2 * std::exp(1) * 1 + std::exp(2) * 2) / l, r.out[0], 1e-14);
  EXPECT_NEAR(std::log(l), r.lse[0], 1e-14);
}

TEST(Reference, SkipsSlotsOutsideTheCache) {
  const auto all = std::numeric_limits<int>::max();
  const Reference r = compute_reference(one_query({1.f, 2.f, 3.f}, {-1, 0, 3, all, 1, -all - 1}));
  EXPECT_EQ(compute_reference(one_query({1.f, 2.f}, {0, 1})).out, r.out);
}

TEST(Reference, OfNoValidKeyIsZeroAndInfinityWhateverTheSink) {
  for (const float sink : {0.f, float(kInfinity), float(-kInfinity)}) {
    for (const std::vector<int>& list : {std::vector<int>{}, std::vector<int>{-1, 2}}) {
      ProblemData data = one_query({1.f, 2.f}, list);
      data.sink = {sink};
      const Reference r = compute_reference(data);
      for (const double value : r.out) EXPECT_EQ(0.0, value);
      EXPECT_EQ(kInfinity, r.lse[0]);
    }
  }
}

TEST(Reference, AppliesTheSinkAsAKeyOfValueZero) {
  ProblemData data = one_query({1.f, 2.f}, {0, 1});
  const Reference without = compute_reference(data);
  for (const float sink : {-5.f, 0.f, 2.f, 80.f}) {
    data.sink = {sink};
    const Reference with = compute_reference(data);
    const double e = std::exp(without.lse[0]);
    EXPECT_NEAR(without.out[7] * e / (e + std::exp(double(sink))), with.out[7], 1e-14);
    EXPECT_EQ(without.lse, with.lse);
  }
}

TEST(Reference, TakesInfiniteSinksToTheirLimits) {
  ProblemData data = one_query({1.f, 2.f}, {0, 1});
  const Reference without = compute_reference(data);
  data.sink = {float(-kInfinity)};
  EXPECT_EQ(without.out, compute_reference(data).out);
  data.sink = {float(kInfinity)};
  for (const double value : compute_reference(data).out) EXPECT_EQ(0.0, value);
  EXPECT_EQ(without.lse, compute_reference(data).lse);
}

TEST(Reference, JoinsBothScopes) {
  ProblemData both = one_query({1.f, 2.f}, {0, 1});
  both.extra = constant_rows({4.f, 3.f});
  set_lists(both.extra, {{1, 0}});
  const Reference r = compute_reference(both);
  const Reference one = compute_reference(one_query({1.f, 2.f, 4.f, 3.f}, {0, 1, 2, 3}));
  EXPECT_NEAR(one.out[0], r.out[0], 1e-14);
  EXPECT_NEAR(one.lse[0], r.lse[0], 1e-14);
}

TEST(Reference, ScrubsEachKindOfNaNToZero) {
  std::vector<double> row(512);
  ScopeData scope = constant_rows({2.f, 2.f, 2.f});
  scope.cache[1728 + 5] = 0x7F;  // row 2: two elements, one whole group, one RoPE element
  scope.cache[1728 + 6] = 0xFF;
  scope.cache[1728 + 1152 + 1] = 255;
  const std::uint16_t nan = 0xFFC1;
  std::memcpy(scope.cache.data() + 1728 + 448 + 2 * 3, &nan, 2);
  dequantise_row(scope, 2, row.data());
  for (int i = 0; i < 512; ++i) {
    const bool scrubbed = i == 5 || i == 6 || (i >= 64 && i < 128) || i == 451;
    EXPECT_EQ(scrubbed ? 0.0 : 2.0, row[std::size_t(i)]) << i;
  }
}

TEST(Reference, ScrubsTheNaNOfFnuzOnly) {
  std::vector<double> row(512);
  ScopeData scope = constant_rows({2.f});
  scope.format = Fp8Format::fnuz;
  scope.cache[5] = 0x80;
  scope.cache[6] = 0x7F;
  dequantise_row(scope, 0, row.data());
  EXPECT_EQ(1.0, row[0]);  // the OCP code of 2
  EXPECT_EQ(0.0, row[5]);
  EXPECT_EQ(240.0, row[6]);
}

TEST(Reference, ReadsScaleByteZeroAsAPowerOfTwo) {
  std::vector<double> row(512);
  ScopeData scope = constant_rows({2.f});
  scope.cache[1152 + 3] = 0;
  dequantise_row(scope, 0, row.data());
  EXPECT_EQ(2 * 0x1p-127, row[3 * 64]);
}

// The definition, with nothing clever: no maximum, no shared gathering, its own decoding of bytes.
double byte_value(const ScopeData& scope, int slot, int column) {
  const std::size_t page = std::size_t(slot / scope.page_size) * std::size_t(scope.page_stride);
  const std::size_t i = std::size_t(slot % scope.page_size);
  const std::size_t data = page + i * 576;
  if (column >= 448) {
    const std::size_t at = data + 448 + std::size_t(column - 448) * 2;
    const unsigned bits = scope.cache[at] | unsigned(scope.cache[at + 1]) << 8;
    const int exponent = bits >> 7 & 255, mantissa = bits & 127;
    if (exponent == 255) return 0;
    const double value =
        std::ldexp(exponent ? 128 + mantissa : mantissa, std::max(exponent, 1) - 134);
    return bits >> 15 ? -value : value;
  }
  const int code = scope.cache[data + std::size_t(column)];
  const int scale =
      scope.cache[page + std::size_t(scope.page_size) * 576 + i * 8 + std::size_t(column / 64)];
  const bool ocp = scope.format == Fp8Format::ocp;
  if (scale == 255 || (ocp ? (code & 127) == 127 : code == 128)) return 0;
  const int exponent = code >> 3 & 15, mantissa = code & 7;
  const double value = std::ldexp(exponent ? 8 + mantissa : mantissa,
                                  std::max(exponent, 1) - (ocp ? 10 : 11) + scale - 127);
  return code >> 7 ? -value : value;
}

void check_against_the_definition(const ProblemData& data) {
  const Reference reference = compute_reference(data, 2);
  for (int t = 0; t < data.tokens; ++t) {
    for (int h = 0; h < data.heads; ++h) {
      const std::size_t row = std::size_t(t * data.heads + h);
      long double sum = 0;
      std::vector<long double> out(512);
      for (const ScopeData* scope : {&data.main, &data.extra}) {
        if (scope->indptr.empty()) continue;
        for (int i = scope->indptr[std::size_t(t)]; i < scope->indptr[std::size_t(t) + 1]; ++i) {
          const int slot = scope->indices[std::size_t(i)];
          if (slot < 0 || slot >= scope->rows) continue;
          long double score = 0;
          for (int c = 0; c < 512; ++c) {
            score += static_cast<long double>(bf16_to_float(data.q[row * 512 + std::size_t(c)])) *
                     byte_value(*scope, slot, c);
          }
          const long double weight = std::exp(score * data.scale);
          sum += weight;
          for (int c = 0; c < 512; ++c) out[std::size_t(c)] += weight * byte_value(*scope, slot, c);
        }
      }
      const long double sink =
          data.sink.empty() ? 0 : std::exp((long double)(data.sink[std::size_t(h)]));
      if (sum == 0) {
        EXPECT_EQ(kInfinity, reference.lse[row]);
      } else {
        EXPECT_NEAR(double(std::log(sum)), reference.lse[row], 1e-11);
      }
      for (std::size_t c = 0; c < 512; ++c) {
        const long double expected = sum == 0 ? 0 : out[c] / (sum + sink);
        ASSERT_NEAR(double(expected), reference.out[row * 512 + c], 1e-12)
            << t << ' ' << h << ' ' << c;
      }
    }
  }
}

TEST(Reference, AgreesWithTheDefinitionOnTroubledInputs) {
  ProblemRecord problem;
  problem.kernel = "sparse_mla_decode";
  problem.num_heads = 3;
  problem.num_tokens = 6;
  problem.main_len = 20;
  problem.extra_len = 17;
  problem.main_page = 8;
  problem.extra_page = 2;
  problem.lengths = "ragged";
  for (std::uint64_t seed = 1; seed <= 6; ++seed) {
    problem.main_format = seed % 2 ? 2 : 1;
    problem.extra_len = seed == 4 ? 0 : 17;
    check_against_the_definition(make_inputs(problem, {.seed = seed,
                                                       .sink = seed != 3,
                                                       .sink_infinities = seed == 5,
                                                       .invalid_fraction = 0.2,
                                                       .poisoned_fraction = 0.4,
                                                       .duplicate_fraction = 0.2,
                                                       .empty_rows = seed > 3}));
  }
}

TEST(Reference, IsTheSameForAnyNumberOfThreads) {
  ProblemRecord problem;
  problem.kernel = "sparse_mla_decode";
  problem.num_heads = 2;
  problem.num_tokens = 5;
  problem.main_len = 9;
  problem.main_page = 4;
  const ProblemData data = make_inputs(problem, {});
  EXPECT_EQ(compute_reference(data, 1).out, compute_reference(data, 16).out);
}

TEST(Reference, RefusesListsThatContradictThemselves) {
  ProblemData data = one_query({1.f, 2.f}, {0, 1});
  data.main.indptr = {0, 3};
  EXPECT_THROW(compute_reference(data), Error);
  data.main.indptr = {1, 0};
  EXPECT_THROW(compute_reference(data), Error);
  data.main.indptr = {0};
  EXPECT_THROW(compute_reference(data), Error);
  data.main.indptr = {0, 2};
  data.main.rows = 3;
  EXPECT_THROW(compute_reference(data), Error);
}

}  // namespace
}  // namespace mla
