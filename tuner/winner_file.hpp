#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"

namespace mla {

// Winners as text, for people and other programs: one record a winner, the same names in both
// forms, those of the view `winner` (db/README.md) and of its measurement, device and toolchain.
struct KnownWinner {
  Winner winner;
  WinnerOrigin origin;
};

// A line of names, then one line each; RFC 4180, line feeds. Numbers as short as they can be
// without being others.
std::string winners_csv(std::span<const KnownWinner> winners);
// {"format": "mla-tune winners 1", "winners": [{...}, ...]}; `params` is an object.
std::string winners_json(std::span<const KnownWinner> winners);

// The inverse. `name` stands for the file in errors. Throws Error{usage} with name:line (of CSV) or
// the winner's number: a column that is missing or unknown, a value of the wrong kind, a problem
// that cannot be, parameters that the kernels do not take, a variant key that is not theirs.
std::vector<KnownWinner> read_winners_csv(std::string_view text, const std::string& name);
std::vector<KnownWinner> read_winners_json(std::string_view text, const std::string& name);

// Throws Error{usage} beginning with `where`, as above: for winners from wherever.
void check_winner(const KnownWinner& known, const std::string& where);

}  // namespace mla
