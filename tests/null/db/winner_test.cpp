#include <gmock/gmock.h>

#include <map>
#include <random>
#include <tuple>

#include "tests/null/db/fixture.hpp"

namespace mla::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class WinnerTest : public ::testing::Test {
 protected:
  Ids variant(int n) {
    auto ids = ids_;
    ids.variant = store_.put(a_variant(n));
    return ids;
  }
  Winner only() {
    const auto winners = store_.winners();
    EXPECT_THAT(winners, SizeIs(1));
    return winners.empty() ? Winner{} : winners[0];
  }

  TempDir dir_;
  Store store_ = create(dir_ / "t.db");
  Ids ids_ = put_ids(store_);
};

TEST_F(WinnerTest, IsTheFastestOfTheFinalRound) {
  store_.put(a_prediction(variant(1), Round::final, 20));
  store_.put(a_prediction(variant(2), Round::final, 10));
  store_.put(a_prediction(variant(3), Round::search, 1));
  const auto winner = only();
  EXPECT_EQ(winner.arch, "gfx950");
  EXPECT_EQ(winner.rocm, "7.2.4");
  EXPECT_EQ(winner.variant, key(2));
  EXPECT_EQ(winner.params, a_variant(2).params);
  EXPECT_EQ(winner.evidence, Evidence::predicted);
  EXPECT_EQ(winner.median_us, 10);
  EXPECT_EQ(winner.problem, a_problem());
}

// As a damaged index may have it.
TEST_F(WinnerTest, WhoseMeasurementIsNotFoundIsTheDatabasesFault) {
  store_.put(a_prediction(variant(1), Round::final, 20));
  Winner winner = only();
  EXPECT_EQ(store_.origin(winner).device.arch, "gfx950");
  winner.problem.num_tokens += 1;
  EXPECT_THAT(error_of(ErrorKind::database, [&] { (void)store_.origin(winner); }),
              AllOf(HasSubstr("variant " + key(1)),
                    HasSubstr("db check --db " + (dir_ / "t.db").string())));
}

TEST_F(WinnerTest, TellsTheWholeProblem) {
  auto problem = a_problem();
  problem.main_format = 2;
  problem.lengths = "ragged";
  problem.warm_cache = true;
  auto ids = ids_;
  ids.problem = store_.put(problem);
  store_.put(a_prediction(ids));
  EXPECT_EQ(only().problem, problem);
}

TEST_F(WinnerTest, IsMeasuredRatherThanPredictedHoweverSlow) {
  store_.put(a_prediction(variant(1), Round::final, 1));
  store_.put(a_timing(variant(2), Round::final, 1000));
  store_.put(a_prediction(variant(3), Round::final, 1));
  EXPECT_EQ(only().variant, key(2));
  EXPECT_EQ(only().evidence, Evidence::measured);
}

TEST_F(WinnerTest, IsTheSmallerKeyOfTwoThatAreEquallyFast) {
  store_.put(a_prediction(variant(2)));
  store_.put(a_prediction(variant(1)));
  EXPECT_EQ(only().variant, key(1));
}

TEST_F(WinnerTest, CountsOnlyTheNewestFinalRowOfAVariant) {
  store_.put(a_timing(variant(1), Round::final, 5));
  store_.put(a_timing(variant(2), Round::final, 10));
  store_.put(a_timing(variant(1), Round::final, 15));
  EXPECT_EQ(only().variant, key(2));
}

TEST_F(WinnerTest, DoesNotLetAPredictionReplaceATimeOfTheSameVariant) {
  store_.put(a_timing(variant(1), Round::final, 10));
  store_.put(a_prediction(variant(1), Round::final, 1));
  EXPECT_EQ(only().median_us, 10);
  EXPECT_EQ(only().evidence, Evidence::measured);
}

TEST_F(WinnerTest, NeverFailedSince) {
  for (const auto round : {Round::search, Round::final}) {
    const auto ids = variant(round == Round::search ? 1 : 2);
    store_.put(a_timing(ids, Round::final, 1));
    EXPECT_THAT(store_.winners(), SizeIs(1));
    store_.put(a_failure(ids, Verdict::wrong_result, Evidence::measured, round));
    EXPECT_THAT(store_.winners(), IsEmpty());
  }
  store_.put(a_timing(variant(2), Round::final, 1));
  EXPECT_EQ(only().variant, key(2));
}

TEST_F(WinnerTest, IsNotPredictedOnceItFailedOnTheDevice) {
  store_.put(a_failure(variant(1), Verdict::crashed, Evidence::measured, Round::search));
  store_.put(a_prediction(variant(1)));
  EXPECT_THAT(store_.winners(), IsEmpty());
}

TEST_F(WinnerTest, IsNeverAnUnverifiedVariant) {
  auto unverified = a_prediction(variant(1));
  unverified.verdict = Verdict::unverified;
  unverified.max_error = -1;
  store_.put(unverified);
  EXPECT_THAT(store_.winners(), IsEmpty());
}

TEST_F(WinnerTest, IsOfOneArchOneProblemAndOneRelease) {
  store_.put(a_prediction(variant(1)));
  auto host = variant(2);
  host.device = store_.put(a_device("host"));
  store_.put(a_timing(host, Round::final, 1));
  auto older = variant(3);
  older.toolchain = store_.put(a_toolchain("6.4.3"));
  store_.put(a_prediction(older));
  auto other = variant(4);
  other.problem = store_.put(a_problem(1));
  store_.put(a_prediction(other));
  EXPECT_THAT(store_.winners(), SizeIs(4));
  EXPECT_THAT(store_.winners("gfx950"), SizeIs(3));
  ASSERT_THAT(store_.winners("host"), SizeIs(1));
  EXPECT_EQ(store_.winners("host")[0].variant, key(2));
  EXPECT_THAT(store_.winners("gfx942"), IsEmpty());
}

