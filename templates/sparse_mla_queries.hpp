#pragma once

// The queries where the matrix unit reads operands from LDS: WaveSplit::weights, blocks, roles and
// scorers.

#include "sparse_mla_row_end.hpp"

namespace mla {

// Puts those of a workgroup's heads where share_queries() does. Returns what their scores are
// multiplied with for the softmax, in base 2.
template <Config c>
MLA_DEVICE float bring_queries(const DecodeArgs& args, int token, int head0, LdsPtr to, int wave) {
  const unsigned char* first = static_cast<const unsigned char*>(args.q) +
                               2 * (token * args.q_token_stride + head0 * args.q_head_stride);
  const float shrunk = share_queries<c>(first, args.q_head_stride, args.heads - head0, to, wave);
  return args.scale * kLog2E * shrunk;
}

}  // namespace mla
