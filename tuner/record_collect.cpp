#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tuner/model.hpp"
#include "tuner/record.hpp"

namespace mla {
namespace {

class Collecting {
 public:
  Collecting(Store& store, const Arch& arch, const Toolchain& toolchain)
      : store_(store), arch_(arch), toolchain_(toolchain) {
    record_.arch = arch.name;
    record_.compiler = toolchain.compiler;
    record_.release = toolchain.release;
  }
  void add(const ProblemRecord& problem, const Device& device);
  Record take() { return std::move(record_); }

 private:
  std::optional<int> variant(std::int64_t id);
  int code(std::int64_t variant);

  Store& store_;
  const Arch& arch_;
  const Toolchain& toolchain_;
  Record record_;
  std::map<std::int64_t, std::optional<int>> variants_;  // by id
  std::map<std::int64_t, int> codes_, devices_, problems_;
  std::vector<Launch> launches_;  // by variant
};

// The newest decode kernel that the variant was compiled to here; older ones are of other
// templates.
int Collecting::code(std::int64_t variant) {
  Resources resources;
  std::int64_t id = 0;
  for (const CodeObjectRecord& code : store_.code_objects(variant)) {
    if (code.toolchain_id != toolchain_.id || code.arch != arch_.name ||
        code.entry_template != "sparse_mla_decode")
      continue;
    id = code.id;
    resources = code.resources;
  }
  const auto [at, is_new] = codes_.try_emplace(id, static_cast<int>(record_.codes.size()));
  if (is_new) record_.codes.push_back(resources);
  return at->second;
}

std::optional<int> Collecting::variant(std::int64_t id) {
  const auto known = variants_.find(id);
  if (known != variants_.end()) return known->second;
  std::optional<int>& place = variants_[id];
  const VariantRecord record = store_.variant(id).value();
  try {
    launches_.push_back(variant_launch(record.params));
  } catch (const Error&) {
    return place;  // of a version with other parameters
  }
  place = static_cast<int>(record_.variants.size());
  record_.variants.push_back({record.params, code(id)});
  return place;
}

void Collecting::add(const ProblemRecord& problem, const Device& device) {
  for (const Round round : {Round::search, Round::final}) {
    for (const auto& known : store_.measurements(problem.id, device.id, toolchain_.id, round)) {
      if (known.evidence != Evidence::measured) continue;
      const std::optional<int> place = variant(known.variant_id);
      const auto m =
          store_.find_measurement(known.variant_id, problem.id, device.id, toolchain_.id, round);
      if (!place || !m) continue;
      if (problems_.try_emplace(problem.id, static_cast<int>(record_.problems.size())).second) {
        record_.problems.push_back(problem);
        record_.problems.back().id = 0;
      }
      if (devices_.try_emplace(device.id, static_cast<int>(record_.devices.size())).second) {
        record_.devices.push_back(device);
        record_.devices.back().id = 0;
      }
      const auto& variant = record_.variants[static_cast<std::size_t>(*place)];
      const Resources& resources = record_.codes[static_cast<std::size_t>(variant.code)];
      record_.rows.push_back(
          {problems_[problem.id], *place, devices_[device.id], round, m->verdict,
           predict(arch_, problem, launches_[static_cast<std::size_t>(*place)], resources).total_us,
           m->samples_us});
    }
  }
}

bool is_release(const Toolchain& toolchain, std::string_view rocm) {
  return rocm.empty() || toolchain.release == rocm ||
         toolchain.release.starts_with(std::string(rocm) + ".");
}

bool wanted(const ProblemRecord& problem, const std::vector<ProblemRecord>& problems) {
  ProblemRecord plain = problem;
  plain.id = 0;
  return problems.empty() || std::ranges::find(problems, plain) != problems.end();
}

}  // namespace

Record collect_record(Store& store, const Arch& arch, std::string_view rocm,
                      const std::vector<ProblemRecord>& problems) {
  std::vector<Toolchain> toolchains = store.toolchains();
  std::ranges::reverse(toolchains);
  for (const Toolchain& toolchain : toolchains) {
    if (!is_release(toolchain, rocm)) continue;
    Collecting collecting(store, arch, toolchain);
    for (const ProblemRecord& problem : store.problems()) {
      if (!wanted(problem, problems)) continue;
      for (const Device& device : store.devices())
        if (device.arch == arch.name) collecting.add(problem, device);
    }
    Record record = collecting.take();
    if (!record.rows.empty()) return record;
  }
  throw Error(
      ErrorKind::usage,
      fmt::format("no measured times of {}{}{} in this database: mla-tune tune --arch {} on "
                  "a machine that has one measures them",
                  arch.name, rocm.empty() ? "" : " by release ", rocm, arch.name));
}

}  // namespace mla
