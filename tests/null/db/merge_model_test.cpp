// Merges of databases made at random, against a model that knows no SQL.
#include <gmock/gmock.h>

#include "db/merge.hpp"
#include "tests/null/db/content.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/db/merge_world.hpp"

namespace mla::test {
namespace {

using ::testing::IsEmpty;

// What a file says, in the model's words.
std::vector<std::string> lines(const fs::path& path, const std::string& sql) {
  auto rows = rows_of(path, sql);
  for (auto& row : rows) row.resize(row.size() - 3);
  return rows;
}
std::vector<std::string> measurements_of(const fs::path& path) {
  return lines(
      path,
      "SELECT printf('%lld %s %s %d %s %g', s.seed, t.release, d.arch, p.num_tokens, v.key,"
      " m.median_us) FROM measurements m JOIN sessions s ON s.id = session_id JOIN"
      " toolchains t ON t.id = toolchain_id JOIN devices d ON d.id = device_id JOIN problems"
      " p ON p.id = problem_id JOIN variants v ON v.id = variant_id ORDER BY m.id");
}

void expect_is(const fs::path& path, const World& world, unsigned seed,
               const std::vector<Part>& parts) {
  EXPECT_EQ(measurements_of(path), world.measurements(parts));
  EXPECT_EQ(lines(path, "SELECT printf('%d %s', seed - " + std::to_string(seed * 10) +
                            ", iif(ended = '', 'runs', 'ended')) AS x FROM sessions ORDER BY x"),
            world.sessions(parts));
  EXPECT_EQ(lines(path,
                  "SELECT printf('%d %s', vgprs - 100, 'ok') FROM code_objects WHERE verdict = 0"
                  " UNION SELECT printf('%d %s', json_extract(v.params, '$.n'), 'hung') FROM"
                  " code_objects c JOIN variant_code_objects l ON l.code_object_id = c.id JOIN"
                  " variants v ON v.id = l.variant_id WHERE verdict = 5"),
            world.codes(parts));
  // What sessions tell of problems and devices is still about the same ones.
  EXPECT_THAT(rows_of(path,
                      "SELECT s.seed, p.num_tokens, d.arch FROM sessions s, json_each(conditions,"
                      " '$.problems') e JOIN problems p ON p.id = e.value ->> 'problem'"
                      " JOIN devices d ON d.id = e.value ->> 'device' EXCEPT"
                      " SELECT s.seed, p.num_tokens, d.arch FROM measurements m JOIN sessions s ON"
                      " s.id = session_id JOIN problems p ON p.id = problem_id"
                      " JOIN devices d ON d.id = device_id"),
              IsEmpty());
  EXPECT_THAT(Store::open(path, StoreMode::read_only).check(), IsEmpty());
}

TEST(MergeModel, MergesOfAllKindsHoldWhatTheirPartsHold) {
  for (unsigned seed = 1; seed <= 25; ++seed) {
    SCOPED_TRACE(seed);
    const TempDir dir;
    World world(seed);
    std::vector<Part> parts;
    std::vector<fs::path> files;
    for (int n = 0; n < 3; ++n) {
      parts.push_back(world.part());
      files.push_back(dir / ("part" + std::to_string(n) + ".db").c_str());
      world.write(files.back(), parts.back());
    }
    const fs::path all = dir / "all.db";
    merge_databases(all, files);
    expect_is(all, world, seed, parts);

    // Again, and with itself in another order: nothing changes, ids included.
    const auto order = measurements_of(all);
    auto content = content_of(all);
    for (const auto& table : merge_databases(all, {files[2], files[0]}).tables) {
      EXPECT_EQ(table.added, 0) << table.name;
      EXPECT_EQ(table.updated, 0) << table.name;
    }
    EXPECT_EQ(measurements_of(all), order);

    // One after the other, backwards, into one of them.
    merge_databases(files[2], {files[1]});
    merge_databases(files[2], {files[0]});
    expect_is(files[2], world, seed, parts);
    EXPECT_EQ(content_of(files[2]), content);

    // Merges of merges.
    const fs::path half = dir / "half.db", whole = dir / "whole.db";
    merge_databases(half, {files[1], files[0]});
    merge_databases(whole, {files[0], half, files[2], all});
    expect_is(whole, world, seed, parts);
    EXPECT_EQ(content_of(whole), content);
    const auto seconds = "SELECT key, compile_seconds FROM code_objects ORDER BY key";
    EXPECT_EQ(rows_of(whole, seconds), rows_of(all, seconds));
  }
}

}  // namespace
}  // namespace mla::test
