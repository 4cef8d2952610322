#include "tuner/tune_command.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "db/error.hpp"
#include "db/store.hpp"
#include "kernels/device_host.hpp"
#include "kernels/process.hpp"
#include "tuner/cache.hpp"
#include "tuner/folders.hpp"
#include "tuner/gpus.hpp"
#include "tuner/interrupt.hpp"
#include "tuner/session.hpp"
#include "tuner/shapes.hpp"
#include "tuner/tune.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kGpuCodeObjects = 260;
constexpr std::size_t kHostCodeObjects = 6;
constexpr double kDefaultBudget = 300;

int jobs_of(const TuneOptions& options) {
  if (options.jobs > 0) return options.jobs;
  return static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
}

// Which device executes, and what the user should know about it.
struct Choice {
  Bench bench = Bench::none;
  std::vector<std::unique_ptr<Runner>> runners;
  std::string words;
};

Choice choose_device(const TuneOptions& options, const Arch& arch, int jobs,
                     const GpuTools& tools) {
  Choice choice;
  if (options.device == DeviceChoice::none) {
    choice.words =
        "Nothing is executed (--device none): variants are compiled and ranked by the "
        "model, none can win.";
    return choice;
  }
  if (arch.name != "host" && options.device != DeviceChoice::host) {
    std::string unusable;
    choice.runners = make_gpu_runners(arch, tools, unusable);
    if (!choice.runners.empty()) {
      choice.bench = Bench::target;
      const std::size_t count = choice.runners.size();
      choice.words =
          fmt::format("Times are measured on {}{}.", count == 1 ? "" : fmt::format("{} x ", count),
                      choice.runners.front()->identity().name);
      return choice;
    }
    if (options.device == DeviceChoice::gpu)
      throw Error(ErrorKind::device,
                  fmt::format("no {} that this mla-tune can run on: leave --device gpu out for "
                              "predictions, or run on a machine with {}{}",
                              arch.name, arch.device, unusable));
  }
  if (arch.name == "host" && options.device == DeviceChoice::gpu)
    throw Error(ErrorKind::device,
                "arch host is the CPU: leave --device gpu out, or name the "
                "GPU's arch with --arch");
  choice.runners.push_back(make_host_runner(companion_program("mla-host-worker"), jobs));
  if (arch.name == "host") {
    choice.bench = Bench::target;
    choice.words = "Times are measured on this CPU and hold for arch host alone.";
  } else {
    choice.bench = Bench::host;
    choice.words = fmt::format(
        "No {} to time on here: times are PREDICTIONS of a model, and what could win is checked on "
        "the CPU.",
        arch.name);
  }
  return choice;
}

TuneLimits limits_of(const TuneOptions& options, const Arch& arch, int jobs) {
  TuneLimits limits;
  const bool host = arch.name == "host";
  limits.code_objects = options.code_objects;
  limits.budget_seconds = options.budget_seconds;
  limits.exhaustive = options.exhaustive;
  limits.launches = static_cast<std::size_t>(std::max(0, options.launches));
  limits.retry = options.retry;
  limits.jobs = jobs;
  limits.verify = static_cast<std::size_t>(std::max(1, options.verify));
  limits.seed = options.seed;
  limits.shard = options.shard;
  if (options.exhaustive) {
    if (options.code_objects == 0) limits.code_objects = kNoLimit;
    return limits;
  }
  // Shards follow one plan; where time ends it, each would end it elsewhere.
  if (options.code_objects == 0 && options.budget_seconds <= 0 && options.shard.count == 1)
    limits.budget_seconds = kDefaultBudget;
  if (options.code_objects == 0)
    limits.code_objects = options.budget_seconds > 0 ? kNoLimit
                          : host                     ? kHostCodeObjects
                                                     : kGpuCodeObjects;
  return limits;
}

std::string shape_of(const ProblemRecord& p) {
  return fmt::format("heads {} tokens {} keys {}+{} pages {}/{}{}{}", p.num_heads, p.num_tokens,
                     p.main_len, p.extra_len, p.main_page, p.extra_page,
                     p.lengths == "uniform" ? "" : " ragged", p.warm_cache ? " warm" : "");
}

// Cold and warm ones of one shape become the same.
void warm(std::vector<ProblemRecord>& problems) {
  std::vector<ProblemRecord> unique;
  for (ProblemRecord& problem : problems) {
    problem.warm_cache = true;
    if (std::ranges::find(unique, problem) == unique.end()) unique.push_back(std::move(problem));
  }
  problems = std::move(unique);
}

void print_failures(const TuneReport& report) {
  for (const TuneReport::Failure& failure : report.failures)
    fmt::print("  {}: {}\n    {}\n", name(failure.verdict), failure.params,
               failure.reason.substr(0, failure.reason.find('\n')));
}

void print_report(const TuneReport& report, const TuneParts& parts, const TuneOptions& options) {
  std::string verdicts, seconds;
  for (const auto& [verdict, count] : report.codes)
    verdicts += fmt::format("{}{} {}", verdicts.empty() ? "" : ", ", count, name(verdict));
  for (const auto& [phase, took] : report.seconds)
    seconds += fmt::format("{}{} {}", seconds.empty() ? "" : ", ", phase, readable_seconds(took));
  fmt::print("\n{} code objects ({} new): {}\n", report.compiled + report.known, report.compiled,
             verdicts.empty() ? "none" : verdicts);
  fmt::print(
      "{} new rows in the ranking, {} variants executed and compared with the reference, "
      "{} new in the final round\n",
      report.ranked, report.checked, report.wins);
  if (!report.failures.empty()) print_failures(report);
  fmt::print("time: {}\n", seconds);
  for (const std::string& note : report.notes) fmt::print("note: {}\n", note);
  if (report.out_of_budget)
    fmt::print("The time for compiling is spent; --budget with more goes on from here.\n");

  fmt::print("\n");
  const std::string& release = parts.compiler.toolchain().record.release;
  const std::vector<Winner> winners = parts.store.winners(parts.arch.name);
  for (std::size_t p = 0; p < parts.problems.size(); ++p) {
    if (!options.shard.has(p)) continue;
    const ProblemRecord& problem = parts.problems[p];
    const auto found = std::ranges::find_if(winners, [&](const Winner& winner) {
      return winner.rocm == release && winner.problem == problem;
    });
    if (found == winners.end())
      fmt::print("{:<46} no winner yet\n", shape_of(problem));
    else
      fmt::print("{:<46} {:>9.2f} us {}  variant {}\n", shape_of(problem), found->median_us,
                 name(found->evidence), found->variant.substr(0, 12));
  }
  fmt::print("\nStored in {}\n", options.db);
}

