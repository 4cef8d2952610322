// What a kill, a full disk, and files that others are writing do to a merge.
#include <gmock/gmock.h>
#include <signal.h>

#include <random>

#include "db/merge.hpp"
#include "tests/null/db/child.hpp"
#include "tests/null/db/content.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A file with one session of `count` timings of 400 bytes each.
void fill(const fs::path& path, const std::string& session, int count, const std::string& second) {
  Store store = create(path);
  auto transaction = store.transaction();
  Ids ids{store.put(a_toolchain()), store.put(a_device()), store.put(a_problem()), 0, 0};
  ids.session = store.start_session({.started = "2026-01-02T03:04:" + second + "Z",
                                     .command = "test",
                                     .version = "0",
                                     .conditions = R"({"id":")" + session + R"("})"});
  for (int n = 0; n < count; ++n) {
    ids.variant = store.put(a_variant(n % 50));
    auto m = a_timing(ids);
    m.recorded = "2026-01-02T03:04:" + second + "Z";
    m.samples_us.assign(100, 10);
    store.put(m);
  }
  transaction.commit();
}

class MergeFault : public ::testing::Test {
 protected:
  MergeFault() {
    fill(out_, "there", 300, "30");
    // Earlier than what is there: all ids of measurements change.
    fill(in_, "new", 2000, "10");
  }
  // Everything, ids and all.
  static std::vector<std::string> rows(const fs::path& path) {
    auto all = rows_of(path,
                       "SELECT id, variant_id, session_id, recorded, hex(samples) FROM"
                       " measurements ORDER BY id");
    for (const char* sql : {"SELECT * FROM sessions", "SELECT * FROM variants"})
      for (auto& row : rows_of(path, sql)) all.push_back(row);
    return all;
  }

  TempDir dir_;
  fs::path out_ = dir_ / "out.db", in_ = dir_ / "in.db";
};

TEST_F(MergeFault, AKilledMergeLeavesAllOfItOrNothing) {
  const auto before = rows(out_);
  const fs::path whole = dir_ / "whole.db";
  fs::copy_file(out_, whole);
  merge_databases(whole, {in_});
  const auto after = rows(whole);
  std::mt19937 random(11);
  int undone = 0, done = 0;
  for (int kill = 0; kill < 25; ++kill) {
    const fs::path out = dir_ / ("out" + std::to_string(kill) + ".db").c_str();
    fs::copy_file(out_, out);
    {
      Child merger([&](const auto& say) {
        say("+");
        merge_databases(out, {in_});
        say("done");
        pause();
      });
      EXPECT_EQ(merger.hear(), "+");
      usleep(static_cast<unsigned>(random() % 80000));
      merger.kill_and_wait();
    }
    const auto now = rows(out);
    const bool whole_there = now == after;
    EXPECT_TRUE(whole_there || now == before) << "after kill " << kill;
    ++(whole_there ? done : undone);
    EXPECT_THAT(create(out).check(), IsEmpty());
    merge_databases(out, {in_});
    EXPECT_EQ(rows(out), after) << "the next merge does what is left";
  }
  EXPECT_GT(undone, 3);
}

TEST_F(MergeFault, AKilledMergeIntoANewFileLeavesNoneOrAnEmptyOne) {
  std::mt19937 random(12);
  for (int kill = 0; kill < 30; ++kill) {
    const fs::path out = dir_ / ("new" + std::to_string(kill) + ".db").c_str();
    {
      Child merger([&](const auto& say) {
        say("+");
        merge_databases(out, {in_, out_});
      });
      merger.hear();
      usleep(static_cast<unsigned>(random() % 60000));
      merger.kill_and_wait();
    }
    merge_databases(out, {in_, out_});
    EXPECT_EQ(rows_of(out, "SELECT count(*) FROM measurements").at(0), "2300 | ");
    EXPECT_THAT(create(out).check(), IsEmpty());
  }
}

