#include "tuner/expression.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <limits>
#include <random>

#include "db/error.hpp"

namespace mla {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Symbols& symbols() {
  static const Symbols all = [] {
    Symbols s;
    s["block_k"] = {ValueType::number, 0, 0, nullptr, {}};
    s["waves"] = {ValueType::number, 1, 0, nullptr, {}};
    s["wave_split"] = {ValueType::enumeration, 2, 0, find_enumeration("WaveSplit"), {}};
    s["split_map"] = {ValueType::enumeration, 3, 0, find_enumeration("SplitMap"), {}};
    s["value_read"] = {ValueType::enumeration, 4, 0, find_enumeration("ValueRead"), {}};
    s["big"] = {ValueType::truth, 5, 0, nullptr, {}};
    s["arch.lds"] = {ValueType::number, -1, 65536, nullptr, {}};
    s["arch.transposes"] = {ValueType::truth, -1, 1, nullptr, {}};
    s["arch.widths"] = {ValueType::list, -1, 0, nullptr, {4, 16}};
    s["arch.nothing"] = {ValueType::list, -1, 0, nullptr, {}};
    return s;
  }();
  return all;
}

std::int64_t value(const std::string& text, std::vector<std::int64_t> slots = {32, 4, 1, 2, 3, 0}) {
  return Expression::parse(text, symbols(), "here")(slots.data());
}

std::string error(const std::string& text) {
  try {
    value(text);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::usage);
    return e.what();
  }
  return "no error";
}

TEST(Expression, BindsProductsTighterThanSumsThanComparisonsThanLogic) {
  EXPECT_EQ(value("2 + 3 * 4"), 14);
  EXPECT_EQ(value("(2 + 3) * 4"), 20);
  EXPECT_EQ(value("10 - 4 - 3"), 3);
  EXPECT_EQ(value("-2 * -3 - -1"), 7);
  EXPECT_EQ(value("100 / 7 % 4"), 2);
  EXPECT_EQ(value("1 + 1 == 2 and not 3 < 2 or false"), 1);
  EXPECT_EQ(value("false and true or true"), 1);
  EXPECT_EQ(value("not false and false"), 0);
}

TEST(Expression, KnowsItsFunctions) {
  EXPECT_EQ(value("min(block_k, 7, 9)"), 7);
  EXPECT_EQ(value("max(block_k, 7, 99)"), 99);
  EXPECT_EQ(value("ceil_div(block_k + 1, waves)"), 9);
  EXPECT_EQ(value("ceil_div(32, 4)"), 8);
  EXPECT_EQ(value("ceil_div(-7, 2)"), -3);
  EXPECT_EQ(value("if(block_k > 16, waves, 99)"), 4);
  EXPECT_EQ(value("if(block_k > 64, waves, 99)"), 99);
  EXPECT_EQ(value("if(big, wave_split, wave_split) == keys"), 1);
}

TEST(Expression, ReadsAnEnumeratorByThePartnerItIsComparedWith) {
  EXPECT_EQ(value("wave_split == keys"), 1);
  EXPECT_EQ(value("columns != wave_split"), 1);
  EXPECT_EQ(value("split_map == strided and value_read == strided"), 1);
  EXPECT_EQ(value("wave_split in (heads, columns)"), 0);
  EXPECT_EQ(value("wave_split in (heads, columns, keys)"), 1);
}

TEST(Expression, KnowsMembershipInListsOfTheArch) {
  EXPECT_EQ(value("waves in arch.widths"), 1);
  EXPECT_EQ(value("block_k in arch.widths"), 0);
  EXPECT_EQ(value("waves in arch.nothing"), 0);
  EXPECT_EQ(value("block_k in (16, 8 * waves) and waves in (4)"), 1);
}

TEST(Expression, DoesNotEvaluateWhatItDoesNotNeed) {
  EXPECT_EQ(value("waves == 0 or 8 / waves > 1", {0, 0, 1, 1, 1, 0}), 1);
  EXPECT_EQ(value("waves > 0 and 8 / waves > 1", {0, 0, 1, 1, 1, 0}), 0);
  EXPECT_EQ(value("if(waves == 0, 5, 8 / waves)", {0, 0, 1, 1, 1, 0}), 5);
}

