#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <sstream>
#include <thread>

#include "db/error.hpp"
#include "db/store.hpp"
#include "kernels/device_host.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "kernels/process.hpp"
#include "tuner/bench.hpp"
#include "tuner/cache.hpp"
#include "tuner/commands.hpp"
#include "tuner/compile.hpp"
#include "tuner/gpus.hpp"
#include "tuner/interrupt.hpp"
#include "tuner/scratch_folder.hpp"
#include "tuner/shapes.hpp"
#include "tuner/source.hpp"
#include "tuner/space.hpp"
#include "tuner/tune_command.hpp"
#include "tuner/variant_argument.hpp"
#include "tuner/whole_file.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr double kPollSeconds = 0.1;
constexpr double kSecondsEach = 2;
constexpr const char* kFallback = "fallback";

// A baseline; without a launch it is the dispatcher's fallback, which each problem has its own of.
struct Baseline {
  std::string name;
  std::optional<Launch> launch;
};

std::vector<Baseline> baselines_of(const BenchOptions& options) {
  std::vector<Baseline> baselines;
  for (const std::string& text : options.baselines) {
    std::error_code ignored;
    if (fs::is_regular_file(text, ignored)) {
      std::ostringstream content;
      content << std::ifstream(text).rdbuf();
      baselines.push_back(
          {fs::path(text).stem().string(), variant_of_params(content.str()).launch});
    } else {
      const NamedVariant variant = named_variant(text, options.db);
      baselines.push_back({variant.key.substr(0, 12), variant.launch});
    }
  }
  if (baselines.empty()) baselines.push_back({kFallback, std::nullopt});
  return baselines;
}

std::string in_words(const std::vector<Baseline>& baselines) {
  std::string words;
  for (const Baseline& baseline : baselines)
    words += (words.empty() ? "" : ", ") +
             (baseline.launch ? baseline.name : baseline.name + " (what dispatch does untuned)");
  return words;
}

std::string only_arch(Store& store) {
  std::set<std::string> archs;
  for (const Winner& winner : store.winners()) archs.insert(winner.arch);
  if (archs.size() == 1) return *archs.begin();
  throw Error(ErrorKind::usage, archs.empty()
                                    ? "this database has no winners: mla-tune tune finds some"
                                    : fmt::format("this database has winners for {}: name one with "
                                                  "--arch",
                                                  fmt::join(archs, ", ")));
}

// Throws Error{usage} where there is none.
std::vector<Winner> winners_of(Store& store, const Arch& arch,
                               const std::vector<ProblemRecord>& problems) {
  std::vector<Winner> winners;
  for (Winner& winner : store.winners(arch.name))
    if (problems.empty() || std::ranges::find(problems, winner.problem) != problems.end())
      winners.push_back(std::move(winner));
  if (winners.empty())
    throw Error(ErrorKind::usage,
                fmt::format("no winner for {}{} in this database: mla-tune tune finds some",
                            arch.name, problems.empty() ? "" : " and these shapes"));
  return winners;
}

// One a problem: of the release that compiles now where there is one, measured before predicted.
std::vector<Winner> one_each(const std::vector<Winner>& winners, const std::string& release) {
  std::vector<Winner> chosen;
  const auto better = [&](const Winner& a, const Winner& b) {
    if ((a.rocm == release) != (b.rocm == release)) return a.rocm == release;
    if (a.evidence != b.evidence) return a.evidence == Evidence::measured;
    return a.median_us < b.median_us;
  };
  for (const Winner& winner : winners) {
    const auto same = std::ranges::find(chosen, winner.problem, &Winner::problem);
    if (same == chosen.end())
      chosen.push_back(winner);
    else if (better(winner, *same))
      *same = winner;
  }
  return chosen;
}

// Code objects by source, as the runner takes them: bytes, or paths for arch host.
class Objects {
 public:
  Objects(const Arch& arch, const BenchOptions& options)
      : arch_(arch),
        search_(search_from_environment(options.rocm)),
        toolchain_(toolchain_for(arch.name, search_)),
        headers_(read_headers(templates_folder(options.templates))),
        cache_(default_cache_folder()) {}
  const FoundToolchain& toolchain() const { return toolchain_; }
  std::vector<std::unique_ptr<Runner>> make_runners(std::string& unusable) {
    return make_gpu_runners(arch_, {search_, toolchain_, headers_, cache_}, unusable);
  }

