#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mla {

// The candidate that `name` was probably meant to be: fewest insertions, deletions, replacements
// and swaps of neighbours, at most a third of its length (at least 1). Empty where none is that
// near.
std::string nearest(std::string_view name, const std::vector<std::string>& candidates);

// What to append to "unknown X 'name'": "; did you mean 'x'?", or "; known are a, b, c".
std::string suggestion(std::string_view name, const std::vector<std::string>& candidates);

}  // namespace mla
