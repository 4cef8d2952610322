#include "tuner/production.hpp"

#include "tuner/folders.hpp"
#include "tuner/interrupt.hpp"

namespace mla {
namespace {

constexpr const char* kDb =
    "database file; else tuning.db in ${XDG_DATA_HOME:-~/.local/share}/mla-tune";

void add_checks(CLI::App& app, BundleChecks& checks) {
  app.add_option("--verify-key", checks.verify_key,
                 "public key (PEM) that must have signed the bundle");
  app.add_flag("--allow-untrusted", checks.allow_untrusted,
               "also a bundle that others own or may write");
}

}  // namespace

void describe_production(CLI::App& app, ProductionLine& line) {
  ExportOptions& options = line.exporting;
  CLI::App& exporting = *app.add_subcommand(
      "export", "write winners and their code objects into one file for production");
  exporting.add_option("--db", options.db, kDb);
  exporting.add_option("--out", options.out, "bundle to write");
  exporting.add_option("--arch", options.archs, "whose winners; else of every arch that has any");
  exporting.add_option("--rocm", options.rocm,
                       "winners compiled by this release alone, such as 7.2; else of all");
  exporting.add_option("--sign", options.sign, "Ed25519 key (PEM) to sign the bundle with");
  exporting.add_option("--csv", options.csv, "file for the winners as CSV");
  exporting.add_option("--json", options.json, "file for the winners as JSON");
  exporting.add_option("--cpp", options.cpp,
                       "folder for C++ source with the bundle in it, and its CMakeLists.txt");
  exporting.add_option("--jobs", options.jobs, "helper processes; else one for each core")
      ->check(CLI::Range(1, 1024));
  exporting.add_option("--templates", options.templates,
                       "folder of kernel templates; else the installed");

  CLI::App& importing = *app.add_subcommand(
      "import", "merge the winners of a bundle, a CSV or a JSON file into a database");
  importing.add_option("FILE", line.importing.file, "what export wrote")->required();
  importing.add_option("--db", line.importing.db, kDb);
  add_checks(importing, line.importing.checks);

  CLI::App& bundle = *app.add_subcommand("bundle", "bundle verify FILE, bundle keygen --out NAME");
  bundle.require_subcommand(1);
  CLI::App& verify = *bundle.add_subcommand("verify", "check a bundle and say what is in it");
  verify.add_option("FILE", line.bundle, "what export --out wrote")->required();
  add_checks(verify, line.importing.checks);
  verify.add_flag("--json", line.json, "as JSON");
  CLI::App& keygen = *bundle.add_subcommand("keygen", "make a key pair for signing bundles");
  keygen.add_option("--out", line.key_name, "NAME.key and NAME.pub are written")->required();
}

std::optional<int> run_production(CLI::App& app, ProductionLine& line, const std::string& words) {
  if (app.got_subcommand("export")) {
    catch_interrupts();
    if (line.exporting.db.empty()) line.exporting.db = default_database();
    return export_command(line.exporting);
  }
  if (app.got_subcommand("import")) {
    end_on_interrupts();  // a transaction is stored whole or not at all
    if (line.importing.db.empty()) line.importing.db = default_database();
    line.importing.command = words;
    return import_command(line.importing);
  }
  if (!app.got_subcommand("bundle")) return std::nullopt;
  end_on_interrupts();
  if (app.get_subcommand("bundle")->got_subcommand("keygen"))
    return bundle_keygen_command(line.key_name);
  return bundle_verify_command(line.bundle, line.importing.checks, line.json);
}

}  // namespace mla
