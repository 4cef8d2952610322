// What a look-up answers.

#include "kernels/dispatch.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>

#include "kernels/dispatch_shape.hpp"

namespace mla {
namespace {

// Visits by growing |key(x) - at| until `visit` has seen enough; keys ascend.
template <class T, class Key, class Visit>
void outwards(const T* first, const T* last, int at, Key key, Visit visit) {
  const T* up = std::lower_bound(first, last, at, [&](const T& x, int v) { return key(x) < v; });
  const T* down = up;
  while (down != first || up != last) {
    const bool below = up == last || (down != first && at - key(down[-1]) <= key(*up) - at);
    const T& next = below ? *--down : *up++;
    if (!visit(next, std::abs(key(next) - at))) return;
  }
}

}  // namespace

std::string_view name(MatchGrade grade) {
  switch (grade) {
    case MatchGrade::exact:
      return "exact";
    case MatchGrade::nearest:
      return "nearest";
    case MatchGrade::predicted:
      return "predicted";
    case MatchGrade::fallback:
      return "fallback";
    case MatchGrade::none:
      break;
  }
  return "none";
}

int log2_scaled(std::int64_t n) noexcept {
  const auto positive = static_cast<double>(std::max<std::int64_t>(n, 1));
  return static_cast<int>(std::lround(std::log2(positive) * kOctave));
}

const char* unlaunchable(const Query& q) noexcept {
  constexpr std::int64_t kMostEntries = (std::int64_t{1} << 31) - 1;
  const auto known = [](Fp8Format f) { return f == Fp8Format::ocp || f == Fp8Format::fnuz; };
  if (q.heads < 1 || q.heads > kMaxHeads) return "heads: give 1 to 128";
  if (q.tokens < 1) return "tokens: give 1 or more";
  if (q.main_len < 0 || q.extra_len < 0) return "keys per token: give 0 or more for each scope";
  if (std::int64_t{q.tokens} * std::max(q.main_len, q.extra_len) > kMostEntries)
    return "tokens times keys per token exceeds the 2147483647 entries that 32-bit offsets reach";
  if (q.main_len > 0 && (q.main_page < 1 || !known(q.main_format)))
    return "main scope: give 1 or more tokens per page, and format 1 (OCP) or 2 (FNUZ)";
  if (q.extra_len > 0 && (q.extra_page < 1 || !known(q.extra_format)))
    return "extra scope: give 1 or more tokens per page, and format 1 (OCP) or 2 (FNUZ)";
  return nullptr;
}

std::int64_t workspace_bytes(const Launch& launch, const Query& query) noexcept {
  const int left = partials(launch, query.extra_len > 0);
  return workspace_floats(query.tokens, query.heads, left) *
         static_cast<std::int64_t>(sizeof(float));
}

int dynamic_lds_bytes(std::string_view arch, const Config& config) noexcept {
  return arch.starts_with("sm_") ? lds_bytes(config) : 0;
}

DispatchTable::Place DispatchTable::place_of(const Query& q) noexcept {
  return {.extra = log2_scaled(q.extra_len),
          .main = log2_scaled(q.main_len),
          .main_page = log2_scaled(q.main_page),
          .extra_page = log2_scaled(q.extra_page),
          .heads = q.heads,
          .keys = log2_scaled(q.tokens) + log2_scaled(std::int64_t{q.main_len} + q.extra_len)};
}

// How far a row is from a query of its class; the smaller is the better answer.
struct DispatchTable::Distance {
  int worst, sum, pages, heads, keys;