TEST(Expression, ReportsTheSlotsItReads) {
  EXPECT_THAT(Expression::parse("waves * 2 <= block_k + waves", symbols(), "").slots(),
              ElementsAre(0, 1));
  EXPECT_THAT(Expression::parse("arch.lds > 5", symbols(), "").slots(), ElementsAre());
}

TEST(Expression, ReportsItsType) {
  EXPECT_EQ(Expression::parse("waves * 2", symbols(), "").type(), ValueType::number);
  EXPECT_EQ(Expression::parse("waves < 2", symbols(), "").type(), ValueType::truth);
  EXPECT_EQ(Expression::parse("wave_split", symbols(), "").type(), ValueType::enumeration);
}

TEST(Expression, NamesTheColumnAndTheNearestNameOfAnUnknownOne) {
  EXPECT_EQ(error("waves + blok_k > 3"),
            "here: column 9: unknown name 'blok_k' (did you mean 'block_k'?), in `waves + blok_k > "
            "3`");
  EXPECT_THAT(error("wave_split == keyz"), HasSubstr("column 15: 'keyz' is no WaveSplit; did you "
                                                     "mean 'keys'?"));
  EXPECT_THAT(error("split_map == keys"),
              HasSubstr("'keys' is no SplitMap; known are contiguous, strided"));
  EXPECT_THAT(error("waves == keys"), HasSubstr("unknown name 'keys'"));
  EXPECT_THAT(error("mix(1, 2) > 1"), HasSubstr("column 1: unknown function 'mix'; did you mean "
                                                "'min'?"));
}

TEST(Expression, RefusesWhatDoesNotParse) {
  EXPECT_THAT(error(""), HasSubstr("column 1: a value is expected, not 'end'"));
  EXPECT_THAT(error("1 +"), HasSubstr("column 4: a value is expected"));
  EXPECT_THAT(error("(1 + 2"), HasSubstr("column 7: ')' is expected, not 'end'"));
  EXPECT_THAT(error("1 2"), HasSubstr("column 3: '2' is not expected here"));
  EXPECT_THAT(error("1 & 2"), HasSubstr("column 3: '&' means nothing here"));
  EXPECT_THAT(error("waves = 2"), HasSubstr("column 7: '=' means nothing here"));
  EXPECT_THAT(error("1.5 > 1"), HasSubstr("decimal digits alone"));
  EXPECT_THAT(error("16k > 1"), HasSubstr("decimal digits alone"));
  EXPECT_THAT(error("99999999999999999999 > 1"), HasSubstr("does not fit 64 bits"));
  EXPECT_THAT(error("1 < waves < 3"), HasSubstr("comparisons do not chain"));
  EXPECT_THAT(error("min(1)"), HasSubstr("',' is expected"));
  EXPECT_THAT(error("ceil_div(1, 2, 3)"), HasSubstr("')' is expected"));
  EXPECT_THAT(error("waves in 4"), HasSubstr("'in' takes"));
  EXPECT_THAT(error("arch.widths == 4"), HasSubstr("behind 'in'"));
  EXPECT_THAT(error("keys"), HasSubstr("unknown name 'keys'"));
}

TEST(Expression, RefusesToMixKindsOfValues) {
  EXPECT_THAT(error("wave_split + 1 == 2"), HasSubstr("'wave_split' is a WaveSplit: compare it"));
  EXPECT_THAT(error("waves and true"), HasSubstr("'waves' is a number, but 'and' takes true or"));
  EXPECT_THAT(error("not waves"), HasSubstr("'not' takes true or false"));
  EXPECT_THAT(error("(waves < 2) + 1"), HasSubstr("'+' takes a number"));
  EXPECT_THAT(error("wave_split == split_map"), HasSubstr("'==' cannot compare WaveSplit with"));
  EXPECT_THAT(error("if(true, 1, false)"), HasSubstr("'if' cannot compare a number with true"));
}

