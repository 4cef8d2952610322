#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "templates/sparse_mla_config.hpp"

// The small number formats of a KV cache, exact, on the host.
//   e4m3 OCP:  OCP 8-bit Floating Point Specification (OFP8) 1.0: bias 7, S.1111.111 is NaN, no
//              infinities, largest 448.
//   e4m3 FNUZ: AMD CDNA3 ISA, FP8 formats (LLVM's Float8E4M3FNUZ): bias 8, 0x80 is the one NaN, no
//              infinities, no negative zero, largest 240.
//   UE8M0:     OCP Microscaling Formats (MX) 1.0: 2^(byte - 127), 255 is NaN.
//   bf16:      the upper half of an IEEE 754 binary32, rounded to nearest even.

namespace mla {

constexpr float e4m3_largest(Fp8Format format) { return format == Fp8Format::ocp ? 448.f : 240.f; }
constexpr int e4m3_bias(Fp8Format format) { return format == Fp8Format::ocp ? 7 : 8; }

inline double e4m3_to_double(std::uint8_t byte, Fp8Format format) {
  const bool nan = format == Fp8Format::ocp ? (byte & 0x7F) == 0x7F : byte == 0x80;
  if (nan) return std::numeric_limits<double>::quiet_NaN();
  const int exponent = byte >> 3 & 15;
  const int mantissa = byte & 7;
  const int bias = e4m3_bias(format);
  const double magnitude = exponent == 0 ? std::ldexp(mantissa, 1 - bias - 3)
                                         : std::ldexp(8 + mantissa, exponent - bias - 3);
  return byte & 0x80 ? -magnitude : magnitude;
}

// All 256 values, for loops.
inline std::array<double, 256> e4m3_table(Fp8Format format) {
  std::array<double, 256> table{};
  for (int byte = 0; byte < 256; ++byte) {
    table[static_cast<std::size_t>(byte)] = e4m3_to_double(static_cast<std::uint8_t>(byte), format);
  }
  return table;
}

// Round to nearest even, saturating at the largest value (infinities too); NaN stays NaN.
inline std::uint8_t e4m3_from_float(float value, Fp8Format format) {
  const bool fnuz = format == Fp8Format::fnuz;
  if (std::isnan(value)) return fnuz ? 0x80 : 0x7F;
  const int bias = e4m3_bias(format);
  const float magnitude = std::fmin(std::fabs(value), e4m3_largest(format));
  std::uint32_t code;
  if (magnitude < std::ldexp(1.f, 1 - bias)) {
    // Subnormals count in steps of 2^(1 - bias - 3); eight steps are the first normal number, whose
    // code is 8.
    code = static_cast<std::uint32_t>(std::nearbyint(std::ldexp(magnitude, bias + 2)));
  } else {
    // Exponent and mantissa are neighbours in both formats: rounding may carry from one to the
    // other.
    std::uint32_t bits = std::bit_cast<std::uint32_t>(magnitude);
    bits += 0x7FFFFu + (bits >> 20 & 1u);
    code = (bits >> 20) - (static_cast<std::uint32_t>(127 - bias) << 3);
  }
  if (fnuz && code == 0) return 0;
  return static_cast<std::uint8_t>(code | (std::signbit(value) ? 0x80u : 0u));
}

inline double ue8m0_to_double(std::uint8_t byte) {
  return byte == 255 ? std::numeric_limits<double>::quiet_NaN() : std::ldexp(1.0, byte - 127);
}

// The smallest power of two that is at least `value`, which must be positive and finite.
inline std::uint8_t ue8m0_at_least(float value) {
  int exponent = 0;
  const float fraction = std::frexp(value, &exponent);  // [0.5, 1)
  const int power = fraction == 0.5f ? exponent - 1 : exponent;
  return static_cast<std::uint8_t>(power < -127 ? 0 : power + 127);
}

inline float bf16_to_float(std::uint16_t bits) {
  return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
}

inline std::uint16_t bf16_from_float(float value) {
  std::uint32_t bits = std::bit_cast<std::uint32_t>(value);
  if (std::isnan(value)) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  bits += 0x7FFFu + (bits >> 16 & 1u);
  return static_cast<std::uint16_t>(bits >> 16);
}

// Rounds once; through float it would round twice.
inline std::uint16_t bf16_from_double(double value) {
  if (!std::isfinite(value) || value == 0) return bf16_from_float(static_cast<float>(value));
  const int exponent = std::max(std::ilogb(value), -126);
  const double step = std::ldexp(1.0, exponent - 7);
  return bf16_from_float(static_cast<float>(std::nearbyint(value / step) * step));
}

}  // namespace mla
