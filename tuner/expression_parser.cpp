#include "tuner/expression_parser.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "db/error.hpp"
#include "tuner/suggest.hpp"

namespace mla {
namespace {

constexpr int kMaxNesting = 100;  // of the recursive descent; bounds the C++ stack
constexpr std::string_view kFunctions[] = {"min", "max", "ceil_div", "if"};

std::string describe(ValueType type) {
  switch (type) {
    case ValueType::number:
      return "a number";
    case ValueType::truth:
      return "true or false";
    case ValueType::enumeration:
      return "an enumeration";
    case ValueType::list:
      return "a list";
  }
  return "";
}

}  // namespace

ExpressionParser::ExpressionParser(std::string_view text, const Symbols& symbols,
                                   const std::string& where)
    : symbols_(symbols) {
  result_.text_ = text;
  result_.where_ = where;
  advance();
}

Expression ExpressionParser::parse() {
  Operand whole = disjunction();
  if (token_.kind != TokenKind::end)
    fail(token_.column, fmt::format("'{}' is not expected here", token_.text));
  if (whole.word) fail_unknown(whole);
  if (whole.type == ValueType::list) fail(whole.column, "a list can only stand behind 'in'");
  result_.type_ = whole.type;
  result_.enumeration_ = whole.enumeration;
  std::vector<int>& slots = result_.slots_;
  std::sort(slots.begin(), slots.end());
  slots.erase(std::unique(slots.begin(), slots.end()), slots.end());
  return std::move(result_);
}

void ExpressionParser::fail(std::size_t column, const std::string& what) const {
  result_.fail(fmt::format("column {}: {},", column, what));
}

void ExpressionParser::fail_unknown(const Operand& word) const {
  std::vector<std::string> names;
  for (const auto& [name, symbol] : symbols_) {
    names.push_back(name);
    if (symbol.type == ValueType::enumeration)
      for (const Enumerator& e : symbol.enumeration->values) names.emplace_back(e.name);
  }
  const std::string near = nearest(word.name, names);
  fail(word.column, fmt::format("unknown name '{}'{}", word.name,
                                near.empty() ? "" : fmt::format(" (did you mean '{}'?)", near)));
}

void ExpressionParser::advance() {
  std::string problem;
  token_ = next_token(result_.text_, position_, problem);
  if (!problem.empty()) fail(token_.column, problem);
}

bool ExpressionParser::at(std::string_view text) const {
  return token_.kind != TokenKind::end && token_.text == text;
}

bool ExpressionParser::accept(std::string_view text) {
  if (!at(text)) return false;
  advance();
  return true;
}

void ExpressionParser::expect(std::string_view text) {
  if (!accept(text))
    fail(token_.column, fmt::format("'{}' is expected, not '{}'", text, token_.text));
}

std::size_t ExpressionParser::emit(Code code, int depth_change, std::int64_t operand) {
  depth_ += depth_change;
  // One to spare: `in` duplicates before it reports the depth it reached.
  if (depth_ >= Expression::kMaxDepth) fail(token_.column, "the expression is too deep");
  result_.ops_.push_back({code, operand});
  return result_.ops_.size() - 1;
}

void ExpressionParser::land(std::size_t jump) {
  result_.ops_[jump].operand = static_cast<std::int64_t>(result_.ops_.size());
}

void ExpressionParser::need(const Operand& operand, ValueType type, std::string_view user) const {
  if (operand.word) fail_unknown(operand);
  if (operand.type == type) return;
  const std::string what = operand.name.empty() ? "this" : "'" + operand.name + "'";
  if (operand.type == ValueType::enumeration)
    fail(operand.column,
         fmt::format("{} is a {}: compare it with == or in", what, operand.enumeration->name));
  fail(operand.column, fmt::format("{} is {}, but '{}' takes {}", what, describe(operand.type),
                                   user, describe(type)));
}

ExpressionParser::Operand ExpressionParser::disjunction() {
  if (++nesting_ > kMaxNesting) fail(token_.column, "the expression is too deep");
  Operand left = conjunction();
  while (at("or")) {
    need(left, ValueType::truth, "or");
    advance();
    const std::size_t jump = emit(Code::jump_if_true_keep, 0);
    emit(Code::pop, -1);
    need(conjunction(), ValueType::truth, "or");
    land(jump);
    left = truth(left.column);
  }
  --nesting_;
  return left;
}

ExpressionParser::Operand ExpressionParser::conjunction() {
  Operand left = inversion();
  while (at("and")) {
    need(left, ValueType::truth, "and");
    advance();
    const std::size_t jump = emit(Code::jump_if_false_keep, 0);
    emit(Code::pop, -1);
    need(inversion(), ValueType::truth, "and");
    land(jump);
    left = truth(left.column);
  }
  return left;
}

ExpressionParser::Operand ExpressionParser::inversion() {
  if (!at("not")) return comparison();
  if (++nesting_ > kMaxNesting) fail(token_.column, "the expression is too deep");
  const std::size_t column = token_.column;
  advance();
  need(inversion(), ValueType::truth, "not");
  emit(Code::invert, 0);
  --nesting_;
  return truth(column);
}

void ExpressionParser::resolve(Operand& word, const Enumeration& type) {
  for (const Enumerator& e : type.values)
    if (e.name == word.name) {
      result_.ops_[word.op].operand = e.value;
      word.word = false;
      word.type = ValueType::enumeration;
      word.enumeration = &type;
      return;
    }
  std::vector<std::string> names;
  for (const Enumerator& e : type.values) names.emplace_back(e.name);
  fail(word.column,
       fmt::format("'{}' is no {}{}", word.name, type.name, suggestion(word.name, names)));
}

void ExpressionParser::make_comparable(Operand& left, Operand& right, std::string_view sign) {
  if (left.word && right.type == ValueType::enumeration && !right.word)
    resolve(left, *right.enumeration);
  if (right.word && left.type == ValueType::enumeration && !left.word)
    resolve(right, *left.enumeration);
  if (left.word) fail_unknown(left);
  if (right.word) fail_unknown(right);
  if (left.type == ValueType::list || right.type == ValueType::list)
    fail(left.type == ValueType::list ? left.column : right.column,
         "a list can only stand behind 'in'");
  if (left.type != right.type || left.enumeration != right.enumeration)
    fail(right.column,
         fmt::format(
             "'{}' cannot compare {} with {}", sign,
             left.enumeration ? std::string(left.enumeration->name) : describe(left.type),
             right.enumeration ? std::string(right.enumeration->name) : describe(right.type)));
}

ExpressionParser::Operand ExpressionParser::comparison() {
  Operand left = sum();
  if (at("in")) {
    left = membership(left);
  } else {
    static constexpr std::pair<std::string_view, Code> kSigns[] = {
        {"==", Code::equal},      {"!=", Code::not_equal}, {"<", Code::less},
        {"<=", Code::less_equal}, {">", Code::greater},    {">=", Code::greater_equal}};
    const auto* sign = std::find_if(std::begin(kSigns), std::end(kSigns),
                                    [&](const auto& s) { return at(s.first); });
    if (sign == std::end(kSigns)) return left;
    advance();
    Operand right = sum();
    if (sign->second == Code::equal || sign->second == Code::not_equal) {
      make_comparable(left, right, sign->first);
    } else {
      need(left, ValueType::number, sign->first);
      need(right, ValueType::number, sign->first);
    }
    emit(sign->second, -1);
    left = truth(left.column);
  }
  for (const char* sign : {"==", "!=", "<", "<=", ">", ">=", "in"})
    if (at(sign)) fail(token_.column, "comparisons do not chain: write a < b and b < c");
  return left;
}

ExpressionParser::Operand ExpressionParser::membership(Operand left) {
  advance();
  const Operand result = truth(left.column);
  std::vector<std::size_t> hits;
  // The left side stays on the stack under the answer until one of the comparisons has said yes.
  const auto compare = [&](bool last) {
    emit(Code::equal, -1);
    if (last) return;
    hits.push_back(emit(Code::jump_if_true_keep, 0));
    emit(Code::pop, -1);
  };
  if (accept("(")) {
    do {
      emit(Code::duplicate, +1);
      Operand item = sum();
      make_comparable(left, item, "in");
      compare(!at(","));
    } while (accept(","));
    expect(")");
  } else {
    const auto symbol = symbols_.find(token_.text);
    if (token_.kind != TokenKind::name || symbol == symbols_.end() ||
        symbol->second.type != ValueType::list)
      fail(token_.column, "'in' takes (a, b, ...) or a list of the arch");
    need(left, ValueType::number, "in");
    const std::vector<std::int64_t>& list = symbol->second.list;
    if (list.empty()) {
      emit(Code::pop, -1);
      emit(Code::constant, +1, 0);
      advance();
      return result;
    }
    for (std::size_t i = 0; i < list.size(); ++i) {
      emit(Code::duplicate, +1);
      emit(Code::constant, +1, list[i]);
      compare(i + 1 == list.size());
    }
    advance();
  }
  for (const std::size_t hit : hits) land(hit);
  emit(Code::swap, 0);
  emit(Code::pop, -1);
  return result;
}

ExpressionParser::Operand ExpressionParser::sum() {
  Operand left = product();
  while (at("+") || at("-")) {
    const std::string_view sign = token_.text;
    need(left, ValueType::number, sign);
    advance();
    need(product(), ValueType::number, sign);
    emit(sign == "+" ? Code::add : Code::subtract, -1);
    left = number(left.column);
  }
  return left;
}

ExpressionParser::Operand ExpressionParser::product() {
  Operand left = negation();
  while (at("*") || at("/") || at("%")) {
    const std::string_view sign = token_.text;
    need(left, ValueType::number, sign);
    advance();
    need(negation(), ValueType::number, sign);
    emit(sign == "*" ? Code::multiply : sign == "/" ? Code::divide : Code::remainder, -1);
    left = number(left.column);
  }
  return left;
}

ExpressionParser::Operand ExpressionParser::negation() {
  if (!at("-")) return primary();
  if (++nesting_ > kMaxNesting) fail(token_.column, "the expression is too deep");
  const std::size_t column = token_.column;
  advance();
  need(negation(), ValueType::number, "-");
  emit(Code::negate, 0);
  --nesting_;
  return number(column);
}

ExpressionParser::Operand ExpressionParser::primary() {
  const Token token = token_;
  if (accept("(")) {
    Operand inner = disjunction();
    expect(")");
    return inner;
  }
  if (token.kind == TokenKind::number) {
    advance();
    emit(Code::constant, +1, token.number);
    return number(token.column);
  }
  if (token.kind != TokenKind::name || at("and") || at("or") || at("not") || at("in"))
    fail(token.column, fmt::format("a value is expected, not '{}'", token.text));
  advance();
  return at("(") ? call(token) : named(token);
}

ExpressionParser::Operand ExpressionParser::call(const Token& function) {
  if (function.text == "if") return choice(function);
  const bool ceil_div = function.text == "ceil_div";
  if (!ceil_div && function.text != "min" && function.text != "max")
    fail(function.column,
         fmt::format("unknown function '{}'{}", function.text,
                     suggestion(function.text, {std::begin(kFunctions), std::end(kFunctions)})));
  expect("(");
  need(disjunction(), ValueType::number, function.text);
  do {
    expect(",");
    need(disjunction(), ValueType::number, function.text);
    emit(ceil_div ? Code::ceil_div : function.text == "min" ? Code::minimum : Code::maximum, -1);
  } while (!ceil_div && at(","));
  expect(")");
  return number(function.column);
}

ExpressionParser::Operand ExpressionParser::choice(const Token& function) {
  expect("(");
  need(disjunction(), ValueType::truth, "if");
  const std::size_t otherwise = emit(Code::jump_if_false_pop, -1);
  expect(",");
  Operand yes = disjunction();
  const std::size_t done = emit(Code::jump, -1);
  land(otherwise);
  expect(",");
  Operand no = disjunction();
  land(done);
  expect(")");
  make_comparable(yes, no, "if");
  return {yes.type, yes.enumeration, function.column, "", false, 0};
}

ExpressionParser::Operand ExpressionParser::named(const Token& name) {
  Operand operand{ValueType::number, nullptr, name.column, std::string(name.text), false, 0};
  if (name.text == "true" || name.text == "false") {
    operand.type = ValueType::truth;
    emit(Code::constant, +1, name.text == "true");
    return operand;
  }
  const auto found = symbols_.find(name.text);
  if (found == symbols_.end()) {
    operand.word = true;
    operand.op = emit(Code::constant, +1);
    return operand;
  }
  const Symbol& symbol = found->second;
  operand.type = symbol.type;
  operand.enumeration = symbol.enumeration;
  if (symbol.slot < 0) {
    emit(Code::constant, +1, symbol.constant);
  } else {
    emit(Code::slot, +1, symbol.slot);
    result_.slots_.push_back(symbol.slot);
  }
  return operand;
}

}  // namespace mla
