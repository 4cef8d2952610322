#include "db/store.hpp"

#include <gmock/gmock.h>

#include <limits>

#include "tests/null/db/fixture.hpp"

namespace mla::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoreTest : public ::testing::Test {
 protected:
  TempDir dir_;
  std::filesystem::path path_ = dir_ / "t.db";
  Store store_ = create(path_);
};

TEST_F(StoreTest, GivesTheSameThingFoundTwiceTheSameRow) {
  EXPECT_EQ(store_.put(a_toolchain()), store_.put(a_toolchain()));
  EXPECT_EQ(store_.put(a_device()), store_.put(a_device()));
  EXPECT_EQ(store_.put(a_problem()), store_.put(a_problem()));
  EXPECT_EQ(store_.put(a_variant(1)), store_.put(a_variant(1)));
}

TEST_F(StoreTest, TellsThingsThatDifferInOneFieldApart) {
  auto other_driver = a_device();
  other_driver.driver = "6.4";
  EXPECT_NE(store_.put(a_device()), store_.put(other_driver));
  auto warm = a_problem();
  warm.warm_cache = true;
  auto fnuz = a_problem();
  fnuz.main_format = 2;
  auto ragged = a_problem();
  ragged.lengths = "ragged";
  const auto plain = store_.put(a_problem());
  for (const auto& problem : {warm, fnuz, ragged}) EXPECT_NE(store_.put(problem), plain);
  EXPECT_EQ(store_.problems().size(), 4u);
  EXPECT_EQ(store_.problems()[1], [&] {
    auto p = warm;
    p.id = 2;
    return p;
  }());
}

TEST_F(StoreTest, RefusesOneKeyForTwoVariants) {
  store_.put(a_variant(1));
  auto impostor = a_variant(2);
  impostor.key = key(1);
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { store_.put(impostor); }), HasSubstr(key(1)));
}

TEST_F(StoreTest, FindsVariantsByTheBeginningOfTheirKey) {
  for (int n : {0x10, 0x11, 0x20}) store_.put(a_variant(n));
  EXPECT_EQ(store_.variants().size(), 3u);
  EXPECT_EQ(store_.variants(key(0x10).substr(0, 31)).size(), 2u);
  ASSERT_EQ(store_.variants(key(0x20)).size(), 1u);
  EXPECT_EQ(store_.variants(key(0x20))[0].params, a_variant(0x20).params);
  EXPECT_THAT(store_.variants("f"), IsEmpty());
}

TEST_F(StoreTest, GivesBackAMeasurementAsItWasPut) {
  const auto ids = put_ids(store_);
  auto put = a_timing(ids, Round::search, 2);
  put.samples_us = {3, 1.5f, 2};
  put.mad_us = 0.5;
  put.ci_low_us = 1.5;
  put.ci_high_us = 3;
  put.recorded = "2026-01-02T03:04:05Z";
  put.id = store_.put(put);
  const auto got =
      store_.find_measurement(ids.variant, ids.problem, ids.device, ids.toolchain, Round::search);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->id, put.id);
  EXPECT_EQ(got->session_id, ids.session);
  EXPECT_EQ(got->evidence, Evidence::measured);
  EXPECT_EQ(got->verdict, Verdict::ok);
  EXPECT_EQ(got->median_us, 2);
  EXPECT_EQ(got->mad_us, 0.5);
  EXPECT_EQ(got->ci_low_us, 1.5);
  EXPECT_EQ(got->ci_high_us, 3);
  EXPECT_EQ(got->max_error, 1e-4);
  EXPECT_EQ(got->cosine_gap, 1e-7);
  EXPECT_EQ(got->recorded, put.recorded);
  EXPECT_THAT(got->samples_us, ElementsAre(3, 1.5f, 2));
}

