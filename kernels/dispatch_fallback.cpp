// The built-in variant, and the archs that it exists for.

#include <iterator>

#include "kernels/dispatch_shape.hpp"

namespace mla {
namespace {

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
  int units;             // compute units of the largest chip
  ValueRead value_read;  // the fallback's
};
constexpr KnownArch kArchs[] = {{"gfx950", 64, 256, ValueRead::transposing},
                                {"gfx942", 64, 304, ValueRead::permuting},
                                {"sm_90", 32, 132, ValueRead::transposing},
                                {"sm_90a", 32, 132, ValueRead::transposing},
                                {"host", 1, 1, ValueRead::transposing}};

const KnownArch* find_arch(std::string_view name) {
  for (const KnownArch& arch : kArchs)
    if (arch.name == name) return &arch;
  return nullptr;
}

Launch fallback_with(ValueRead value_read, int splits) {
  Launch launch{
      .config = kFallbackConfig,
      .splits = {.split_main = 0, .split_extra = splits, .split_map = SplitMap::contiguous},
      .reduce = kFallbackReduce};
  launch.config.value_read = value_read;
  return launch;
}

}  // namespace

int dispatch_lanes(std::string_view arch) noexcept {
  const KnownArch* known = find_arch(arch);
  return known == nullptr ? 0 : known->lanes;
}

int dispatch_units(std::string_view name) noexcept {
  const KnownArch* known = find_arch(name);
  return known == nullptr ? 0 : known->units;
}

bool is_dispatch_arch(std::string_view arch) noexcept { return dispatch_lanes(arch) != 0; }

int fallback_index(const Query& q) noexcept {
  const std::int64_t workgroups = std::int64_t{q.tokens} * head_class(q.heads);
  const std::int64_t keys = std::int64_t{q.main_len} + q.extra_len;
  int index = 0;
  while (index + 1 < static_cast<int>(std::size(kFallbackSplits)) &&
         workgroups * kFallbackSplits[index] < kFallbackWorkgroups &&
         keys >= std::int64_t{kFallbackSplits[index + 1]} * kFallbackKeysPerSplit)
    ++index;
  return index;
}

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

}  // namespace mla
