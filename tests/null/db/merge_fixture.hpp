#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <vector>

#include "db/merge.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {

namespace fs = std::filesystem;

inline std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline CodeObjectRecord a_code_object(const Ids& ids) {
  CodeObjectRecord c{.key = key(77),
                     .variant_id = ids.variant,
                     .toolchain_id = ids.toolchain,
                     .arch = "gfx950",
                     .entry_template = "sparse_mla_decode",
                     .content = key(78),
                     .compile_seconds = 2};
  c.resources.vgprs = 160;
  return c;
}

class MergeTest : public ::testing::Test {
 protected:
  fs::path file(const char* name) const { return dir_ / name; }
  // A file in which one session left what `work` puts.
  fs::path made(const char* name, const std::function<void(Store&, const Ids&)>& work,
                const std::string& session = {}) {
    Store store = create(file(name));
    // Ids differ from file to file.
    for (int n = 0; n < static_cast<int>(std::string(name).size()); ++n)
      store.put(a_toolchain("0." + std::to_string(n)));
    Ids ids = {store.put(a_toolchain()), store.put(a_device()), store.put(a_problem()),
               store.put(a_variant(1)), 0};
    ids.session = store.start_session(
        {.started = "2026-01-02T03:04:05Z",
         .command = "test",
         .version = "0",
         .conditions = session.empty() ? "{}" : R"({"id":")" + session + R"("})"});
    work(store, ids);
    return file(name);
  }
  std::int64_t rows(const fs::path& path, const std::string& table) {
    return std::stoll(raw_sql(path, "SELECT count(*) FROM " + table));
  }
  // The refusal of a merge into out.db, which must be as it was.
  std::string refusal(ErrorKind kind, const std::vector<fs::path>& inputs) {
    const std::string before = bytes_of(out_);
    const bool there = fs::exists(out_);
    const std::string said = error_of(kind, [&] { merge_databases(out_, inputs); });
    EXPECT_EQ(fs::exists(out_), there);
    EXPECT_EQ(bytes_of(out_), before);
    EXPECT_FALSE(fs::exists(out_.string() + "-wal"));
    return said;
  }

  TempDir dir_;
  fs::path out_ = dir_ / "out.db";
};

}  // namespace mla::test
