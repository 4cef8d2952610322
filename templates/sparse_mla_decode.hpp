#pragma once

// Sparse MLA decode: one query token attends to the rows that its two index lists name.
//
//   s_j = scale * <q, k_j>     m = max s_j     l = sum exp(s_j - m)     out = sum exp(s_j - m) k_j
//   / (l + exp(sink - m))
//
// over all keys j of both scopes, K and V being the same 512 columns. The softmax is computed
// online in base 2 with scores scaled by scale * log2(e); the running maximum may lag behind by
// Config::rescale_threshold, which changes neither result, only how often the output is rescaled.
// PV multiplies with weights rounded to bf16, and out is normalised by their own sum, which cancels
// the error of a row that few keys dominate; LSE takes the exact sum. One workgroup computes
// block_h heads of one token over one split of its keys; with several splits it leaves
// un-normalised partial results, which sparse_mla_merge.hpp makes one of.

#include "sparse_mla_scores.hpp"
#ifdef MLA_HAS_WEIGHTS
#include "sparse_mla_blocks.hpp"
#include "sparse_mla_roles.hpp"
#include "sparse_mla_rows.hpp"
#include "sparse_mla_scorers.hpp"
#include "sparse_mla_weights.hpp"
#endif

namespace mla {

// Grid: decode_grid(). Workgroup: threads(c, kLanes). LDS: lds_bytes(c).
template <Config c>
MLA_DEVICE void sparse_mla_decode(const DecodeArgs& args) {
  static_assert(valid(c),
                "this Config has a field that is missing, unknown, or does not fit the others");
  let_next_kernel_begin();  // whose workgroups then wait where those of this one leave room
#ifdef MLA_HAS_WEIGHTS
  if constexpr (c.wave_split == WaveSplit::weights) {
    decode_by_weights<c>(args);
  } else if constexpr (c.wave_split == WaveSplit::blocks) {
    decode_by_blocks<c>(args);
  } else if constexpr (c.wave_split == WaveSplit::roles) {
    decode_by_roles<c>(args);
  } else if constexpr (c.wave_split == WaveSplit::scorers) {
    decode_by_scorers<c>(args);
  } else if constexpr (c.wave_split == WaveSplit::rows) {
    decode_by_rows<c>(args);
  } else {
    decode_by_scores<c>(args);
  }
#else
  static_assert(!weighs_by_key(c) && c.wave_split != WaveSplit::blocks,
                "this machine's matrix instructions read no operand from LDS: choose another "
                "wave_split than weights, blocks, roles, scorers and rows");
  decode_by_scores<c>(args);
#endif
}

}  // namespace mla
