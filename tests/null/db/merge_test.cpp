#include "db/merge.hpp"

#include <gmock/gmock.h>

#include <algorithm>

#include "tests/null/db/merge_fixture.hpp"

namespace mla::test {
namespace {

using ::testing::IsEmpty;
using ::testing::SizeIs;

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

}  // namespace
}  // namespace mla::test
