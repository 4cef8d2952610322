#include "db/merge.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "db/error.hpp"
#include "db/merge_rows.hpp"
#include "db/schema.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kToldConflicts = 10;

void require_format(const fs::path& path, StoreMode mode) {
  const int format = Store::stored_format(path, mode);
  if (format == 0 || format == kSchemaVersion) return;
  throw Error(
      ErrorKind::database,
      fmt::format("{} has format {}, and files of format {} are merged. Nothing was merged; bring "
                  "it along with `mla-tune db migrate --db {}`, and merge again.",
                  path.string(), format, kSchemaVersion, path.string()));
}

void check_paths(const fs::path& out, const std::vector<fs::path>& inputs) {
  if (inputs.empty())
    throw Error(ErrorKind::usage, "nothing to merge: name at least one database after OUT");
  for (const fs::path& in : inputs) {
    std::error_code not_there;
    if (fs::equivalent(out, in, not_there))
      throw Error(ErrorKind::usage,
                  fmt::format("{} is both OUT and an input{}: leave it out of the inputs, its rows "
                              "stay where they are. Nothing was merged.",
                              out.string(), out == in ? "" : " (" + in.string() + ")"));
  }
  for (const fs::path& in : inputs) require_format(in, StoreMode::read_only);
  if (fs::exists(out)) require_format(out, StoreMode::read_write_create);
}

// A merge would spread what is wrong with a file.
void check_content(Store& in, const fs::path& path) {
  const std::vector<std::string> wrong = in.check();
  if (wrong.empty()) return;
  throw Error(ErrorKind::database,
              fmt::format("{} is damaged: {}{}. Nothing was merged; leave it out, or restore a "
                          "copy. `mla-tune db check --db {}` tells all.",
                          path.string(), wrong.front(),
                          wrong.size() > 1 ? fmt::format(" (and {} more)", wrong.size() - 1) : "",
                          path.string()));
}

void refuse_conflicts(const std::vector<std::string>& conflicts, const fs::path& out) {
  if (conflicts.empty()) return;
  const std::size_t told = std::min(conflicts.size(), kToldConflicts);
  throw Error(
      ErrorKind::database,
      fmt::format(
          "nothing was merged into {}: {} row{} with the same identity contradict each "
          "other\n  {}{}\nLeave out the file that is wrong, or tune again into a new one.",
          out.string(), conflicts.size(), conflicts.size() == 1 ? "" : "s",
          fmt::join(conflicts.begin(), conflicts.begin() + static_cast<std::ptrdiff_t>(told),
                    "\n  "),
          conflicts.size() > told ? fmt::format("\n  and {} more", conflicts.size() - told) : ""));
}

}  // namespace

MergeReport merge_databases(const fs::path& out, const std::vector<fs::path>& inputs,
                            const StoreOptions& options) {
  check_paths(out, inputs);
  MergeReport report;
  report.created = !fs::exists(out);
  Store store = Store::open(out, StoreMode::read_write_create, options);
  const auto before = Store::Merge::counts(store);
  for (const auto& [table, rows] : before) report.tables.push_back({.name = table});
  try {
    auto transaction = store.transaction();
    Store::Merge merge(store, out.string());
    for (const fs::path& path : inputs) {
      Store in = Store::open(path, StoreMode::read_only, options);
      check_content(in, path);
      const auto rows = merge.take(in, path.string());
      for (std::size_t i = 0; i < rows.size(); ++i) report.tables[i].read += rows[i].second;
    }
    refuse_conflicts(merge.conflicts(), out);
    merge.put_in_order();
    const auto after = Store::Merge::counts(store);
    for (std::size_t i = 0; i < after.size(); ++i) {
      MergeReport::Table& table = report.tables[i];
      table.added = after[i].second - before[i].second;
      if (table.name == "code_objects") table.updated = merge.updated_code_objects();
      if (table.name == "sessions") table.updated = merge.updated_sessions();
    }
    transaction.commit();
  } catch (...) {
    // Gone while the writer's lock is held. What another program put there meanwhile stays.
    const bool empty = std::ranges::all_of(before, [](const auto& row) { return row.second == 0; });
    for (const char* end : {"", "-wal", "-shm"}) {
      std::error_code ignored;
      if (report.created && empty) fs::remove(out.string() + end, ignored);
    }
    throw;
  }
  return report;
}

}  // namespace mla
