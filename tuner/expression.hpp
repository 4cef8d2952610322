#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/params.hpp"

namespace mla {

// The language of `constraints:` and `let:` in a YAML space.
//
//   numbers    64-bit integers; + - * / % (as in C: truncating), unary -, min(a, b, ...), max(a, b,
//   ...), ceil_div(a, b) truth      == != < <= > >=, x in (a, b, ...), x in arch.list, and, or,
//   not, true, false choice     if(condition, a, b) names      of parameters, derived quantities
//   and arch limits (arch.lds_per_workgroup); enumerators as bare words
//              beside the parameter they are compared with: wave_split == keys
//
// `and`, `or` and `if` do not evaluate what they do not need, so that `waves > 0 and 8 / waves > 1`
// is safe.

enum class ValueType { number, truth, enumeration, list };

// A name an expression may use: a slot of the array it is evaluated over, or a constant.
struct Symbol {
  ValueType type = ValueType::number;
  int slot = -1;                             // -1: a constant
  std::int64_t constant = 0;                 // truth: 0 or 1
  const Enumeration* enumeration = nullptr;  // of ValueType::enumeration
  std::vector<std::int64_t> list;            // of ValueType::list, constants only
};

using Symbols = std::map<std::string, Symbol, std::less<>>;

// Immutable; evaluation is safe from several threads.
class Expression {
 public:
  // `where` goes in front of every message ("space.yaml:12: constraint 'lds'"). Throws Error{usage}
  // naming the column and, for an unknown name, the nearest known one. Symbols are not referred to
  // afterwards.
  static Expression parse(std::string_view text, const Symbols& symbols, const std::string& where);

  // `slots` must hold every slot of slots(). Throws Error{usage} where the arithmetic divides by
  // zero or overflows.
  std::int64_t operator()(const std::int64_t* slots) const;

  ValueType type() const { return type_; }
  const Enumeration* enumeration() const { return enumeration_; }
  const std::vector<int>& slots() const { return slots_; }  // it reads, ascending
  const std::string& text() const { return text_; }

 private:
  friend class ExpressionParser;
  enum class Code : std::uint8_t;
  struct Op {
    Code code;
    std::int64_t operand = 0;  // a constant, a slot or a jump's target
  };
  static constexpr int kMaxDepth = 64;

  [[noreturn]] void fail(const std::string& what) const;

  std::vector<Op> ops_;  // postfix
  ValueType type_ = ValueType::number;
  const Enumeration* enumeration_ = nullptr;
  std::vector<int> slots_;
  std::string text_;
  std::string where_;
};

}  // namespace mla
