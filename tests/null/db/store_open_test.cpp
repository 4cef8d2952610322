#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>
#include <iterator>

#include "db/schema.hpp"
#include "tests/null/db/child.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::StartsWith;

std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

std::size_t files_in(const TempDir& dir) {
  return static_cast<std::size_t>(
      std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()));
}

class OpenTest : public ::testing::Test {
 protected:
  std::string refusal(StoreMode mode) {
    return error_of(ErrorKind::database, [&] { Store::open(path_, mode); });
  }
  Store read() { return Store::open(path_, StoreMode::read_only); }

  TempDir dir_;
  fs::path path_ = dir_ / "t.db";
};

TEST_F(OpenTest, MakesANewFileThatIsSound) {
  auto store = create(path_);
  EXPECT_THAT(store.check(), IsEmpty());
  EXPECT_EQ(store.stats().format, kSchemaVersion);
  EXPECT_THAT(store.winners(), IsEmpty());
}

TEST_F(OpenTest, TakesAnEmptyFileForANewOne) {
  write(path_, "");
  EXPECT_THAT(refusal(StoreMode::read_only), HasSubstr("is empty"));
  EXPECT_THAT(create(path_).check(), IsEmpty());
}

TEST_F(OpenTest, KeepsWhatIsThere) {
  { create(path_).put(a_variant(1)); }
  EXPECT_THAT(create(path_).variants(), SizeIs(1));
  EXPECT_THAT(read().variants(), SizeIs(1));
}

TEST_F(OpenTest, DoesNotMakeAFileInOrderToReadIt) {
  EXPECT_THAT(refusal(StoreMode::read_only), HasSubstr("does not exist"));
  EXPECT_EQ(files_in(dir_), 0u);
}

TEST_F(OpenTest, NamesTheFolderThatIsMissing) {
  path_ = dir_ / "no/t.db";
  EXPECT_THAT(refusal(StoreMode::read_write_create), HasSubstr("no is not a directory"));
}

TEST_F(OpenTest, RefusesADirectory) {
  path_ = dir_.path();
  for (const auto mode : {StoreMode::read_only, StoreMode::read_write_create}) {
    EXPECT_THAT(refusal(mode), HasSubstr("is a directory"));
  }
}

TEST_F(OpenTest, LeavesAFileThatIsNotSqliteAsItIs) {
  for (const auto& bytes : {std::string("hello"), std::string(10000, 'x')}) {
    write(path_, bytes);
    for (const auto mode : {StoreMode::read_only, StoreMode::read_write_create}) {
      EXPECT_THAT(refusal(mode), HasSubstr("is not an SQLite database"));
    }
    EXPECT_EQ(contents(path_), bytes);
    EXPECT_EQ(files_in(dir_), 1u);
  }
}

TEST_F(OpenTest, LeavesTheDatabaseOfAnotherProgramAsItIs) {
  raw_sql(path_, "CREATE TABLE theirs (x)");
  const auto before = contents(path_);
  for (const auto mode : {StoreMode::read_only, StoreMode::read_write_create}) {
    EXPECT_THAT(refusal(mode), HasSubstr("of another program"));
  }
  EXPECT_EQ(contents(path_), before);
  EXPECT_EQ(files_in(dir_), 1u);
}

TEST_F(OpenTest, RefusesAFormatNewerThanItKnows) {
  { create(path_); }
  raw_sql(path_, "PRAGMA user_version = 99");
  for (const auto mode : {StoreMode::read_only, StoreMode::read_write_create}) {
    EXPECT_THAT(refusal(mode), AllOf(HasSubstr("newer"), HasSubstr("99")));
  }
  EXPECT_EQ(raw_sql(path_, "PRAGMA user_version"), "99");
}

TEST_F(OpenTest, TakesAnyNameForAFileName) {
  for (const char* name :
       {"file:x?mode=memory", ":memory:", "a b#c%41?immutable=1", "\xc3\xa4.db"}) {
    path_ = dir_ / name;
    { create(path_).put(a_variant(1)); }
    EXPECT_TRUE(fs::is_regular_file(path_)) << name;
    EXPECT_THAT(read().variants(), SizeIs(1)) << name;
  }
}

TEST_F(OpenTest, SaysSoWhenTheFileMayNotBeWritten) {
  { create(path_); }
  fs::permissions(path_, fs::perms(0444));
  chmod(dir_.path().c_str(), 0777);
  Child child([&](const auto& say) {
    drop_privileges();
    say(error_of(ErrorKind::database, [&] { create(path_); }));
  });
  EXPECT_THAT(child.hear_out(), AllOf(HasSubstr("read-only"), HasSubstr("permission")));
}

