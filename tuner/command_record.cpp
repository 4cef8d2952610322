#include <fmt/format.h>

#include <map>
#include <set>

#include "db/error.hpp"
#include "tuner/commands.hpp"
#include "tuner/record.hpp"
#include "tuner/shapes.hpp"
#include "tuner/tune_command.hpp"
#include "tuner/whole_file.hpp"

namespace mla {

namespace fs = std::filesystem;

int record_command(const RecordOptions& options) {
  const fs::path configs = configs_folder(options.configs);
  const Arch arch = load_arch(configs, options.arch);
  std::vector<ProblemRecord> problems;
  if (!options.shapes.empty()) problems = load_shapes(options.shapes, arch);
  Store store = Store::open(options.db, StoreMode::read_only);
  const Record record = collect_record(store, arch, options.rocm, problems);
  const std::string bytes = encode_record(record);
  write_whole(options.out, bytes);
  std::size_t samples = 0;
  std::map<int, std::set<int>> variants;
  for (const RecordRow& row : record.rows) {
    samples += row.samples_us.size();
    variants[row.problem].insert(row.variant);
  }
  std::size_t fewest = record.variants.size();
  for (const auto& [problem, its] : variants) fewest = std::min(fewest, its.size());
  fmt::print(
      "{}: {} {} {}, {} problems, {} variants ({} at least for each problem), {} rows, {} "
      "samples, {:.2f} MB\n",
      options.out.string(), record.arch, record.compiler, record.release, record.problems.size(),
      record.variants.size(), fewest, record.rows.size(), samples,
      static_cast<double>(bytes.size()) / 1e6);
  return 0;
}

}  // namespace mla