TEST_F(StoreTest, KnowsWhatWasTriedByVariantProblemDeviceToolchainAndRound) {
  const auto ids = put_ids(store_);
  store_.put(a_prediction(ids, Round::search));
  const auto tried = [&](std::int64_t v, std::int64_t p, std::int64_t d, std::int64_t t, Round r) {
    return store_.find_measurement(v, p, d, t, r).has_value();
  };
  EXPECT_TRUE(tried(ids.variant, ids.problem, ids.device, ids.toolchain, Round::search));
  EXPECT_FALSE(tried(ids.variant, ids.problem, ids.device, ids.toolchain, Round::final));
  EXPECT_FALSE(tried(ids.variant + 1, ids.problem, ids.device, ids.toolchain, Round::search));
  EXPECT_FALSE(tried(ids.variant, ids.problem + 1, ids.device, ids.toolchain, Round::search));
  EXPECT_FALSE(tried(ids.variant, ids.problem, ids.device + 1, ids.toolchain, Round::search));
  EXPECT_FALSE(tried(ids.variant, ids.problem, ids.device, ids.toolchain + 1, Round::search));
}

TEST_F(StoreTest, KeepsAFailedVariantAsARow) {
  const auto ids = put_ids(store_);
  store_.put(a_failure(ids, Verdict::crashed, Evidence::measured));
  const auto got =
      store_.find_measurement(ids.variant, ids.problem, ids.device, ids.toolchain, Round::final);
  ASSERT_TRUE(got);
  EXPECT_EQ(got->verdict, Verdict::crashed);
  EXPECT_EQ(got->reason, "it broke");
  EXPECT_EQ(got->max_error, -1);
}

TEST_F(StoreTest, KeepsTheFormerMeasurementWhenOneIsRepeated) {
  const auto ids = put_ids(store_);
  const auto first = store_.put(a_timing(ids, Round::final, 1));
  const auto second = store_.put(a_timing(ids, Round::final, 2));
  EXPECT_LT(first, second);
  EXPECT_EQ(
      store_.find_measurement(ids.variant, ids.problem, ids.device, ids.toolchain, Round::final)
          ->id,
      second);
  EXPECT_THAT(store_.measurements(ids.problem, ids.device, ids.toolchain, Round::final),
              ::testing::SizeIs(1));
  EXPECT_EQ(store_.stats().tables[5], (std::pair<std::string, std::int64_t>{"measurements", 2}));
}

TEST_F(StoreTest, StoresAnErrorThatIsNotANumberAsInfinity) {
  const auto ids = put_ids(store_);
  auto failure = a_failure(ids, Verdict::wrong_result, Evidence::measured);
  failure.max_error = std::numeric_limits<double>::quiet_NaN();
  failure.cosine_gap = std::numeric_limits<double>::quiet_NaN();
  store_.put(failure);
  const auto got =
      store_.find_measurement(ids.variant, ids.problem, ids.device, ids.toolchain, Round::final);
  EXPECT_EQ(got->max_error, std::numeric_limits<double>::infinity());
  EXPECT_EQ(got->cosine_gap, std::numeric_limits<double>::infinity());
}

TEST_F(StoreTest, FindsACodeObjectByKeyAndReplacesWhatBecameOfIt) {
  const auto ids = put_ids(store_);
  CodeObjectRecord object{.key = key(77),
                          .variant_id = ids.variant,
                          .toolchain_id = ids.toolchain,
                          .arch = "gfx950",
                          .entry_template = "sparse_mla_decode",
                          .verdict = Verdict::timed_out,
                          .reason = "60 s"};
  const auto id = store_.put(object);
  EXPECT_EQ(store_.find_code_object(key(77))->verdict, Verdict::timed_out);
  EXPECT_EQ(store_.find_code_object(key(77))->resources.vgprs, -1);
  object.verdict = Verdict::ok;
  object.reason.clear();
  object.content = key(78);
  object.compile_seconds = 1.25;
  object.resources = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
  EXPECT_EQ(store_.put(object), id);
  const auto got = store_.find_code_object(key(77));
  ASSERT_TRUE(got);
  EXPECT_EQ(got->verdict, Verdict::ok);
  EXPECT_EQ(got->content, key(78));
  EXPECT_EQ(got->compile_seconds, 1.25);
  EXPECT_EQ(got->resources.vgprs, 1);
  EXPECT_EQ(got->resources.waves_per_simd, 9);
  EXPECT_EQ(got->resources.salu, 14);
  EXPECT_FALSE(store_.find_code_object(key(79)));
  ASSERT_EQ(store_.code_objects(ids.variant).size(), 1u);
  EXPECT_EQ(store_.code_objects(ids.variant)[0].key, key(77));
}

