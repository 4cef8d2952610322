#include "kernels/problem.hpp"

#include <fmt/format.h>

#include <cstdint>
#include <limits>
#include <string>

#include "db/error.hpp"

namespace mla {
namespace {

[[noreturn]] void refuse(const std::string& message) { throw Error(ErrorKind::usage, message); }

void check_format(const char* field, int format) {
  if (format != static_cast<int>(Fp8Format::ocp) && format != static_cast<int>(Fp8Format::fnuz)) {
    refuse(
        fmt::format("{}: {} is no fp8 format; write 1 (OCP e4m3) or 2 (FNUZ e4m3)", field, format));
  }
}

void check_scope(const char* scope, int tokens, int len, int page) {
  if (len < 0) {
    refuse(fmt::format("{}_len: {} keys per token; write 0 or more", scope, len));
  }
  if (len > 0 && page < 1) {
    refuse(fmt::format("{0}_page: {1} tokens per page; write 1 or more where {0}_len is not 0",
                       scope, page));
  }
  if (page < 0) {
    refuse(fmt::format("{}_page: {} tokens per page; write 0 for no such scope", scope, page));
  }
  if (std::int64_t{tokens} * len > std::numeric_limits<std::int32_t>::max()) {
    refuse(
        fmt::format("num_tokens {} times {}_len {} exceeds the 2147483647 list entries that "
                    "32-bit offsets reach; take fewer tokens or shorter lists",
                    tokens, scope, len));
  }
}

// The generator makes one token of the nominal length, the others uniform between 0 and that.
double mean_keys(const ProblemRecord& problem) {
  const double nominal = double(problem.main_len) + problem.extra_len;
  if (problem.lengths == "uniform") return nominal;
  return nominal * (1 + (problem.num_tokens - 1) * 0.5) / problem.num_tokens;
}

}  // namespace

void validate(const ProblemRecord& problem) {
  if (problem.kernel != "sparse_mla_decode") {
    refuse(fmt::format("kernel: \"{}\" is unknown; write sparse_mla_decode", problem.kernel));
  }
  if (problem.num_heads < 1 || problem.num_heads > 128) {
    refuse(fmt::format("num_heads: {}; write 1 to 128", problem.num_heads));
  }
  if (problem.num_tokens < 1) {
    refuse(fmt::format("num_tokens: {}; write 1 or more", problem.num_tokens));
  }
  check_scope("main", problem.num_tokens, problem.main_len, problem.main_page);
  check_scope("extra", problem.num_tokens, problem.extra_len, problem.extra_page);
  check_format("main_format", problem.main_format);
  check_format("extra_format", problem.extra_format);
  if (problem.lengths != "uniform" && problem.lengths != "ragged") {
    refuse(fmt::format("lengths: \"{}\"; write uniform or ragged", problem.lengths));
  }
}

double minimum_bytes(const ProblemRecord& problem) {
  const double tokens = problem.num_tokens;
  const double row = kRowBytes + kScaleBytes;
  const double keys = tokens * mean_keys(problem) * (row + sizeof(std::int32_t));
  const int scopes = problem.extra_len > 0 ? 2 : 1;
  const double offsets = scopes * (tokens + 1) * sizeof(std::int32_t);
  const double q_and_out = 2 * tokens * problem.num_heads * kHeadDim * sizeof(std::uint16_t);
  return keys + offsets + q_and_out;
}

double flops(const ProblemRecord& problem) {
  return 2.0 * 2.0 * kHeadDim * problem.num_heads * problem.num_tokens * mean_keys(problem);
}

}  // namespace mla
