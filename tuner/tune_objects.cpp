#include <fmt/format.h>
#include <sys/stat.h>

#include <fstream>

#include "db/error.hpp"
#include "tuner/source.hpp"
#include "tuner/tune_state.hpp"

namespace mla {

bool Tuning::needs_reduce(const Contender& contender) const {
  const bool has_extra = parts_.problems[contender.problem].extra_len > 0;
  return reduces(contender.candidate.launch, has_extra);
}

void Tuning::keep_object(const std::string& key, const std::string& code) {
  if (!parts_.objects_are_files) {
    objects_[key] = code;
    return;
  }
  const std::string path = fmt::format("{}/{}.so", folder_.path(), key);
  std::ofstream file(path, std::ios::binary);
  file.write(code.data(), static_cast<std::streamsize>(code.size()));
  file.close();
  if (!file || ::chmod(path.c_str(), 0700) != 0) {
    throw Error(
        ErrorKind::system,
        fmt::format("cannot write {}: free the disk, or set TMPDIR to a folder on another", path));
  }
  objects_[key] = path;
}

std::vector<Unit> Tuning::bench_units(const Contender& contender) const {
  const Launch& launch = contender.candidate.launch;
  if (parts_.bench == Bench::target) {
    std::vector<Unit> units{codes_[contender.candidate.code].unit};
    if (needs_reduce(contender)) units.push_back(reduces_.at(reduce_id(launch.reduce)).unit);
    return units;
  }
  std::vector<Unit> units{unit(*parts_.host_compiler, "host", decode_source(launch.config))};
  if (needs_reduce(contender))
    units.push_back(unit(*parts_.host_compiler, "host", reduce_source(launch.reduce)));
  return units;
}

bool Tuning::with_objects(std::vector<Contender> contenders,
                          const std::function<void(const Contender&, const Objects&)>& ready) {
  std::vector<std::vector<Unit>> needed;
  std::vector<Unit> units;
  std::set<std::string> asked;
  for (const Contender& contender : contenders) {
    needed.push_back(bench_units(contender));
    for (const Unit& unit : needed.back()) {
      if (objects_.contains(unit.key) || missing_objects_.contains(unit.key)) continue;
      if (asked.insert(unit.key).second) units.push_back(unit);
    }
  }
  std::vector<bool> done(contenders.size(), false);
  const auto serve = [&] {
    for (std::size_t i = 0; i < contenders.size(); ++i) {
      if (done[i] || stopped()) continue;
      Objects objects;
      bool waiting = false;
      for (std::size_t n = 0; n < needed[i].size(); ++n) {
        const std::string& key = needed[i][n].key;
        const auto missing = missing_objects_.find(key);
        const auto object = objects_.find(key);
        if (missing != missing_objects_.end())
          objects.missing = missing->second;
        else if (object != objects_.end())
          (n == 0 ? objects.decode : objects.reduce) = object->second;
        else
          waiting = true;
      }
      if (waiting) continue;
      done[i] = true;
      ready(contenders[i], objects);
    }
  };
  // Nothing is timed while compilers are at work.
  const bool while_compiling = parts_.bench != Bench::target;
  if (while_compiling) serve();
  Compiler& compiler = parts_.bench == Bench::target ? parts_.compiler : *parts_.host_compiler;
  const bool all = run_units(
      compiler, units, [] { return false; },
      [&](std::size_t index, CompileResult& result) {
        const std::string& key = units[index].key;
        if (result.verdict == Verdict::ok)
          keep_object(key, result.code);
        else
          missing_objects_[key] = fmt::format("{}: {}", name(result.verdict), result.log);
        if (while_compiling) serve();
      });
  if (all) serve();
  return all && !stopped();
}

}  // namespace mla
