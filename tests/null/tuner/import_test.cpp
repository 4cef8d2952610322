#include "tuner/import.hpp"

#include <gmock/gmock.h>

#include "tests/null/db/fixture.hpp"
#include "tests/null/tuner/known_winner.hpp"

namespace mla::test {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class Import : public ::testing::Test {
 protected:
  ImportReport import(const std::vector<KnownWinner>& winners) {
    return import_winners(store_, winners, {.command = "import", .version = "0"});
  }
  std::vector<KnownWinner> winners() {
    std::vector<KnownWinner> all;
    for (const Winner& winner : store_.winners()) all.push_back({winner, store_.origin(winner)});
    return all;
  }
  // The row of another trial here.
  void measure(const KnownWinner& known, Verdict verdict, double us, Round round = Round::final) {
    const Winner& w = known.winner;
    MeasurementRecord m{.variant_id = store_.put(VariantRecord{
                            .key = w.variant, .kernel = w.problem.kernel, .params = w.params}),
                        .problem_id = store_.put(w.problem),
                        .device_id = store_.put(a_device(w.arch)),
                        .toolchain_id = store_.put(a_toolchain(w.rocm)),
                        .session_id = store_.start_session({.command = "here", .version = "0"}),
                        .evidence = Evidence::measured,
                        .round = round,
                        .verdict = verdict};
    if (verdict == Verdict::ok) {
      m.median_us = us;
      m.max_error = m.cosine_gap = 0;
      m.samples_us = {static_cast<float>(us)};
    } else {
      m.reason = "it hung";
    }
    store_.put(m);
  }
  TempDir folder_;
  Store store_ = create(folder_ / "t.db");
};

TEST_F(Import, PutsInWhatComesOutAgain) {
  const std::vector<KnownWinner> ours = {a_known_winner(1, 2, Evidence::predicted, 3.5),
                                         a_known_winner(8, 4, Evidence::measured, 1.0 / 3)};
  const ImportReport report = import(ours);
  EXPECT_EQ(report.added, 2u);
  EXPECT_THAT(report.conflicts, IsEmpty());
  EXPECT_EQ(in_full(winners()), in_full(ours));
  EXPECT_THAT(store_.check(), IsEmpty());
}

TEST_F(Import, TwiceIsOnce) {
  const std::vector<KnownWinner> ours = {a_known_winner(1), a_known_winner(8)};
  import(ours);
  const auto rows = store_.stats().tables;
  const ImportReport again = import(ours);
  EXPECT_EQ(again.added, 0u);
  EXPECT_EQ(again.known, 2u);
  EXPECT_THAT(again.conflicts, IsEmpty());
  EXPECT_EQ(store_.stats().tables, rows) << "not even a session";
}

TEST_F(Import, NamesAWinnerThatMeetsAnotherAndWhoWins) {
  import({a_known_winner(8, 4, Evidence::measured, 10)});
  const ImportReport slower = import({a_known_winner(8, 2, Evidence::measured, 11)});
  EXPECT_EQ(slower.added, 1u);
  EXPECT_THAT(slower.conflicts,
              ElementsAre(AllOf(HasSubstr("heads 16 tokens 8"), HasSubstr("11.00 us"),
                                HasSubstr("10.00 us"), HasSubstr("what is here wins"))));
  EXPECT_EQ(store_.winners()[0].median_us, 10);
  const ImportReport faster = import({a_known_winner(8, 1, Evidence::measured, 9)});
  EXPECT_THAT(faster.conflicts, ElementsAre(HasSubstr("what was imported wins")));
  EXPECT_EQ(store_.winners()[0].median_us, 9);
  const ImportReport predicted = import({a_known_winner(8, 8, Evidence::predicted, 1)});
  EXPECT_THAT(predicted.conflicts, ElementsAre(HasSubstr("what is here wins")));
  EXPECT_EQ(store_.winners()[0].median_us, 9);
}

TEST_F(Import, KeepsWhatWasMeasuredHereOfTheSameVariant) {
  const KnownWinner theirs = a_known_winner(8, 4, Evidence::measured, 9);
  measure(theirs, Verdict::ok, 10);
  const ImportReport report = import({theirs});
  EXPECT_EQ(report.added, 0u);
  EXPECT_THAT(report.conflicts, ElementsAre(AllOf(HasSubstr("left out"), HasSubstr("10.00 us"))));
  EXPECT_EQ(store_.winners()[0].median_us, 10);
}

TEST_F(Import, PrefersATimeToThePredictionThatIsHere) {
  import({a_known_winner(8, 4, Evidence::predicted, 3)});
  const ImportReport report = import({a_known_winner(8, 4, Evidence::measured, 9)});
  EXPECT_EQ(report.added, 1u);
  EXPECT_EQ(store_.winners()[0].evidence, Evidence::measured);
  EXPECT_EQ(import({a_known_winner(8, 4, Evidence::predicted, 3)}).added, 0u);
  EXPECT_EQ(store_.winners()[0].evidence, Evidence::measured);
}

TEST_F(Import, LetsNoVariantWinThatFailedHere) {
  const KnownWinner theirs = a_known_winner();
  for (const Round round : {Round::search, Round::final}) {
    measure(theirs, Verdict::timed_out, 0, round);
    const ImportReport report = import({theirs});
    EXPECT_EQ(report.added, 0u);
    EXPECT_THAT(report.conflicts,
                ElementsAre(AllOf(HasSubstr("failed here"), HasSubstr("it hung"))));
  }
  EXPECT_THAT(store_.winners(), IsEmpty());
}

TEST_F(Import, OfOtherReleasesAndArchsMeetsNothing) {
  KnownWinner older = a_known_winner();
  older.winner.rocm = older.origin.toolchain.release = "6.4.3";
  KnownWinner other = a_known_winner();
  other.winner.arch = other.origin.device.arch = "gfx942";
  const ImportReport report = import({a_known_winner(), older, other});
  EXPECT_EQ(report.added, 3u);
  EXPECT_THAT(report.conflicts, IsEmpty());
  EXPECT_EQ(store_.winners().size(), 3u);
}

TEST_F(Import, TakesOneOfTwoThatAreTheSame) {
  const ImportReport report = import({a_known_winner(), a_known_winner()});
  EXPECT_EQ(report.added, 1u);
  EXPECT_EQ(report.known, 1u);
}

TEST_F(Import, IsAllOrNothing) {
  KnownWinner wrong = a_known_winner(1);
  wrong.winner.median_us = -1;
  EXPECT_THAT(error_of(ErrorKind::usage,
                       [&] {
                         import({a_known_winner(8), wrong});
                       }),
              HasSubstr("winner 2"));
  EXPECT_THAT(store_.winners(), IsEmpty());
  EXPECT_THAT(store_.sessions(), IsEmpty());
}

}  // namespace
}  // namespace mla::test
