// How a dispatch table is made: which winners count, and in which order they lie.

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <unordered_map>

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

// The row that counts for its shape goes first.
bool counts_before(const Winner& a, const Winner& b) {
  const auto rank = [](const Winner& w) {
    return std::tuple(w.evidence, w.problem.warm_cache, w.problem.lengths != "uniform",
                      w.median_us);
  };
  if (rank(a) != rank(b)) return rank(a) < rank(b);
  return std::tuple(release_numbers(b.rocm), a.variant) <
         std::tuple(release_numbers(a.rocm), b.variant);
}

}  // namespace

bool of_release(const std::string& release, std::string_view wanted) {
  return wanted.empty() || release == wanted ||
         (release.starts_with(wanted) && release[wanted.size()] == '.');
}

DispatchTable DispatchTable::load(const std::filesystem::path& database, std::string_view arch,
                                  std::string_view rocm) {
  if (!is_dispatch_arch(arch)) return DispatchTable(arch, {});  // throws, before the file is read
  Store store = Store::open(database, StoreMode::read_only);
  std::vector<Winner> winners = store.winners(arch);
  std::erase_if(winners, [&](const Winner& w) { return !of_release(w.rocm, rocm); });
  return DispatchTable(arch, winners);
}

// Adds winners; those that launch alike are read once.
struct DispatchTable::Builder {
  DispatchTable& table;
  const std::vector<Winner>& winners;
  std::unordered_map<std::string_view, int> variants, releases;  // by key, by name

  int variant(const Winner& winner) {
    const auto known = variants.find(winner.variant);
    if (known != variants.end() &&
        table.variants_[static_cast<std::size_t>(known->second)].params == winner.params)
      return known->second;
    Variant variant{winner.variant, winner.params, variant_launch(winner.params)};
    const Splits& splits = variant.launch.splits;
    if (!valid(variant.launch.config) || !valid(variant.launch.reduce) || splits.split_main < 0 ||
        splits.split_extra < 1)
      throw Error(ErrorKind::database, "this version's kernels do not take its parameters");
    const int place = static_cast<int>(table.variants_.size());
    table.variants_.push_back(std::move(variant));
    variants[winner.variant] = place;
    return place;
  }
  int release(const Winner& winner) {
    const auto [known, added] =
        releases.try_emplace(winner.rocm, static_cast<int>(table.releases_.size()));
    if (added) table.releases_.push_back(winner.rocm);
    return known->second;
  }
  void add(int position) {
    const Winner& winner = winners[static_cast<std::size_t>(position)];
    try {
      const Query shape = canonical(query_of(winner.problem));
      if (unlaunchable(shape) != nullptr)
        throw Error(ErrorKind::database, "its problem is out of range");
      table.rows_.push_back({shape, class_of(shape), winner.evidence, winner.median_us, position,
                             variant(winner), release(winner)});
    } catch (const Error& error) {
      table.warnings_.push_back(fmt::format("winner {} for {} is passed over: {}", winner.variant,
                                            table.arch_, error.what()));
    }
  }
  // One row for each shape, in the order of classes, evidence and shapes.
  void keep_what_counts() {
    std::vector<Row>& rows = table.rows_;
    const auto shape = [](const Row& row) { return std::tuple(row.key, shape_order(row.shape)); };
    const auto winner = [&](const Row& row) -> const Winner& {
      return winners[static_cast<std::size_t>(row.winner)];
    };
    std::ranges::stable_sort(rows, [&](const Row& a, const Row& b) {
      const auto order = shape(a) <=> shape(b);
      return order != 0 ? order < 0 : counts_before(winner(a), winner(b));
    });
    const auto same = [&](const Row& a, const Row& b) { return shape(a) == shape(b); };
    rows.erase(std::unique(rows.begin(), rows.end(), same), rows.end());
    std::ranges::stable_sort(rows, {},
                             [](const Row& row) { return std::tuple(row.key, row.evidence); });
  }
};

DispatchTable::DispatchTable(std::string_view arch, const std::vector<Winner>& winners)
    : arch_(arch) {
  lanes_ = dispatch_lanes(arch);
  units_ = dispatch_units(arch);
  if (lanes_ == 0)
    throw Error(ErrorKind::usage,
                fmt::format("there are no kernels for arch '{}': there are for gfx950, gfx942, "
                            "sm_90 and host",
                            arch));

  rows_.reserve(winners.size());
  Builder builder{*this, winners, {}, {}};
  builder.variants.reserve(winners.size());
  for (std::size_t i = 0; i < winners.size(); ++i)
    if (winners[i].arch == arch_ && winners[i].problem.kernel == "sparse_mla_decode")
      builder.add(static_cast<int>(i));
  builder.keep_what_counts();
  index();
  for (const Launch& launch : fallback_launches(arch))
    fallbacks_.push_back({launch, variant_params(launch)});
}

// Rows are in their order.
void DispatchTable::index() {
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
