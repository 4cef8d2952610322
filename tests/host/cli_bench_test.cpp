// The commands that read what was measured, on a database that arch host has measured just before.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/host/cli.hpp"
#include "tuner/record.hpp"

namespace mla::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CliBench : public CommandLineTest {
 protected:
  void SetUp() override {
    write(folder_ / "shapes.yaml",
          "kernel: sparse_mla_decode\nproblems:\n"
          "  - {heads: 16, tokens: 1, main_len: 64, extra_len: 64, extra_page: 64}\n");
  }
  std::vector<std::string> tune(std::vector<std::string> more = {}) {
    std::vector<std::string> words = {"tune",
                                      "--arch",
                                      "host",
                                      "--db",
                                      db_,
                                      "--shapes",
                                      (folder_ / "shapes.yaml").string(),
                                      "--jobs",
                                      "2",
                                      "--code-objects",
                                      "2"};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::string db_ = (folder_ / "tune.db").string();
};

TEST_F(CliBench, TimesTheWinnersAgainAgainstBaselinesAndStoresNothing) {
  const Outcome tuned = run(tune());
  ASSERT_EQ(tuned.code, 0) << tuned.out << tuned.error;
  const std::string before = contents(db_);
  const Outcome words = run({"bench", "--db", db_});
  EXPECT_EQ(words.code, 0) << words.out << words.error;
  EXPECT_THAT(words.out, AllOf(HasSubstr("fallback"), HasSubstr("times the winner's"),
                               HasSubstr("heads 16 tokens 1 keys 64+64")));

  const json winner =
      json::parse(run({"lookup", "--db", db_, "--arch", "host", "--heads", "16", "--tokens", "1",
                       "--main-len", "64", "--extra-len", "64", "--json"})
                      .out);
  write(folder_ / "mine.json", winner["params"].dump());
  const Outcome as_json =
      run({"bench", "--db", db_, "--json", "--arch", "host", "--shapes",
           (folder_ / "shapes.yaml").string(), "--baseline", (folder_ / "mine.json").string(),
           winner["variant"].get<std::string>()});
  ASSERT_EQ(as_json.code, 0) << as_json.error;
  const json report = json::parse(as_json.out);
  EXPECT_EQ(report["arch"], "host");
  const json& one = report["problems"].at(0);
  EXPECT_EQ(one["winner"]["verdict"], "ok");
  EXPECT_EQ(one["winner"]["variant"], winner["variant"]);
  ASSERT_EQ(one["baselines"].size(), 2u);
  EXPECT_EQ(one["baselines"][0]["variant"], "mine");
  for (const json& baseline : one["baselines"]) {
    EXPECT_GT(baseline["ratio"], 0) << "the same variant against itself";
    EXPECT_LE(baseline["ratio_ci"][0], baseline["ratio_ci"][1]);
  }
  EXPECT_EQ(contents(db_), before);
}

TEST_F(CliBench, SaysWhatItCannotTime) {
  ASSERT_EQ(run(tune()).code, 0);
  EXPECT_THAT(refusal(ErrorKind::usage, {"bench", "--db", db_, "--arch", "gfx950"}),
              HasSubstr("no winner"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"bench", "--db", db_, "--baseline", "{}"}),
              HasSubstr("block_h"));
  EXPECT_THAT(refusal(ErrorKind::database, {"bench", "--db", (folder_ / "none.db").string()}),
              HasSubstr("none.db"));
}

TEST_F(CliBench, RecordsAnExhaustiveRunInOneFile) {
  const Outcome tuned = run(tune({"--exhaustive", "--launches", "3", "--warm-cache"}));
  ASSERT_EQ(tuned.code, 0) << tuned.out << tuned.error;
  EXPECT_THAT(tuned.out, HasSubstr("warm"));
  const std::string file = (folder_ / "host.zst").string();
  const Outcome recorded = run({"record", "--db", db_, "--arch", "host", "--out", file});
  ASSERT_EQ(recorded.code, 0) << recorded.error;
  EXPECT_THAT(recorded.out, HasSubstr("1 problems"));
  const Record record = decode_record(contents(file));
  ASSERT_EQ(record.problems.size(), 1u);
  EXPECT_TRUE(record.problems[0].warm_cache);
  EXPECT_EQ(record.codes.size(), 2u);
  EXPECT_EQ(record.variants.size(), 6u);
  for (const RecordRow& row : record.rows) {
    EXPECT_EQ(row.verdict, Verdict::ok);
    EXPECT_FALSE(row.samples_us.empty());
    EXPECT_GT(row.predicted_us, 0);
  }
  EXPECT_THAT(refusal(ErrorKind::usage, {"record", "--db", db_, "--arch", "gfx950", "--out", file}),
              HasSubstr("no measured times"));
}

}  // namespace
}  // namespace mla::test
