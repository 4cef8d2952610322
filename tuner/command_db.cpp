#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "db/error.hpp"
#include "db/store.hpp"
#include "tuner/commands.hpp"

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

Json verdicts_json(const std::vector<StoreStats::VerdictCount>& counts) {
  Json list = Json::array();
  for (const auto& c : counts)
    list.push_back(
        {{"arch", c.arch}, {"rocm", c.rocm}, {"verdict", name(c.verdict)}, {"count", c.count}});
  return list;
}

void print_verdicts(const char* title, const std::vector<StoreStats::VerdictCount>& counts) {
  fmt::print("{} by verdict\n", title);
  for (const auto& c : counts)
    fmt::print("  {:<8} {:<8} {:<16} {:>10}\n", c.arch, c.rocm, name(c.verdict), c.count);
  if (counts.empty()) fmt::print("  none\n");
}

}  // namespace

int db_stats_command(const std::filesystem::path& db, bool json) {
  const StoreStats stats = Store::open(db, StoreMode::read_only).stats();
  if (json) {
    Json winners = Json::array(), tables = Json::object();
    for (const auto& [table, rows] : stats.tables) tables[table] = rows;
    for (const auto& w : stats.winners)
      winners.push_back(
          {{"arch", w.arch}, {"rocm", w.rocm}, {"evidence", name(w.evidence)}, {"count", w.count}});
    const Json all = {{"path", db.string()},
                      {"format", stats.format},
                      {"bytes", stats.bytes},
                      {"tables", tables},
                      {"variants", verdicts_json(stats.variants)},
                      {"code_objects", verdicts_json(stats.code_objects)},
                      {"measurements", verdicts_json(stats.measurements)},
                      {"winners", winners}};
    fmt::print("{}\n", all.dump(2));
    return 0;
  }
  fmt::print("{}: format {}, {:.1f} MB\nrows\n", db.string(), stats.format,
             static_cast<double>(stats.bytes) / 1e6);
  for (const auto& [table, rows] : stats.tables) fmt::print("  {:<34} {:>10}\n", table, rows);
  print_verdicts("variants", stats.variants);
  print_verdicts("code objects", stats.code_objects);
  print_verdicts("measurements", stats.measurements);
  fmt::print("problems with a winner\n");
  for (const auto& w : stats.winners)
    fmt::print("  {:<8} {:<8} {:<16} {:>10}\n", w.arch, w.rocm, name(w.evidence), w.count);
  if (stats.winners.empty()) fmt::print("  none\n");
  return 0;
}

int db_check_command(const std::filesystem::path& db, bool json) {
  const std::vector<std::string> wrong = Store::open(db, StoreMode::read_only).check();
  if (json) {
    fmt::print("{}\n",
               Json{{"path", db.string()}, {"ok", wrong.empty()}, {"wrong", wrong}}.dump(2));
  } else {
    for (const std::string& line : wrong) fmt::print("{}\n", line);
    if (wrong.empty()) fmt::print("{}: nothing is wrong\n", db.string());
  }
  if (wrong.empty()) return 0;
  fmt::print(stderr, "{} is damaged: restore a copy, or start a new file and tune again\n",
             db.string());
  return static_cast<int>(ErrorKind::database);
}

}  // namespace mla
