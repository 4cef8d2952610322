#include "kernels/fp8.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace mla {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr Fp8Format kFormats[] = {Fp8Format::ocp, Fp8Format::fnuz};

std::uint8_t byte(int value) { return static_cast<std::uint8_t>(value); }

TEST(E4m3, HasTheValuesOfTheOcpSpecification) {
  EXPECT_EQ(0.0, e4m3_to_double(0x00, Fp8Format::ocp));
  EXPECT_TRUE(std::signbit(e4m3_to_double(0x80, Fp8Format::ocp)));
  EXPECT_EQ(0x1p-9, e4m3_to_double(0x01, Fp8Format::ocp));
  EXPECT_EQ(0x1p-6, e4m3_to_double(0x08, Fp8Format::ocp));
  EXPECT_EQ(1.0, e4m3_to_double(0x38, Fp8Format::ocp));
  EXPECT_EQ(448.0, e4m3_to_double(0x7E, Fp8Format::ocp));
  EXPECT_EQ(-448.0, e4m3_to_double(0xFE, Fp8Format::ocp));
  EXPECT_TRUE(std::isnan(e4m3_to_double(0x7F, Fp8Format::ocp)));
  EXPECT_TRUE(std::isnan(e4m3_to_double(0xFF, Fp8Format::ocp)));
}

TEST(E4m3, HasTheValuesOfFnuz) {
  EXPECT_EQ(0x1p-10, e4m3_to_double(0x01, Fp8Format::fnuz));
  EXPECT_EQ(0x1p-7, e4m3_to_double(0x08, Fp8Format::fnuz));
  EXPECT_EQ(1.0, e4m3_to_double(0x40, Fp8Format::fnuz));
  EXPECT_EQ(240.0, e4m3_to_double(0x7F, Fp8Format::fnuz));
  EXPECT_EQ(-240.0, e4m3_to_double(0xFF, Fp8Format::fnuz));
  EXPECT_TRUE(std::isnan(e4m3_to_double(0x80, Fp8Format::fnuz)));
}

TEST(E4m3, HasAsManyNaNsAsEachFormatSays) {
  for (const Fp8Format format : kFormats) {
    int nans = 0;
    for (const double value : e4m3_table(format)) nans += std::isnan(value);
    EXPECT_EQ(format == Fp8Format::ocp ? 2 : 1, nans);
  }
}

TEST(E4m3, EncodesEachOfIts256ValuesAsItself) {
  for (const Fp8Format format : kFormats) {
    for (int code = 0; code < 256; ++code) {
      const double value = e4m3_to_double(byte(code), format);
      const std::uint8_t again = e4m3_from_float(static_cast<float>(value), format);
      if (std::isnan(value)) {
        EXPECT_TRUE(std::isnan(e4m3_to_double(again, format)));
      } else {
        EXPECT_EQ(code, again) << value;
      }
    }
  }
}

TEST(E4m3, RoundsHalfwayCasesToTheEvenCodeAndOthersToTheNearest) {
  for (const Fp8Format format : kFormats) {
    const int largest = format == Fp8Format::ocp ? 0x7E : 0x7F;
    for (int code = 0; code < largest; ++code) {
      const auto low = static_cast<float>(e4m3_to_double(byte(code), format));
      const auto high = static_cast<float>(e4m3_to_double(byte(code + 1), format));
      ASSERT_LT(low, high);
      const float middle = (low + high) / 2;
      EXPECT_EQ(code % 2 == 0 ? code : code + 1, e4m3_from_float(middle, format)) << middle;
      EXPECT_EQ(code, e4m3_from_float(std::nextafter(middle, 0.f), format)) << middle;
      EXPECT_EQ(code + 1, e4m3_from_float(std::nextafter(middle, kInfinity), format)) << middle;
    }
  }
}

