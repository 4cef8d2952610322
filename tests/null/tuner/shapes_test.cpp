#include "tuner/shapes.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "temp_configs.hpp"

namespace mla {
namespace {

class Shapes : public ::testing::Test {
 protected:
  Shapes() {
    arch_.main_format = Fp8Format::fnuz;
    arch_.extra_format = Fp8Format::ocp;
  }
  std::vector<ProblemRecord> load(const std::string& text) {
    return load_shapes(configs_.write("shapes/s.yaml", "kernel: sparse_mla_decode\n" + text),
                       arch_);
  }
  std::string error(const std::string& text) {
    return configs_.error([&] { load(text); });
  }

  TempConfigs configs_;
  Arch arch_ = toy_arch();
};

TEST_F(Shapes, AGridIsEveryCombination) {
  const auto problems = load(R"(
grid:
  - heads: [16, 32]
    tokens: [1, 8, 64]
    streams:
      - {main_len: 128}
      - {main_len: 128, extra_len: 1024, extra_page: 2}
  - {heads: [8], tokens: [1], streams: [{main_len: 64}], main_page: 256, lengths: ragged, cache: warm}
)");
  ASSERT_EQ(problems.size(), 13u);
  ProblemRecord p;
  p.kernel = "sparse_mla_decode";
  p.num_heads = 32;
  p.num_tokens = 64;
  p.main_len = 128;
  p.main_page = 64;
  p.main_format = static_cast<int>(Fp8Format::fnuz);
  EXPECT_EQ(problems[5], p);
  p.extra_len = 1024;
  p.extra_page = 2;
  EXPECT_EQ(problems[11], p);
  EXPECT_EQ(problems[12].main_page, 256);
  EXPECT_EQ(problems[12].lengths, "ragged");
  EXPECT_TRUE(problems[12].warm_cache);
}

TEST_F(Shapes, AListGivesEachProblemByItself) {
  const auto problems = load(R"(
problems:
  - {heads: 16, tokens: 8, main_len: 0, extra_len: 512, extra_page: 64, lengths: ragged}
  - {heads: 3, tokens: 5, main_len: 7, main_page: 4, cache: cold}
)");
  ASSERT_EQ(problems.size(), 2u);
  EXPECT_EQ(problems[0].extra_len, 512);
  EXPECT_EQ(problems[0].lengths, "ragged");
  EXPECT_EQ(problems[1].num_heads, 3);
  EXPECT_EQ(problems[1].extra_page, 0);
  EXPECT_EQ(problems[1], make_problem(arch_, 3, 5, 7, 4, 0, 64));
}

TEST_F(Shapes, MistakesAreNamedAtTheirLine) {
  EXPECT_EQ(error(""), "shapes/s.yaml:1: no problem is given: write 'grid:' or 'problems:'");
  EXPECT_EQ(error("grids: []"),
            "shapes/s.yaml:2: a file of shapes has no key 'grids'; did you mean "
            "'grid'?");
  EXPECT_EQ(error("problems:\n  - {head: 1}"),
            "shapes/s.yaml:3: a problem has no key 'head'; did you mean 'heads'?");
  EXPECT_EQ(error("problems:\n  - {heads: 129, tokens: 1, main_len: 1}"),
            "shapes/s.yaml:3: an integer from 1 to 128 is expected, not '129'");
  EXPECT_EQ(error("problems:\n  - {heads: 1, main_len: 1}"),
            "shapes/s.yaml:3: the key 'tokens' is missing");
  EXPECT_EQ(error("problems:\n  - {heads: 1, tokens: 1, main_len: 1, extra_len: 4}"),
            "shapes/s.yaml:3: the key 'extra_page' is missing");
  EXPECT_EQ(error("problems:\n  - {heads: 1, tokens: 1, main_len: 1, extra_page: 4}"),
            "shapes/s.yaml:3: extra_page is given, but extra_len is 0: there is no extra scope");
  EXPECT_EQ(error("problems:\n  - {heads: 1, tokens: 1, main_len: 1, lengths: even}"),
            "shapes/s.yaml:3: 'even' is neither uniform nor ragged");
  EXPECT_EQ(error("problems:\n  - &p {heads: 1, tokens: 1, main_len: 1}\n  - *p"),
            "shapes/s.yaml:3: the problem with 1 heads, 1 tokens and 1+0 keys is given twice");
  EXPECT_EQ(error("grid:\n  - {heads: [], tokens: [1], streams: [{main_len: 1}]}"),
            "shapes/s.yaml:3: at least one number is expected here");
  EXPECT_EQ(error("grid:\n  - {heads: [1], tokens: [1], streams: []}"),
            "shapes/s.yaml:3: a grid needs at least one stream");
  EXPECT_EQ(error("grid:\n  - {heads: [1], tokens: [65536], streams: [{main_len: 1048576}]}")
                .substr(0, 17),
            "shapes/s.yaml:3: ");
  EXPECT_EQ(configs_.error([&] {
    load_shapes(configs_.write("shapes/s.yaml", "kernel: sparse_mla_reduce\n"), arch_);
  }),
            "shapes/s.yaml:1: 'sparse_mla_reduce' has no shapes of its own; did you mean "
            "'sparse_mla_decode'?");
}

}  // namespace
}  // namespace mla