TEST(Expression, RefusesArithmeticThatHasNoAnswer) {
  EXPECT_THAT(error("8 / (waves - 4) > 1"),
              HasSubstr("here: division by zero in `8 / (waves - 4)"));
  EXPECT_THAT(error("8 % (waves - 4) > 1"), HasSubstr("division by zero"));
  EXPECT_THAT(error("9223372036854775807 + waves > 1"), HasSubstr("overflows"));
  EXPECT_THAT(error("-9223372036854775807 - waves > 1"), HasSubstr("overflows"));
  EXPECT_THAT(error("9223372036854775807 * waves > 1"), HasSubstr("overflows"));
  EXPECT_THAT(error("(-9223372036854775807 - 1) / -1 > 1"), HasSubstr("overflows"));
  EXPECT_THAT(error("-(-9223372036854775807 - 1) > 1"), HasSubstr("overflows"));
}

TEST(Expression, RefusesDepthInsteadOfOverflowingTheStack) {
  EXPECT_THAT(error(std::string(100000, '(') + "1"), HasSubstr("too deep"));
  EXPECT_THAT(error(std::string(100000, '-') + "1"), HasSubstr("too deep"));
  std::string nots, right;
  for (int i = 0; i < 100000; ++i) nots += "not ";
  EXPECT_THAT(error(nots + "true"), HasSubstr("too deep"));
  for (int i = 0; i < 80; ++i) right += "1 + (";
  EXPECT_THAT(error(right + "1" + std::string(80, ')')), HasSubstr("too deep"));
}

// A random tree, printed for the parser and evaluated by the textbook's recursion.
struct Node {
  std::string op;
  std::int64_t number = 0;
  std::vector<Node> children;
};

struct NoAnswer {};

class Trees {
 public:
  explicit Trees(unsigned seed) : random_(seed) {}

  Node number(int depth) {
    switch (depth == 0 ? pick(2) : pick(10)) {
      case 0:
        return {"number", pick(20), {}};
      case 1:
        return {pick(2) ? "block_k" : "waves", 0, {}};
      case 2:
        return {"neg", 0, {number(depth - 1)}};
      case 3:
        return {"if", 0, {truth(depth - 1), number(depth - 1), number(depth - 1)}};
      default: {
        static const char* ops[] = {"+", "-", "*", "/", "%", "min", "max", "ceil_div"};
        return {ops[pick(8)], 0, {number(depth - 1), number(depth - 1)}};
      }
    }
  }

  Node truth(int depth) {
    if (depth == 0) return {pick(2) ? "big" : "keys?", 0, {}};
    static const char* ops[] = {"==", "!=", "<", "<=", ">", ">="};
    switch (pick(5)) {
      case 0:
        return {"not", 0, {truth(depth - 1)}};
      case 1:
        return {pick(2) ? "and" : "or", 0, {truth(depth - 1), truth(depth - 1)}};
      case 2:
        return {"in", 0, {number(depth - 1), number(depth - 1), number(depth - 1)}};
      default:
        return {ops[pick(6)], 0, {number(depth - 1), number(depth - 1)}};
    }
  }

  int pick(int n) { return std::uniform_int_distribution<int>(0, n - 1)(random_); }

 private:
  std::mt19937 random_;
};

std::string print(const Node& n) {
  const auto child = [&](std::size_t i) { return print(n.children[i]); };
  if (n.op == "number") return std::to_string(n.number);
  if (n.op == "keys?") return "wave_split == keys";
  if (n.op == "neg") return "-(" + child(0) + ")";
  if (n.op == "not") return "not (" + child(0) + ")";
  if (n.op == "if") return "if(" + child(0) + ", " + child(1) + "," + child(2) + ")";
  if (n.op == "in") return "(" + child(0) + ") in (" + child(1) + ", " + child(2) + ")";
  if (n.op == "min" || n.op == "max" || n.op == "ceil_div")
    return n.op + "(" + child(0) + "," + child(1) + ")";
  if (n.children.empty()) return n.op;
  return "(" + child(0) + ") " + n.op + " (" + child(1) + ")";
}

