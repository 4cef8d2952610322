#include "tuner/expression.hpp"

#include <fmt/format.h>

#include <limits>

#include "db/error.hpp"
#include "tuner/expression_parser.hpp"

namespace mla {

void Expression::fail(const std::string& what) const {
  throw Error(ErrorKind::usage, fmt::format("{}: {} in `{}`", where_, what, text_));
}

Expression Expression::parse(std::string_view text, const Symbols& symbols,
                             const std::string& where) {
  return ExpressionParser(text, symbols, where).parse();
}

std::int64_t Expression::operator()(const std::int64_t* slots) const {
  std::int64_t stack[kMaxDepth];  // the parser refuses what would need more
  int top = -1;
  for (std::size_t i = 0; i < ops_.size(); ++i) {
    const Op& op = ops_[i];
    const auto binary = [&](auto f) {
      --top;
      stack[top] = f(stack[top], stack[top + 1]);
    };
    const auto checked = [&](auto overflows) {
      binary([&](std::int64_t a, std::int64_t b) {
        std::int64_t result;
        if (overflows(a, b, &result)) fail("the arithmetic overflows 64 bits");
        return result;
      });
    };
    const auto divided = [&](auto f) {
      binary([&](std::int64_t a, std::int64_t b) {
        if (b == 0) fail("division by zero");
        if (b == -1 && a == std::numeric_limits<std::int64_t>::min())
          fail("the arithmetic overflows 64 bits");
        return f(a, b);
      });
    };
    switch (op.code) {
      case Code::constant:
        stack[++top] = op.operand;
        break;
      case Code::slot:
        stack[++top] = slots[op.operand];
        break;
      case Code::add:
        checked([](auto a, auto b, auto* r) { return __builtin_add_overflow(a, b, r); });
        break;
      case Code::subtract:
        checked([](auto a, auto b, auto* r) { return __builtin_sub_overflow(a, b, r); });
        break;
      case Code::multiply:
        checked([](auto a, auto b, auto* r) { return __builtin_mul_overflow(a, b, r); });
        break;
      case Code::divide:
        divided([](auto a, auto b) { return a / b; });
        break;
      case Code::remainder:
        divided([](auto a, auto b) { return a % b; });
        break;
      case Code::ceil_div:
        // Rounds towards plus infinity whatever the signs.
        divided([](auto a, auto b) { return a / b + (a % b != 0 && (a < 0) == (b < 0) ? 1 : 0); });
        break;
      case Code::minimum:
        binary([](auto a, auto b) { return a < b ? a : b; });
        break;
      case Code::maximum:
        binary([](auto a, auto b) { return a > b ? a : b; });
        break;
      case Code::equal:
        binary([](auto a, auto b) { return std::int64_t{a == b}; });
        break;
      case Code::not_equal:
        binary([](auto a, auto b) { return std::int64_t{a != b}; });
        break;
      case Code::less:
        binary([](auto a, auto b) { return std::int64_t{a < b}; });
        break;
      case Code::less_equal:
        binary([](auto a, auto b) { return std::int64_t{a <= b}; });
        break;
      case Code::greater:
        binary([](auto a, auto b) { return std::int64_t{a > b}; });
        break;
      case Code::greater_equal:
        binary([](auto a, auto b) { return std::int64_t{a >= b}; });
        break;
      case Code::negate:
        if (stack[top] == std::numeric_limits<std::int64_t>::min())
          fail("the arithmetic overflows 64 bits");
        stack[top] = -stack[top];
        break;
      case Code::invert:
        stack[top] = 1 - stack[top];
        break;
      case Code::duplicate:
        stack[top + 1] = stack[top];
        ++top;
        break;
      case Code::swap:
        std::swap(stack[top], stack[top - 1]);
        break;
      case Code::pop:
        --top;
        break;
      case Code::jump:
        i = static_cast<std::size_t>(op.operand) - 1;
        break;
      case Code::jump_if_false_pop:
        if (stack[top--] == 0) i = static_cast<std::size_t>(op.operand) - 1;
        break;
      case Code::jump_if_false_keep:
        if (stack[top] == 0) i = static_cast<std::size_t>(op.operand) - 1;
        break;
      case Code::jump_if_true_keep:
        if (stack[top] != 0) i = static_cast<std::size_t>(op.operand) - 1;
        break;
    }
  }
  return stack[0];
}

}  // namespace mla
