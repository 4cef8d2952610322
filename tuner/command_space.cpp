#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <vector>

#include "db/error.hpp"
#include "tuner/commands.hpp"
#include "tuner/space.hpp"
#include "tuner/tune_command.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

struct Counted {
  Space space;
  SpaceCounts counts;
};

std::vector<std::string> spaces_in(const fs::path& configs) {
  std::vector<std::string> names;
  std::error_code none;
  for (const auto& entry : fs::directory_iterator(configs / "spaces", none))
    if (entry.path().extension() == ".yaml") names.push_back(entry.path().stem().string());
  std::ranges::sort(names);
  if (names.empty())
    throw Error(ErrorKind::usage,
                fmt::format("no space is described in {}: write <template>.yaml there",
                            (configs / "spaces").string()));
  return names;
}

void print(const Counted& counted) {
  const SpaceCounts& counts = counted.counts;
  fmt::print("{} on {}: {} points, {} admissible ({} compilations)\n", counted.space.kernel(),
             counted.space.arch(), counts.total, counts.admissible, counts.code_admissible);
  for (const Refused& refused : counts.refused)
    fmt::print("  {:>14} refused by {:<22} {}\n", refused.points, refused.constraint,
               refused.because);
}

nlohmann::ordered_json to_json(const Counted& counted) {
  nlohmann::ordered_json refused = nlohmann::ordered_json::object();
  for (const Refused& r : counted.counts.refused) refused[r.constraint] = r.points;
  return {{"arch", counted.space.arch()},
          {"total", counted.counts.total},
          {"admissible", counted.counts.admissible},
          {"compilations", counted.counts.code_admissible},
          {"refused", refused}};
}

}  // namespace

int space_command(const SpaceOptions& options) {
  const fs::path configs = configs_folder(options.configs);
  const Arch arch = load_arch(configs, options.arch);
  std::vector<Counted> all;
  for (const std::string& kernel : spaces_in(configs)) {
    Space space = Space::load(configs, kernel, arch);
    SpaceCounts counts = space.count();
    all.push_back({std::move(space), std::move(counts)});
  }
  if (options.json) {
    nlohmann::ordered_json json;
    for (const Counted& counted : all) json[counted.space.kernel()] = to_json(counted);
    fmt::print("{}\n", json.dump(2));
  } else {
    for (const Counted& counted : all) print(counted);
  }
  for (const Counted& counted : all) counted.space.require_admissible(counted.counts);
  return 0;
}

}  // namespace mla
