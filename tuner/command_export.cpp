#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <map>
#include <string_view>
#include <thread>

#include "db/bundle.hpp"
#include "db/bundle_write.hpp"
#include "db/error.hpp"
#include "tuner/embed.hpp"
#include "tuner/export.hpp"
#include "tuner/interrupt.hpp"
#include "tuner/production.hpp"
#include "tuner/whole_file.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

// The compilers of this machine, one pool for each that is asked for.
class Compilers {
 public:
  Compilers(Cache& cache, int jobs) : cache_(cache), jobs_(jobs) {}

  Compiler& of(const std::string& arch, const std::string& release) {
    std::unique_ptr<Compiler>& pool = pools_[{arch, release}];
    if (!pool) pool = make_pool_compiler(find(arch, release), &cache_, jobs_);
    return *pool;
  }

 private:
  FoundToolchain find(const std::string& arch, const std::string& release) {
    const ToolchainSearch search = search_from_environment();
    const ToolchainList list = arch.starts_with("gfx")   ? find_rocm(search)
                               : arch.starts_with("sm_") ? find_cuda(search)
                                                         : find_host_compiler(search);
    std::string here;
    for (const FoundToolchain& found : list.usable) {
      if (found.record.release == release && found.knows(arch)) return found;
      here += fmt::format("{}{} {}", here.empty() ? "" : ", ", found.record.compiler,
                          found.record.release);
    }
    throw Error(ErrorKind::toolchain,
                fmt::format("winners of {} were compiled by release {}, which is not on this "
                            "machine ({}): export where it is, install it, or choose the winners "
                            "of another release with --rocm",
                            arch, release, here.empty() ? "no compiler for it is" : here));
  }

  Cache& cache_;
  int jobs_;
  std::map<std::pair<std::string, std::string>, std::unique_ptr<Compiler>> pools_;
};

// What was measured must not be written over; a bundle may, by a bundle.
bool would_lose_a_database(const fs::path& path, bool by_bundle) {
  constexpr std::string_view kSqlite = "SQLite format 3";
  std::string start(kSqlite.size(), '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  return file && start == kSqlite && !(by_bundle && is_bundle(path));
}

void check_outputs(const ExportOptions& options) {
  if (options.out.empty() && options.csv.empty() && options.json.empty() && options.cpp.empty())
    throw Error(ErrorKind::usage,
                "nothing to write: name a bundle with --out, or a file with --csv or --json, or a "
                "folder with --cpp");
  if (!options.sign.empty() && options.out.empty() && options.cpp.empty())
    throw Error(ErrorKind::usage, "--sign signs a bundle: name one with --out or --cpp");
  const std::pair<const char*, const fs::path&> files[] = {
      {"--out", options.out}, {"--csv", options.csv}, {"--json", options.json}};
  std::map<fs::path, const char*> named;
  std::error_code ignored;
  for (const auto& [option, path] : files) {
    if (path.empty()) continue;
    if (would_lose_a_database(path, path == options.out))
      throw Error(ErrorKind::usage, fmt::format("{} would replace {}, which is a database: name "
                                                "another file, or move that one away",
                                                option, path.string()));
    const auto [other, is_new] = named.try_emplace(fs::weakly_canonical(path, ignored), option);
    if (!is_new)
      throw Error(ErrorKind::usage, fmt::format("{} and {} name one file, {}: name two",
                                                other->second, option, path.string()));
  }
}

void print_summary(const BundleContents& contents) {
  struct Count {
    std::size_t measured = 0, predicted = 0, codes = 0, bytes = 0;
  };
  std::map<std::string, Count> archs;
  for (const auto& row : contents.winners) {
    Count& count = archs[row.winner.winner.arch];
    ++(row.winner.winner.evidence == Evidence::measured ? count.measured : count.predicted);
  }
  for (const auto& code : contents.code_objects) {
    ++archs[code.arch].codes;
    archs[code.arch].bytes += code.code.size();
  }
  for (const auto& [arch, count] : archs)
    fmt::print("{:<8} {:>6} winners measured, {} predicted; {} code objects, {} KiB\n", arch,
               count.measured, count.predicted, count.codes, count.bytes / 1024);
}

}  // namespace

int export_command(const ExportOptions& options) {
  check_outputs(options);
  std::optional<SigningKey> key;
  if (!options.sign.empty()) key.emplace(read_signing_key(options.sign));
  std::vector<std::string> notes;
  Store store = Store::open(options.db, StoreMode::read_only);
  const std::vector<KnownWinner> winners =
      exported_winners(store, {options.archs, options.rocm}, notes);
  if (!options.csv.empty()) write_whole(options.csv, winners_csv(winners));
  if (!options.json.empty()) write_whole(options.json, winners_json(winners));
  if (!options.out.empty() || !options.cpp.empty()) {
    const int jobs = options.jobs > 0
                         ? options.jobs
                         : static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
    Cache cache(default_cache_folder());
    Compilers compilers(cache, jobs);
    TextProgress progress(stdout, ::isatty(STDOUT_FILENO) != 0);
    const ExportParts parts{
        .store = store,
        .headers = read_headers(templates_folder(options.templates)),
        .compiler = [&](const std::string& arch, const std::string& release) -> Compiler& {
          return compilers.of(arch, release);
        },
        .progress = progress,
        .stop = [] { return interrupted(); },
        .jobs = jobs};
    const BundleContents contents = collect_bundle(winners, parts, notes);
    const SigningKey* signer = key ? &*key : nullptr;
    if (!options.out.empty()) write_bundle(options.out, contents, signer);
    if (!options.cpp.empty()) embed_bundle(options.cpp, contents, bundle_bytes(contents, signer));
    print_summary(contents);
  }
  for (const fs::path& path : {options.out, options.csv, options.json, options.cpp})
    if (!path.empty()) fmt::print("{}\n", path.string());
  if (key) fmt::print("signed by {}\n", hex(key->public_key()));
  for (const std::string& note : notes) fmt::print(stderr, "note: {}\n", note);
  return 0;
}

}  // namespace mla
