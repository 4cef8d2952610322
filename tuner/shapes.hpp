#pragma once

#include <filesystem>
#include <vector>

#include "db/records.hpp"
#include "tuner/arch.hpp"

namespace mla {

// One problem as the arch's serving engine poses it: fp8 formats are the arch's. Without an extra
// scope (extra_len 0) its page is 0 and its format the default, so that equal problems are equal
// records. Nothing is checked.
ProblemRecord make_problem(const Arch& arch, int heads, int tokens, int main_len, int main_page,
                           int extra_len, int extra_page);

// The problems of configs/shapes/<name>.yaml, in its order:
//
//   kernel: sparse_mla_decode
//   grid:                     # every combination, of each item
//     - heads: [16, 32]
//       tokens: [1, 8, 64]
//       streams:
//         - {main_len: 128, extra_len: 1024, extra_page: 64}
//       main_page: 64         # or not: 64
//       lengths: uniform      # or not: uniform; ragged: they vary up to the given ones
//       cache: cold           # or not: cold; warm: the last launch's cache is still in L2
//   problems:                 # and these
//     - {heads: 16, tokens: 8, main_len: 128, extra_len: 512, extra_page: 2, lengths: ragged}
//
// Throws Error{usage} with file:line: unknown keys, values that cannot be computed, no problem at
// all, one given twice.
std::vector<ProblemRecord> load_shapes(const std::filesystem::path& file, const Arch& arch);

}  // namespace mla
