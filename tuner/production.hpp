#pragma once

#include <CLI/CLI.hpp>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mla {

// The commands between a tuning database and production: export, import, bundle. As in commands.hpp
// each prints its result and returns the exit code; what goes wrong is an Error.

struct ExportOptions {
  std::filesystem::path db;
  std::filesystem::path out;  // these four: empty where not asked for
  std::filesystem::path csv, json, cpp;
  std::vector<std::string> archs;
  std::string rocm;
  std::filesystem::path sign;
  std::string templates;
  int jobs = 0;  // 0: one for each core
};
int export_command(const ExportOptions& options);

struct BundleChecks {
  std::filesystem::path verify_key;  // empty: none is asked for
  bool allow_untrusted = false;
};

struct ImportOptions {
  std::filesystem::path file;
  std::filesystem::path db;
  BundleChecks checks;  // of a bundle
  std::string command;  // the command line, for the record
};
int import_command(const ImportOptions& options);

// Everything that opening checks and each code object's checksum; prints what is in it.
int bundle_verify_command(const std::filesystem::path& bundle, const BundleChecks& checks,
                          bool json);
// Writes NAME.key (mode 0600) and NAME.pub; neither may exist.
int bundle_keygen_command(const std::string& name);

// What of the command line is theirs.
struct ProductionLine {
  ExportOptions exporting;
  ImportOptions importing;
  std::filesystem::path bundle;
  std::string key_name;
  bool json = false;
};
void describe_production(CLI::App& app, ProductionLine& line);
// Runs the one that was named; nothing where it is another command.
std::optional<int> run_production(CLI::App& app, ProductionLine& line, const std::string& words);

}  // namespace mla
