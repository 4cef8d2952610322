#include "db/records.hpp"

#include <gmock/gmock.h>

#include "tests/null/db/fixture.hpp"

namespace mla {
namespace {

using test::error_of;
using ::testing::HasSubstr;

// These numbers are in files out there.
TEST(Records, KeepTheNumbersOfStoredValues) {
  EXPECT_EQ(int(Verdict::ok), 0);
  EXPECT_EQ(int(Verdict::rejected), 1);
  EXPECT_EQ(int(Verdict::compile_failed), 2);
  EXPECT_EQ(int(Verdict::wrong_result), 3);
  EXPECT_EQ(int(Verdict::launch_failed), 4);
  EXPECT_EQ(int(Verdict::timed_out), 5);
  EXPECT_EQ(int(Verdict::crashed), 6);
  EXPECT_EQ(int(Verdict::unverified), 7);
  EXPECT_EQ(int(Evidence::measured), 1);
  EXPECT_EQ(int(Evidence::predicted), 2);
  EXPECT_EQ(int(Round::search), 1);
  EXPECT_EQ(int(Round::final), 2);
}

TEST(Records, GiveEveryStoredNumberItsName) {
  for (int stored = 0; stored <= 7; ++stored) {
    EXPECT_EQ(int(verdict_from(stored)), stored);
    EXPECT_FALSE(name(verdict_from(stored)).empty());
  }
  EXPECT_EQ(name(evidence_from(1)), "measured");
  EXPECT_EQ(name(evidence_from(2)), "predicted");
  EXPECT_EQ(name(round_from(1)), "search");
  EXPECT_EQ(name(round_from(2)), "final");
}

TEST(Records, RefuseANumberThatNobodyStored) {
  for (int stored : {-1, 8, 1000})
    EXPECT_THAT(error_of(ErrorKind::database, [&] { verdict_from(stored); }),
                HasSubstr("is damaged, or was written by a newer"));
  for (int stored : {0, 3}) {
    error_of(ErrorKind::database, [&] { evidence_from(stored); });
    error_of(ErrorKind::database, [&] { round_from(stored); });
  }
}

}  // namespace
}  // namespace mla
