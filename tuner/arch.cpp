#include "tuner/arch.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "db/error.hpp"
#include "tuner/suggest.hpp"
#include "tuner/yaml.hpp"

namespace mla {
namespace {

// The whole-numbered limits: keys of the file, and names for constraints.
template <class A, class F>
void for_each_limit(A& arch, F&& f) {
  f("lanes", arch.limits.lanes);
  f("simds_per_cu", arch.limits.simds_per_cu);
  f("registers_per_lane", arch.limits.registers_per_lane);
  f("register_granule", arch.limits.register_granule);
  f("registers_per_wave", arch.limits.registers_per_wave);
  f("waves_per_simd", arch.limits.waves_per_simd);
  f("threads_per_workgroup", arch.limits.threads_per_workgroup);
  f("lds_per_workgroup", arch.limits.lds_per_workgroup);
  f("lds_per_cu", arch.limits.lds_per_cu);
  f("lds_granule", arch.limits.lds_granule);
  f("lds_reserved", arch.limits.lds_reserved);
  f("workgroups_per_cluster", arch.workgroups_per_cluster);
  f("units_per_cluster_domain", arch.units_per_cluster_domain);
  f("dies", arch.dies);
  f("compute_units", arch.compute_units);
  f("clock_mhz", arch.clock_mhz);
}

template <class A, class F>
void for_each_rate(A& arch, F&& f) {
  f("memory_bytes", arch.memory_bytes);
  f("memory_rate", arch.memory_rate);
  f("matrix_rate", arch.matrix_rate);
  f("valu_per_element", arch.valu_per_element);
  f("l2_bytes", arch.l2_bytes);
  f("llc_bytes", arch.llc_bytes);
  f("launch_overhead_us", arch.launch_overhead_us);
}

constexpr std::int64_t kMost = 1 << 30;

Fp8Format format(const Yaml& node) {
  const std::string text = node.text();
  if (text == "ocp") return Fp8Format::ocp;
  if (text == "fnuz") return Fp8Format::fnuz;
  node.fail(fmt::format("'{}' is no fp8 format; known are ocp, fnuz", text));
}

Arch read(const Yaml& root) {
  Arch arch;
  std::vector<std::string> keys = {"arch",
                                   "device",
                                   "compiler",
                                   "has_transposing_read",
                                   "has_bulk_copies",
                                   "direct_load_widths",
                                   "main_format",
                                   "extra_format"};
  for_each_limit(arch, [&](const char* key, int&) { keys.emplace_back(key); });
  for_each_rate(arch, [&](const char* key, double&) { keys.emplace_back(key); });
  root.allow(keys, "an arch file");

  arch.name = root["arch"].text();
  arch.device = root["device"].text();
  arch.compiler = root["compiler"].text();
  const std::vector<std::string> compilers = {"hiprtc", "nvrtc", "c++"};
  if (std::find(compilers.begin(), compilers.end(), arch.compiler) == compilers.end())
    root["compiler"].fail(
        fmt::format("'{}' is no compiler{}", arch.compiler, suggestion(arch.compiler, compilers)));
  for_each_limit(arch, [&](const std::string& key, int& limit) {
    limit = static_cast<int>(root[key].integer(key == "lds_reserved" ? 0 : 1, kMost));
  });
  for_each_rate(arch, [&](const char* key, double& rate) { rate = root[key].positive(); });
  arch.has_transposing_read = root["has_transposing_read"].flag();
  arch.has_bulk_copies = root["has_bulk_copies"].flag();
  arch.direct_load_widths = root["direct_load_widths"].integers(1, 16);
  arch.main_format = format(root["main_format"]);
  arch.extra_format = format(root["extra_format"]);
  return arch;
}

}  // namespace

std::vector<std::string> known_archs(const std::filesystem::path& configs) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : std::filesystem::directory_iterator(configs / "archs", none))
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  std::sort(names.begin(), names.end());
  return names;
}

Arch load_arch(const std::filesystem::path& configs, const std::string& name) {
  const std::vector<std::string> known = known_archs(configs);
  if (known.empty())
    throw Error(ErrorKind::usage,
                fmt::format("no arch is described in {}: name the folder that holds archs/, "
                            "spaces/ and shapes/",
                            (configs / "archs").string()));
  if (std::find(known.begin(), known.end(), name) == known.end())
    throw Error(ErrorKind::usage,
                fmt::format("unknown arch '{}': {} describes {}; to add one, write {}.yaml there",
                            name, (configs / "archs").string(), fmt::join(known, ", "), name));
  const Yaml root = Yaml::load(configs / "archs" / (name + ".yaml"));
  Arch arch = read(root);
  if (arch.name != name)
    root["arch"].fail(fmt::format("the file's name says '{}', this says '{}'", name, arch.name));
  return arch;
}

Symbols arch_symbols(const Arch& arch) {
  Symbols symbols;
  for_each_limit(arch, [&](const char* key, int limit) {
    symbols["arch." + std::string(key)] = {ValueType::number, -1, limit, nullptr, {}};
  });
  symbols["arch.has_transposing_read"] = {
      ValueType::truth, -1, arch.has_transposing_read ? 1 : 0, nullptr, {}};
  symbols["arch.has_bulk_copies"] = {
      ValueType::truth, -1, arch.has_bulk_copies ? 1 : 0, nullptr, {}};
  symbols["arch.direct_load_widths"] = {ValueType::list, -1, 0, nullptr, arch.direct_load_widths};
  return symbols;
}

}  // namespace mla
