// Runs that are repeated, stopped or killed, or whose time is up.

#include <gmock/gmock.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/null/tuner/tune_fixture.hpp"

namespace mla {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

TEST_F(Tune, ASecondRunRepeatsNothing) {
  run();
  const auto before = table_sizes();
  const int compiled = compiler_.count, host = host_compiler_.count, ran = runner_.count;
  const TuneReport again = run();
  EXPECT_EQ(compiler_.count, compiled);
  EXPECT_EQ(host_compiler_.count, host);
  EXPECT_EQ(runner_.count, ran);
  EXPECT_EQ(table_sizes(), before);
  EXPECT_EQ(again.compiled, 0u);
  EXPECT_EQ(again.wins, 0u);
}

TEST_F(Tune, ARunThatIsStoppedIsResumed) {
  run();
  const auto whole = table_sizes();
  const int compiled = compiler_.count;
  path_ = folder_.path("other.db");
  compiler_.count = 0;
  // Each run is patient a little longer than the one before it.
  for (int patience = 5, done = 0; done == 0; patience += 7) {
    ASSERT_LT(patience, 2000) << "it never gets anywhere";
    int left = patience;
    stop_ = [&] { return --left < 0; };
    done = !run().interrupted;
    EXPECT_THAT(store().check(), IsEmpty());
  }
  EXPECT_EQ(compiler_.count, compiled) << "nothing was compiled twice";
  EXPECT_EQ(table_sizes(), whole);
}

TEST_F(Tune, ARunThatIsKilledLosesALittleAndIsResumed) {
  for (const int die_at : {1, 5, 12, 13}) {
    path_ = folder_.path("killed" + std::to_string(die_at) + ".db");
    const pid_t child = ::fork();
    if (child == 0) {
      compiler_.count = 0;
      compiler_.die_at = die_at;
      run();
      ::_exit(0);
    }
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    ASSERT_TRUE(WIFSIGNALED(status)) << die_at;
    EXPECT_THAT(store().check(), IsEmpty());
    const TuneReport report = run();
    EXPECT_FALSE(report.interrupted);
    EXPECT_THAT(store().winners("gfx950"), SizeIs(2));
  }
}

TEST_F(Tune, TheBudgetCountsWhatTheDatabaseAlreadyPaid) {
  limits_.budget_seconds = 5;  // a fake compilation takes a second
  const TuneReport first = run();
  EXPECT_TRUE(first.out_of_budget);
  EXPECT_GE(first.compiled, 5u);
  EXPECT_LT(first.compiled, 11u);
  const auto before = table_sizes();
  const TuneReport second = run();
  EXPECT_EQ(second.compiled, 0u);
  EXPECT_EQ(table_sizes(), before);
  limits_.budget_seconds = 8;
  EXPECT_GT(run().compiled, 0u);
}

}  // namespace
}  // namespace mla