TEST(E4m3, EncodesRandomNumbersAsTheNearestOfAllCodes) {
  std::mt19937 random(7);
  std::uniform_real_distribution<float> exponent(-14, 9);
  for (const Fp8Format format : kFormats) {
    const auto table = e4m3_table(format);
    for (int i = 0; i < 5000; ++i) {
      const float value = std::exp2(exponent(random)) * (i % 2 ? 1.f : -1.f);
      double best = std::numeric_limits<double>::infinity();
      for (const double candidate : table) best = std::fmin(best, std::fabs(candidate - value));
      const double got = table[e4m3_from_float(value, format)];
      ASSERT_EQ(best, std::fabs(got - value)) << value;
    }
  }
}

TEST(E4m3, SaturatesAndKeepsNaN) {
  for (const Fp8Format format : kFormats) {
    const double largest = e4m3_largest(format);
    EXPECT_EQ(largest, e4m3_to_double(e4m3_from_float(1e9f, format), format));
    EXPECT_EQ(-largest, e4m3_to_double(e4m3_from_float(-kInfinity, format), format));
    EXPECT_TRUE(std::isnan(e4m3_to_double(e4m3_from_float(std::nanf(""), format), format)));
  }
}

TEST(E4m3, HasNoNegativeZeroInFnuz) {
  EXPECT_EQ(0x80, e4m3_from_float(-0.f, Fp8Format::ocp));
  EXPECT_EQ(0x00, e4m3_from_float(-0.f, Fp8Format::fnuz));
  EXPECT_EQ(0x00, e4m3_from_float(-1e-9f, Fp8Format::fnuz));
}

TEST(Ue8m0, IsAPowerOfTwoForAllBytesBut255) {
  for (int code = 0; code < 255; ++code) {
    const double value = ue8m0_to_double(byte(code));
    EXPECT_EQ(code - 127, std::ilogb(value));
    EXPECT_EQ(1.0, std::ldexp(value, 127 - code));
    EXPECT_EQ(code, ue8m0_at_least(static_cast<float>(value)));
  }
  EXPECT_TRUE(std::isnan(ue8m0_to_double(255)));
}

TEST(Ue8m0, RoundsUpToTheNextPowerOfTwo) {
  EXPECT_EQ(127, ue8m0_at_least(1.f));
  EXPECT_EQ(128, ue8m0_at_least(std::nextafter(1.f, 2.f)));
  EXPECT_EQ(126, ue8m0_at_least(std::nextafter(0.5f, 0.f)));
  EXPECT_EQ(105, ue8m0_at_least(1e-4f / 448));  // the smallest that the canonical writer emits
  EXPECT_EQ(0, ue8m0_at_least(1e-45f));
}

TEST(Bf16, KeepsEveryValueThroughFloatAndDouble) {
  for (int bits = 0; bits < 65536; ++bits) {
    const auto code = static_cast<std::uint16_t>(bits);
    const float value = bf16_to_float(code);
    if (std::isnan(value)) {
      EXPECT_TRUE(std::isnan(bf16_to_float(bf16_from_float(value))));
      EXPECT_TRUE(std::isnan(bf16_to_float(bf16_from_double(value))));
    } else {
      EXPECT_EQ(code, bf16_from_float(value));
      EXPECT_EQ(code, bf16_from_double(value));
    }
  }
}

TEST(Bf16, RoundsFloatsTheSameWayFromBothTypes) {
  std::mt19937 random(11);
  for (int i = 0; i < 100000; ++i) {
    const float value = std::bit_cast<float>(static_cast<std::uint32_t>(random()));
    if (std::isnan(value)) continue;
    ASSERT_EQ(bf16_from_float(value), bf16_from_double(value)) << value;
  }
}

TEST(Bf16, RoundsADoubleOnce) {
  // Just above the middle of 1 and 1 + 2^-7; as a float it is the middle, which rounds to even.
  const double value = 1 + 0x1p-8 + 0x1p-40;
  EXPECT_EQ(1.0f + 0x1p-7f, bf16_to_float(bf16_from_double(value)));
  EXPECT_EQ(1.0f, bf16_to_float(bf16_from_float(static_cast<float>(value))));
}

}  // namespace
}  // namespace mla
