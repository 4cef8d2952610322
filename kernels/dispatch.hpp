#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"
#include "db/winner_rows.hpp"
#include "kernels/device.hpp"

namespace mla {

// The shape of one launch. Lengths are keys per query token, at most; extra_len 0: the extra scope
// is absent, and extra_page and extra_format are not read.
struct Query {
  int heads = 0;   // of this rank, 1 to 128
  int tokens = 0;  // query rows; rows of multi-token prediction are just rows
  int main_len = 0;
  int extra_len = 0;
  int main_page = 64;  // tokens per page
  int extra_page = 64;
  Fp8Format main_format = Fp8Format::ocp;
  Fp8Format extra_format = Fp8Format::ocp;

  friend bool operator==(const Query&, const Query&) = default;
};

// The shape of a problem as it was tuned; what lengths and cache were is not part of it.
Query query_of(const ProblemRecord& problem);

// How well an answer fits its query, in the order of preference exact, nearest, predicted,
// fallback. STABLE VALUES: never renumber.
enum class MatchGrade : int {
  none = 0,       // the query cannot be launched: heads, tokens, lengths or pages out of range
  exact = 1,      // measured for this very shape
  nearest = 2,    // measured for a near one: Answer::tuned_for
  fallback = 3,   // nothing tuned is near: a built-in variant that runs everywhere, never tuned
  predicted = 4,  // ranked by a model, for this shape or a near one: Answer::tuned_for
};

std::string_view name(MatchGrade);

// How to launch, and why so. Plain data; the views live as long as the DispatchTable.
struct Answer {
  MatchGrade grade = MatchGrade::none;
  bool has_evidence = false;  // false for fallback and none
  Evidence evidence = Evidence::predicted;
  std::string_view variant = {};  // VariantRecord::key; "fallback" for the fallback
  std::string_view params = {};   // the variant's, canonical JSON; zero-terminated
  std::string_view rocm = {};     // release that compiled the winner; empty without one
  int winner = -1;                // its position among those that the table was made of; -1: none
  double median_us = 0;           // for tuned_for, not for the query; 0 without evidence
  Query tuned_for = {};
  Launch launch = {};  // the variant's; with a near shape's winner in splits of its own
  int splits = 0;
  int partials = 0;  // above 1: they are merged
  // Above 0: given so many zeros as DecodeArgs::arrivals, the decode kernel merges them itself.
  // Otherwise sparse_mla_reduce follows it.
  int arrival_counters = 0;
  std::int64_t workspace_bytes = 0;
  Dim3 decode_grid = {};
  unsigned decode_block = 0;   // threads, in x
  int decode_dynamic_lds = 0;  // bytes to ask for at the launch
  Dim3 reduce_grid = {};       // 0 where no reduce may follow
  unsigned reduce_block = 0;
  bool borrows_reduce = false;  // launch.reduce is the fallback's: the variant has none
};

// Whether some problem makes this launch leave partial results to a reduce kernel of its own. Where
// arrivals are not to be had, those of Merge::last borrow one.
bool may_reduce(const Launch&) noexcept;

// Launches follow from the query and the launch parameters alone, so a caller can size its
// workspace before anything runs.
std::int64_t workspace_bytes(const Launch& launch, const Query& query) noexcept;

// Threads of a wave on an arch that is_dispatch_arch() knows; 0 for others.
int dispatch_lanes(std::string_view arch) noexcept;

// Dynamic LDS that a launch of sparse_mla_decode must name: all of it where the arch has more only
// that way (sm_90), none elsewhere. sparse_mla_reduce uses no LDS.
int dynamic_lds_bytes(std::string_view arch, const Config& config) noexcept;

// Whether sparse MLA decode exists for `arch`: gfx950, gfx942, sm_90 (also as sm_90a), host.
bool is_dispatch_arch(std::string_view arch) noexcept;

// The built-in variant for a query: valid, and within the limits of that arch. Its splits follow
// the number of workgroups.
Launch fallback_launch(std::string_view arch, const Query& query) noexcept;
// Every one that fallback_launch() gives for some query, and which of them it is for a query.
std::vector<Launch> fallback_launches(std::string_view arch);
int fallback_index(const Query& query) noexcept;

// Whether a query can be launched at all; null, or what is wrong with it and what to write.
const char* unlaunchable(const Query& query) noexcept;

// Whether `release` is `wanted` or begins with "<wanted>."; nothing is wanted of an empty one.
bool of_release(const std::string& release, std::string_view wanted);

// What a look-up may answer besides the fallback and winners that were measured for the very shape.
struct LookupRule {
  bool nearest = true;     // winners of another shape
  bool predicted = true;   // winners that were not measured
  bool fit_splits = true;  // whether another shape's winner is launched in splits that fit
};

// The winners of one arch, in memory. Built once; then immutable: any number of threads may look
// up, with no lock, no SQL, no allocation and no synchronisation, also while a graph is captured.
//
// A winner is near a query only where all of this holds; arch never changes.
//   heads         equal when rounded up to 16 (a matrix instruction works on 16 heads)
//   extra scope   present in both or absent in both
//   formats       equal in each scope that is there
//   pages         in each scope both a power of two, or both not (the addresses are computed
//                 otherwise)
//   tokens, main_len, extra_len   each within a factor of 8; a length of 0 counts as 1
// A winner that was measured goes before one that was predicted; then that of the very shape; among
// the near ones one whose cluster is no more splits than fit (below), as clusters wait for each
// other where units are short; then the one whose worst of tokens, main_len and extra_len is
// nearest, as |log2| of the ratio; then by the sum of the three; then by the sum of the pages'
// |log2|; then by heads; then the one that reads as many keys in all, by the |log2| of tokens *
// (main_len + extra_len); then fewer tokens, more extra keys, more main keys. Distances are
// compared in 1024ths of an octave. The same shape tuned more than once counts by its best row:
// measured first, then a cold cache, then uniform lengths, then the shortest time, then the newest
// release.
//
// The winner of another shape is launched in splits that fit the query:
//   workgroups  no more than the winner had, which found out what the device takes, or than one for
//               each compute unit, whichever is more. A winner that leaves one result a row, of one
//               split or merged by one cluster, found out that it wants no more than it had; one
//               of a single split whose workgroups fill a compute unit (LoadPath::bulk) that it
//               wants no more than there are units
//   tiles       each split as many as come of that, rounded up; then the fewest splits with so many
//   scopes      apart where the winner kept them apart and that makes no split longer; else joint
//   cluster     the next multiple of the winner's, joint
//   reduce      the winner's own kernel; the fallback's where the winner's splits leave nothing to
//               reduce whatever the shape, so that no bundle has one for it
//
// What that costs over tests/data/sm_90_h200_launches.json.zst (one H200, 16 heads, 30 kernels in
// 32 launches each, 1 to 256 tokens by 512 to 2048 keys), with every other token count and length
// held out, so that a winner of half to twice the tokens and keys answers: 2.8 % above the best
// time measured (geometric mean), 6.3 % at worst; 12.4 and 35 % in the winner's own splits. Where
// the smallest token count, the smallest length or both are held out as well: 3.6 to 5.9 %, 18 %
// at worst. The rule was chosen on that record; over sm_90_h200_regret.json.zst, measured later (42
// problems, 256 to 4096 keys, 7 kernels, 29 problems held out), it costs 1.1 %, and 7.1 % at worst.
// What it says of clusters and of LoadPath::bulk was chosen on sm_90_h200_rows.json.zst (26
// problems of 8 to 128 heads, tokens a factor of 2 to 64 apart): with one problem held out at a
// time it costs 3.9 %, and 21 % at worst; 11.5 and 77 % without. mla_regret_bench prints these and
// what one launch or peers' formulas cost there.
//
// A look-up visits token counts, and for each the lengths of the extra scope, outwards from the
// query's and only as far as something better can be: it costs about as much with 10,000 winners as
// with a hundred.
class DispatchTable {
 public:
  // Reads the winners of `arch` whose release is `rocm` or begins with "<rocm>."; empty: all.
  // Opens the file read-only and closes it again. Throws Error{usage} for an arch that
  // is_dispatch_arch() does not know, Error{database} where the file cannot be read.
  static DispatchTable load(const std::filesystem::path& database, std::string_view arch,
                            std::string_view rocm = {});

