#include "kernels/dispatch.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <tuple>

#include "db/error.hpp"
#include "db/store.hpp"
#include "kernels/params.hpp"

namespace mla {
namespace {

constexpr int kOctave = 1024;
constexpr int kNear = 3 * kOctave;  // a factor of 8
constexpr int kMaxHeads = 128;
constexpr int kHeadGranule = 16;

// Small enough for every arch's LDS and registers. How V is read depends on the arch.
constexpr Config kFallbackConfig{.block_h = 16,
                                 .block_k = 32,
                                 .waves = 2,
                                 .wave_split = WaveSplit::columns,
                                 .mfma = 16,
                                 .stages = 1,
                                 .prefetch = 2,
                                 .dequantise = Dequantise::at_store,
                                 .load_path = LoadPath::registers,
                                 .load_width = 16,
                                 .lds_layout = LdsLayout::swizzled,
                                 .query_in = QueryIn::lds,
                                 .value_read = ValueRead::permuting,
                                 .waves_per_eu = 1,
                                 .unroll = 8,
                                 .rescale_threshold = 4};
constexpr ReduceConfig kFallbackReduce{.block_h = 1, .waves = 1};
static_assert(valid(kFallbackConfig) && valid(kFallbackReduce));
static_assert(lds_bytes(kFallbackConfig) <= 64 * 1024);

constexpr int kFallbackSplits[] = {1, 2, 4, 8, 16};
constexpr std::int64_t kFallbackWorkgroups = 256;  // about one for each CU of a large chip
constexpr int kFallbackKeysPerSplit = 64;          // fewer are not worth a split

struct KnownArch {
  std::string_view name;
  int lanes;
  ValueRead value_read;  // the fallback's
};
constexpr KnownArch kArchs[] = {{"gfx950", 64, ValueRead::transposing},
                                {"gfx942", 64, ValueRead::permuting},
                                {"sm_90", 32, ValueRead::transposing},
                                {"sm_90a", 32, ValueRead::transposing},
                                {"host", 1, ValueRead::transposing}};

const KnownArch* find_arch(std::string_view name) {
  for (const KnownArch& arch : kArchs)
    if (arch.name == name) return &arch;
  return nullptr;
}

int head_class(int heads) { return (heads + kHeadGranule - 1) / kHeadGranule; }

bool is_power_of_two(int n) { return (n & (n - 1)) == 0; }

int log2_scaled(int n) {
  return static_cast<int>(std::lround(std::log2(static_cast<double>(std::max(n, 1))) * kOctave));
}

bool launchable(const Query& q) {
  const auto known = [](Fp8Format f) { return f == Fp8Format::ocp || f == Fp8Format::fnuz; };
  if (q.heads < 1 || q.heads > kMaxHeads || q.tokens < 1 || q.main_len < 0 || q.extra_len < 0)
    return false;
  if (q.main_page < 1 || !known(q.main_format)) return false;
  return q.extra_len == 0 || (q.extra_page >= 1 && known(q.extra_format));
}

// Without an extra scope its fields say nothing: equal queries become equal values.
Query canonical(Query q) {
  if (q.extra_len == 0) {
    q.extra_page = 0;
    q.extra_format = Fp8Format::ocp;
  }
  return q;
}

// What must be equal for two shapes to be near.
auto class_of(const Query& q) {
  return std::tuple(head_class(q.heads), q.extra_len > 0, q.main_format, q.extra_format,
                    is_power_of_two(q.main_page), is_power_of_two(q.extra_page));
}

auto shape_order(const Query& q) {
  return std::tuple(class_of(q), q.tokens, q.extra_len, q.main_len, q.heads, q.main_page,
                    q.extra_page);
}

int fallback_index(const Query& q) {
  const std::int64_t workgroups = std::int64_t{q.tokens} * head_class(q.heads);
  const std::int64_t keys = std::int64_t{q.main_len} + q.extra_len;
  int index = 0;
  while (index + 1 < static_cast<int>(std::size(kFallbackSplits)) &&
         workgroups * kFallbackSplits[index] < kFallbackWorkgroups &&
         keys >= std::int64_t{kFallbackSplits[index + 1]} * kFallbackKeysPerSplit)
    ++index;
  return index;
}

Launch fallback_with(ValueRead value_read, int splits) {
  Launch launch{
      .config = kFallbackConfig,
      .splits = {.split_main = 0, .split_extra = splits, .split_map = SplitMap::contiguous},
      .reduce = kFallbackReduce};
  launch.config.value_read = value_read;
  return launch;
}

Query shape_of(const ProblemRecord& p) {
  return canonical({.heads = p.num_heads,
                    .tokens = p.num_tokens,
                    .main_len = p.main_len,
                    .extra_len = p.extra_len,
                    .main_page = p.main_page,
                    .extra_page = p.extra_page,
                    .main_format = static_cast<Fp8Format>(p.main_format),
                    .extra_format = static_cast<Fp8Format>(p.extra_format)});
}

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

bool of_release(const std::string& release, std::string_view wanted) {
  return wanted.empty() || release == wanted ||
         (release.starts_with(wanted) && release[wanted.size()] == '.');
}

}  // namespace

std::string_view name(MatchGrade grade) {
  switch (grade) {
    case MatchGrade::exact:
      return "exact";
    case MatchGrade::nearest:
      return "nearest";
    case MatchGrade::fallback:
      return "fallback";
    case MatchGrade::none:
      break;
  }
  return "none";
}

std::int64_t workspace_bytes(const Launch& launch, const Query& query) noexcept {
  const int splits = total_splits(launch.splits, query.extra_len > 0);
  return workspace_floats(query.tokens, query.heads, splits) *
         static_cast<std::int64_t>(sizeof(float));
}

int dynamic_lds_bytes(std::string_view arch, const Config& config) noexcept {
  return arch.starts_with("sm_") ? lds_bytes(config) : 0;
}

int dispatch_lanes(std::string_view arch) noexcept {
  const KnownArch* known = find_arch(arch);
  return known == nullptr ? 0 : known->lanes;
}

bool is_dispatch_arch(std::string_view arch) noexcept { return dispatch_lanes(arch) != 0; }

Launch fallback_launch(std::string_view arch, const Query& query) noexcept {
  const KnownArch* known = find_arch(arch);
  return fallback_with(known == nullptr ? ValueRead::strided : known->value_read,
                       kFallbackSplits[fallback_index(query)]);
}

std::vector<Launch> fallback_launches(std::string_view arch) {
  const KnownArch* known = find_arch(arch);
  std::vector<Launch> launches;
  for (const int splits : kFallbackSplits)
    launches.push_back(
        fallback_with(known == nullptr ? ValueRead::strided : known->value_read, splits));
  return launches;
}

// How far an entry is from a query; the smaller is the better answer.
struct DispatchTable::Distance {
  int evidence, worst, sum, pages, heads;

