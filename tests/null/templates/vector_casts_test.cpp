// What no compiler of ours complains about and only the hardware would show.

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <regex>
#include <string>

namespace {

// Clang's __builtin_bit_cast of one element of an ext_vector reads the vector's first element,
// whichever was named (hipRTC 7.2 and 6.4): cast the whole vector, or a copy of the element.
std::string cast_of_an_element(const std::string& source) {
  static const std::regex cast(
      R"(__builtin_bit_cast\(\s*(?:unsigned|int|float|short)\s*,\s*[\w.\->\[\]]+(?:\.[xyzw]|\])\s*\))");
  std::smatch found;
  return std::regex_search(source, found, cast) ? found.str() : std::string();
}

TEST(VectorCasts, AreOfWholeVectors) {
  EXPECT_NE(cast_of_an_element("f(__builtin_bit_cast(unsigned, v.y));"), "");
  EXPECT_NE(cast_of_an_element("f(__builtin_bit_cast(float, t[i][2]));"), "");
  EXPECT_EQ(cast_of_an_element("f(__builtin_bit_cast(float, pair << 16), v.y);"), "");
  int files = 0;
  for (const auto& entry : std::filesystem::directory_iterator(MLA_TEMPLATES)) {
    if (!entry.path().filename().string().starts_with("machine_gfx9")) continue;
    std::ifstream file(entry.path());
    const std::string source{std::istreambuf_iterator<char>(file), {}};
    EXPECT_EQ(cast_of_an_element(source), "") << entry.path();
    ++files;
  }
  EXPECT_GE(files, 4);
}

}  // namespace
