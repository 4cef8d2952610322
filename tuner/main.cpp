// The command line: what was asked for, handed to the command that does it, and the one place where
// what went wrong becomes a message and an exit code.

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <map>
#include <new>
#include <optional>
#include <system_error>
#include <vector>

#include "db/error.hpp"
#include "tuner/commands.hpp"
#include "tuner/folders.hpp"
#include "tuner/interrupt.hpp"
#include "tuner/production.hpp"
#include "tuner/suggest.hpp"
#include "tuner/tune_command.hpp"

namespace mla {
namespace {

constexpr const char* kFooter = R"(
`tune` is what happens where no command is named: mla-tune --arch gfx950.

Exit codes:
  0  done
  1  a mistake in mla-tune itself
  2  the command line, or a YAML file
  3  the database cannot be used, or `db check` found damage
  4  no compiler, or one that does not know the arch or does not compile the kernel
  5  the device is not there or failed; `verify` found a wrong result
  6  the system: disk, memory, processes
  7  stopped by Ctrl-C or SIGTERM; what was done is stored
`report` has its own: 3 something regressed, 4 something is broken, 5 the database cannot be used.

Environment: XDG_DATA_HOME (results, private ROCm), XDG_CACHE_HOME (compiled code), ROCM_PATH,
CUDA_PATH, CXX.)";

// What every command shares; each command has its own copy of the option.
struct Shared {
  std::string db;
  std::string configs;
  std::string templates;
  std::string rocm;
};

std::filesystem::path database(const Shared& shared) {
  return shared.db.empty() ? default_database() : std::filesystem::path(shared.db);
}

void add_db(CLI::App& app, Shared& shared) {
  app.add_option("--db", shared.db,
                 "database file; else tuning.db in ${XDG_DATA_HOME:-~/.local/share}/mla-tune");
}

void add_configs(CLI::App& app, Shared& shared) {
  app.add_option("--configs", shared.configs,
                 "folder with archs/, spaces/ and shapes/; else the installed one");
}

void add_variant(CLI::App& app, VariantOptions& options, Shared& shared) {
  app.add_option("VARIANT", options.variant,
                 "the beginning of a key in the database, a JSON object of parameters, or - for "
                 "such an object on standard input");
  app.add_option("--params", options.params, "JSON object of parameters, instead of VARIANT");
  add_db(app, shared);
  add_configs(app, shared);
}

void add_templates(CLI::App& app, Shared& shared) {
  app.add_option("--templates", shared.templates, "folder of kernel templates; else the installed");
}

void add_rocm(CLI::App& app, Shared& shared, const char* what) {
  app.add_option("--rocm", shared.rocm, what);
}

struct CommandLine {
  Shared shared;
  TuneOptions tune;
  SpaceOptions space;
  VariantOptions variant;
  VerifyOptions verify;
  LookupOptions lookup;
  RecordOptions record;
  BenchOptions bench;
  std::optional<std::string> shard;
  std::string merged;
  std::vector<std::string> merge_inputs;
  ProductionLine production;
  ReportOptions report;
  std::string out;
  bool json = false;
};

void describe_tune(CLI::App& app, CommandLine& line) {
  CLI::App& tune = *app.add_subcommand("tune", "find the fastest variant for each problem");
  tune.add_option("--arch", line.tune.arch, "gfx950, gfx942, sm_90, host")->required();
  tune.add_option("--shapes", line.tune.shapes,
                  "YAML file of problems; else quick.yaml of the configurations");
  add_db(tune, line.shared);
  const std::map<std::string, DeviceChoice> devices = {{"auto", DeviceChoice::automatic},
                                                       {"gpu", DeviceChoice::gpu},
                                                       {"host", DeviceChoice::host},
                                                       {"none", DeviceChoice::none}};
  tune.add_option("--device", line.tune.device,
                  "auto: the arch's GPU, else predictions checked on the CPU; gpu: that or "
                  "nothing; host: the CPU; none: compile and rank only")
      ->transform(CLI::CheckedTransformer(devices, CLI::ignore_case).description(""))
      ->type_name("auto|gpu|host|none");
  tune.add_option("--jobs", line.tune.jobs, "helper processes; else one for each core")
      ->check(CLI::Range(1, 1024));
  tune.add_option("--budget", line.tune.budget_seconds,
                  "time to spend on compiling, such as 90s, 10m, 2h; else until done")
      ->transform(
          CLI::AsNumberWithUnit(std::map<std::string, double>{{"s", 1}, {"m", 60}, {"h", 3600}},
                                CLI::AsNumberWithUnit::CASE_INSENSITIVE, "TIME"));
  tune.add_option("--seed", line.tune.seed, "of the search and the inputs");
  add_rocm(tune, line.shared, "release (7.2) or folder of the ROCm to compile with");
  tune.add_option("--code-objects", line.tune.code_objects,
                  "how many to compile at most for one arch");
  tune.add_flag("--exhaustive", line.tune.exhaustive,
                "compile every code object, or --code-objects spread over the space, and measure "
                "all: a record of the space, not a search");
  tune.add_option("--launches", line.tune.launches,
                  "how many ways to launch each code object are tried for each problem; else 2")
      ->check(CLI::Range(1, 1000));
  tune.add_flag("--retry", line.tune.retry, "try again what failed, hung or crashed before");
  tune.add_option(
          "--shard", line.shard,
          "I/N: the I-th of N runs that share the problems; `db merge` joins what they find")
      ->type_name("I/N");
  tune.add_flag("--warm-cache", line.tune.warm_cache,
                "time with the inputs in cache, and store that as problems of their own");
  tune.add_option("--verify", line.tune.verify, "how many of the best of each problem to check")
      ->check(CLI::Range(1, 1000));
  add_configs(tune, line.shared);
  add_templates(tune, line.shared);
}

void describe_variants(CLI::App& app, CommandLine& line) {
  CLI::App& show = *app.add_subcommand("show", "print a variant's translation units");
  add_variant(show, line.variant, line.shared);
  show.add_option("--arch", line.variant.arch, "warn where this arch's space does not admit it");

  CLI::App& emit = *app.add_subcommand(
      "emit", "write a variant's code objects and how to launch them (launch.json)");
  add_variant(emit, line.variant, line.shared);
  emit.add_option("--arch", line.variant.arch, "to compile for")->required();
  emit.add_option("--out", line.out, "folder to write into; created")->required();
  add_rocm(emit, line.shared, "release (7.2) or folder of the ROCm to compile with");
  add_templates(emit, line.shared);

  CLI::App& verify =
      *app.add_subcommand("verify", "run a variant on the CPU and compare with the reference");
  add_variant(verify, line.variant, line.shared);
  verify.add_option("--arch", line.variant.arch, "whose formats and tolerance hold")->required();
  verify.add_option("--seed", line.verify.seed, "of the inputs");
  verify.add_flag("--json", line.json, "as JSON");
  add_templates(verify, line.shared);
}

void describe_questions(CLI::App& app, CommandLine& line) {
  CLI::App& space =
      *app.add_subcommand("space", "count the variants of each template, and what refused others");
  space.add_option("--arch", line.space.arch, "gfx950, gfx942, sm_90, host")->required();
  space.add_flag("--json", line.json, "as JSON");
  add_configs(space, line.shared);

  CLI::App& lookup =
      *app.add_subcommand("lookup", "ask the dispatcher for the best variant for a problem");
  LookupOptions& ask = line.lookup;
  add_db(lookup, line.shared);
  lookup.add_option("--arch", ask.arch, "never answered from another")->required();
  lookup.add_option("--heads", ask.heads, "query heads of this rank, 1 to 128")->required();
  lookup.add_option("--tokens", ask.tokens, "query rows")->required();
  lookup.add_option("--main-len", ask.main_len, "keys per token in the main scope")->required();
  lookup.add_option("--extra-len", ask.extra_len, "keys per token in the extra scope; 0: absent")
      ->capture_default_str();
  lookup.add_option("--main-page", ask.main_page, "tokens per page")->capture_default_str();
  lookup.add_option("--extra-page", ask.extra_page, "tokens per page")->capture_default_str();
  add_rocm(lookup, line.shared, "winners of this release alone, such as 7.2; else of all");
  lookup.add_flag("--json", line.json, "as JSON");
  add_configs(lookup, line.shared);

  CLI::App& db =
      *app.add_subcommand("db", "what databases hold: db stats, db check, db merge, db migrate");
  db.require_subcommand(1);
  for (const char* name : {"stats", "check"}) {
    CLI::App& one = *db.add_subcommand(
        name, *name == 's' ? "count rows and verdicts" : "look for damage in the content");
    add_db(one, line.shared);
    one.add_flag("--json", line.json, "as JSON");
  }

  CLI::App& merge = *db.add_subcommand(
      "merge", "give OUT every row of the INs that it lacks, or nothing where they contradict");
  merge.add_option("OUT", line.merged, "database to write; made where it is not there")->required();
  merge.add_option("IN", line.merge_inputs, "databases to read")->required();
  merge.add_flag("--json", line.json, "as JSON");
  add_db(*db.add_subcommand("migrate", "bring a file of an older format to this program's"),
         line.shared);

  CLI::App& bench =
      *app.add_subcommand("bench", "time stored winners again on this device, against baselines");
  add_db(bench, line.shared);
  bench.add_option("--arch", line.bench.arch, "whose winners; else the one arch that has any");
  bench.add_option("--shapes", line.bench.shapes, "only the problems of this YAML file");
  bench
      .add_option("--baseline", line.bench.baselines,
                  "variants to compare with: the beginning of a key, a JSON object of parameters, "
                  "or a file of one; else the dispatcher's fallback")
      ->expected(1, 8);
  bench.add_option("--seed", line.bench.seed, "of the inputs")->capture_default_str();
  bench.add_flag("--json", line.json, "as JSON");
  add_rocm(bench, line.shared, "release (7.2) or folder of the ROCm to compile with");
  add_configs(bench, line.shared);
  add_templates(bench, line.shared);

  CLI::App& record = *app.add_subcommand(
      "record", "write the measured times of an arch, raw samples and all, into one file");
  add_db(record, line.shared);
  record.add_option("--arch", line.record.arch, "whose times")->required();
  record.add_option("--out", line.record.out, "file to write: JSON compressed by zstd")->required();
  record.add_option("--shapes", line.record.shapes, "only the problems of this YAML file");
  add_rocm(record, line.shared, "release of the compiler; else the newest with times");
  add_configs(record, line.shared);

  CLI::App& doctor = *app.add_subcommand(
      "doctor", "what is there to compile and run with, what is missing and how to get it");
  add_db(doctor, line.shared);
  doctor.add_flag("--json", line.json, "as JSON");
}

int run_report(CommandLine& line) {
  if (line.report.databases.empty()) line.report.databases.push_back(default_database().string());
  line.report.version = MLA_VERSION;
  return report_command(line.report);
}

int run_tune(CommandLine& line, const std::string& words) {
  const std::filesystem::path db = database(line.shared);
  if (line.shared.db.empty()) {
    std::error_code ignored;  // opening the database says it better
    std::filesystem::create_directories(db.parent_path(), ignored);
  }
  line.tune.db = db.string();
  line.tune.rocm = line.shared.rocm;
  line.tune.configs = line.shared.configs;
  line.tune.templates = line.shared.templates;
  line.tune.command = words;
  if (line.shard) line.tune.shard = parse_shard(*line.shard);
  return tune_command(line.tune);
}

int run(CLI::App& app, CommandLine& line, const std::string& words) {
  if (app.got_subcommand("tune")) return run_tune(line, words);
  if (const auto code = run_production(app, line.production, words)) return *code;
  // The others read, and have nothing to finish.
  if (app.got_subcommand("emit") || app.got_subcommand("verify") || app.got_subcommand("bench")) {
    catch_interrupts();
  } else {
    end_on_interrupts();
  }
  const Shared& shared = line.shared;
  if (app.got_subcommand("space")) {
    line.space.configs = shared.configs;
    line.space.json = line.json;
    return space_command(line.space);
  }
  if (app.got_subcommand("doctor")) return doctor_command(database(shared), line.json);
  if (app.got_subcommand("db")) {
    const CLI::App& asked = *app.get_subcommand("db");
    if (asked.got_subcommand("merge"))
      return db_merge_command(line.merged, {line.merge_inputs.begin(), line.merge_inputs.end()},
                              line.json);
    if (asked.got_subcommand("migrate")) return db_migrate_command(database(shared));
    return asked.got_subcommand("stats") ? db_stats_command(database(shared), line.json)
                                         : db_check_command(database(shared), line.json);
  }
  if (app.got_subcommand("bench")) {
    line.bench.db = database(shared);
    line.bench.rocm = shared.rocm;
    line.bench.configs = shared.configs;
    line.bench.templates = shared.templates;
    line.bench.json = line.json;
    return bench_command(line.bench);
  }
  if (app.got_subcommand("record")) {
    line.record.db = database(shared);
    line.record.rocm = shared.rocm;
    line.record.configs = shared.configs;
    return record_command(line.record);
  }
  if (app.got_subcommand("report")) return run_report(line);
  if (app.got_subcommand("lookup")) {
    line.lookup.db = database(shared);
    line.lookup.rocm = shared.rocm;
    line.lookup.configs = shared.configs;
    line.lookup.json = line.json;
    return lookup_command(line.lookup);
  }
  line.variant.db = database(shared);
  line.variant.rocm = shared.rocm;
  line.variant.configs = shared.configs;
  line.variant.templates = shared.templates;
  if (app.got_subcommand("show")) return show_command(line.variant);
  if (app.got_subcommand("emit")) return emit_command(line.variant, line.out);
  line.verify.variant = line.variant;
  line.verify.json = line.json;
  return verify_command(line.verify);
}

// A first word that is an option belongs to `tune`; without any word there is help.
std::vector<std::string> with_default_command(int argc, char** argv, const CLI::App& app) {
  std::vector<std::string> words(argv + 1, argv + argc);
  if (words.empty()) words.push_back("--help");
  const std::string first = words[0];
  if (first == "-h" || first == "--help" || first == "--version") return words;
  if (first.starts_with("-")) {
    words.insert(words.begin(), "tune");
    return words;
  }
  std::vector<std::string> commands;
  for (const CLI::App* command : app.get_subcommands(nullptr))
    commands.push_back(command->get_name());
  if (std::ranges::find(commands, first) == commands.end())
    throw Error(ErrorKind::usage,
                fmt::format("unknown command '{}'{}", first, suggestion(first, commands)));
  return words;
}

int main_of(int argc, char** argv) {
  CommandLine line;
  CLI::App app{"Finds the fastest variant of sparse MLA decode for a GPU, with or without one.",
               "mla-tune"};
  app.footer(kFooter);
  app.set_help_flag();
  app.set_help_all_flag("-h,--help", "print this, for all commands");
  app.set_version_flag("--version", MLA_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  describe_tune(app, line);
  describe_questions(app, line);
  describe_variants(app, line);
  describe_production(app, line.production);
  describe_report(app, line.report);
  const std::vector<std::string> words = with_default_command(argc, argv, app);
  try {
    // CLI11 takes the words from the back.
    std::vector<std::string> reversed(words.rbegin(), words.rend());
    app.parse(reversed);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == static_cast<int>(CLI::ExitCodes::Success)) return app.exit(error);
    throw Error(
        ErrorKind::usage,
        fmt::format("{}\nmla-tune --help lists the commands and their options", error.what()));
  }
  return run(app, line, fmt::format("{}", fmt::join(words, " ")));
}

int report(ErrorKind kind, const std::string& message) {
  std::fflush(stdout);
  fmt::print(stderr, "mla-tune: {}\n", message);
  return static_cast<int>(kind);
}

}  // namespace
}  // namespace mla

int main(int argc, char** argv) {
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows too long is an error like any other
  try {
    const int code = mla::main_of(argc, argv);
    if (std::fflush(stdout) != 0 || std::ferror(stdout) != 0)
      return mla::report(mla::ErrorKind::system, "cannot write to standard output");
    return code;
  } catch (const mla::Error& error) {
    return mla::report(error.kind(), error.what());
  } catch (const std::bad_alloc&) {
    return mla::report(mla::ErrorKind::system,
                       "out of memory: run with fewer --jobs, or close something");
  } catch (const std::system_error& error) {  // fmt's, where standard output takes no more
    return mla::report(mla::ErrorKind::system, error.what());
  } catch (const std::exception& error) {
    return mla::report(mla::ErrorKind::internal,
                       fmt::format("a mistake in mla-tune itself: {}; please report it with the "
                                   "command line",
                                   error.what()));
  }
}
