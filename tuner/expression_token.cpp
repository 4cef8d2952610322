#include "tuner/expression_token.hpp"

#include <fmt/format.h>

#include <charconv>

namespace mla {
namespace {

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_name_start(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

}  // namespace

Token next_token(std::string_view text, std::size_t& position, std::string& problem) {
  while (position < text.size() && is_space(text[position])) ++position;
  Token token{TokenKind::end, "end", position + 1, 0};
  if (position == text.size()) return token;
  const char c = text[position];
  std::size_t end = position + 1;
  if (is_digit(c)) {
    token.kind = TokenKind::number;
    const auto [rest, error] =
        std::from_chars(text.data() + position, text.data() + text.size(), token.number);
    end = static_cast<std::size_t>(rest - text.data());
    if (error != std::errc{})
      problem = "the number does not fit 64 bits";
    else if (end < text.size() && (is_name_start(text[end]) || text[end] == '.'))
      problem = "a number is written as decimal digits alone";
  } else if (is_name_start(c)) {
    token.kind = TokenKind::name;
    while (end < text.size() &&
           (is_name_start(text[end]) || is_digit(text[end]) || text[end] == '.'))
      ++end;
  } else {
    token.kind = TokenKind::sign;
    const std::string_view two = text.substr(position, 2);
    if (two == "==" || two == "!=" || two == "<=" || two == ">=") {
      end = position + 2;
    } else if (std::string_view("+-*/%()<>,").find(c) == std::string_view::npos) {
      problem = fmt::format("'{}' means nothing here", c);
      if (std::string_view("&|!=?:").find(c) != std::string_view::npos)
        problem += " (the language has ==, !=, and, or, not, if(condition, a, b))";
    }
  }
  token.text = text.substr(position, end - position);
  position = end;
  return token;
}

}  // namespace mla