TEST_F(WinnerTest, IsOneForTwoDevicesOfAnArch) {
  store_.put(a_timing(variant(1), Round::final, 10));
  auto second = variant(2);
  auto device = a_device();
  device.pci_id = "0000:02:00.0";
  second.device = store_.put(device);
  store_.put(a_timing(second, Round::final, 9));
  EXPECT_EQ(only().variant, key(2));
}

TEST_F(WinnerTest, HasAVerdictPerVariantBesideIt) {
  const auto object = [&](const Ids& ids, int n, Verdict verdict) {
    store_.put(CodeObjectRecord{.key = key(n),
                                .variant_id = ids.variant,
                                .toolchain_id = ids.toolchain,
                                .arch = "gfx950",
                                .entry_template = "sparse_mla_decode",
                                .verdict = verdict,
                                .reason = "r"});
  };
  object(variant(1), 100, Verdict::ok);        // compiled, never run
  object(variant(2), 101, Verdict::rejected);  // one of its two code objects is bad
  object(variant(2), 100, Verdict::ok);
  object(variant(3), 100, Verdict::ok);  // ok for one problem
  store_.put(a_prediction(variant(3)));
  store_.put(a_prediction(variant(3), Round::search));
  object(variant(4), 100, Verdict::ok);  // ok for one problem, wrong for another
  store_.put(a_prediction(variant(4)));
  auto other = variant(4);
  other.problem = store_.put(a_problem(1));
  store_.put(a_failure(other, Verdict::wrong_result, Evidence::predicted));
  std::map<Verdict, std::int64_t> counts;
  for (const auto& count : store_.stats().variants) counts[count.verdict] += count.count;
  const std::map<Verdict, std::int64_t> expected = {{Verdict::ok, 1},
                                                    {Verdict::rejected, 1},
                                                    {Verdict::wrong_result, 1},
                                                    {Verdict::unverified, 1}};
  EXPECT_EQ(counts, expected);
}

// The rule of README.md once more, over a list.
struct Row {
  int problem, variant;
  std::string arch, rocm;
  MeasurementRecord m;
};
using Key = std::tuple<int, std::string, std::string>;  // problem, arch, rocm
using Answer = std::tuple<int, Evidence, double>;       // variant, evidence, median

std::map<Key, Answer> model_winners(const std::vector<Row>& rows) {
  std::map<std::tuple<int, std::string, std::string, int>, const Row*> counts;
  for (const auto& row : rows) {
    const bool failed = row.m.verdict != Verdict::ok && row.m.verdict != Verdict::unverified;
    if (row.m.round != Round::final && !failed) continue;
    auto& kept = counts[{row.problem, row.arch, row.rocm, row.variant}];
    if (kept == nullptr || row.m.evidence <= kept->m.evidence) kept = &row;
  }
  std::map<Key, Answer> winners;
  const auto order = [](const Answer& a) {
    return std::tuple(std::get<1>(a), std::get<2>(a), std::get<0>(a));
  };
  for (const auto& [key, row] : counts) {
    if (row->m.verdict != Verdict::ok) continue;
    const Answer answer{row->variant, row->m.evidence, row->m.median_us};
    const auto [best, first] = winners.emplace(Key{row->problem, row->arch, row->rocm}, answer);
    if (!first && order(answer) < order(best->second)) best->second = answer;
  }
  return winners;
}

TEST_F(WinnerTest, AgreesWithAModelOverRandomMeasurements) {
  std::mt19937 random(20);
  const auto below = [&](int n) { return static_cast<int>(random() % static_cast<unsigned>(n)); };
  const std::vector<std::string> archs = {"gfx950", "gfx942", "host"};
  const std::vector<std::string> releases = {"7.2.4", "6.4.3"};
  std::vector<Row> rows;
  std::size_t winners_seen = 0;
  for (int round = 0; round < 60; ++round) {
    auto transaction = store_.transaction();
    for (int n = 0; n < 20; ++n) {
      Row row{below(3),
              below(5),
              archs[static_cast<std::size_t>(below(3))],
              releases[static_cast<std::size_t>(below(2))],
              {}};
      auto ids = variant(row.variant);
      ids.problem = store_.put(a_problem(1 + row.problem));
      auto device = a_device(row.arch);
      device.clock_mhz = 1000 + below(2);
      ids.device = store_.put(device);
      ids.toolchain = store_.put(a_toolchain(row.rocm));
      const auto when = below(2) == 0 ? Round::search : Round::final;
      const auto evidence = below(3) == 0 ? Evidence::measured : Evidence::predicted;
      const auto median = static_cast<float>(1 + below(4));  // few values: ties happen
      if (below(4) == 0) {
        row.m = a_failure(ids, static_cast<Verdict>(1 + below(6)), evidence, when);
      } else if (evidence == Evidence::measured) {
        row.m = a_timing(ids, when, median);
      } else {
        row.m = a_prediction(ids, when, double{median});
        if (below(4) == 0) row.m.verdict = Verdict::unverified;
      }
      store_.put(row.m);
      rows.push_back(row);
    }
    transaction.commit();
    std::map<Key, Answer> found;
    for (const auto& winner : store_.winners()) {
      const int number = static_cast<int>(std::stol(winner.variant, nullptr, 16));
      found[{winner.problem.num_tokens - 1, winner.arch, winner.rocm}] = {number, winner.evidence,
                                                                          winner.median_us};
    }
    ASSERT_EQ(found, model_winners(rows)) << "after " << rows.size() << " measurements";
    winners_seen += found.size();
  }
  EXPECT_GT(winners_seen, 500u);
  EXPECT_THAT(store_.check(), IsEmpty());
}

}  // namespace
}  // namespace mla::test
