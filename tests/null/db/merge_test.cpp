#include "db/merge.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "tests/null/db/fixture.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::SizeIs;

std::string bytes_of(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

CodeObjectRecord a_code_object(const Ids& ids) {
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

TEST_F(MergeTest, GivesTheNewFileWhatEachInputHas) {
  const auto a = made(
      "a.db",
      [](Store& store, const Ids& ids) {
        store.put(a_timing(ids, Round::final, 10));
        store.put(a_code_object(ids));
      },
      "a");
  const auto b = made(
      "bb.db",
      [](Store& store, Ids ids) {
        ids.variant = store.put(a_variant(2));
        store.put(a_timing(ids, Round::final, 7));
        store.put(a_code_object(ids));
      },
      "b");
  const MergeReport report = merge_databases(out_, {a, b});
  EXPECT_TRUE(report.created);
  Store out = Store::open(out_, StoreMode::read_only);
  EXPECT_THAT(out.check(), IsEmpty());
  EXPECT_THAT(out.sessions(), SizeIs(2));
  EXPECT_THAT(out.variants(), SizeIs(2));
  EXPECT_EQ(rows(out_, "measurements"), 2);
  EXPECT_EQ(rows(out_, "code_objects"), 1);
  EXPECT_EQ(rows(out_, "variant_code_objects"), 2);
  ASSERT_THAT(out.winners(), SizeIs(1));
  EXPECT_EQ(out.winners()[0].variant, key(2));
  const auto& measurements = report.tables.back();
  EXPECT_EQ(measurements.name, "measurements");
  EXPECT_EQ(measurements.read, 2);
  EXPECT_EQ(measurements.added, 2);
}

TEST_F(MergeTest, ChangesNothingTheSecondTime) {
  const auto a = made("a.db", [](Store& store, const Ids& ids) {
    store.put(a_timing(ids));
    store.put(a_timing(ids));  // a trial repeated within the second, with the same outcome
    store.put(a_code_object(ids));
  });
  merge_databases(out_, {a, a});
  EXPECT_EQ(rows(out_, "measurements"), 2);
  const std::string once =
      raw_sql(out_, "SELECT group_concat(id || quote(samples)) FROM measurements");
  for (const auto& table : merge_databases(out_, {a}).tables)
    EXPECT_EQ(table.added, 0) << table.name;
  EXPECT_EQ(raw_sql(out_, "SELECT group_concat(id || quote(samples)) FROM measurements"), once);
  EXPECT_EQ(rows(out_, "sessions"), 1);
}

TEST_F(MergeTest, AnOlderTrialThatComesLaterDoesNotCountAsTheNewest) {
  const auto at = [](const char* moment, float us) {
    return [=](Store& store, const Ids& ids) {
      auto m = a_timing(ids, Round::final, us);
      m.recorded = moment;
      store.put(m);
    };
  };
  const auto old = made("old.db", at("2026-01-02T03:04:06Z", 5), "old");
  const auto young = made("young.db", at("2026-01-02T03:04:07Z", 9), "young");
  merge_databases(out_, {young, old});
  merge_databases(file("other.db"), {old});
  merge_databases(file("other.db"), {young});
  for (const auto& path : {out_, file("other.db")})
    EXPECT_EQ(Store::open(path, StoreMode::read_only).winners().at(0).median_us, 9) << path;
}

TEST_F(MergeTest, TellsSessionsOfTheSameSecondApartByTheirIdentity) {
  const auto work = [](Store& store, const Ids& ids) { store.put(a_prediction(ids)); };
  const auto a = made("a.db", work, "one node"), b = made("b.db", work, "another");
  merge_databases(out_, {a, b});
  EXPECT_EQ(rows(out_, "sessions"), 2);
  EXPECT_EQ(rows(out_, "measurements"), 2);
}

TEST_F(MergeTest, ACopyOfARunThatGoesOnBecomesTheWholeRun) {
  const auto early = made(
      "a.db", [](Store& store, const Ids& ids) { store.put(a_timing(ids)); }, "the run");
  const fs::path late = file("late.db");
  fs::copy_file(early, late);
  {
    Store store = create(late);
    Ids ids = put_ids(store);  // and another session
    ids.session = 1;
    store.put(a_timing(ids, Round::final, 11));
    const auto problem = std::to_string(ids.problem), device = std::to_string(ids.device);
    store.end_session(1, R"({"id":"the run","problems":[{"problem":)" + problem + R"(,"device":)" +
                             device + R"(,"conditions":{}}]})");
  }
  for (const auto& order : {std::vector{early, late}, std::vector{late, early}}) {
    const fs::path out = file(order.front() == early ? "1.db" : "2.db");
    { create(out).put(a_problem(99)); }  // so that ids move
    merge_databases(out, order);
    EXPECT_EQ(rows(out, "sessions"), 2);
    EXPECT_EQ(rows(out, "measurements"), 2);
    EXPECT_EQ(raw_sql(out,
                      "SELECT json_extract(conditions, '$.problems[0].problem') FROM sessions"
                      " WHERE ended <> ''"),
              raw_sql(out, "SELECT id FROM problems WHERE num_tokens = 8"));
    EXPECT_EQ(merge_databases(out, order).tables[6].updated, 0);
  }
}

TEST_F(MergeTest, KeepsOfTwoCompilationsWhatBothKnow) {
  const auto put = [](const std::function<void(CodeObjectRecord&)>& change) {
    return [=](Store& store, const Ids& ids) {
      auto c = a_code_object(ids);
      change(c);
      store.put(c);
    };
  };
  const auto slow = made("slow.db", put([](auto& c) {
                           c.compile_seconds = 9;
                           c.resources.mfma = 96;
                         }));
  const auto quick = made("quick.db", put([](auto& c) { c.compile_seconds = 1; }));
  const auto hung = made("hung.db", put([](auto& c) {
                           c = {.key = c.key,
                                .variant_id = c.variant_id,
                                .toolchain_id = c.toolchain_id,
                                .arch = c.arch,
                                .entry_template = c.entry_template,
                                .verdict = Verdict::timed_out,
                                .reason = "60 s"};
                         }));
  std::vector inputs{hung, quick, slow};
  do {
    const fs::path out = file("all.db");
    for (const char* end : {"", "-wal", "-shm", ".lock"}) fs::remove(out.string() + end);
    merge_databases(out, inputs);
    const auto kept = create(out).find_code_object(key(77)).value();
    EXPECT_EQ(kept.verdict, Verdict::ok);
    EXPECT_EQ(kept.compile_seconds, 1);
    EXPECT_EQ(kept.resources.vgprs, 160);
    EXPECT_EQ(kept.resources.mfma, 96);
    EXPECT_EQ(merge_databases(out, inputs).tables[4].updated, 0);
  } while (std::ranges::next_permutation(inputs).found);
}

TEST_F(MergeTest, NamesWhatContradictsAndWritesNothing) {
  const auto a = made(
      "a.db", [](Store& store, const Ids& ids) { store.put(a_code_object(ids)); }, "s");
  const auto b = made(
      "b.db",
      [](Store& store, const Ids& ids) {
        auto c = a_code_object(ids);
        c.resources.vgprs = 176;
        store.put(c);
        store.put(a_prediction(ids));
      },
      "t");
  EXPECT_THAT(refusal(ErrorKind::database, {a, b}),
              AllOf(HasSubstr("code object " + key(77)), HasSubstr("vgprs 160 in " + a.string()),
                    HasSubstr("vgprs 176 in " + b.string()), HasSubstr("nothing was merged")));
  merge_databases(out_, {a});
  EXPECT_THAT(refusal(ErrorKind::database, {b}), HasSubstr("vgprs 160 in " + out_.string()));

  const auto c = made(
      "c.db", [](Store&, const Ids&) {}, "u");
  raw_sql(c, "UPDATE variants SET params = '{\"n\":3}'");
  EXPECT_THAT(
      refusal(ErrorKind::database, {c}),
      AllOf(HasSubstr("variant " + key(1)), HasSubstr("{\"n\":1}"), HasSubstr("{\"n\":3}")));

  const auto d = made(
      "d.db", [](Store&, const Ids&) {}, "s");
  raw_sql(d, "UPDATE sessions SET seed = 5");
  EXPECT_THAT(refusal(ErrorKind::database, {b, c, d}),
              AllOf(HasSubstr("3 rows"), HasSubstr("session s"), HasSubstr("seed 5")));
}

TEST_F(MergeTest, RefusesWhatIsNoInput) {
  const auto good = made("good.db", [](Store& store, const Ids& ids) { store.put(a_timing(ids)); });
  EXPECT_THAT(refusal(ErrorKind::usage, {}), HasSubstr("at least one"));
  EXPECT_THAT(refusal(ErrorKind::database, {good, file("none.db")}),
              AllOf(HasSubstr("none.db"), HasSubstr("does not exist")));
  std::ofstream(file("text.db")) << std::string(5000, 'x');
  EXPECT_THAT(refusal(ErrorKind::database, {good, file("text.db")}), HasSubstr("not an SQLite"));
  std::ofstream(file("empty.db"));
  EXPECT_THAT(refusal(ErrorKind::database, {good, file("empty.db")}), HasSubstr("is empty"));
  raw_sql(file("foreign.db"), "CREATE TABLE t (x); PRAGMA user_version = 2");
  EXPECT_THAT(refusal(ErrorKind::database, {good, file("foreign.db")}),
              HasSubstr("another program"));
  EXPECT_THAT(refusal(ErrorKind::database, {good, dir_.path()}), HasSubstr("directory"));

  merge_databases(out_, {good});
  fs::create_symlink(out_, file("alias.db"));
  for (const auto& alias : {out_, file("alias.db")})
    EXPECT_THAT(refusal(ErrorKind::usage, {good, alias}), HasSubstr("both OUT and an input"));
}

TEST_F(MergeTest, RefusesADamagedInputBeforeItSpreads) {
  const auto bad = made("bad.db", [](Store& store, const Ids& ids) { store.put(a_timing(ids)); });
  raw_sql(bad, "PRAGMA ignore_check_constraints = 1; UPDATE measurements SET median_us = 3");
  EXPECT_THAT(refusal(ErrorKind::database, {bad}),
              AllOf(HasSubstr("bad.db is damaged"), HasSubstr("median"), HasSubstr("db check")));
}

TEST_F(MergeTest, RefusesOtherFormatsOnEitherSide) {
  const auto old = file("v1.db"), good = made("good.db", [](Store&, const Ids&) {});
  std::ifstream dump(std::string(MLA_TEST_DATA) + "/db_v1.sql");
  raw_sql(old, std::string{std::istreambuf_iterator<char>(dump), {}});
  EXPECT_THAT(refusal(ErrorKind::database, {good, old}),
              AllOf(HasSubstr("v1.db has format 1"), HasSubstr("db migrate --db")));
  const std::string before = bytes_of(old);
  EXPECT_THAT(error_of(ErrorKind::database, [&] { merge_databases(old, {good}); }),
              HasSubstr("format 1"));
  EXPECT_EQ(bytes_of(old), before);
  const auto future = made("future.db", [](Store&, const Ids&) {});
  raw_sql(future, "PRAGMA user_version = 99");
  EXPECT_THAT(refusal(ErrorKind::database, {future}), HasSubstr("newer mla-tune"));
  { create(old); }  // what db migrate does
  merge_databases(out_, {good, old});
  EXPECT_GT(rows(out_, "measurements"), 0);
}

}  // namespace
}  // namespace mla::test