TEST_F(MergeFault, AFullDiskUndoesTheMerge) {
  const auto before = rows(out_);
  int refused = 0;
  for (const int pages : {70, 100, 200, 300}) {
    EXPECT_THAT(
        error_of(ErrorKind::database, [&] { merge_databases(out_, {in_}, {.max_pages = pages}); }),
        HasSubstr("no space left"));
    EXPECT_EQ(rows(out_), before);
    ++refused;
    const fs::path fresh = dir_ / "fresh.db";
    error_of(ErrorKind::database, [&] {
      merge_databases(fresh, {in_, out_}, {.max_pages = pages});
    });
    EXPECT_FALSE(fs::exists(fresh));
    EXPECT_FALSE(fs::exists(fresh.string() + "-wal"));
  }
  EXPECT_EQ(refused, 4);
  merge_databases(out_, {in_});
  EXPECT_EQ(rows(out_).size(), before.size() + 2001) << "50 variants and one session in all";
}

TEST_F(MergeFault, AFileThatIsBeingWrittenIsTakenAsItIsAtOneMoment) {
  const fs::path busy = dir_ / "busy.db";
  Child writer([&](const auto& say) {
    Store store = create(busy);
    Ids ids = put_ids(store);
    ids.session =
        store.start_session({.started = "2026-01-02T03:04:05Z", .conditions = R"({"id":"busy"})"});
    say("+");
    for (int n = 0;; ++n) {
      auto transaction = store.transaction();
      ids.variant = store.put(a_variant(100 + n));
      // Both or neither.
      store.put(a_timing(ids, Round::search));
      store.put(a_timing(ids, Round::final));
      transaction.commit();
      usleep(500);
    }
  });
  writer.hear();
  for (int n = 0; n < 10; ++n) {
    merge_databases(out_, {busy});
    EXPECT_EQ(rows_of(out_, "SELECT count(*) % 2 FROM measurements").at(0), "0 | ");
    EXPECT_THAT(Store::open(out_, StoreMode::read_only).check(), IsEmpty());
  }
  writer.kill_and_wait();
  merge_databases(out_, {busy});
  EXPECT_EQ(rows_of(out_, "SELECT count(*) - 300 FROM measurements"),
            rows_of(busy, "SELECT count(*) FROM measurements"));
}

TEST_F(MergeFault, AnInputThatWasLeftInTheMiddleOfAChangeIsNamedWithTheRemedy) {
  const fs::path torn = dir_ / "torn.db";
  fill(torn, "torn", 50, "20");
  const auto before = rows(torn);
  {
    // As a writer that keeps a journal beside the file, and dies with half of it changed.
    Child writer([&](const auto& say) {
      RawSql sql(torn);
      sql("PRAGMA journal_mode = DELETE; PRAGMA cache_size = 5; BEGIN;"
          " UPDATE measurements SET reason = hex(randomblob(3000))");
      say("changed");
      pause();
    });
    ASSERT_EQ(writer.hear(), "changed");
  }
  EXPECT_THAT(error_of(ErrorKind::database, [&] { merge_databases(dir_ / "new.db", {torn}); }),
              AllOf(HasSubstr("torn.db was left in the middle"), HasSubstr("db migrate --db")));
  EXPECT_FALSE(fs::exists(dir_ / "new.db"));
  create(torn);
  merge_databases(dir_ / "new.db", {torn});
  EXPECT_EQ(rows(dir_ / "new.db"), before);
}

TEST_F(MergeFault, AFileThatAnotherWritesIsNotMergedInto) {
  Child writer([&](const auto& say) {
    Store store = create(out_);
    say("writing");
    pause();
  });
  writer.hear();
  EXPECT_THAT(error_of(ErrorKind::database, [&] { merge_databases(out_, {in_}); }),
              AllOf(HasSubstr("is in use"), HasSubstr(std::to_string(writer.pid()))));
}

}  // namespace
}  // namespace mla::test
