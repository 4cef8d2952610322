#pragma once

#include <functional>
#include <string>
#include <vector>

#include "kernels/dispatch.hpp"
#include "tuner/record.hpp"

// What an answer to a problem that was not tuned costs, looked up in a record of measured times.
//
// regret = time of the answer / best time measured of that problem - 1

namespace mla::regret {

struct Timed {
  Launch launch;
  double us;  // median of the search round, which every variant has had
};

// One problem of a record, and what was measured of it.
struct Truth {
  ProblemRecord problem;
  Query query;
  std::vector<Timed> times;
  double best_us = 0;
  Launch winner = {};  // of the final round, as the database has it; else the best
};

// Problems of which nothing was measured are left out.
std::vector<Truth> truths(const Record& record);

// Of problems that may answer for each other (same heads rounded up to 16, same scopes) every
// other token count and every other length of each scope is held out, beginning with the second
// smallest, or with the smallest where `from` says so: then extremes are, and answers lie on one
// side alone. Of the pages of a scope each has lengths of its own; a value that is alone is kept.
struct From {
  bool smallest_tokens = false, smallest_length = false;
};
enum class Held { no, tokens, length, both };
std::string_view name(Held);
std::vector<Held> hold_out(const std::vector<Truth>& truths, const From& from = {});

// How an answer's time was found. An answer that was not measured is given the time of the nearest
// launch that was, of the same decode kernel: first the nearest in the number of splits and in the
// tiles of the longest one, both within a factor of 1.5, then in the number of splits, then in
// those of the main scope, then the same order of tiles, then the same reduce kernel.
enum class Found {
  measured,  // that launch, or one that works the same there
  reduce,    // but for the reduce kernel
  near,      // other splits
  none,      // nothing like it of that kernel was measured there
};
struct Score {
  double us = 0;
  Found found = Found::none;
  double off = 0;  // |log2| of the ratio of splits, or of the longest one's tiles
};
Score score(const Truth& truth, const Launch& launch);

// The nearest rule of the dispatcher, or of a peer.
using Policy = std::function<Launch(const Query&)>;

// The dispatcher's own answers, of a table of the winners of `known`; `fits` false: in the winners'
// own splits.
Policy dispatched(const std::string& arch, const std::vector<const Truth*>& known,
                  bool fits = true);
// The launch with the least geometric mean over `known`, whatever the problem.
Policy fixed(const std::vector<const Truth*>& known);

// Splits as a peer computes them, for a config of `block_h` heads by `block_k` keys on `units`
// compute units; of one scope's or both scopes' tiles together, from those that a space lists.
using SplitFormula = int (*)(const Query& query, int block_h, int block_k, int units);
// Enough for two workgroups a unit; 4 where that leaves 3 tiles or fewer a split; where there are
// 16 to 63 workgroups one for each unit, if that leaves 9 tiles or fewer; then the fewest splits
// with as many waves and tiles. At most 32.
int vllm_gfx950_splits(const Query& query, int block_h, int block_k, int units);
// Of 1 to 16 the least waves * (1/splits + 0.04), and then the fewest as above.
int vllm_gfx942_splits(const Query& query, int block_h, int block_k, int units);
// Of 1 to 16 the least waves * tiles + 0.32 * splits + 2 * (what the last wave leaves idle).
int aiter_splits(const Query& query, int block_h, int block_k, int units);
// The decode kernel that does best over `known` with such splits, and those.
Policy by_formula(SplitFormula formula, int units, const std::vector<const Truth*>& known);

}  // namespace mla::regret
