#include "kernels/reference.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "db/error.hpp"
#include "kernels/fp8.hpp"

namespace mla {
namespace {

constexpr std::size_t kDim = kHeadDim;
constexpr double kInfinity = std::numeric_limits<double>::infinity();

double scrubbed(double value) { return std::isnan(value) ? 0.0 : value; }

void check_scope(const char* name, const ScopeData& scope, int tokens) {
  if (scope.indptr.empty()) return;
  bool good = scope.indptr.size() == static_cast<std::size_t>(tokens) + 1 &&
              scope.indptr.front() >= 0 &&
              std::is_sorted(scope.indptr.begin(), scope.indptr.end()) &&
              static_cast<std::size_t>(scope.indptr.back()) <= scope.indices.size();
  if (scope.rows > 0) {
    good = good && scope.page_size > 0 &&
           scope.page_stride >= std::int64_t{scope.page_size} * (kRowBytes + kScaleBytes) &&
           std::int64_t(scope.cache.size()) >= (std::int64_t{scope.rows} + scope.page_size - 1) /
                                                   scope.page_size * scope.page_stride;
  }
  if (!good) {
    throw Error(ErrorKind::usage,
                fmt::format("the {} scope contradicts itself: its lists must have {} offsets that "
                            "never decrease, its cache must hold {} rows",
                            name, tokens + 1, scope.rows));
  }
}

// Appends the valid rows of one token's list.
void gather(const ScopeData& scope, std::size_t token, std::vector<double>& keys) {
  if (scope.indptr.empty()) return;
  for (std::int32_t entry = scope.indptr[token]; entry < scope.indptr[token + 1]; ++entry) {
    const std::int32_t slot = scope.indices[static_cast<std::size_t>(entry)];
    if (slot < 0 || slot >= scope.rows) continue;
    keys.resize(keys.size() + kDim);
    dequantise_row(scope, slot, keys.data() + keys.size() - kDim);
  }
}

// Eight partial sums: the compiler may not reorder one.
double dot(const double* a, const double* b) {
  std::array<double, 8> partial{};
  for (std::size_t i = 0; i < kDim; i += 8) {
    for (std::size_t lane = 0; lane < 8; ++lane) partial[lane] += a[i + lane] * b[i + lane];
  }
  double sum = 0;
  for (const double value : partial) sum += value;
  return sum;
}

// `row`: of the reference, for this token.
void compute_token(const ProblemData& data, std::size_t token, std::size_t row,
                   Reference& reference) {
  const auto heads = static_cast<std::size_t>(data.heads);
  double* out = reference.out.data() + row * heads * kDim;
  double* lse = reference.lse.data() + row * heads;

  std::vector<double> keys;
  gather(data.main, token, keys);
  gather(data.extra, token, keys);
  const std::size_t count = keys.size() / kDim;
  if (count == 0) {
    std::fill_n(lse, heads, kInfinity);
    return;
  }

  std::vector<double> q(heads * kDim);
  for (std::size_t i = 0; i < q.size(); ++i) {
    q[i] = double(data.scale) * bf16_to_float(data.q[token * heads * kDim + i]);
  }
  // Keys outside, heads inside: a row of keys is read from memory once.
  std::vector<double> scores(heads * count);
  for (std::size_t j = 0; j < count; ++j) {
    for (std::size_t h = 0; h < heads; ++h) {
      scores[h * count + j] = dot(q.data() + h * kDim, keys.data() + j * kDim);
    }
  }
  for (std::size_t h = 0; h < heads; ++h) {
    double* s = scores.data() + h * count;
    const double m = *std::max_element(s, s + count);
    double l = 0;
    for (std::size_t j = 0; j < count; ++j) l += std::exp(s[j] - m);
    lse[h] = m + std::log(l);
    const double denominator = l + (data.sink.empty() ? 0.0 : std::exp(data.sink[h] - m));
    for (std::size_t j = 0; j < count; ++j) s[j] = std::exp(s[j] - m) / denominator;
  }
  for (std::size_t j = 0; j < count; ++j) {
    const double* key = keys.data() + j * kDim;
    for (std::size_t h = 0; h < heads; ++h) {
      const double p = scores[h * count + j];
      double* row = out + h * kDim;
      for (std::size_t i = 0; i < kDim; ++i) row[i] += p * key[i];
    }
  }
}

}  // namespace

void dequantise_row(const ScopeData& scope, int slot, double* row) {
  static const std::array<std::array<double, 256>, 2> tables = {e4m3_table(Fp8Format::ocp),
                                                                e4m3_table(Fp8Format::fnuz)};
  const auto& values = tables[scope.format == Fp8Format::ocp ? 0 : 1];
  const std::uint8_t* page = scope.cache.data() + slot / scope.page_size * scope.page_stride;
  const std::int64_t i = slot % scope.page_size;
  const std::uint8_t* data = page + i * kRowBytes;
  const std::uint8_t* scales = page + std::int64_t{scope.page_size} * kRowBytes + i * kScaleBytes;
  for (int column = 0; column < kNopeDim; ++column) {
    row[column] = scrubbed(values[data[column]] * ue8m0_to_double(scales[column / kGroupDim]));
  }
  for (int column = 0; column < kRopeDim; ++column) {
    std::uint16_t bits;
    std::memcpy(&bits, data + kNopeDim + 2 * column, sizeof bits);
    row[kNopeDim + column] = scrubbed(bf16_to_float(bits));
  }
}

Reference compute_reference(const ProblemData& data, int threads, int every) {
  const auto rows = static_cast<std::size_t>(data.tokens) * static_cast<std::size_t>(data.heads);
  if (data.tokens < 0 || data.heads < 1 || data.q.size() != rows * kDim ||
      (!data.sink.empty() && data.sink.size() < static_cast<std::size_t>(data.heads))) {
    throw Error(ErrorKind::usage,
                "the queries or sinks do not fit the numbers of tokens and heads");
  }
  check_scope("main", data.main, data.tokens);
  check_scope("extra", data.extra, data.tokens);

  every = std::max(1, every);
  const int tokens = (data.tokens + every - 1) / every;
  const auto wanted = static_cast<std::size_t>(tokens) * static_cast<std::size_t>(data.heads);
  Reference reference{tokens, data.heads, std::vector<double>(wanted * kDim),
                      std::vector<double>(wanted)};
  std::atomic<int> next{0};
  const auto work = [&] {
    for (int row; (row = next.fetch_add(1)) < tokens;) {
      compute_token(data, static_cast<std::size_t>(row) * static_cast<std::size_t>(every),
                    static_cast<std::size_t>(row), reference);
    }
  };
  std::vector<std::jthread> others;
  for (int i = 1; i < std::min(threads, tokens); ++i) others.emplace_back(work);
  work();
  return reference;
}

}  // namespace mla