TEST_F(StoreTest, LetsVariantsShareACodeObject) {
  const auto ids = put_ids(store_);
  CodeObjectRecord object{.key = key(77),
                          .variant_id = ids.variant,
                          .toolchain_id = ids.toolchain,
                          .arch = "gfx950",
                          .entry_template = "sparse_mla_reduce"};
  const auto id = store_.put(object);
  object.variant_id = store_.put(a_variant(2));
  EXPECT_EQ(store_.put(object), id);
  for (const auto variant : {ids.variant, object.variant_id}) {
    ASSERT_EQ(store_.code_objects(variant).size(), 1u);
    EXPECT_EQ(store_.code_objects(variant)[0].id, id);
    EXPECT_EQ(store_.code_objects(variant)[0].variant_id, variant);
  }
}

TEST_F(StoreTest, StoresNoCodeObjectWithoutItsVariant) {
  const auto ids = put_ids(store_);
  const CodeObjectRecord object{.key = key(77),
                                .variant_id = 99,
                                .toolchain_id = ids.toolchain,
                                .arch = "gfx950",
                                .entry_template = "sparse_mla_decode"};
  error_of(ErrorKind::internal, [&] { store_.put(object); });
  EXPECT_FALSE(store_.find_code_object(key(77)));
  auto transaction = store_.transaction();
  store_.put(a_variant(2));
  error_of(ErrorKind::internal, [&] { store_.put(object); });
  transaction.commit();
  EXPECT_FALSE(store_.find_code_object(key(77)));
  EXPECT_EQ(store_.variants().size(), 2u);
}

TEST_F(StoreTest, RemembersHowASessionBeganAndEnded) {
  const auto id = store_.start_session({.command = "mla-tune", .version = "0.1", .seed = ~0ull});
  EXPECT_THAT(store_.sessions()[0].started, HasSubstr("T"));
  EXPECT_EQ(store_.sessions()[0].ended, "");
  store_.end_session(id, "{\"load\":1}");
  EXPECT_THAT(store_.sessions()[0].ended, HasSubstr("Z"));
  EXPECT_EQ(store_.sessions()[0].conditions, "{\"load\":1}");
  EXPECT_EQ(store_.sessions()[0].seed, ~0ull);
}

TEST_F(StoreTest, NamesTheRuleThatARecordBreaks) {
  const auto ids = put_ids(store_);
  const auto refused = [&](auto change) {
    auto record = a_timing(ids);
    change(record);
    return error_of(ErrorKind::internal, [&] { store_.put(record); });
  };
  using M = MeasurementRecord;
  EXPECT_THAT(refused([](M& m) { m.max_error = -1; }), HasSubstr("ok_was_verified"));
  EXPECT_THAT(refused([](M& m) { m.samples_us.clear(); }), HasSubstr("measured_ok_has_samples"));
  EXPECT_THAT(refused([](M& m) { m.evidence = Evidence::predicted; }),
              HasSubstr("prediction_has_no_samples"));
  EXPECT_THAT(refused([](M& m) { m.median_us = 0; }), HasSubstr("ok_has_a_time"));
  EXPECT_THAT(refused([](M& m) { m.verdict = Verdict::crashed; }),
              HasSubstr("failure_has_no_time"));
  EXPECT_THAT(refused([](M& m) { m.ci_low_us = 1; }), HasSubstr("interval_in_order"));
  EXPECT_THAT(refused([](M& m) { m.median_us = std::numeric_limits<double>::quiet_NaN(); }),
              HasSubstr("median_us"));
  EXPECT_THAT(refused([](M& m) { m.median_us = std::numeric_limits<double>::infinity(); }),
              HasSubstr("median_finite"));
  EXPECT_THAT(refused([](M& m) { m.variant_id = 99; }), HasSubstr("FOREIGN KEY"));
  auto pageless = a_problem();
  pageless.extra_page = 0;
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { store_.put(pageless); }),
              HasSubstr("extra_page_with_extra_len"));
  auto misnamed = a_variant(1);
  misnamed.key = "short";
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { store_.put(misnamed); }),
              HasSubstr("key_of_32_hex_digits"));
  auto listed = a_variant(2);
  listed.params = "[1]";
  EXPECT_THAT(error_of(ErrorKind::internal, [&] { store_.put(listed); }),
              HasSubstr("params_json_object"));
  EXPECT_THAT(store_.check(), IsEmpty());
}