  // Compiles what is not there yet. Throws Error{toolchain} with the compiler's words.
  void add(const std::set<std::string>& sources) {
    const int jobs = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    CompilePool pool(toolchain_, &cache_, jobs);
    std::vector<const std::string*> by_tag;
    for (const std::string& source : sources) {
      CompileJob job;
      job.tag = by_tag.size();
      job.arch = arch_.name;
      job.source = source;
      job.headers = headers_;
      pool.submit(std::move(job));
      by_tag.push_back(&source);
    }
    while (pool.outstanding() > 0) {
      throw_if_interrupted();
      const std::optional<CompileResult> result = pool.next(deadline_in(kPollSeconds));
      if (!result) continue;
      if (result->verdict != Verdict::ok)
        throw Error(
            ErrorKind::toolchain,
            fmt::format("a variant does not compile for {} with {} {}:\n{}", arch_.name,
                        toolchain_.record.compiler, toolchain_.record.release, result->log));
      keep(*by_tag[static_cast<std::size_t>(result->tag)], result->code);
    }
  }
  const std::string& at(const std::string& source) const { return objects_.at(source); }

 private:
  void keep(const std::string& source, const std::string& code) {
    if (arch_.name != "host") {
      objects_[source] = code;
      return;
    }
    const fs::path path = fs::path(folder_.path()) / fmt::format("{}.so", objects_.size());
    write_whole(path, code);
    fs::permissions(path, fs::perms::owner_all);
    objects_[source] = path.string();
  }

  const Arch& arch_;
  ToolchainSearch search_;
  FoundToolchain toolchain_;
  SourceHeaders headers_;
  Cache cache_;
  ScratchFolder folder_;
  std::map<std::string, std::string> objects_;
};

std::vector<Launch> launches_of(const Winner& winner, const std::vector<Baseline>& baselines,
                                const std::string& arch) {
  std::vector<Launch> launches{variant_launch(winner.params)};
  for (const Baseline& baseline : baselines)
    launches.push_back(baseline.launch ? *baseline.launch
                                       : fallback_launch(arch, query_of(winner.problem)));
  return launches;
}

std::unique_ptr<Runner> runner_for(const Arch& arch, Objects& objects) {
  if (arch.name == "host") {
    const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    return make_host_runner(sibling_program("mla-host-worker"), threads);
  }
  std::string unusable;
  std::vector<std::unique_ptr<Runner>> gpus = objects.make_runners(unusable);
  if (!gpus.empty()) return std::move(gpus.front());
  throw Error(ErrorKind::device,
              fmt::format("no {} that this mla-tune can run on: times are compared where they are "
                          "taken, on a machine with {}{}",
                          arch.name, arch.device, unusable));
}

std::string in_words(const ProblemRecord& p) {
  return fmt::format("heads {} tokens {} keys {}+{} pages {}/{}{}{}", p.num_heads, p.num_tokens,
                     p.main_len, p.extra_len, p.main_page, p.extra_page,
                     p.lengths == "uniform" ? "" : " ragged", p.warm_cache ? " warm" : "");
}

Json json_of(const BenchTime& time, const std::string& variant) {
  Json json = {{"variant", variant}, {"verdict", name(time.verdict)}};
  if (time.verdict != Verdict::ok) {
    json["reason"] = time.reason;
    return json;
  }
  json["median_us"] = time.time.median_us;
  json["ci_us"] = {time.time.ci_low_us, time.time.ci_high_us};
  if (time.ratio) {
    json["ratio"] = time.ratio->value;
    json["ratio_ci"] = {time.ratio->low, time.ratio->high};
  }
  return json;
}

std::string words_of(const BenchTime& time) {
  if (time.verdict != Verdict::ok) return fmt::format("{}: {}", name(time.verdict), time.reason);
  std::string text = fmt::format("{:9.2f} us [{:.2f}, {:.2f}]", time.time.median_us,
                                 time.time.ci_low_us, time.time.ci_high_us);
  if (time.ratio)
    text += fmt::format("  {:.3f} times the winner's [{:.3f}, {:.3f}]", time.ratio->value,
                        time.ratio->low, time.ratio->high);
  return text;
}

