#pragma once

#include <span>
#include <string>
#include <string_view>

namespace mla {

// Identity by content: xxh3-128 as 32 hexadecimal digits. Every part's length is hashed with it, so
// that moving a character from one part to the next gives another key.
std::string content_key(std::span<const std::string_view> parts);
std::string content_key(std::string_view whole);

}  // namespace mla
