#include "reports/select.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "tests/null/db/raw_sql.hpp"
#include "tests/null/reports/hand_made.hpp"

namespace mla::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string contents_of(const std::filesystem::path& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class SelectTest : public ::testing::Test {
 protected:
  SelectTest() {
    HandMade made(path_);
    made.device("gfx950", "card A", "6.8").measured(csa(1), 32, times(10));
    made.session("0.2.0").device("gfx950", "card B", "6.10");
    made.measured(csa(1), 32, times(11));
    made.release("7.2.4");
    made.measured(csa(1), 32, times(12));
    made.release("7.10.0");
    made.measured(csa(1), 32, times(13));
    HandMade second(other_);
    second.measured(csa(1), 32, times(14));
    second.measured(csa(2), 16, times(15));
  }
  // Medians of what is selected.
  std::vector<double> selected(const std::string& text) {
    const Facts facts = read_facts(files_);
    const Selector selector = parse_selector(text, facts);
    std::vector<double> medians;
    for (const FactRow& row : facts.rows)
      if (selects(selector, row)) medians.push_back(std::round(row.trial.median_us));
    return medians;
  }
  std::string refusal(const std::string& text) {
    return error_of(ErrorKind::usage, [&] { selected(text); });
  }

  TempDir folder_;
  std::filesystem::path path_ = folder_ / "t.db", other_ = folder_ / "other.db";
  std::vector<std::filesystem::path> files_ = {path_};
};

TEST_F(SelectTest, SelectsWhatTheStoreKeepsApart) {
  EXPECT_THAT(selected("rocm-6.4.3"), ElementsAre(10, 11));
  EXPECT_THAT(selected("rocm-6.4"), ElementsAre(10, 11));
  EXPECT_THAT(selected("release:7.2.4"), ElementsAre(12));
  EXPECT_THAT(selected("session:1"), ElementsAre(10));
  EXPECT_THAT(selected("version:0.2.0"), ElementsAre(11, 12, 13));
  EXPECT_THAT(selected("device:card B"), ElementsAre(11, 12, 13));
  EXPECT_THAT(selected("driver:6.8"), ElementsAre(10));
  EXPECT_THAT(selected("device:card B,rocm-6.4.3"), ElementsAre(11));
  EXPECT_THAT(selected("db:" + path_.string()), ElementsAre(10, 11, 12, 13));
}

TEST_F(SelectTest, TellsTemplatesApart) {
  files_ = {folder_ / "templates.db"};
  {
    HandMade made(files_[0]);
    made.measured(csa(1), 32, times(16));
    made.session("0.1.0", R"({"templates":"0123456789ab"})").measured(csa(1), 32, times(17));
  }
  EXPECT_THAT(selected("templates:0123"), ElementsAre(17));
  EXPECT_THAT(refusal("templates:ff"), HasSubstr("there are: templates:0123456789ab"));
  EXPECT_THAT(refusal("templates:"), HasSubstr("there is no templates:"));
}

TEST_F(SelectTest, NamesTheArchsThatThereAre) {
  const Facts facts = read_facts(files_);
  EXPECT_NO_THROW(check_content(facts, "gfx950"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { check_content(facts, "gfx9"); }),
              HasSubstr("there are: gfx950"));
  const std::filesystem::path empty = folder_ / "empty.db";
  create(empty);
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { check_content(read_facts({empty}), ""); }),
              HasSubstr("empty.db has no measurements yet"));
}

TEST_F(SelectTest, TakesTheBeginningOfAReleaseByWholeNumbers) {
  EXPECT_THAT(refusal("rocm-7.1"), HasSubstr("there is no rocm-7.1"));
  EXPECT_THAT(selected("rocm-7.10"), ElementsAre(13));
}

TEST_F(SelectTest, ListsWhatThereIsInsteadOfAnUnknownName) {
  EXPECT_THAT(refusal("rocm-5.0"),
              AllOf(HasSubstr("rocm-6.4.3"), HasSubstr("rocm-7.2.4"), HasSubstr("rocm-7.10.0")));
  EXPECT_THAT(refusal("cuda-7.2.4"), HasSubstr("rocm-7.2.4"));
  EXPECT_THAT(refusal("device:card C"), AllOf(HasSubstr("card A"), HasSubstr("card B")));
  EXPECT_THAT(refusal("session:9"), HasSubstr("session:2 (2026-01-02T03:04:06Z)"));
  EXPECT_THAT(refusal("driver:1"), HasSubstr("driver:6.10"));
  EXPECT_THAT(refusal("nonsense"), HasSubstr("write rocm-6.4.3"));
  EXPECT_THAT(refusal(""), HasSubstr("write rocm-6.4.3"));
  EXPECT_THAT(refusal("rocm-6.4.3,"), HasSubstr("write rocm-6.4.3"));
}

TEST_F(SelectTest, OrdersReleasesByNumber) {
  EXPECT_THAT(releases(read_facts(files_), ""),
              ElementsAre("rocm-6.4.3", "rocm-7.2.4", "rocm-7.10.0"));
}

TEST_F(SelectTest, ReadsSeveralDatabasesAsOne) {
  files_ = {path_, other_};
  const Facts facts = read_facts(files_);
  EXPECT_EQ(facts.rows.size(), 6u);
  EXPECT_EQ(facts.toolchains.size(), 3u);
  EXPECT_EQ(facts.problems.size(), 2u);
  EXPECT_EQ(facts.variants.size(), 2u);
  EXPECT_THAT(selected("db:2"), ElementsAre(14, 15));
  EXPECT_THAT(selected("rocm-6.4.3"), ElementsAre(10, 11, 14, 15));
  EXPECT_THAT(refusal("session:1"), HasSubstr("db:1,session:1"));
  EXPECT_THAT(refusal("db:3"), HasSubstr("db:2 (" + other_.string() + ")"));
  EXPECT_THAT(selected("db:2,session:1"), ElementsAre(14, 15));
}

TEST_F(SelectTest, FindsTheSamplesOfEachDatabase) {
  Facts facts = read_facts({path_, other_});
  for (const FactRow& row : facts.rows)
    EXPECT_NEAR(facts.samples(row).at(7), row.trial.median_us, 0.1);
}

TEST_F(SelectTest, RefusesOneFileTwice) {
  const std::string message = error_of(ErrorKind::usage, [&] {
    read_facts({path_, folder_ / "." / "t.db"});
  });
  EXPECT_THAT(message, HasSubstr("one file"));
}

TEST_F(SelectTest, MergesNoDatabasesOfDifferentFormats) {
  const std::filesystem::path old = folder_ / "old.db";
  raw_sql(old, contents_of(std::filesystem::path(MLA_TEST_DATA) / "db_v1.sql"));
  EXPECT_EQ(read_facts({old}).files.front().format, 1);
  const std::string message = error_of(ErrorKind::database, [&] { read_facts({path_, old}); });
  EXPECT_THAT(message, AllOf(HasSubstr("format 2"), HasSubstr("format 1")));
}

}  // namespace
}  // namespace mla::test