// The tables of a run, as they grow.
class Report {
 public:
  Report(const std::vector<Baseline>& baselines, bool json)
      : json_(json), ratios_(baselines.size()) {
    for (const Baseline& baseline : baselines) names_.push_back(baseline.name);
  }
  void add(const Winner& winner, const std::vector<BenchTime>& times) {
    failed_ = failed_ || times[0].verdict != Verdict::ok;
    Json baselines = Json::array();
    for (std::size_t i = 1; i < times.size(); ++i) {
      if (times[i].ratio) ratios_[i - 1].push_back(times[i].ratio->value);
      baselines.push_back(json_of(times[i], names_[i - 1]));
    }
    if (json_) {
      Json one = {{"problem", in_words(winner.problem)},
                  {"stored_us", winner.median_us},
                  {"evidence", name(winner.evidence)},
                  {"winner", json_of(times[0], winner.variant)},
                  {"baselines", std::move(baselines)}};
      problems_.push_back(std::move(one));
      return;
    }
    fmt::print("{}\n  {:<14} {}  (stored: {:.2f} us, {})\n", in_words(winner.problem),
               winner.variant.substr(0, 12), words_of(times[0]), winner.median_us,
               name(winner.evidence));
    for (std::size_t i = 1; i < times.size(); ++i)
      fmt::print("  {:<14} {}\n", names_[i - 1], words_of(times[i]));
    std::fflush(stdout);
  }
  void end(const Runner& runner, const FoundToolchain& toolchain, const std::string& conditions) {
    if (!json_) {
      for (std::size_t i = 0; i < names_.size(); ++i)
        if (!ratios_[i].empty())
          fmt::print(
              "\n{} takes {:.3f} times as long as the winners, in the geometric mean of {} "
              "problems\n",
              names_[i], geometric_mean(ratios_[i]), ratios_[i].size());
      return;
    }
    Json means = Json::object();
    for (std::size_t i = 0; i < names_.size(); ++i) means[names_[i]] = geometric_mean(ratios_[i]);
    fmt::print("{}\n", Json{{"device", runner.identity().name},
                            {"arch", runner.identity().arch},
                            {"compiler", toolchain.record.compiler},
                            {"release", toolchain.record.release},
                            {"conditions", Json::parse(conditions, nullptr, false)},
                            {"geometric_mean_ratio", means},
                            {"problems", problems_}}
                           .dump(2));
  }
  bool failed() const { return failed_; }

 private:
  bool json_;
  bool failed_ = false;
  std::vector<std::string> names_;
  std::vector<std::vector<double>> ratios_;
  Json problems_ = Json::array();
};

}  // namespace

int bench_command(const BenchOptions& options) {
  const fs::path configs = configs_folder(options.configs);
  Store store = Store::open(options.db, StoreMode::read_only);
  const Arch arch = load_arch(configs, options.arch.empty() ? only_arch(store) : options.arch);
  const Space space = Space::load(configs, "sparse_mla_decode", arch);
  const std::vector<Baseline> baselines = baselines_of(options);
  std::vector<ProblemRecord> problems;
  if (!options.shapes.empty()) problems = load_shapes(options.shapes, arch);
  const std::vector<Winner> stored = winners_of(store, arch, problems);
  Objects objects(arch, options);
  const std::vector<Winner> winners = one_each(stored, objects.toolchain().record.release);
  const std::unique_ptr<Runner> runner = runner_for(arch, objects);

  std::set<std::string> sources;
  for (const Winner& winner : winners)
    for (const Launch& launch : launches_of(winner, baselines, arch.name)) {
      sources.insert(decode_source(launch.config));
      if (reduces(launch, winner.problem.extra_len > 0))
        sources.insert(reduce_source(launch.reduce));
    }
  objects.add(sources);
  if (!options.json)
    fmt::print("{} winners for {} on {}, against {}\n", winners.size(), arch.name,
               runner->identity().name, in_words(baselines));

  const std::string none;
  Report report(baselines, options.json);
  for (const Winner& winner : winners) {
    BenchTask task{winner.problem, {}};
    for (const Launch& launch : launches_of(winner, baselines, arch.name)) {
      const bool split = reduces(launch, winner.problem.extra_len > 0);
      task.variants.push_back({&objects.at(decode_source(launch.config)),
                               split ? &objects.at(reduce_source(launch.reduce)) : &none, launch});
    }
    const BenchResult result = bench(*runner, task, space.tolerance(), options.seed, kSecondsEach,
                                     [] { return interrupted(); });
    throw_if_interrupted();
    report.add(winner, result.times);
  }
  report.end(*runner, objects.toolchain(), runner->conditions());
  return report.failed() ? static_cast<int>(ErrorKind::device) : 0;
}

}  // namespace mla
