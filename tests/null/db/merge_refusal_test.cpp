// What is not merged, and that nothing is written then.
#include <gmock/gmock.h>

#include "tests/null/db/merge_fixture.hpp"

namespace mla::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

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
  raw_sql(bad, "PRAGMA ignore_check_constraints = 1; UPDATE variants SET params = '{'");
  EXPECT_THAT(refusal(ErrorKind::database, {bad}),
              AllOf(HasSubstr("bad.db is damaged"), HasSubstr("CHECK constraint failed")));
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
