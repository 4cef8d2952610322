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

// The squares that a cosine is over, row by row.
class RowSquares {
 public:
  void add(double squares) {
    sum_ += squares;
    sum_of_squares_ += squares * squares;
  }
  double sum() const { return sum_; }
  // n where n rows share them equally, 1 where one has all of them.
  double sharers() const { return sum_ == 0 ? 0 : sum_ * sum_ / sum_of_squares_; }

 private:
  double sum_ = 0, sum_of_squares_ = 0;
};

double allowed_gap(const RowSquares& squares, const Tolerance& tolerance) {
  constexpr double kAveraging = 3.5;  // below four rows
  return tolerance.cosine_gap * (squares.sharers() < kAveraging ? 2 : 1);
}

// Says of `result` what is wrong, if anything is. `lse` counts one for each row.
void judge(Comparison& result, const Misses& out, const Misses& lse, std::size_t heads,
           std::size_t rows, double allowed) {
  if (out.count > 0) {
    const std::size_t row = out.index / kHeadDim;
    append(result.reason,
           fmt::format("out[token {}, head {}, column {}] is {}, expected {} ({} of {} elements "
                       "are wrong, largest error {:.3g})",
                       row / heads, row % heads, out.index % kHeadDim, out.got, out.expected,
                       out.count, rows * kHeadDim, result.max_error));
  }
  if (!(result.cosine_gap < allowed)) {
    append(result.reason, fmt::format("out as a whole: 1 - cosine is {:.3g}, allowed {:.3g}",
                                      result.cosine_gap, allowed));
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
  double product = 0;
  RowSquares squares;
  for (std::size_t row = 0; row < reference.out.size(); row += kHeadDim) {
    double of_row = 0;
    for (std::size_t i = row; i < row + kHeadDim; ++i) {
      const double got = bf16_to_float(output.out[i]);
      const double expected = bf16_to_float(bf16_from_double(reference.out[i]));
      if (!within(got, expected, tolerance.absolute, tolerance.relative)) {
        misses.add(i, got, expected);
      }
      if (!std::isfinite(got) || !std::isfinite(expected)) continue;
      result.max_error = std::max(result.max_error, std::fabs(got - expected));
      product += got * expected;
      of_row += got * got + expected * expected;
    }
    squares.add(of_row);
  }
  // Two outputs of nothing but zeros are equal, though they have no angle.
  result.cosine_gap = squares.sum() == 0 ? 0 : 1 - 2 * product / squares.sum();

  Misses lse;
  for (std::size_t i = 0; i < output.lse.size(); ++i) {
    const double got = output.lse[i];
    if (!within(got, reference.lse[i], tolerance.lse_absolute, tolerance.lse_relative)) {
      lse.add(i, got, reference.lse[i]);
    }
  }
  judge(result, misses, lse, static_cast<std::size_t>(reference.heads), reference.lse.size(),
        allowed_gap(squares, tolerance));
  return result;
}

Comparison compare_rows(const std::vector<RowDifference>& rows, int heads,
                        const Tolerance& tolerance) {
  Comparison result;
  Misses out, lse;
  double difference = 0;
  RowSquares squares;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const RowDifference& row = rows[i];
    if (row.misses > 0) {
      out.add(i * kHeadDim + static_cast<std::size_t>(row.first_column), row.got, row.expected);
      out.count += static_cast<std::size_t>(row.misses) - 1;
    }
    if (row.lse_misses > 0) lse.add(i, row.lse_got, row.lse_expected);
    result.max_error = std::max(result.max_error, double{row.max_error});
    difference += row.difference_squares;
    squares.add(row.squares);
  }
  result.cosine_gap = squares.sum() == 0 ? 0 : difference / squares.sum();
  judge(result, out, lse, static_cast<std::size_t>(heads), rows.size(),
        allowed_gap(squares, tolerance));
  return result;
}

}  // namespace mla
