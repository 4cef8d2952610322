#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace mla {

// The subcommands of mla-tune besides `tune`. Each prints its result on standard output and returns
// the exit code; what goes wrong is an Error. Empty folders mean the installed ones.

struct SpaceOptions {
  std::string arch;
  std::string configs;
  bool json = false;
};
// How many points each space has, admits and refuses. Throws Error{usage}, after printing, where a
// space admits none.
int space_command(const SpaceOptions& options);

// A variant and where to look it up; see tuner/variant_argument.hpp.
struct VariantOptions {
  std::string variant;  // empty where params is given
  std::string params;   // JSON
  std::filesystem::path db;
  std::string arch;
  std::string rocm;
  std::string configs;
  std::string templates;
};

// Prints the variant's translation units.
int show_command(const VariantOptions& options);

// Compiles the variant's kernels and writes them and launch.json into `out`, each file whole or not
// at all.
int emit_command(const VariantOptions& options, const std::filesystem::path& out);

struct VerifyOptions {
  VariantOptions variant;
  std::uint64_t seed = 1;
  bool json = false;
};
// Runs the variant on the CPU on inputs with every kind of trouble, and compares with the
// reference. Returns 0 where everything is right, 5 where something is not.
int verify_command(const VerifyOptions& options);

struct LookupOptions {
  std::filesystem::path db;
  std::string arch;
  std::string rocm;
  std::string configs;
  int heads = 0, tokens = 0, main_len = 0, extra_len = 0, main_page = 64, extra_page = 64;
  bool json = false;
};
// Answers through the dispatcher's own code.
int lookup_command(const LookupOptions& options);

struct BenchOptions {
  std::filesystem::path db;
  std::string arch;    // empty: the one that has winners
  std::string shapes;  // file; empty: every problem that has a winner
  // Keys, JSON objects or files of such; empty: the variant that the dispatcher falls back to.
  std::vector<std::string> baselines;
  std::string rocm;
  std::string configs;
  std::string templates;
  std::uint64_t seed = 2;  // of inputs; tuning uses 1 unless told otherwise
  bool json = false;
};
// Times the stored winners again on the present device, interleaved with the baselines, and prints
// how they compare. Stores nothing. Returns 5 where a winner failed.
int bench_command(const BenchOptions& options);

struct RecordOptions {
  std::filesystem::path db;
  std::filesystem::path out;
  std::string arch;
  std::string shapes;  // file; empty: all problems of the database
  std::string rocm;
  std::string configs;
};
// Writes what the database knows of an arch's measured times as one file, whole or not at all; see
// tuner/record.hpp. Throws Error{usage} where there is nothing.
int record_command(const RecordOptions& options);

struct ReportOptions {
  std::vector<std::string> databases;
  // Selectors; see reports/select.hpp. Both empty: the two releases, where there are just two.
  std::string baseline;
  std::string candidate;
  std::string arch;       // empty: all
  std::string threshold;  // "3%"; empty: that
  // Files to write; empty: not.
  std::string html, markdown, json, junit;
  bool open = false;       // the page, in a browser
  bool landscape = false;  // of `candidate` alone
  std::string configs;
  std::string version;  // of this program
};
// Compares two toolchains, sessions or devices, or looks at one of them, writes the files asked for
// and prints a summary. Returns 0, 3 where something regressed beyond the threshold, 4 where
// something is broken; and catches Errors itself, so that none of them has one of these codes: 5
// where a database cannot be used.
int report_command(const ReportOptions& options);
// Adds the command and its options, which are read into `options`.
void describe_report(CLI::App& app, ReportOptions& options);

int db_stats_command(const std::filesystem::path& db, bool json);
// Returns 3 where the content is damaged.
int db_check_command(const std::filesystem::path& db, bool json);

// Gives `out` the rows of the inputs that it lacks; see db/merge.hpp.
int db_merge_command(const std::filesystem::path& out,
                     const std::vector<std::filesystem::path>& inputs, bool json);
// Brings a file of an older format to this program's; it must exist.
int db_migrate_command(const std::filesystem::path& db);

// What is there to compile and to run with, and what is missing.
int doctor_command(const std::filesystem::path& db, bool json);

}  // namespace mla
