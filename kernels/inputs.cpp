#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <span>
#include <utility>

#include "kernels/fp8.hpp"
#include "kernels/problem.hpp"

namespace mla {
namespace {

// SplitMix64 (Steele, Lea, Flood 2014): the standard library's distributions differ between
// implementations, and stored seeds must keep meaning the same inputs.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}

  std::uint64_t bits() {
    std::uint64_t z = state_ += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return z ^ z >> 31;
  }
  float uniform() { return static_cast<float>(bits() >> 40) * 0x1p-24f; }
  bool chance(double probability) { return probability > 0 && uniform() < probability; }
  int below(std::int64_t bound) {
    return static_cast<int>(bits() % static_cast<std::uint64_t>(bound));
  }
  // The sum of four uniforms, of mean 0 and variance 1: near enough to normal, and fast.
  float normal() {
    const std::uint64_t b = bits();
    const auto sum = (b & 0xFFFF) + (b >> 16 & 0xFFFF) + (b >> 32 & 0xFFFF) + (b >> 48);
    return (static_cast<float>(sum) * 0x1p-16f - 2.f) * 1.7320508f;
  }

 private:
  std::uint64_t state_;
};

// Keys below 0.1, as in published tests of such kernels: probabilities rounded to bf16 then stay
// within the absolute tolerance wherever terms cancel. Queries make up for it, so that scores
// spread by 0.6 to 2.5 from row to row and the running maximum has reason to move.
constexpr float kKeyMagnitude = 0.04f;
constexpr float kQueryMagnitude = 24.f;

struct Row {
  std::uint8_t* data;    // kRowBytes
  std::uint8_t* scales;  // kScaleBytes
};

Row row_of(ScopeData& scope, int slot) {
  std::uint8_t* page = scope.cache.data() + slot / scope.page_size * scope.page_stride;
  const std::int64_t i = slot % scope.page_size;
  return {page + i * kRowBytes, page + std::int64_t{scope.page_size} * kRowBytes + i * kScaleBytes};
}

void write_bf16(std::uint8_t* to, std::uint16_t bits) { std::memcpy(to, &bits, sizeof bits); }

// The canonical writer's rule.
void quantise_group(std::span<const float, kGroupDim> values, Fp8Format format, std::uint8_t* data,
                    std::uint8_t* scale) {
  float largest = 1e-4f;
  for (const float value : values) largest = std::max(largest, std::fabs(value));
  *scale = ue8m0_at_least(largest / e4m3_largest(format));
  const float inverse = static_cast<float>(1 / ue8m0_to_double(*scale));
  for (const float value : values) *data++ = e4m3_from_float(value * inverse, format);
}

void write_row(Row row, Fp8Format format, Random& random) {
  const float row_magnitude = kKeyMagnitude * std::exp2(random.uniform() * 2 - 1);
  std::array<float, kGroupDim> values;
  for (int group = 0; group < kGroups; ++group) {
    const float magnitude = row_magnitude * std::exp2(static_cast<float>(random.below(3) - 1));
    for (float& value : values) value = magnitude * random.normal();
    std::uint8_t* data = row.data + group * kGroupDim;
    if (group < kGroups - 1) {
      quantise_group(values, format, data, row.scales + group);
    } else {
      for (int i = 0; i < kRopeDim; ++i) {
        write_bf16(data + 2 * i, bf16_from_float(values[static_cast<std::size_t>(i)]));
      }
    }
  }
}

void poison_row(Row row, Fp8Format format, Random& random) {
  switch (random.below(4)) {
    case 0:
      for (int i = 0; i < 8; ++i) {
        const std::uint8_t ocp = random.chance(0.5) ? 0x7F : 0xFF;
        row.data[random.below(kNopeDim)] = format == Fp8Format::ocp ? ocp : 0x80;
      }
      break;
    case 1:
      row.scales[random.below(kGroups - 1)] = 255;
      break;
    case 2:
      for (int i = 0; i < 8; ++i) {
        write_bf16(row.data + kNopeDim + 2 * random.below(kRopeDim),
                   random.chance(0.5) ? 0x7FC0 : 0xFF81);
      }
      break;
    default:
      row.scales[random.below(kGroups - 1)] = 0;  // no NaN: 2^-127
  }
}

int invalid_slot(int rows, Random& random) {
  switch (random.below(5)) {
    case 0:
      return -1;
    case 1:
      return rows;
    case 2:
      return rows + random.below(1 << 20);
    case 3:
      return std::numeric_limits<std::int32_t>::max();
    default:
      return std::numeric_limits<std::int32_t>::min() + random.below(1 << 20);
  }
}

enum class TokenKind { ordinary, no_entries, only_invalid };

TokenKind kind_of_token(int token, int tokens, bool empty_rows) {
  if (!empty_rows) return TokenKind::ordinary;
  if (tokens == 1 || token % 4 == 3) return TokenKind::only_invalid;
  return token % 4 == 1 ? TokenKind::no_entries : TokenKind::ordinary;
}

std::vector<int> list_lengths(const ProblemRecord& problem, int nominal, bool empty_rows,
                              Random& random) {
  std::vector<int> lengths(static_cast<std::size_t>(problem.num_tokens), nominal);
  for (int token = 0; token < problem.num_tokens; ++token) {
    int& length = lengths[static_cast<std::size_t>(token)];
    if (kind_of_token(token, problem.num_tokens, empty_rows) == TokenKind::no_entries) {
      length = 0;
    } else if (problem.lengths == "ragged" && token > 0) {
      length = random.below(std::int64_t{nominal} + 1);
    }
  }
  return lengths;
}

ScopeData make_scope(const ProblemRecord& problem, int nominal, int page, int format,
                     const InputOptions& options, Random& random) {
  const std::vector<int> lengths = list_lengths(problem, nominal, options.empty_rows, random);
  const auto entries = std::accumulate(lengths.begin(), lengths.end(), std::int64_t{0});
  const int live = static_cast<int>(std::min<std::int64_t>(entries, options.max_rows));

  ScopeData scope;
  scope.page_size = page;
  scope.format = static_cast<Fp8Format>(format);
  scope.rows = live + options.spare_rows;
  scope.page_stride =
      (std::int64_t{page} * (kRowBytes + kScaleBytes) + kRowBytes - 1) / kRowBytes * kRowBytes;
  const std::int64_t pages = (std::int64_t{scope.rows} + page - 1) / page;
  // What no row is written to stays 0xFF (spare rows, padding of pages and of scales, places behind
  // the last row): NaN as a scale and as bf16, hence in every column of both formats.
  scope.cache.assign(static_cast<std::size_t>(pages * scope.page_stride), 0xFF);

  std::vector<int> slots(static_cast<std::size_t>(scope.rows));
  std::iota(slots.begin(), slots.end(), 0);
  for (std::size_t i = slots.size(); i > 1; --i) {
    std::swap(slots[i - 1], slots[static_cast<std::size_t>(random.below(std::int64_t(i)))]);
  }
  for (int i = 0; i < live; ++i) {
    const Row row = row_of(scope, slots[static_cast<std::size_t>(i)]);
    write_row(row, scope.format, random);
    if (random.chance(options.poisoned_fraction)) poison_row(row, scope.format, random);
  }

  scope.indices.reserve(static_cast<std::size_t>(entries));
  scope.indptr.push_back(0);
  std::int64_t next = 0;
  for (int token = 0; token < problem.num_tokens; ++token) {
    const bool none_valid =
        kind_of_token(token, problem.num_tokens, options.empty_rows) == TokenKind::only_invalid;
    if (entries > live) next = random.below(live);  // tokens share rows
    for (int i = 0; i < lengths[static_cast<std::size_t>(token)]; ++i) {
      if (none_valid || random.chance(options.invalid_fraction)) {
        scope.indices.push_back(invalid_slot(scope.rows, random));
      } else if (i > 0 && random.chance(options.duplicate_fraction)) {
        scope.indices.push_back(scope.indices.back());
      } else {
        scope.indices.push_back(slots[static_cast<std::size_t>(next++ % live)]);
      }
    }
    scope.indptr.push_back(static_cast<std::int32_t>(scope.indices.size()));
  }
  return scope;
}

std::vector<float> make_sink(int heads, bool infinities, Random& random) {
  std::vector<float> sink;
  for (int head = 0; head < heads; ++head) {
    // Around the usual LSE, so that it neither vanishes nor takes all.
    float value = 6 + 4 * random.normal();
    if (infinities && head % 3 == 0) value = std::numeric_limits<float>::infinity();
    if (infinities && head % 3 == 1) value = -std::numeric_limits<float>::infinity();
    sink.push_back(value);
  }
  return sink;
}

}  // namespace

ProblemData make_inputs(const ProblemRecord& problem, const InputOptions& options) {
  validate(problem);
  Random random(options.seed);
  ProblemData data;
  data.tokens = problem.num_tokens;
  data.heads = problem.num_heads;
  data.q.resize(static_cast<std::size_t>(problem.num_tokens) *
                static_cast<std::size_t>(problem.num_heads) * kHeadDim);
  for (std::uint16_t& value : data.q) value = bf16_from_float(kQueryMagnitude * random.normal());
  data.main = make_scope(problem, problem.main_len, std::max(problem.main_page, 1),
                         problem.main_format, options, random);
  if (problem.extra_len > 0) {
    data.extra = make_scope(problem, problem.extra_len, problem.extra_page, problem.extra_format,
                            options, random);
  }
  if (options.sink) data.sink = make_sink(problem.num_heads, options.sink_infinities, random);
  return data;
}

}  // namespace mla
