#include <fmt/format.h>

#include <fstream>
#include <iterator>

#include "db/bundle.hpp"
#include "db/error.hpp"
#include "db/signature.hpp"
#include "tuner/import.hpp"
#include "tuner/production.hpp"
#include "tuner/session.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

std::string text_of(const fs::path& path) {
  std::error_code ignored;
  std::ifstream file(path, std::ios::binary);
  if (!file || fs::is_directory(path, ignored))
    throw Error(ErrorKind::usage, fmt::format("cannot read {}: name a bundle, a CSV or a JSON file "
                                              "that `mla-tune export` wrote",
                                              path.string()));
  return {std::istreambuf_iterator<char>(file), {}};
}

std::vector<KnownWinner> winners_of(const Bundle& bundle) {
  std::vector<KnownWinner> winners;
  for (const std::string& arch : bundle.archs()) {
    const std::vector<WinnerOrigin> origins = bundle.origins(arch);
    const std::vector<BundleWinner> rows = bundle.winners(arch);
    for (std::size_t i = 0; i < rows.size(); ++i)
      winners.push_back({rows[i].winner, origins.at(i)});
  }
  return winners;
}

std::vector<KnownWinner> read_winners(const ImportOptions& options) {
  const std::string name = options.file.string();
  const std::string text = text_of(options.file);
  if (text.starts_with("SQLite format 3")) {
    BundleOptions bundle{
        .allow_untrusted = options.checks.allow_untrusted, .public_key = {}, .eager = false};
    if (!options.checks.verify_key.empty())
      bundle.public_key = read_public_key(options.checks.verify_key);
    return winners_of(Bundle::open(options.file, bundle));
  }
  if (!options.checks.verify_key.empty())
    throw Error(ErrorKind::usage, fmt::format("{} is text, and text is not signed: leave "
                                              "--verify-key out, or name a bundle",
                                              name));
  if (text.find_first_not_of(" \t\r\n") != std::string::npos &&
      text[text.find_first_not_of(" \t\r\n")] == '{')
    return read_winners_json(text, name);
  return read_winners_csv(text, name);
}

}  // namespace

int import_command(const ImportOptions& options) {
  const std::vector<KnownWinner> winners = read_winners(options);
  Store store = Store::open(options.db, StoreMode::read_write_create);
  const ImportReport report = import_winners(store, winners, new_session(options.command, 0));
  for (const std::string& conflict : report.conflicts) fmt::print("conflict: {}\n", conflict);
  fmt::print("{} winners: {} added, {} known, {} conflicts\n", winners.size(), report.added,
             report.known, report.conflicts.size());
  return 0;
}

}  // namespace mla
