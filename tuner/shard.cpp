#include "tuner/shard.hpp"

#include <fmt/format.h>

#include <charconv>

#include "db/error.hpp"

namespace mla {
namespace {

// Nothing but digits; 0 where it is no such number.
std::size_t number(std::string_view text) {
  std::size_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() ? value : 0;
}

}  // namespace

Shard parse_shard(const std::string& text) {
  const std::size_t slash = text.find('/');
  const std::size_t place = number(std::string_view(text).substr(0, slash));
  const std::size_t count =
      slash == std::string::npos ? 0 : number(std::string_view(text).substr(slash + 1));
  if (place == 0 || count == 0)
    throw Error(ErrorKind::usage,
                fmt::format("--shard '{}' is not I/N: write 2/8 for the second of eight", text));
  if (count > kMostShards)
    throw Error(ErrorKind::usage, fmt::format("--shard {}: {} shards at most", text, kMostShards));
  if (place > count)
    throw Error(ErrorKind::usage, fmt::format("--shard {}: of {} shards the last is {}/{}", text,
                                              count, count, count));
  return {place - 1, count};
}

}  // namespace mla