  // From winners in hand; those of other archs are passed over, and have no position.
  DispatchTable(std::string_view arch, const std::vector<Winner>& winners);
  // From winners that are of that arch.
  DispatchTable(std::string_view arch, WinnerRows winners);

  // Never fails: grade none is the answer to a query out of range.
  Answer lookup(const Query& query, const LookupRule& rule = {}) const noexcept;
  // lookup(); where nothing is near, some winner all the same, and always in its own splits. For
  // one who knows better, and has made the table of one variant.
  Answer force(const Query& query) const noexcept;

  // f(Answer::winner, its Launch) for each row.
  template <class F>
  void for_each_winner(F&& f) const {
    for (const Row& row : rows_) f(row.winner, launch_of(row));
  }

  const std::string& arch() const noexcept { return arch_; }
  std::size_t size() const noexcept { return rows_.size(); }
  // One sentence for each winner that this version cannot launch; they are never the answer.
  const std::vector<std::string>& warnings() const noexcept { return warnings_; }

 private:
  // A winner, in the order of classes, evidence and shapes.
  struct Row {
    Query shape;
    unsigned key;  // of its class
    Evidence evidence;
    double median_us;
    int winner;
    int variant;
    int release;
  };
  // What a search reads of the row at the same position; in 1024ths of an octave.
  struct Place {
    int extra, main, main_page, extra_page;
    int heads;
    int keys;  // of all tokens
  };
  // Rows of one class, evidence and number of tokens, ascending by extra keys.
  struct Step {
    int tokens;  // in 1024ths of an octave
    int first, last;
  };
  struct Class {
    unsigned key;
    Evidence evidence;
    int first_row, last_row, first_step, last_step;
    int least_main, most_main;  // in 1024ths of an octave
  };
  struct Fallback {
    Launch launch;
    std::string params;
  };
  struct Distance;