TEST_F(OpenTest, SaysSoWhenTheFolderMayNotBeWritten) {
  { create(path_); }
  fs::remove(path_.string() + ".lock");
  fs::permissions(path_, fs::perms(0666));
  chmod(dir_.path().c_str(), 0555);
  Child child([&](const auto& say) {
    drop_privileges();
    say(error_of(ErrorKind::database, [&] { create(path_); }));
    say(error_of(ErrorKind::database, [&] { create(dir_ / "new.db"); }));
  });
  EXPECT_THAT(child.hear_out(), AllOf(HasSubstr("t.db"), HasSubstr("new.db"), HasSubstr("folder")));
  chmod(dir_.path().c_str(), 0755);
}

TEST_F(OpenTest, ReadsFromAFolderThatMayNotBeWritten) {
  path_ = dir_ / "a b#c%41?mode=rw";
  { create(path_).put(a_variant(1)); }
  chmod(dir_.path().c_str(), 0555);
  Child child([&](const auto& say) {
    drop_privileges();
    say(std::to_string(read().variants().size()) + " variant");
  });
  EXPECT_EQ(child.hear_out(), "1 variant");
  chmod(dir_.path().c_str(), 0755);
}

TEST_F(OpenTest, MayNotReadWhatItMayNotRead) {
  { create(path_); }
  fs::permissions(path_, fs::perms(0));
  chmod(dir_.path().c_str(), 0755);
  Child child([&](const auto& say) {
    drop_privileges();
    say(refusal(StoreMode::read_only));
  });
  EXPECT_THAT(child.hear_out(), HasSubstr("cannot be opened"));
}

class FormatOneTest : public OpenTest {
 protected:
  void SetUp() override { raw_sql(path_, contents(MLA_TEST_DATA "/db_v1.sql")); }

  // Everything that the file of format 1 says, by way of today's Store.
  static void expect_the_old_content(Store store) {
    EXPECT_THAT(store.check(), IsEmpty());
    EXPECT_THAT(store.variants(), SizeIs(4));
    EXPECT_THAT(store.problems(), SizeIs(2));
    ASSERT_THAT(store.sessions(), SizeIs(1));
    EXPECT_EQ(store.sessions()[0].conditions, "{\"load\":0.5}");
    for (const int n : {1, 2, 3, 4}) {
      const auto objects = store.code_objects(n);
      ASSERT_THAT(objects, SizeIs(1)) << n;
      EXPECT_EQ(objects[0].key, key(100 + n));
      EXPECT_EQ(objects[0].toolchain_id, n == 4 ? 2 : 1);
      EXPECT_EQ(objects[0].verdict, n == 3 ? Verdict::rejected : Verdict::ok);
      EXPECT_EQ(objects[0].reason, n == 3 ? "vgpr_spills 12 > 0" : "");
      EXPECT_EQ(objects[0].compile_seconds, 0.5 * n);
      EXPECT_EQ(objects[0].resources.vgprs, 128 + n);
      EXPECT_EQ(objects[0].resources.salu, n);
    }
    const auto timing = store.find_measurement(4, 2, 2, 1, Round::final);
    ASSERT_TRUE(timing);
    EXPECT_THAT(timing->samples_us, ::testing::ElementsAre(47, 46, 45));
    EXPECT_EQ(store.find_measurement(2, 2, 2, 1, Round::final)->reason, "it's 3e-2 off");
    const auto winners = store.winners();
    ASSERT_THAT(winners, SizeIs(2));
    EXPECT_EQ(winners[0].arch, "gfx950");
    EXPECT_EQ(winners[0].variant, key(1));
    EXPECT_EQ(winners[1].arch, "host");
    EXPECT_EQ(winners[1].median_us, 46);
    EXPECT_EQ(winners[1].problem.lengths, "ragged");
    EXPECT_EQ(winners[1].problem.main_format, 2);
    EXPECT_TRUE(winners[1].problem.warm_cache);
  }
};

TEST_F(FormatOneTest, IsBroughtAlongWithAllItsContent) {
  expect_the_old_content(create(path_));
  EXPECT_EQ(raw_sql(path_, "PRAGMA user_version"), std::to_string(kSchemaVersion));
  expect_the_old_content(create(path_));
}