// Where nothing compiles the kernel is broken for this compiler, and the user must know.
void require_code(const TuneReport& report, const TuneParts& parts) {
  const auto ok = report.codes.find(Verdict::ok);
  if (report.interrupted || (ok != report.codes.end() && ok->second > 0)) return;
  throw Error(ErrorKind::toolchain,
              fmt::format("none of {} code objects for {} can be used with {} {}; `mla-tune db "
                          "stats` counts why, and each code object's reason is in the database",
                          report.compiled + report.known, parts.arch.name,
                          parts.compiler.toolchain().record.compiler,
                          parts.compiler.toolchain().record.release));
}

}  // namespace

std::string configs_folder(const std::string& chosen) {
  if (!chosen.empty()) return chosen;
  const fs::path beside = fs::path(sibling_program(".")).lexically_normal();
  std::vector<std::string> looked;
  for (const char* relative :
       {"configs", "../configs", "../../configs", "../share/mla-tune/configs"}) {
    const fs::path folder = (beside / relative).lexically_normal();
    std::error_code ignored;
    if (fs::exists(folder / "archs", ignored)) return folder.string();
    looked.push_back(folder.string());
  }
  throw Error(ErrorKind::usage,
              fmt::format("no configurations (archs, spaces, shapes) in {}: install again, or name "
                          "their folder with --configs",
                          fmt::join(looked, ", ")));
}

int tune_command(const TuneOptions& options) {
  if (options.shard.count > 1 && options.budget_seconds > 0)
    throw Error(ErrorKind::usage,
                "--budget ends each shard's plan elsewhere, and the shards would not add up to one "
                "run: say how much to compile with --code-objects");
  const fs::path configs = configs_folder(options.configs);
  const Arch arch = load_arch(configs, options.arch);
  const Space space = Space::load(configs, "sparse_mla_decode", arch);
  const fs::path shapes =
      options.shapes.empty() ? configs / "shapes" / "quick.yaml" : fs::path(options.shapes);
  std::vector<ProblemRecord> problems = load_shapes(shapes, arch);
  if (options.warm_cache) warm(problems);
  const SourceHeaders headers = read_headers(templates_folder(options.templates));
  const int jobs = jobs_of(options);
  const ToolchainSearch search = search_from_environment(options.rocm);
  const FoundToolchain toolchain = toolchain_for(arch.name, search);
  Cache cache(default_cache_folder());
  const Choice choice = choose_device(options, arch, jobs, {search, toolchain, headers, cache});

  catch_interrupts();
  Store store = Store::open(options.db, StoreMode::read_write_create);
  if (options.shard.index >= problems.size()) {
    fmt::print("Nothing to do: the {} problems of {} go to the first {} of {} shards.\n",
               problems.size(), shapes.filename().string(), problems.size(), options.shard.count);
    return 0;
  }
  const auto compiler = make_pool_compiler(toolchain, &cache, jobs);
  std::unique_ptr<Compiler> host_compiler;
  if (choice.bench == Bench::host)
    host_compiler = make_pool_compiler(toolchain_for("host", search), &cache, jobs);

  fmt::print("{}: {} problems of {}, compiled by {} {} in {}, {} jobs\n{}\n", arch.name,
             problems.size(), shapes.filename().string(), toolchain.record.compiler,
             toolchain.record.release, toolchain.root, jobs, choice.words);
  if (options.shard.count > 1)
    fmt::print("Shard {} of {} has {} of the problems.\n", options.shard.index + 1,
               options.shard.count,
               (problems.size() - options.shard.index - 1) / options.shard.count + 1);
  std::fflush(stdout);
  std::vector<Runner*> runners;
  for (const auto& runner : choice.runners) runners.push_back(runner.get());
  const TuneParts parts{.arch = arch,
                        .space = space,
                        .problems = problems,
                        .headers = headers,
                        .store = store,
                        .compiler = *compiler,
                        .bench = choice.bench,
                        .runners = runners,
                        .host_compiler = host_compiler.get(),
                        .objects_are_files = choice.bench == Bench::host || arch.name == "host"};
  TuneLimits limits = limits_of(options, arch, jobs);
  // A hang costs no more than this; the longest honest check of a GPU takes a few seconds.
  if (choice.bench == Bench::target && arch.name != "host") limits.run_seconds = 60;
  const Session session = new_session(options.command, options.seed, hash_of(headers));
  TextProgress progress(stdout, ::isatty(STDOUT_FILENO) == 1);
  const TuneReport report = tune(parts, limits, session, progress, [] { return interrupted(); });
  print_report(report, parts, options);
  std::fflush(stdout);
  if (report.interrupted)
    throw Error(ErrorKind::interrupted,
                "stopped as asked; everything so far is stored, and the same command goes on");
  require_code(report, parts);
  return 0;
}

}  // namespace mla