  struct Builder;

  const WinnerRows::Variant& variant_of(const Row& row) const noexcept {
    return variants_[static_cast<std::size_t>(row.variant)];
  }
  const Launch& launch_of(const Row& row) const noexcept {
    return launches_[static_cast<std::size_t>(row.variant)];
  }
  const std::string& release_of(const Row& row) const noexcept {
    return releases_[static_cast<std::size_t>(row.release)];
  }
  static Place place_of(const Query& query) noexcept;
  void index();
  const Class* find_class(unsigned key, Evidence evidence) const noexcept;
  int find_exact(const Class& in, const Query& query) const noexcept;
  int find_near(const Class& in, const Query& query) const noexcept;
  Answer answer(const Query& query, const Launch& launch) const noexcept;
  Answer answer(const Query& query, const Row& row, bool fits) const noexcept;
  Answer fallback(const Query& query) const noexcept;

  std::string arch_;
  int lanes_ = 1;
  int units_ = 1;
  std::vector<WinnerRows::Variant> variants_;
  std::vector<Launch> launches_;  // by variant; those of no row are all zeros
  std::vector<std::string> releases_;
  std::vector<Row> rows_;
  std::vector<Place> places_;
  std::vector<Step> steps_;
  std::vector<Class> classes_;
  std::vector<Fallback> fallbacks_;
  std::vector<std::string> warnings_;
};

}  // namespace mla
