#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "tests/null/tuner/toy_space.hpp"
#include "tests/null/tuner/tune_fakes.hpp"
#include "tests/temporary_folder.hpp"

namespace mla {

// Runs of the loop over two problems of a toy space, with a compiler and a device that are made up.
class Tune : public testing::Test {
 protected:
  Tune() {
    limits_.code_objects = 12;
    limits_.verify = 2;
    for (const int tokens : {1, 64})
      problems_.push_back({.kernel = "sparse_mla_decode",
                           .num_heads = 4,
                           .num_tokens = tokens,
                           .main_len = 20,
                           .extra_len = tokens == 1 ? 4000 : 40,
                           .main_page = 4,
                           .extra_page = 2});
  }

  TuneReport run(Bench bench = Bench::host) {
    Store store = Store::open(path_, StoreMode::read_write_create);
    return run_in(store, bench);
  }
  TuneReport run_in(Store& store, Bench bench) {
    const TuneParts parts{.arch = arch_,
                          .space = space_,
                          .problems = problems_,
                          .headers = headers_,
                          .store = store,
                          .compiler = compiler_,
                          .bench = bench,
                          .runners = bench == Bench::none ? std::vector<Runner*>{} : runners_,
                          .host_compiler = bench == Bench::host ? &host_compiler_ : nullptr};
    return tune(parts, limits_, {.command = "test", .version = "0"}, progress_, stop_);
  }
  Store store() { return Store::open(path_, StoreMode::read_only); }

  // All rows of a round, over both problems.
  std::vector<MeasurementRecord> rows(Round round) {
    Store db = store();
    std::vector<MeasurementRecord> all;
    for (std::int64_t problem = 1; problem <= 2; ++problem)
      for (const auto& m : db.measurements(problem, 1, 1, round)) all.push_back(m);
    return all;
  }
  std::map<std::string, std::int64_t> table_sizes() {
    std::map<std::string, std::int64_t> sizes;
    for (const auto& [table, count] : store().stats().tables)
      if (table != "sessions") sizes[table] = count;
    return sizes;
  }
  std::vector<CodeObjectRecord> code_objects() {
    Store db = store();
    std::map<std::string, CodeObjectRecord> by_key;
    for (const VariantRecord& variant : db.variants())
      for (const CodeObjectRecord& code : db.code_objects(variant.id)) by_key[code.key] = code;
    std::vector<CodeObjectRecord> all;
    for (const auto& [key, code] : by_key) all.push_back(code);
    return all;
  }

  TempConfigs configs_;
  TemporaryFolder folder_;
  std::string path_ = folder_.path("tune.db");
  Arch arch_ = model_arch();
  Space space_ = toy_space(configs_, arch_);
  SourceHeaders headers_ = std::make_shared<const std::vector<SourceHeader>>();
  std::vector<ProblemRecord> problems_;
  FakeCompiler compiler_;
  FakeCompiler host_compiler_{"c++"};
  FakeRunner runner_;
  std::vector<Runner*> runners_ = {&runner_};
  SilentProgress progress_;
  TuneLimits limits_;
  std::function<bool()> stop_ = [] { return false; };
};

}  // namespace mla