std::int64_t evaluate(const Node& n, const std::vector<std::int64_t>& slots) {
  const auto child = [&](std::size_t i) { return evaluate(n.children[i], slots); };
  if (n.op == "number") return n.number;
  if (n.op == "block_k") return slots[0];
  if (n.op == "waves") return slots[1];
  if (n.op == "keys?") return slots[2] == 1;
  if (n.op == "big") return slots[5];
  if (n.op == "not") return !child(0);
  if (n.op == "and") return child(0) && child(1);
  if (n.op == "or") return child(0) || child(1);
  if (n.op == "if") return child(0) ? child(1) : child(2);
  const std::int64_t a = child(0);
  __extension__ using Wide = __int128;
  const auto narrow = [](Wide wide) {
    if (wide > std::numeric_limits<std::int64_t>::max() ||
        wide < std::numeric_limits<std::int64_t>::min())
      throw NoAnswer{};
    return static_cast<std::int64_t>(wide);
  };
  if (n.op == "neg") return narrow(-static_cast<Wide>(a));
  if (n.op == "in") return a == child(1) || a == child(2);
  const std::int64_t b = child(1);
  if (n.op == "==") return a == b;
  if (n.op == "!=") return a != b;
  if (n.op == "<") return a < b;
  if (n.op == "<=") return a <= b;
  if (n.op == ">") return a > b;
  if (n.op == ">=") return a >= b;
  if (n.op == "min") return std::min(a, b);
  if (n.op == "max") return std::max(a, b);
  if (n.op == "+") return narrow(static_cast<Wide>(a) + b);
  if (n.op == "-") return narrow(static_cast<Wide>(a) - b);
  if (n.op == "*") return narrow(static_cast<Wide>(a) * b);
  if (b == 0) throw NoAnswer{};
  if (n.op == "/") return narrow(static_cast<Wide>(a) / b);
  if (n.op == "%") return narrow(static_cast<Wide>(a) % b);
  const Wide quotient = static_cast<Wide>(a) / b;
  const bool round_up = static_cast<Wide>(a) % b != 0 && (a > 0) == (b > 0);
  return narrow(quotient + (round_up ? 1 : 0));
}

TEST(Expression, AgreesWithANaiveEvaluatorOnRandomExpressions) {
  int answers = 0, refusals = 0;
  for (unsigned seed = 0; seed < 4000; ++seed) {
    Trees trees(seed);
    const Node tree = seed % 2 ? trees.truth(1 + trees.pick(6)) : trees.number(1 + trees.pick(6));
    const std::vector<std::int64_t> slots = {
        trees.pick(1000) - 500, trees.pick(9), 1 + trees.pick(3), 1, 1, trees.pick(2)};
    const std::string text = print(tree);
    const Expression expression = Expression::parse(text, symbols(), "random");
    std::int64_t expected = 0;
    bool answer = true;
    try {
      expected = evaluate(tree, slots);
    } catch (const NoAnswer&) {
      answer = false;
    }
    if (answer) {
      ++answers;
      ASSERT_EQ(expression(slots.data()), expected) << text;
    } else {
      ++refusals;
      ASSERT_THROW(expression(slots.data()), Error) << text;
    }
  }
  EXPECT_GT(answers, 2000);
  EXPECT_GT(refusals, 100);
}

TEST(Expression, SurvivesRandomBytes) {
  std::mt19937 random(7);
  const std::string alphabet = "abwaves_.0149 +-*/%()<>=!,|&'\n keys and or not in if min";
  for (int i = 0; i < 20000; ++i) {
    std::string text;
    for (auto length = random() % 24; length > 0; --length)
      text += alphabet[random() % alphabet.size()];
    try {
      value(text);
    } catch (const Error& e) {
      EXPECT_THAT(e.what(), HasSubstr("here: "));
    }
  }
}

}  // namespace
}  // namespace mla