TEST_F(FormatOneTest, IsReadWithoutBeingChanged) {
  const auto before = contents(path_);
  expect_the_old_content(read());
  EXPECT_EQ(contents(path_), before);
}

TEST_F(FormatOneTest, StaysWholeWhenThereIsNoRoomToBringItAlong) {
  const auto pages = std::stol(raw_sql(path_, "PRAGMA page_count"));
  EXPECT_THAT(error_of(ErrorKind::database, [&] { create(path_, {.max_pages = pages}); }),
              HasSubstr("no space left"));
  EXPECT_EQ(raw_sql(path_, "PRAGMA user_version"), "1");
  EXPECT_EQ(raw_sql(path_, "SELECT count(*) FROM code_objects"), "4");
  expect_the_old_content(create(path_));
}

TEST_F(FormatOneTest, StaysAsItIsWhenItsRowsDoNotFitTogether) {
  raw_sql(path_, "DELETE FROM variants WHERE id = 3");
  EXPECT_THAT(refusal(StoreMode::read_write_create), HasSubstr("a row of measurements refers"));
  EXPECT_EQ(raw_sql(path_, "PRAGMA user_version"), "1");
}

class CheckTest : public OpenTest {
 protected:
  void SetUp() override {
    auto store = create(path_);
    const auto ids = put_ids(store);
    store.put(a_timing(ids));
    store.put(a_failure(ids, Verdict::crashed, Evidence::measured));
  }
  std::vector<std::string> after(const std::string& sql) {
    raw_sql(path_, "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF; " + sql);
    return create(path_).check();
  }
};

TEST_F(CheckTest, FindsNothingWhereNothingIsWrong) { EXPECT_THAT(after(""), IsEmpty()); }

TEST_F(CheckTest, FindsAMedianThatItsSamplesDoNotHave) {
  EXPECT_THAT(after("UPDATE measurements SET median_us = 9 WHERE id = 1"),
              Contains(AllOf(HasSubstr("row 1"), HasSubstr("median is 9 us"), HasSubstr("10 us"))));
}

TEST_F(CheckTest, FindsSamplesThatAreNoTimes) {
  EXPECT_THAT(after("UPDATE measurements SET samples = zeroblob(12) WHERE id = 1"),
              Contains(HasSubstr("not a time")));
  EXPECT_THAT(after("UPDATE measurements SET samples = zeroblob(7) WHERE id = 1"),
              Contains(HasSubstr("7 bytes")));
}

TEST_F(CheckTest, FindsValuesThatNobodyStored) {
  EXPECT_THAT(after("UPDATE measurements SET verdict = 12 WHERE id = 2"),
              Contains(HasSubstr("no verdict has the value 12")));
  EXPECT_THAT(after("UPDATE measurements SET verdict = 6, round = 3 WHERE id = 2"),
              Contains(HasSubstr("no round has the value 3")));
}

TEST_F(CheckTest, FindsRowsThatBreakARuleThoughItMayOnlyRead) {
  after("UPDATE measurements SET ci_low_us = 99 WHERE id = 1");
  EXPECT_THAT(Store::open(path_, StoreMode::read_only).check(),
              Contains(HasSubstr("CHECK constraint failed in measurements")));
}

TEST_F(CheckTest, FindsRowsThatReferToNothing) {
  EXPECT_THAT(after("DELETE FROM sessions"), Contains(HasSubstr("sessions that is not there")));
}

TEST_F(CheckTest, FindsAFailureWithoutAReason) {
  EXPECT_THAT(after("UPDATE measurements SET reason = '' WHERE id = 2"),
              Contains(HasSubstr("without a reason")));
}

TEST_F(CheckTest, FindsAChangedSchema) {
  EXPECT_THAT(
      after("DROP VIEW winner; CREATE VIEW winner AS SELECT 1 AS arch; CREATE TABLE more (x);"
            " DROP INDEX measurements_tried"),
      ::testing::UnorderedElementsAre(StartsWith("winner is declared otherwise"),
                                      StartsWith("more is not part"),
                                      StartsWith("measurements_tried is missing")));
}

TEST_F(CheckTest, IsNotNeededToSeeThatATableIsGone) {
  raw_sql(path_, "DROP TABLE measurements");
  auto store = create(path_);
  EXPECT_THAT(error_of(ErrorKind::database, [&] { store.winners(); }), HasSubstr("no such table"));
}

}  // namespace
}  // namespace mla::test