TEST_F(StoreTest, StoresTextAsValuesNotAsSql) {
  auto odd = a_toolchain("7'); DROP TABLE toolchains; --");
  odd.llvm = std::string("nul\0inside", 10);
  EXPECT_EQ(store_.put(odd), store_.put(odd));
  EXPECT_EQ(store_.stats().tables[0].second, 1);
}

TEST_F(StoreTest, ForgetsATransactionThatWasNotCommitted) {
  {
    auto transaction = store_.transaction();
    store_.put(a_variant(1));
  }
  EXPECT_THAT(store_.variants(), IsEmpty());
  auto transaction = store_.transaction();
  store_.put(a_variant(2));
  transaction.commit();
  EXPECT_EQ(store_.variants().size(), 1u);
}

TEST_F(StoreTest, OpensOneTransactionAtATime) {
  auto transaction = store_.transaction();
  error_of(ErrorKind::internal, [&] { (void)store_.transaction(); });
  store_.put(a_variant(1));
  transaction.commit();
  EXPECT_EQ(store_.variants().size(), 1u);
}

TEST_F(StoreTest, KeepsATransactionWhenTheStoreIsMoved) {
  auto transaction = store_.transaction();
  Store moved = std::move(store_);
  moved.put(a_variant(1));
  transaction.commit();
  EXPECT_EQ(moved.variants().size(), 1u);
  store_ = std::move(moved);
}

TEST_F(StoreTest, CountsRowsVerdictsAndWinners) {
  const auto ids = put_ids(store_);
  store_.put(a_prediction(ids));
  store_.put(
      a_failure({ids.toolchain, ids.device, ids.problem, store_.put(a_variant(2)), ids.session},
                Verdict::timed_out, Evidence::predicted));
  const auto stats = store_.stats();
  EXPECT_GT(stats.bytes, 0);
  ASSERT_EQ(stats.measurements.size(), 2u);
  EXPECT_EQ(stats.measurements[0].arch, "gfx950");
  EXPECT_EQ(stats.measurements[0].rocm, "7.2.4");
  EXPECT_EQ(stats.measurements[0].verdict, Verdict::ok);
  EXPECT_EQ(stats.measurements[1].verdict, Verdict::timed_out);
  ASSERT_EQ(stats.winners.size(), 1u);
  EXPECT_EQ(stats.winners[0].evidence, Evidence::predicted);
  EXPECT_EQ(stats.winners[0].count, 1);
}

TEST_F(StoreTest, IsReadWhileItIsWritten) {
  const auto ids = put_ids(store_);
  auto reader = Store::open(path_, StoreMode::read_only);
  store_.put(a_prediction(ids));
  EXPECT_EQ(reader.winners().size(), 1u);
  auto transaction = store_.transaction();
  store_.put(a_prediction(ids, Round::final, 5));
  EXPECT_EQ(reader.winners()[0].median_us, 10);
  transaction.commit();
  EXPECT_EQ(reader.winners()[0].median_us, 5);
}

}  // namespace
}  // namespace mla::test
