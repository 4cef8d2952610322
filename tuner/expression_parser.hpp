#pragma once

#include <string>
#include <string_view>

#include "tuner/expression.hpp"
#include "tuner/expression_token.hpp"

namespace mla {

// What the machine of Expression does, one a step. Operands are on a stack unless said.
enum class Expression::Code : std::uint8_t {
  constant,  // push the operand
  slot,      // push the slot of that number
  add,
  subtract,
  multiply,
  divide,
  remainder,
  ceil_div,
  minimum,
  maximum,
  equal,
  not_equal,
  less,
  less_equal,
  greater,
  greater_equal,
  negate,
  invert,
  duplicate,
  swap,
  pop,
  jump,
  jump_if_false_pop,
  jump_if_false_keep,
  jump_if_true_keep,
};

// Recursive descent, emitting postfix code as it goes. Used once.
class ExpressionParser {
 public:
  ExpressionParser(std::string_view text, const Symbols& symbols, const std::string& where);
  Expression parse();

 private:
  using Code = Expression::Code;

  // What the code emitted so far leaves on the stack.
  struct Operand {
    ValueType type = ValueType::number;
    const Enumeration* enumeration = nullptr;
    std::size_t column = 1;
    std::string name;    // of the symbol or word it consists of; empty for anything longer
    bool word = false;   // no known name: an enumerator if it is compared with an enumeration
    std::size_t op = 0;  // of a word: the constant to fill in
  };

  static Operand truth(std::size_t column) {
    return {ValueType::truth, nullptr, column, "", false, 0};
  }
  static Operand number(std::size_t column) {
    return {ValueType::number, nullptr, column, "", false, 0};
  }

  [[noreturn]] void fail(std::size_t column, const std::string& what) const;
  [[noreturn]] void fail_unknown(const Operand& word) const;

  void advance();
  bool at(std::string_view text) const;
  bool accept(std::string_view text);
  void expect(std::string_view text);

  std::size_t emit(Code code, int depth_change, std::int64_t operand = 0);
  void land(std::size_t jump);  // the jump's target is what is emitted next

  Operand disjunction();
  Operand conjunction();
  Operand inversion();
  Operand comparison();
  Operand membership(Operand left);
  Operand sum();
  Operand product();
  Operand negation();
  Operand primary();
  Operand call(const Token& function);
  Operand choice(const Token& function);
  Operand named(const Token& name);

  void need(const Operand& operand, ValueType type, std::string_view user) const;
  void make_comparable(Operand& left, Operand& right, std::string_view sign);
  void resolve(Operand& word, const Enumeration& type);

  const Symbols& symbols_;
  Expression result_;
  std::size_t position_ = 0;
  Token token_;
  int depth_ = 0;
  int nesting_ = 0;
};

}  // namespace mla
