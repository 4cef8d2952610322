#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "db/merge.hpp"
#include "db/schema.hpp"
#include "tuner/commands.hpp"

namespace mla {

int db_merge_command(const std::filesystem::path& out,
                     const std::vector<std::filesystem::path>& inputs, bool json) {
  const MergeReport report = merge_databases(out, inputs);
  if (json) {
    nlohmann::ordered_json tables;
    for (const MergeReport::Table& t : report.tables)
      tables[t.name] = {{"read", t.read}, {"added", t.added}, {"updated", t.updated}};
    const nlohmann::ordered_json all = {
        {"path", out.string()}, {"created", report.created}, {"tables", tables}};
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  fmt::print("{:<22} {:>10} {:>10} {:>10}\n", "rows", "read", "added", "updated");
  for (const MergeReport::Table& t : report.tables)
    fmt::print("{:<22} {:>10} {:>10} {:>10}\n", t.name, t.read, t.added, t.updated);
  fmt::print("{} {}\n", report.created ? "Made" : "Merged into", out.string());
  return 0;
}

int db_migrate_command(const std::filesystem::path& db) {
  const int before = Store::stored_format(db, StoreMode::read_write_create);
  if (before == 0) Store::open(db, StoreMode::read_only);  // says that it is empty
  Store::open(db, StoreMode::read_write_create);
  if (before == kSchemaVersion)
    fmt::print("{} has format {} already\n", db.string(), before);
  else
    fmt::print("{} was brought from format {} to {}\n", db.string(), before, kSchemaVersion);
  return 0;
}

}  // namespace mla
