// Runs that share their work, and joining what they leave, on the command line.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/host/cli.hpp"
#include "tests/null/db/content.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::SizeIs;

class CliMerge : public CommandLineTest {
 protected:
  std::string made(const char* name, int variant, int vgprs) {
    const std::string path = folder_ / name;
    Store store = create(path);
    Ids ids = put_ids(store);
    ids.variant = store.put(a_variant(variant));
    store.put(a_timing(ids, Round::final, static_cast<float>(variant)));
    CodeObjectRecord code{.key = key(77),
                          .variant_id = ids.variant,
                          .toolchain_id = ids.toolchain,
                          .arch = "gfx950",
                          .entry_template = "sparse_mla_decode"};
    code.resources.vgprs = vgprs;
    store.put(code);
    return path;
  }
  // Three problems for the CPU, compiled and ranked; nothing is executed.
  std::vector<std::string> tune(const std::string& db, std::vector<std::string> more) {
    const fs::path shapes = folder_ / "shapes.yaml";
    write(shapes,
          "kernel: sparse_mla_decode\ngrid:\n  - heads: [16]\n    tokens: [1, 8, 64]\n"
          "    streams:\n      - {main_len: 64}\n");
    std::vector<std::string> words = {"--arch", "host",     "--device",      "none",   "--db",
                                      db,       "--shapes", shapes.string(), "--jobs", "1"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
};

TEST_F(CliMerge, SaysHowMuchCameFromWhere) {
  const std::string out = folder_ / "out.db", a = made("a.db", 9, 160), b = made("b.db", 7, 160);
  const Outcome merged = run({"db", "merge", out, a, b, "--json"});
  ASSERT_EQ(merged.code, 0) << merged.error;
  const json report = json::parse(merged.out);
  EXPECT_EQ(report["path"], out);
  EXPECT_EQ(report["created"], true);
  EXPECT_EQ(report["tables"]["measurements"]["added"], 2);
  EXPECT_EQ(report["tables"]["code_objects"]["read"], 2);
  EXPECT_EQ(report["tables"]["code_objects"]["added"], 1);
  const Outcome again = run({"db", "merge", out, a});
  EXPECT_EQ(again.code, 0);
  EXPECT_THAT(again.out, AllOf(HasSubstr("measurements"), HasSubstr("Merged into " + out)));
  EXPECT_THAT(Store::open(out, StoreMode::read_only).winners(), SizeIs(1));
}

TEST_F(CliMerge, RefusesWithTheReasonAndWritesNothing) {
  const std::string out = folder_ / "out.db", a = made("a.db", 9, 160), b = made("b.db", 7, 176);
  EXPECT_THAT(refusal(ErrorKind::usage, {"db", "merge", out}), HasSubstr("IN"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"db", "merge", a, a}), HasSubstr("both OUT and an input"));
  EXPECT_THAT(refusal(ErrorKind::database, {"db", "merge", out, a, folder_ / "none.db"}),
              HasSubstr("none.db does not exist"));
  EXPECT_THAT(refusal(ErrorKind::database, {"db", "merge", out, a, b}),
              AllOf(HasSubstr("nothing was merged"), HasSubstr("code object " + key(77)),
                    HasSubstr("vgprs 160 in " + a), HasSubstr("vgprs 176 in " + b)));
  EXPECT_FALSE(fs::exists(out));
}

TEST_F(CliMerge, BringsAnOlderFileAlongWhenAskedTo) {
  const std::string old = folder_ / "old.db", out = folder_ / "out.db";
  raw_sql(old, contents(fs::path(MLA_SOURCE) / "tests/data/db_v1.sql"));
  EXPECT_THAT(refusal(ErrorKind::database, {"db", "merge", out, old}),
              HasSubstr("mla-tune db migrate --db " + old));
  EXPECT_THAT(run({"db", "migrate", "--db", old}).out, HasSubstr("from format 1"));
  EXPECT_THAT(run({"db", "migrate", "--db", old}).out, HasSubstr("already"));
  EXPECT_EQ(run({"db", "merge", out, old}).code, 0);
  EXPECT_THAT(refusal(ErrorKind::database, {"db", "migrate", "--db", folder_ / "none.db"}),
              HasSubstr("does not exist"));
  EXPECT_FALSE(fs::exists(folder_ / "none.db"));
}

TEST_F(CliMerge, RefusesShardsThatAreNone) {
  const std::string db = folder_ / "t.db";
  for (const char* shard : {"3", "0/2", "3/2", "a/b", "1/0", ""})
    EXPECT_THAT(refusal(ErrorKind::usage, tune(db, {"--shard", shard})), HasSubstr("shard"));
  EXPECT_THAT(refusal(ErrorKind::usage, tune(db, {"--shard", "1/2", "--budget", "5m"})),
              HasSubstr("--code-objects"));
  EXPECT_FALSE(fs::exists(db));
}

TEST_F(CliMerge, ShardsMergeIntoWhatOneRunFinds) {
  std::vector<std::string> merge = {"db", "merge", folder_ / "merged.db"};
  const std::vector<std::string> few = {"--code-objects", "3"};
  for (const char* shard : {"1/4", "2/4", "3/4", "4/4"}) {
    merge.push_back(folder_.path() / (std::string(1, shard[0]) + ".db"));
    std::vector<std::string> more = few;
    more.insert(more.end(), {"--shard", shard});
    const Outcome outcome = run(tune(merge.back(), more));
    ASSERT_EQ(outcome.code, 0) << outcome.out << outcome.error;
    EXPECT_THAT(outcome.out, HasSubstr(shard[0] == '4' ? "Nothing to do: the 3 problems"
                                                       : "of 4 has 1 of the problems"));
  }
  ASSERT_EQ(run(merge).code, 0);
  ASSERT_EQ(run(tune(folder_ / "whole.db", few)).code, 0);
  const auto whole = content_of(folder_ / "whole.db");
  EXPECT_GE(whole.at("measurements").size(), 9u);
  for (const auto& [table, rows] : content_of(folder_ / "merged.db"))
    EXPECT_EQ(rows, whole.at(table)) << table;
}

}  // namespace
}  // namespace mla::test
