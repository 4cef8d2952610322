#pragma once

#include <vector>

#include "kernels/problem.hpp"

namespace mla {

// The truth, in float64, from the same quantised bytes that the kernels read. With
//   s_j = scale <q, k_j> over the valid slots j of both scopes (a slot listed twice counts twice),
//   m = max s_j,  l = sum exp(s_j - m):
//   lse = m + ln l                                       natural logarithm, sink excluded
//   out = sum exp(s_j - m) k_j / (l + exp(sink - m))     sink +inf: 0;  -inf or none: no effect
// A token without a valid slot has out exactly 0 and lse +inf, whatever the sink.
struct Reference {
  int tokens = 0;
  int heads = 0;
  std::vector<double> out;  // [tokens, heads, 512]
  std::vector<double> lse;  // [tokens, heads]
};

// `threads` share the tokens. Of `every` > 1, token i of the reference is token i * every of
// `data`. Throws Error{usage} where `data` contradicts itself (lists that are not tokens long,
// offsets that decrease).
Reference compute_reference(const ProblemData& data, int threads = 1, int every = 1);

// One cached row as 512 exact numbers, an element that is NaN replaced by 0. `slot` must be in
// [0, scope.rows).
void dequantise_row(const ScopeData& scope, int slot, double* row);

}  // namespace mla
