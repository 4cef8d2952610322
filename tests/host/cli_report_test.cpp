// `mla-tune report` as CI meets it: exit codes, files, and that nothing is written where it
// refuses.

#include <gmock/gmock.h>

#include <nlohmann/json.hpp>

#include "tests/host/cli.hpp"
#include "tests/null/db/raw_sql.hpp"
#include "tests/null/reports/hand_made.hpp"

namespace mla::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CliReport : public CommandLineTest {
 protected:
  // The old winner's time with the newer release.
  void make(double now_us, bool fails = false) {
    fs::remove(db_);
    HandMade made(db_);
    made.measured(csa(1), 32, times(10));
    made.release("7.2.4");
    if (fails)
      made.failed(csa(1), 32, Verdict::wrong_result, "row 3 differs");
    else
      made.measured(csa(1), 32, times(now_us));
  }
  std::vector<std::string> report(std::vector<std::string> more = {}) const {
    std::vector<std::string> words = {"report", "--db", db_};
    words.insert(words.end(), more.begin(), more.end());
    return words;
  }
  std::vector<std::string> with_files(std::vector<std::string> more = {}) const {
    for (const char* name : {"json", "md", "junit", "html"}) {
      more.push_back(std::string("--") + name);
      more.push_back((folder_ / (std::string("r.") + name).c_str()).string());
    }
    return report(more);
  }
  // A refusal of this exit code, that writes no file.
  std::string refused(int code, const std::vector<std::string>& more) {
    const Outcome outcome = run(with_files(more));
    EXPECT_EQ(outcome.code, code) << outcome.out << outcome.error;
    EXPECT_EQ(outcome.error.find("mla-tune: "), 0u) << outcome.error;
    for (const char* name : {"r.json", "r.md", "r.junit", "r.html"})
      EXPECT_FALSE(fs::exists(folder_ / name)) << name;
    return outcome.error;
  }
  const std::string db_ = (folder_ / "t.db").string();
};

TEST_F(CliReport, ExitsWithItsVerdict) {
  make(10.01);
  EXPECT_EQ(run(report()).code, 0);
  make(11);
  EXPECT_EQ(run(report()).code, 3);
  EXPECT_EQ(run(report({"--threshold", "20%"})).code, 0);
  make(0, true);
  EXPECT_EQ(run(report()).code, 4);
}

TEST_F(CliReport, WritesWhatIsAskedForAndPrintsPlainText) {
  make(11);
  const Outcome outcome =
      run(with_files({"--baseline", "rocm-6.4.3", "--candidate", "rocm-7.2.4"}));
  EXPECT_EQ(outcome.code, 3) << outcome.error;
  EXPECT_THAT(outcome.out, AllOf(HasSubstr("rocm-7.2.4 is slower than rocm-6.4.3 for 1 of 1"),
                                 HasSubstr("+10.0 %")));
  EXPECT_EQ(outcome.out.find('\033'), std::string::npos);
  const json all = json::parse(contents(folder_ / "r.json"));
  EXPECT_EQ(all["problems"][0]["verdict"], "regressed");
  EXPECT_THAT(contents(folder_ / "r.md"), HasSubstr("| regressed |"));
  EXPECT_THAT(contents(folder_ / "r.junit"), HasSubstr("<failure "));
  EXPECT_THAT(contents(folder_ / "r.html"), HasSubstr("mla-tune report 1"));
}

TEST_F(CliReport, NamesWhatIsThereWhereAReleaseIsNot) {
  make(11);
  EXPECT_THAT(refused(2, {"--baseline", "rocm-5.7", "--candidate", "rocm-7.2.4"}),
              AllOf(HasSubstr("rocm-6.4.3"), HasSubstr("rocm-7.2.4")));
  EXPECT_THAT(refused(2, {"--baseline", "rocm-6.4.3"}), HasSubstr("both --baseline and"));
}

TEST_F(CliReport, RefusesWhatCannotBeCompared) {
  {
    HandMade made(db_);
    made.predicted(csa(1), 32, 10);
    made.release("7.2.4").device("gfx950", "AMD Instinct MI355X");
    made.measured(csa(1), 32, times(10));
    made.release("7.3.0");
    made.predicted(csa(2), 32, 10);
  }
  EXPECT_THAT(refused(2, {"--baseline", "rocm-6.4.3", "--candidate", "rocm-7.2.4"}),
              HasSubstr("predicted alone"));
  EXPECT_THAT(refused(2, {"--baseline", "rocm-6.4.3", "--candidate", "rocm-7.3.0"}),
              HasSubstr("no problem in common"));
  EXPECT_THAT(refused(2, {"--baseline", "rocm-6.4.3", "--candidate", "rocm-6.4.3"}),
              HasSubstr("are the same"));
}

TEST_F(CliReport, TellsABadDatabaseFromARegression) {
  EXPECT_THAT(refused(5, {}), HasSubstr("does not exist"));
  make(11);
  const fs::path old = folder_ / "old.db";
  raw_sql(old, contents(fs::path(MLA_SOURCE) / "tests/data/db_v1.sql"));
  EXPECT_THAT(refused(5, {"--db", old.string()}), HasSubstr("format 1"));
}

TEST_F(CliReport, ChecksItsOptions) {
  make(11);
  for (const char* threshold : {"fast", "3 %%", "-1%", "150%", "nan"})
    EXPECT_THAT(refused(2, {std::string("--threshold=") + threshold}), HasSubstr("write 3%"));
  EXPECT_THAT(run(report({"--landscape", "--junit", "x"})).error, HasSubstr("one side"));
}

