// How a dispatch table is made: which winners count, and in which order they lie.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "db/error.hpp"
#include "db/store.hpp"
#include "kernels/dispatch_shape.hpp"
#include "kernels/params.hpp"

namespace mla {

Query query_of(const ProblemRecord& p) {
  return {.heads = p.num_heads,
          .tokens = p.num_tokens,
          .main_len = p.main_len,
          .extra_len = p.extra_len,
          .main_page = p.main_page,
          .extra_page = p.extra_page,
          .main_format = static_cast<Fp8Format>(p.main_format),
          .extra_format = static_cast<Fp8Format>(p.extra_format)};
}

namespace {

// "7.10.1" as {7, 10, 1}; what is no number counts as 0.
std::vector<int> release_numbers(const std::string& release) {
  std::vector<int> numbers;
  for (std::size_t at = 0; at < release.size();) {
    const std::size_t dot = std::min(release.find('.', at), release.size());
    numbers.push_back(std::atoi(release.substr(at, dot - at).c_str()));
    at = dot + 1;
  }
  return numbers;
}

}  // namespace

bool of_release(const std::string& release, std::string_view wanted) {
  return wanted.empty() || release == wanted ||
         (release.starts_with(wanted) && release[wanted.size()] == '.');
}

DispatchTable DispatchTable::load(const std::filesystem::path& database, std::string_view arch,
                                  std::string_view rocm) {
  if (!is_dispatch_arch(arch))
    return DispatchTable(arch, WinnerRows());  // throws, before the file is read
  Store store = Store::open(database, StoreMode::read_only);
  std::vector<Winner> winners = store.winners(arch);
  std::erase_if(winners, [&](const Winner& w) { return !of_release(w.rocm, rocm); });
  return DispatchTable(arch, winners);
}

// Adds winners, the variants of which are read once.
struct DispatchTable::Builder {
  DispatchTable& table;
  const std::vector<WinnerRows::Row>& winners;
  std::vector<bool> is_read;  // by variant

  void read(int variant) {
    const auto at = static_cast<std::size_t>(variant);
    if (is_read[at]) return;
    const Launch launch = variant_launch(table.variants_[at].params);
    if (!valid(launch))
      throw Error(ErrorKind::database, "this version's kernels do not take its parameters");
    table.launches_[at] = launch;
    is_read[at] = true;
  }
  void add(int position) {
    const WinnerRows::Row& winner = winners[static_cast<std::size_t>(position)];
    Row row{.shape = canonical(query_of(winner.problem)),
            .key = 0,
            .evidence = winner.evidence,
            .median_us = winner.median_us,
            .winner = position,
            .variant = winner.variant,
            .release = winner.release};
    row.key = class_of(row.shape);
    try {
      if (unlaunchable(row.shape) != nullptr)
        throw Error(ErrorKind::database, "its problem is out of range");
      read(row.variant);
      table.rows_.push_back(row);
    } catch (const Error& error) {
      table.warnings_.push_back(fmt::format("winner {} for {} is passed over: {}",
                                            table.variant_of(row).key, table.arch_, error.what()));
    }
  }
  // Of two of one shape: which counts for it.
  bool counts_before(const Row& a, const Row& b) const {
    const auto rank = [&](const Row& row) {
      const ProblemRecord& problem = winners[static_cast<std::size_t>(row.winner)].problem;
      return std::tuple(row.evidence, problem.warm_cache, problem.lengths != "uniform",
                        row.median_us);
    };
    if (rank(a) != rank(b)) return rank(a) < rank(b);
    const auto numbers = [&](const Row& row) { return release_numbers(table.release_of(row)); };
    const auto key = [&](const Row& row) { return std::string_view(table.variant_of(row).key); };
    return std::tuple(numbers(b), key(a)) < std::tuple(numbers(a), key(b));
  }
  // One row for each shape, in the order of classes, evidence and shapes.
  void keep_what_counts() {
    std::vector<Row>& rows = table.rows_;
    const auto shape = [](const Row& row) { return std::tuple(row.key, shape_order(row.shape)); };
    std::ranges::stable_sort(rows, [&](const Row& a, const Row& b) {
      const auto order = shape(a) <=> shape(b);
      return order != 0 ? order < 0 : counts_before(a, b);
    });
    const auto same = [&](const Row& a, const Row& b) { return shape(a) == shape(b); };
    rows.erase(std::unique(rows.begin(), rows.end(), same), rows.end());
    std::ranges::stable_sort(rows, {},
                             [](const Row& row) { return std::tuple(row.key, row.evidence); });
  }
};

DispatchTable::DispatchTable(std::string_view arch, const std::vector<Winner>& winners)
    : DispatchTable(arch, winner_rows(arch, winners)) {}

DispatchTable::DispatchTable(std::string_view arch, WinnerRows winners) : arch_(arch) {
  lanes_ = dispatch_lanes(arch);
  units_ = dispatch_units(arch);
  if (lanes_ == 0)
    throw Error(ErrorKind::usage,
                fmt::format("there are no kernels for arch '{}': there are for gfx950, gfx942, "
                            "sm_90 and host",
                            arch));

  variants_ = std::move(winners.variants);
  releases_ = std::move(winners.releases);
  launches_.resize(variants_.size());
  rows_.reserve(winners.rows.size());
  Builder builder{*this, winners.rows, std::vector<bool>(variants_.size())};
  for (std::size_t i = 0; i < winners.rows.size(); ++i)
    if (winners.rows[i].problem.kernel == "sparse_mla_decode") builder.add(static_cast<int>(i));
  builder.keep_what_counts();
  index();
  for (const Launch& launch : fallback_launches(arch))
    fallbacks_.push_back({launch, variant_params(launch)});
}

// Rows are in their order.
void DispatchTable::index() {
  places_.reserve(rows_.size());
  const auto kind = [](const Row& row) { return std::tuple(row.key, row.evidence); };
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Query& q = rows_[i].shape;
    const int row = static_cast<int>(i), tokens = log2_scaled(q.tokens);
    places_.push_back(place_of(q));
    const bool new_class = i == 0 || kind(rows_[i]) != kind(rows_[i - 1]);
    const int step = static_cast<int>(steps_.size());
    const int main = places_.back().main;
    if (new_class)
      classes_.push_back({rows_[i].key, rows_[i].evidence, row, row, step, step, main, main});
    if (new_class || rows_[i - 1].shape.tokens != q.tokens) steps_.push_back({tokens, row, row});
    steps_.back().last = row + 1;
    Class& in = classes_.back();
    in.least_main = std::min(in.least_main, main);
    in.most_main = std::max(in.most_main, main);
    in.last_row = row + 1;
    in.last_step = static_cast<int>(steps_.size());
  }
}

}  // namespace mla