  Distance(const Entry& entry, const Query& query, const int (&logs)[5])
      : evidence(static_cast<int>(entry.evidence)) {
    const int tokens = std::abs(entry.log2_tokens - logs[0]);
    const int main = std::abs(entry.log2_main - logs[1]);
    const int extra = std::abs(entry.log2_extra - logs[2]);
    worst = std::max({tokens, main, extra});
    sum = tokens + main + extra;
    pages = std::abs(entry.log2_main_page - logs[3]) + std::abs(entry.log2_extra_page - logs[4]);
    heads = std::abs(entry.shape.heads - query.heads);
  }
  friend auto operator<=>(const Distance&, const Distance&) = default;
};

DispatchTable DispatchTable::load(const std::filesystem::path& database, std::string_view arch,
                                  std::string_view rocm) {
  if (!is_dispatch_arch(arch)) return DispatchTable(arch, {});  // throws, before the file is read
  Store store = Store::open(database, StoreMode::read_only);
  std::vector<Winner> winners = store.winners(arch);
  std::erase_if(winners, [&](const Winner& w) { return !of_release(w.rocm, rocm); });
  return DispatchTable(arch, winners);
}

DispatchTable::DispatchTable(std::string_view arch, const std::vector<Winner>& winners)
    : arch_(arch) {
  lanes_ = dispatch_lanes(arch);
  if (lanes_ == 0)
    throw Error(ErrorKind::usage,
                fmt::format("there are no kernels for arch '{}': there are for gfx950, gfx942, "
                            "sm_90 and host",
                            arch));

  std::vector<Winner> ordered = winners;
  std::ranges::stable_sort(ordered, counts_before);
  for (const Winner& winner : ordered)
    if (winner.arch == arch_ && winner.problem.kernel == "sparse_mla_decode") add(winner);
  const auto order = [](const Entry& e) { return shape_order(e.shape); };
  // Stable: of equal shapes the one that counts stays in front, and unique() keeps it.
  std::ranges::stable_sort(entries_, {}, order);
  const auto same = [&](const Entry& a, const Entry& b) { return order(a) == order(b); };
  entries_.erase(std::unique(entries_.begin(), entries_.end(), same), entries_.end());
  for (const int splits : kFallbackSplits) {
    const Launch launch = fallback_with(find_arch(arch)->value_read, splits);
    fallbacks_.push_back({launch, variant_params(launch)});
  }
}

void DispatchTable::add(const Winner& winner) {
  try {
    Entry entry{};
    entry.launch = variant_launch(winner.params);
    const Splits& splits = entry.launch.splits;
    if (!valid(entry.launch.config) || !valid(entry.launch.reduce) || splits.split_main < 0 ||
        splits.split_extra < 1)
      throw Error(ErrorKind::database, "this version's kernels do not take its parameters");
    entry.shape = shape_of(winner.problem);
    if (!launchable(entry.shape)) throw Error(ErrorKind::database, "its problem is out of range");
    entry.log2_tokens = log2_scaled(entry.shape.tokens);
    entry.log2_main = log2_scaled(entry.shape.main_len);
    entry.log2_extra = log2_scaled(entry.shape.extra_len);
    entry.log2_main_page = log2_scaled(entry.shape.main_page);
    entry.log2_extra_page = log2_scaled(entry.shape.extra_page);
    entry.evidence = winner.evidence;
    entry.median_us = winner.median_us;
    entry.variant = winner.variant;
    entry.params = winner.params;
    entry.rocm = winner.rocm;
    entries_.push_back(std::move(entry));
  } catch (const Error& error) {
    warnings_.push_back(
        fmt::format("winner {} for {} is passed over: {}", winner.variant, arch_, error.what()));
  }
}

Answer DispatchTable::answer(const Query& query, const Launch& launch) const noexcept {
  const bool has_extra = query.extra_len > 0;
  Answer answer;
  answer.launch = launch;
  answer.splits = total_splits(launch.splits, has_extra);
  answer.workspace_bytes = mla::workspace_bytes(launch, query);
  answer.decode_grid =
      decode_grid(launch.config, launch.splits, query.tokens, query.heads, has_extra);
  answer.decode_block = static_cast<unsigned>(threads(launch.config, lanes_));
  answer.decode_dynamic_lds = dynamic_lds_bytes(arch_, launch.config);
  if (answer.splits > 1) {
    answer.reduce_grid = reduce_grid(launch.reduce, query.tokens, query.heads);
    answer.reduce_block = static_cast<unsigned>(threads(launch.reduce, lanes_));
  }
  return answer;
}

Answer DispatchTable::lookup(const Query& asked) const noexcept {
  if (!launchable(asked)) return {};
  const Query query = canonical(asked);
  const int logs[5] = {log2_scaled(query.tokens), log2_scaled(query.main_len),
                       log2_scaled(query.extra_len), log2_scaled(query.main_page),
                       log2_scaled(query.extra_page)};
  const auto wanted = class_of(query);
  const auto first = std::lower_bound(
      entries_.begin(), entries_.end(), wanted,
      [](const Entry& entry, const auto& to) { return class_of(entry.shape) < to; });
  const auto last = std::upper_bound(
      first, entries_.end(), wanted,
      [](const auto& to, const Entry& entry) { return to < class_of(entry.shape); });

  const Entry* best = nullptr;
  for (auto entry = first; entry != last; ++entry) {
    const Distance distance(*entry, query, logs);
    if (distance.worst > kNear) continue;
    // Entries ascend by tokens, extra keys and main keys: of equal distances the last is the
    // larger.
    if (best == nullptr || distance <= Distance(*best, query, logs)) best = &*entry;
  }
  if (best == nullptr) {
    const Fallback& fallback = fallbacks_[static_cast<std::size_t>(fallback_index(query))];
    Answer answer = this->answer(query, fallback.launch);
    answer.grade = MatchGrade::fallback;
    answer.variant = "fallback";
    answer.params = fallback.params;
    return answer;
  }
  Answer answer = this->answer(query, best->launch);
  answer.grade = best->shape == query ? MatchGrade::exact : MatchGrade::nearest;
  answer.has_evidence = true;
  answer.evidence = best->evidence;
  answer.variant = best->variant;
  answer.params = best->params;
  answer.rocm = best->rocm;
  answer.median_us = best->median_us;
  answer.tuned_for = best->shape;
  return answer;
}

}  // namespace mla