TEST_F(CliReport, WritesAllItsFilesOrNone) {
  make(11);
  const auto file = [&](const char* name) { return (folder_ / name).string(); };
  const auto refusal_of = [&](const std::vector<std::string>& more, int code) {
    const Outcome outcome = run(report(more));
    EXPECT_EQ(outcome.code, code) << outcome.out;
    for (const auto& entry : fs::directory_iterator(folder_.path()))
      EXPECT_THAT(entry.path().filename().string(), ::testing::Not(::testing::StartsWith("r.")));
    return outcome.error;
  };
  EXPECT_THAT(refusal_of({"--json", file("r.json"), "--md", file("none/r.md")}, 6),
              AllOf(HasSubstr("no folder"), HasSubstr("make it")));
  EXPECT_THAT(refusal_of({"--json", file("r.json"), "--md", folder_.path().string()}, 6),
              HasSubstr("it is a folder"));
  EXPECT_THAT(refusal_of({"--json", file("r.x"), "--md", file("./r.x")}, 2),
              HasSubstr("--md and --json both name"));
  const std::string before = contents(db_);
  EXPECT_THAT(refusal_of({"--json", db_}, 2), HasSubstr("--db and --json both name"));
  EXPECT_EQ(contents(db_), before);
  // What is no regular file is written, not replaced.
  EXPECT_THAT(run(report({"--md", "/dev/stdout"})).out, HasSubstr("### rocm-7.2.4 against"));
}

TEST_F(CliReport, OpensAPageWithoutAName) {
  make(11);
  write(folder_ / "xdg-open", "#!/bin/sh\ncp \"$1\" \"$TMPDIR/opened.html\"\n");
  fs::permissions(folder_ / "xdg-open", fs::perms::owner_all);
  const Outcome outcome = run(report({"--open"}), "export PATH=\"$TMPDIR:$PATH\"");
  EXPECT_EQ(outcome.code, 3) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("mla-tune-report-"));
  EXPECT_THAT(contents(folder_ / "opened.html"), HasSubstr("mla-tune report 1"));
}

TEST_F(CliReport, IsInColourOnATerminalAlone) {
  make(11);
  if (!fs::exists("/usr/bin/script")) GTEST_SKIP() << "there is no script(1)";
  const auto on_a_terminal = [&](const std::string& setup) {
    const fs::path typed = folder_ / "typed";
    std::string words = std::string(MLA_TUNE_PROGRAM) + " report --db " + db_;
    run_command({"sh", "-c", setup + "; script -qec \"$1\" \"$2\" > /dev/null", "sh", words,
                 typed.string()},
                deadline_in(60), environment());
    return contents(typed);
  };
  EXPECT_THAT(on_a_terminal("export TERM=xterm"), HasSubstr("\033[31mregressed"));
  EXPECT_EQ(on_a_terminal("export TERM=xterm NO_COLOR=1").find("\033["), std::string::npos);
}

TEST_F(CliReport, WritesUtf8WhateverTheDatabaseIsCalled) {
  make(10.01);
  const std::string odd = (folder_ / "\xff.db").string();
  fs::copy_file(db_, odd);
  const std::string md = (folder_ / "r.md").string();
  const Outcome outcome = run({"report", "--db", odd, "--md", md, "--baseline",
                               "db:" + odd + ",rocm-6.4", "--candidate", "rocm-7.2"});
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(contents(md), HasSubstr("\uFFFD.db"));
  EXPECT_EQ(contents(md).find('\xff'), std::string::npos);
}

TEST_F(CliReport, IsNotDoneBeforeItsTextIsOut) {
  make(10.01);
  const CommandResult result =
      run_command({"sh", "-c", "exec \"$0\" report --db \"$1\" > /dev/full 2> /dev/null",
                   MLA_TUNE_PROGRAM, db_},
                  deadline_in(60), environment());
  EXPECT_EQ(result.status->code, 6);
}

TEST_F(CliReport, SaysWhatIsMissing) {
  make(11);
  EXPECT_THAT(refused(2, {"--configs", folder_.path().string()}), HasSubstr("archs/"));
  EXPECT_THAT(refused(2, {"--threshold", ""}), HasSubstr("--threshold"));
  EXPECT_THAT(refused(2, {"--arch", ""}), HasSubstr("--arch"));
  EXPECT_THAT(refused(2, {"--arch", "gfx9"}), HasSubstr("there are: gfx950"));
  const std::string empty = (folder_ / "empty.db").string();
  create(empty);
  const Outcome outcome = run({"report", "--db", empty});
  EXPECT_EQ(outcome.code, 2);
  EXPECT_THAT(outcome.error, HasSubstr("no measurements yet"));
}

TEST_F(CliReport, LooksAtOneSideToo) {
  make(11);
  const fs::path file = folder_ / "r.json";
  const Outcome outcome =
      run(report({"--landscape", "--candidate", "rocm-7.2.4", "--json", file.string()}));
  EXPECT_EQ(outcome.code, 0) << outcome.error;
  EXPECT_THAT(outcome.out, HasSubstr("rocm-7.2.4: the best variant"));
  EXPECT_EQ(json::parse(contents(file))["kind"], "landscape");
  EXPECT_THAT(run(report({"--landscape"})).error, HasSubstr("rocm-6.4.3, rocm-7.2.4"));
}

TEST_F(CliReport, ReadsADatabaseThatMustNotBeWritten) {
  make(11);
  const std::string before = contents(db_);
  EXPECT_EQ(run(report()).code, 3);
  EXPECT_EQ(contents(db_), before);
}

}  // namespace
}  // namespace mla::test