  Distance(const Place& row, int tokens, const Place& query)
      : pages(std::abs(row.main_page - query.main_page) +
              std::abs(row.extra_page - query.extra_page)),
        heads(std::abs(row.heads - query.heads)),
        keys(std::abs(row.keys - query.keys)) {
    const int main = std::abs(row.main - query.main), extra = std::abs(row.extra - query.extra);
    worst = std::max({tokens, main, extra});
    sum = tokens + main + extra;
  }
  friend auto operator<=>(const Distance&, const Distance&) = default;
};

const DispatchTable::Class* DispatchTable::find_class(unsigned key,
                                                      Evidence evidence) const noexcept {
  for (const Class& one : classes_)
    if (one.key == key && one.evidence == evidence) return &one;
  return nullptr;
}

int DispatchTable::find_exact(const Class& in, const Query& query) const noexcept {
  const auto wanted = shape_order(query);
  const auto first = rows_.begin() + in.first_row, last = rows_.begin() + in.last_row;
  const auto row = std::lower_bound(
      first, last, wanted, [](const Row& r, const auto& to) { return shape_order(r.shape) < to; });
  return row != last && row->shape == query ? static_cast<int>(row - rows_.begin()) : -1;
}

int DispatchTable::find_near(const Class& in, const Query& query) const noexcept {
  const Place wanted = place_of(query);
  const int gap = std::max({in.least_main - wanted.main, wanted.main - in.most_main, 0});
  int best = -1;
  bool best_overfills = true;
  Distance least(wanted, 0, wanted);
  // Whether no row so far in tokens and extra keys can be the answer; then none farther can.
  const auto hopeless = [&](int tokens, int extra) {
    const int worst = std::max({tokens, extra, gap}), sum = tokens + extra + gap;
    if (worst > kNear) return true;
    return !best_overfills && std::tie(worst, sum) > std::tie(least.worst, least.sum);
  };
  // Of rows that are as near. They ascend by tokens, extra keys and main keys.
  const auto wins = [&](int a, int b) {
    const int more = rows_[static_cast<std::size_t>(a)].shape.tokens -
                     rows_[static_cast<std::size_t>(b)].shape.tokens;
    return more == 0 ? a > b : more < 0;
  };
  const auto visit_step = [&](const Step& step, int tokens) {
    if (hopeless(tokens, 0)) return false;
    outwards(
        places_.data() + step.first, places_.data() + step.last, wanted.extra,
        [](const Place& place) { return place.extra; },
        [&](const Place& place, int extra) {
          if (hopeless(tokens, extra)) return false;
          const Distance distance(place, tokens, wanted);
          const int row = static_cast<int>(&place - places_.data());
          if (distance.worst > kNear) return true;
          const Row& one = rows_[static_cast<std::size_t>(row)];
          const bool full = overfills(launch_of(one), one.shape, query, units_);
          const bool better = best < 0 || full < best_overfills ||
                              (full == best_overfills &&
                               (distance < least || (distance == least && wins(row, best))));
          if (better) {
            best = row;
            best_overfills = full;
            least = distance;
          }
          return true;
        });
    return true;
  };
  outwards(
      steps_.data() + in.first_step, steps_.data() + in.last_step, log2_scaled(query.tokens),
      [](const Step& step) { return step.tokens; }, visit_step);
  return best;
}

Answer DispatchTable::answer(const Query& query, const Launch& launch) const noexcept {
  const bool has_extra = query.extra_len > 0;
  Answer answer;
  answer.launch = launch;
  answer.splits = total_splits(launch.splits, has_extra);
  answer.partials = partials(launch, has_extra);
  answer.workspace_bytes = mla::workspace_bytes(launch, query);
  answer.decode_grid =
      decode_grid(launch.config, launch.splits, query.tokens, query.heads, has_extra);
  answer.decode_block = static_cast<unsigned>(threads(launch.config, lanes_));
  answer.decode_dynamic_lds = dynamic_lds_bytes(arch_, launch.config);
  if (answer.partials > 1) {
    answer.reduce_grid = reduce_grid(launch.reduce, query.tokens, query.heads);
    answer.reduce_block = static_cast<unsigned>(threads(launch.reduce, lanes_));
    const long long counters = arrival_counters(launch.config, query.tokens, query.heads);
    if (launch.config.merge == Merge::last && counters <= kArrivalCounters)
      answer.arrival_counters = static_cast<int>(counters);
  }
  return answer;
}

Answer DispatchTable::answer(const Query& query, const Row& row, bool fits) const noexcept {
  const Launch& tuned = launch_of(row);
  Launch launch = tuned;
  if (fits && row.shape != query) launch.splits = fit_splits(tuned, row.shape, query, units_);
  const bool borrows = partials(launch, query.extra_len > 0) > 1 && !may_reduce(tuned);
  if (borrows) launch.reduce = fallbacks_.back().launch.reduce;
  Answer answer = this->answer(query, launch);
  answer.borrows_reduce = borrows;
  answer.grade = row.evidence == Evidence::predicted ? MatchGrade::predicted
                 : row.shape == query                ? MatchGrade::exact
                                                     : MatchGrade::nearest;
  answer.has_evidence = true;
  answer.evidence = row.evidence;
  answer.variant = variant_of(row).key;
  answer.params = variant_of(row).params;
  answer.rocm = release_of(row);
  answer.winner = row.winner;
  answer.median_us = row.median_us;
  answer.tuned_for = row.shape;
  return answer;
}

Answer DispatchTable::fallback(const Query& query) const noexcept {
  const Fallback& fallback = fallbacks_[static_cast<std::size_t>(fallback_index(query))];
  Answer answer = this->answer(query, fallback.launch);
  answer.grade = MatchGrade::fallback;
  answer.variant = "fallback";
  answer.params = fallback.params;
  return answer;
}

Answer DispatchTable::lookup(const Query& asked, const LookupRule& rule) const noexcept {
  if (unlaunchable(asked) != nullptr) return {};
  const Query query = canonical(asked);
  for (const Evidence evidence : {Evidence::measured, Evidence::predicted}) {
    if (evidence == Evidence::predicted && !rule.predicted) break;
    const Class* in = find_class(class_of(query), evidence);
    if (in == nullptr) continue;
    int row = find_exact(*in, query);
    if (row < 0 && rule.nearest) row = find_near(*in, query);
    if (row >= 0) return answer(query, rows_[static_cast<std::size_t>(row)], rule.fit_splits);
  }
  return fallback(query);
}

Answer DispatchTable::force(const Query& asked) const noexcept {
  const Answer answer = lookup(asked, {.fit_splits = false});
  if (answer.grade != MatchGrade::fallback || rows_.empty()) return answer;
  return this->answer(canonical(asked), rows_.front(), false);
}

}  // namespace mla
