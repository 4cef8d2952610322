#pragma once

#include <string>
#include <vector>

#include "kernels/device.hpp"
#include "kernels/reference.hpp"
#include "templates/sparse_mla_check_config.hpp"

namespace mla {

// What a right result is. Each element of out, against the reference rounded to bf16, must have
// |error| < absolute or |error| < relative * |expected|; lse likewise; out as a whole must have
// 1 - cosine < cosine_gap; infinities and NaN must stand at equal places. The defaults are those of
// FlashMLA's published decode tests, whose outputs have 64 rows and more. What rounding to bf16
// costs averages out over them: a row alone comes to 5.7e-6 in one draw of thousand, without any
// other error. So where fewer than four rows share the squares, twice the gap is allowed.
struct Tolerance {
  double absolute = 1e-3;
  double relative = 2.01 / 128;
  double cosine_gap = 5e-6;
  double lse_absolute = 1e-6;
  double lse_relative = 8.01 / 65536;
};

struct Comparison {
  bool ok = true;
  std::string reason;     // empty when ok; else the first offending element and how many there are
  double max_error = 0;   // largest |error| of out over finite elements
  double cosine_gap = 0;  // 1 - 2 <a,b> / (<a,a> + <b,b>): at least 1 - cosine, and sees scale too
};

// An empty output.lse was not asked for and is not compared.
Comparison compare(const Output& output, const Reference& reference, const Tolerance& tolerance);

// The same from what sparse_mla_compare found on a device, one for each token and head.
Comparison compare_rows(const std::vector<RowDifference>& rows, int heads,
                        const Tolerance& tolerance);

}  // namespace mla
