#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace mla {

enum class TokenKind { end, number, name, sign };

struct Token {
  TokenKind kind = TokenKind::end;
  std::string_view text;  // of the expression; "end" behind its last token
  std::size_t column = 1;
  std::int64_t number = 0;
};

// The token at or behind `position`, which moves behind it. Where there is none, `problem` says
// why.
Token next_token(std::string_view text, std::size_t& position, std::string& problem);

}  // namespace mla
