#pragma once

#include <cstddef>
#include <string>

namespace mla {

// One of `count` runs that share a run's problems: of the problems in their order the first, the
// (count + 1)th and so on belong to the first shard. All shards follow one plan of what to compile,
// which is made for all problems; so each result is what the whole run would have found.
struct Shard {
  std::size_t index = 0;  // below count
  std::size_t count = 1;

  bool has(std::size_t problem) const { return problem % count == index; }
  // Where in a list of `size` to begin. Shards that share a cache each begin with a part of their
  // own of what is to be compiled, and find the others' parts compiled when they come to them.
  std::size_t begin(std::size_t size) const { return size * index / count; }
};

constexpr std::size_t kMostShards = 10000;

// "2/8" is the second of eight. Throws Error{usage} with the remedy.
Shard parse_shard(const std::string& text);

}  // namespace mla
