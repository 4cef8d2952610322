#include "reports/facts.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "db/error.hpp"

namespace mla {
namespace {

auto content_of(const Toolchain& t) { return std::tuple(t.compiler, t.release, t.library, t.llvm); }

auto content_of(const Device& d) {
  return std::tuple(d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id,
                    d.partition, d.driver, d.runtime);
}

auto content_of(const ProblemRecord& p) {
  return std::tuple(p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page,
                    p.extra_page, p.main_format, p.extra_format, p.lengths, p.warm_cache);
}

auto content_of(const VariantRecord& v) { return v.key; }

// A table under construction: which content has which place.
template <class Record>
class Merged {
 public:
  using Content = decltype(content_of(std::declval<Record>()));

  // Returns the places of one file's records by their ids there.
  std::map<std::int64_t, int> add(const std::vector<Record>& records, std::vector<Record>& all) {
    std::map<std::int64_t, int> places;
    for (const Record& record : records) {
      const auto [at, is_new] =
          known_.try_emplace(content_of(record), static_cast<int>(all.size()));
      if (is_new) {
        all.push_back(record);
        all.back().id = at->second;
      }
      places[record.id] = at->second;
    }
    return places;
  }

 private:
  std::map<Content, int> known_;
};

class Merging {
 public:
  explicit Merging(Facts& facts) : facts_(facts) {}
  void add(const StoreContent& content, int file);

 private:
  void add_codes(const StoreContent& content, int file, const std::map<std::int64_t, int>& variants,
                 const std::map<std::int64_t, int>& toolchains);

  Facts& facts_;
  Merged<Toolchain> toolchains_;
  Merged<Device> devices_;
  Merged<ProblemRecord> problems_;
  Merged<VariantRecord> variants_;
  std::map<std::string, std::size_t> codes_;  // by key
};

void Merging::add_codes(const StoreContent& content, int file,
                        const std::map<std::int64_t, int>& variants,
                        const std::map<std::int64_t, int>& toolchains) {
  std::map<std::int64_t, std::size_t> places;
  for (const CodeObjectRecord& code : content.code_objects) {
    const auto [at, is_new] = codes_.try_emplace(code.key, facts_.codes.size());
    if (is_new) facts_.codes.emplace_back();
    FactCode& fact = facts_.codes[at->second];
    fact.code = code;
    fact.code.id = static_cast<std::int64_t>(at->second);
    fact.code.toolchain_id = toolchains.at(code.toolchain_id);
    fact.files.push_back(file);
    places[code.id] = at->second;
  }
  for (const auto& [variant, code] : content.code_of_variants) {
    std::vector<int>& list = facts_.codes[places.at(code)].variants;
    const int place = variants.at(variant);
    if (std::ranges::find(list, place) == list.end()) list.push_back(place);
  }
}

void Merging::add(const StoreContent& content, int file) {
  const auto toolchains = toolchains_.add(content.toolchains, facts_.toolchains);
  const auto devices = devices_.add(content.devices, facts_.devices);
  const auto problems = problems_.add(content.problems, facts_.problems);
  const auto variants = variants_.add(content.variants, facts_.variants);
  add_codes(content, file, variants, toolchains);
  std::map<std::int64_t, int> sessions;
  for (const Session& session : content.sessions) {
    sessions[session.id] = static_cast<int>(facts_.sessions.size());
    facts_.sessions.push_back({session, file});
  }
  for (const MeasurementRecord& trial : content.measurements) {
    FactRow row{trial, file, trial.id};
    row.trial.variant_id = variants.at(trial.variant_id);
    row.trial.problem_id = problems.at(trial.problem_id);
    row.trial.device_id = devices.at(trial.device_id);
    row.trial.toolchain_id = toolchains.at(trial.toolchain_id);
    row.trial.session_id = sessions.at(trial.session_id);
    facts_.rows.push_back(std::move(row));
  }
}

void check_paths(const std::vector<std::filesystem::path>& files) {
  for (std::size_t i = 0; i < files.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      std::error_code unreadable;  // opening it says it better
      if (std::filesystem::equivalent(files[i], files[j], unreadable))
        throw Error(ErrorKind::usage, fmt::format("{} and {} are one file: name each database once",
                                                  files[j].string(), files[i].string()));
    }
}

}  // namespace

std::vector<float> Facts::samples(const FactRow& row) {
  return stores[static_cast<std::size_t>(row.file)].samples(row.stored_id);
}

void check_content(const Facts& facts, const std::string& arch) {
  std::set<std::string> archs;
  for (const FactRow& row : facts.rows)
    archs.insert(facts.devices[static_cast<std::size_t>(row.trial.device_id)].arch);
  if (archs.empty())
    throw Error(ErrorKind::usage,
                fmt::format("{} has no measurements yet: `mla-tune tune` with this "
                            "--db makes some",
                            facts.files.size() == 1 ? facts.files.front().path.string()
                                                    : "none of the databases"));
  if (!arch.empty() && !archs.contains(arch))
    throw Error(ErrorKind::usage, fmt::format("there is no arch {} in the database; there are: {}",
                                              arch, fmt::join(archs, ", ")));
}

Facts read_facts(const std::vector<std::filesystem::path>& files) {
  check_paths(files);
  Facts facts;
  Merging merging(facts);
  for (const std::filesystem::path& path : files) {
    const int format = Store::stored_format(path);
    if (!facts.files.empty() && format != facts.files.front().format)
      throw Error(
          ErrorKind::database,
          fmt::format(
              "{} is of format {} and {} of format {}; only databases of one format are "
              "merged. `mla-tune db migrate --db F` brings the older one up to date; or report on "
              "each alone",
              facts.files.front().path.string(), facts.files.front().format, path.string(),
              format));
    facts.stores.push_back(Store::open(path, StoreMode::read_only));
    const StoreContent content = facts.stores.back().content();
    merging.add(content, static_cast<int>(facts.files.size()));
    facts.files.push_back({path, format, content.measurements.size()});
  }
  if (files.size() > 1)
    std::ranges::stable_sort(facts.rows, {}, [](const FactRow& row) { return row.trial.recorded; });
  return facts;
}

}  // namespace mla
