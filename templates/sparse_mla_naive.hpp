#pragma once

// Sparse MLA decode as it stands in the definition, in fp32: the reference that other kernels are
// compared with on problems too large for the CPU. It shares no verb with them beyond the lane's
// number, so a mistake in a verb cannot hide. A wave computes one head of one token; of the 512
// columns, lane i has i, i + kLanes, ... Numbers are decoded one at a time.

#include "machine.hpp"
#include "sparse_mla_check_config.hpp"

namespace mla {

constexpr int kNaiveColumns = kHeadDim / kLanes;

MLA_DEVICE float float_of_bits(unsigned bits) {
  union {
    unsigned bits;
    float value;
  } u{bits};
  return u.value;
}

MLA_DEVICE float naive_bf16(const unsigned char* p) {
  return float_of_bits(static_cast<unsigned>(*reinterpret_cast<const unsigned short*>(p)) << 16);
}

MLA_DEVICE float naive_e4m3(unsigned byte, Fp8Format format) {
  const bool ocp = format == Fp8Format::ocp;
  if (ocp ? (byte & 0x7fu) == 0x7fu : byte == 0x80u) return float_of_bits(0x7fc00000u);
  const unsigned exponent = byte >> 3 & 15u, mantissa = byte & 7u, bias = ocp ? 7u : 8u;
  // Subnormal: mantissa * 2^(1 - bias - 3).
  const float magnitude = exponent == 0
                              ? static_cast<float>(mantissa) * float_of_bits((125u - bias) << 23)
                              : float_of_bits((exponent + 127u - bias) << 23 | mantissa << 20);
  return byte >> 7 != 0 ? -magnitude : magnitude;
}

MLA_DEVICE float naive_ue8m0(unsigned byte) {
  if (byte == 255u) return float_of_bits(0x7fc00000u);
  return float_of_bits(byte == 0 ? 0x00400000u : byte << 23);
}

// One column of a cached row, NaN replaced by 0. `place` is the row's in its page.
MLA_DEVICE float naive_element(const CacheScope& scope, const unsigned char* page, int place,
                               int column) {
  const unsigned char* row = page + static_cast<long long>(place) * kRowBytes;
  float value;
  if (column >= kNopeDim) {
    value = naive_bf16(row + kNopeDim + 2 * (column - kNopeDim));
  } else {
    const unsigned char* scales = page + static_cast<long long>(scope.page_size) * kRowBytes +
                                  static_cast<long long>(place) * kScaleBytes;
    value = naive_e4m3(row[column], scope.format) * naive_ue8m0(scales[column / kGroupDim]);
  }
  return value == value ? value : 0.0f;
}

// The softmax so far: the weights are 2^(logit - max), logits in base 2.
struct NaiveRow {
  float q[kNaiveColumns];
  float out[kNaiveColumns];
  float max;
  float sum;
};

MLA_DEVICE void naive_scope(NaiveRow& row, const CacheScope& scope, int token, int lane,
                            float scale) {
  if (scope.indptr == nullptr) return;
  for (int entry = scope.indptr[token]; entry < scope.indptr[token + 1]; ++entry) {
    const int slot = scope.indices[entry];
    if (slot < 0 || slot >= scope.rows) continue;
    const unsigned char* page = scope.cache + slot / scope.page_size * scope.page_stride;
    float key[kNaiveColumns];
    float product = 0;
    MLA_UNROLL for (int i = 0; i < kNaiveColumns; ++i) {
      key[i] = naive_element(scope, page, slot % scope.page_size, lane + i * kLanes);
      product += row.q[i] * key[i];
    }
    for (int bit = 1; bit < kLanes; bit *= 2) product += from_lane_xor(product, bit);
    const float logit = product * scale;
    const float max = maximum(row.max, logit);
    const float keep = exp2_fast(row.max - max), weight = exp2_fast(logit - max);
    row.max = max;
    row.sum = row.sum * keep + weight;
    MLA_UNROLL for (int i = 0; i < kNaiveColumns; ++i) row.out[i] =
        row.out[i] * keep + weight * key[i];
  }
}

// Round to nearest even; a NaN that a defect leaves stays one.
MLA_DEVICE unsigned short naive_to_bf16(float value) {
  union {
    float value;
    unsigned bits;
  } u{value};
  if (value != value) return 0x7fc0;
  return static_cast<unsigned short>((u.bits + 0x7fffu + (u.bits >> 16 & 1u)) >> 16);
}

// Grid: {tokens, heads, 1}. Workgroup: threads(kCheckGeometry, kLanes). Of the splits nothing is
// read, and there is no workspace.
MLA_DEVICE void sparse_mla_naive(const DecodeArgs& args) {
  constexpr float kLog2E = 1.4426950408889634f, kLn2 = 0.6931471805599453f;
  const Dim3 group = workgroup_id();
  const int token = static_cast<int>(group.x), head = static_cast<int>(group.y), lane = lane_id();
  const unsigned char* q = static_cast<const unsigned char*>(args.q) +
                           2 * (token * args.q_token_stride + head * args.q_head_stride);
  NaiveRow row;
  MLA_UNROLL for (int i = 0; i < kNaiveColumns; ++i) {
    row.q[i] = naive_bf16(q + 2 * (lane + i * kLanes));
    row.out[i] = 0;
  }
  row.max = -infinity();
  row.sum = 0;
  naive_scope(row, args.main, token, lane, args.scale * kLog2E);
  naive_scope(row, args.extra, token, lane, args.scale * kLog2E);

  const bool empty = row.sum == 0;
  const float sink = args.sink != nullptr ? args.sink[head] * kLog2E : -infinity();
  // exp2 of a sink far above the maximum is +inf, and 1 / inf the 0 that is wanted.
  const float factor = empty ? 0.0f : 1.0f / (row.sum + exp2_fast(sink - row.max));
  unsigned short* out = static_cast<unsigned short*>(args.out) + token * args.out_token_stride +
                        head * args.out_head_stride;
  MLA_UNROLL for (int i = 0; i < kNaiveColumns; ++i) out[lane + i * kLanes] =
      naive_to_bf16(row.out[i] * factor);
  if (args.lse != nullptr && lane == 0) {
    args.lse[token * args.lse_token_stride + head] =
        empty ? infinity() : (row.max + log2_fast(row.sum)) * kLn2;
  }
}

}  // namespace mla
