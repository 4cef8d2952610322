#include "kernels/compare.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "kernels/fp8.hpp"

namespace mla {
namespace {

struct Misses {
  std::size_t count = 0;
  std::size_t index = 0;
  double got = 0;
  double expected = 0;

  void add(std::size_t at, double value, double wanted) {
    if (count++ == 0) {
      index = at;
      got = value;
      expected = wanted;
    }
  }
};

bool same_special(double got, double expected) {
  return std::isnan(expected) ? std::isnan(got) : got == expected;
}

bool within(double got, double expected, double absolute, double relative) {
  if (!std::isfinite(got) || !std::isfinite(expected)) return same_special(got, expected);
  const double error = std::fabs(got - expected);
  return error < absolute || error < relative * std::fabs(expected);
}

void append(std::string& reason, const std::string& text) {
  if (!reason.empty()) reason += "; ";
  reason += text;
}

// Says of `result` what is wrong, if anything is. `lse` counts one for each row.
void judge(Comparison& result, const Misses& out, const Misses& lse, std::size_t heads,
           std::size_t rows, const Tolerance& tolerance) {
  if (out.count > 0) {
    const std::size_t row = out.index / kHeadDim;
    append(result.reason,
           fmt::format("out[token {}, head {}, column {}] is {}, expected {} ({} of {} elements "
                       "are wrong, largest error {:.3g})",
                       row / heads, row % heads, out.index % kHeadDim, out.got, out.expected,
                       out.count, rows * kHeadDim, result.max_error));
  }
  if (!(result.cosine_gap < tolerance.cosine_gap)) {
    append(result.reason, fmt::format("out as a whole: 1 - cosine is {:.3g}, allowed {:.3g}",
                                      result.cosine_gap, tolerance.cosine_gap));
  }
  if (lse.count > 0) {
    append(
        result.reason,
        fmt::format("lse[token {}, head {}] is {}, expected {} ({} of {} are wrong)",
                    lse.index / heads, lse.index % heads, lse.got, lse.expected, lse.count, rows));
  }
  result.ok = result.reason.empty();
}

}  // namespace

Comparison compare(const Output& output, const Reference& reference, const Tolerance& tolerance) {
  Comparison result;
  if (output.out.size() != reference.out.size() ||
      (!output.lse.empty() && output.lse.size() != reference.lse.size())) {
    result.ok = false;
    result.reason =
        fmt::format("out has {} elements and lse {}, expected {} and {}", output.out.size(),
                    output.lse.size(), reference.out.size(), reference.lse.size());
    return result;
  }

  Misses misses;
  double product = 0, squares = 0;
  for (std::size_t i = 0; i < reference.out.size(); ++i) {
    const double got = bf16_to_float(output.out[i]);
    const double expected = bf16_to_float(bf16_from_double(reference.out[i]));
    if (!within(got, expected, tolerance.absolute, tolerance.relative)) {
      misses.add(i, got, expected);
    }
    if (!std::isfinite(got) || !std::isfinite(expected)) continue;
    result.max_error = std::max(result.max_error, std::fabs(got - expected));
    product += got * expected;
    squares += got * got + expected * expected;
  }
  // Two outputs of nothing but zeros are equal, though they have no angle.
  result.cosine_gap = squares == 0 ? 0 : 1 - 2 * product / squares;

  Misses lse;
  for (std::size_t i = 0; i < output.lse.size(); ++i) {
    const double got = output.lse[i];
    if (!within(got, reference.lse[i], tolerance.lse_absolute, tolerance.lse_relative)) {
      lse.add(i, got, reference.lse[i]);
    }
  }
  judge(result, misses, lse, static_cast<std::size_t>(reference.heads), reference.lse.size(),
        tolerance);
  return result;
}

Comparison compare_rows(const std::vector<RowDifference>& rows, int heads,
                        const Tolerance& tolerance) {
  Comparison result;
  Misses out, lse;
  double difference = 0, squares = 0;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowDifference& row = rows[i];
    if (row.misses > 0) {
      out.add(i * kHeadDim + static_cast<std::size_t>(row.first_column), row.got, row.expected);
      out.count += static_cast<std::size_t>(row.misses) - 1;
    }
    if (row.lse_misses > 0) lse.add(i, row.lse_got, row.lse_expected);
    result.max_error = std::max(result.max_error, double{row.max_error});
    difference += row.difference_squares;
    squares += row.squares;
  }
  result.cosine_gap = squares == 0 ? 0 : difference / squares;
  judge(result, out, lse, static_cast<std::size_t>(heads), rows.size(), tolerance);
  return result;
}

}  // namespace mla
