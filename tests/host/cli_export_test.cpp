// From a database to production and back: export, bundle, import, and what the dispatcher and a
// project that embeds its kernels make of it. Arch host, because its compiler is everywhere.

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <nlohmann/json.hpp>

#include "kernels/mla_dispatch.h"
#include "tests/host/cli.hpp"
#include "tests/null/tuner/known_winner.hpp"
#include "tuner/import.hpp"
#include "tuner/toolchain.hpp"

// What is linked with a sanitized library must be sanitized, too.
#ifdef __SANITIZE_ADDRESS__
#define MLA_SANITIZERS "-fsanitize=address,undefined"
#else
#define MLA_SANITIZERS ""
#endif

namespace mla::test {
namespace {

using nlohmann::json;
using ::testing::AllOf;
using ::testing::HasSubstr;

class CliExport : public CommandLineTest {
 protected:
  // One measured winner for the host, by the compiler that is here; its kernels are the fallback's.
  void SetUp() override {
    compiler_ = toolchain_for("host", search_from_environment()).record;
    known_.winner.rocm = compiler_.release;
    known_.origin.toolchain = compiler_;
    put(known_);
    ASSERT_EQ(::chmod(folder_.path().c_str(), 0700), 0);
  }
  void put(const KnownWinner& known) const {
    Store store = create(db_);
    import_winners(store, {&known, 1}, {.command = "test", .version = "0"});
  }
  std::string at(const std::string& name) const { return (folder_.path() / name).string(); }
  Outcome done(const std::vector<std::string>& words) {
    const Outcome outcome = run(words);
    EXPECT_EQ(outcome.code, 0) << outcome.out << outcome.error;
    return outcome;
  }
  Outcome exported(std::vector<std::string> more = {}) {
    more.insert(more.begin(), {"export", "--db", db_, "--out", bundle_});
    return done(more);
  }

  Toolchain compiler_;
  KnownWinner known_ = a_known_winner(8, 4, Evidence::measured, 900, "host");
  const std::string db_ = at("t.db"), bundle_ = at("b.mla");
};

TEST_F(CliExport, MakesABundleThatTheDispatcherLaunchesFrom) {
  EXPECT_THAT(exported().out, HasSubstr("1 winners measured"));
  mla_options options = mla_options_init();
  options.arch = "host";
  mla_dispatcher* dispatcher = nullptr;
  ASSERT_EQ(mla_open(bundle_.c_str(), MLA_DEVICE_NONE, &options, &dispatcher), MLA_OK)
      << mla_last_error();
  mla_problem problem = mla_problem_init();
  problem.heads = 16;
  problem.tokens = 8;
  problem.main_capacity = 128;
  problem.extra_capacity = 1024;
  problem.extra_page = 2;
  for (const int capacity : {1024, 0}) {  // tuned for, and not
    problem.extra_capacity = capacity;
    const mla_launch_plan* plan = nullptr;
    ASSERT_EQ(mla_plan(dispatcher, &problem, &plan), MLA_OK) << mla_last_error();
    mla_plan_info info = mla_plan_info_init();
    ASSERT_EQ(mla_get_plan_info(plan, &info), MLA_OK);
    EXPECT_EQ(info.grade, capacity > 0 ? MLA_GRADE_EXACT : MLA_GRADE_FALLBACK);
    EXPECT_EQ(info.has_code, 1);
    if (capacity == 0) continue;
    EXPECT_EQ(info.variant, known_.winner.variant);
    EXPECT_EQ(info.splits, 4);
  }
  mla_close(dispatcher);
}

TEST_F(CliExport, WritesTheWinnersAsTextThatImportTakes) {
  exported({"--csv", at("w.csv"), "--json", at("w.json")});
  EXPECT_EQ(contents(at("w.csv")), winners_csv({&known_, 1}));
  EXPECT_EQ(contents(at("w.json")), winners_json({&known_, 1}));
  const std::string other = at("other.db");
  for (const char* file : {"b.mla", "w.csv", "w.json"}) {
    const Outcome outcome = done({"import", at(file), "--db", other});
    const bool first = file == std::string("b.mla");
    EXPECT_THAT(outcome.out, HasSubstr(first ? "1 added, 0 known" : "0 added, 1 known"));
  }
  EXPECT_EQ(run({"db", "check", "--db", other}).code, 0);
  KnownWinner faster = a_known_winner(8, 2, Evidence::measured, 800, "host");
  faster.winner.rocm = compiler_.release;
  faster.origin.toolchain = compiler_;
  write(at("faster.csv"), winners_csv({&faster, 1}));
  EXPECT_THAT(done({"import", at("faster.csv"), "--db", other}).out,
              AllOf(HasSubstr("conflict: host"), HasSubstr("what was imported wins"),
                    HasSubstr("1 conflicts")));
  const std::string before = contents(at("b.mla"));
  exported();
  EXPECT_EQ(contents(bundle_), before) << "the same database gives the same bytes";
}

TEST_F(CliExport, SignsAndVerifies) {
  done({"bundle", "keygen", "--out", at("ours")});
  done({"bundle", "keygen", "--out", at("theirs")});
  EXPECT_EQ(fs::status(at("ours.key")).permissions(), fs::perms(0600));
  EXPECT_THAT(refusal(ErrorKind::usage, {"bundle", "keygen", "--out", at("ours")}),
              HasSubstr("exists"));
  exported();
  EXPECT_THAT(done({"bundle", "verify", bundle_}).out, HasSubstr("not signed"));
  EXPECT_THAT(
      refusal(ErrorKind::database, {"bundle", "verify", bundle_, "--verify-key", at("ours.pub")}),
      HasSubstr("is not signed"));
  exported({"--sign", at("ours.key")});
  EXPECT_THAT(done({"bundle", "verify", bundle_, "--verify-key", at("ours.pub")}).out,
              HasSubstr("(verified)"));
  EXPECT_THAT(done({"bundle", "verify", bundle_}).out, HasSubstr("not verified"));
  EXPECT_THAT(
      refusal(ErrorKind::database, {"bundle", "verify", bundle_, "--verify-key", at("theirs.pub")}),
      HasSubstr("not by the one asked for"));
  const json facts = json::parse(done({"bundle", "verify", bundle_, "--json"}).out);
  EXPECT_EQ(facts["archs"][0]["arch"], "host");
  EXPECT_EQ(facts["archs"][0]["fallbacks"], 5);
  EXPECT_EQ(facts["signature_verified"], false);
  EXPECT_THAT(done({"import", bundle_, "--db", at("o.db"), "--verify-key", at("ours.pub")}).out,
              HasSubstr("1 added"));
  EXPECT_THAT(refusal(ErrorKind::usage,
                      {"export", "--db", db_, "--csv", at("w.csv"), "--sign", at("ours.key")}),
              HasSubstr("--sign signs a bundle"));
  EXPECT_THAT(refusal(ErrorKind::usage,
                      {"export", "--db", db_, "--out", bundle_, "--sign", at("ours.pub")}),
              HasSubstr("others"));
}

TEST_F(CliExport, RefusesABundleThatOthersMayWriteUnlessAllowed) {
  exported();
  ASSERT_EQ(::chmod(bundle_.c_str(), 0666), 0);
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"bundle", "verify", bundle_},
        std::vector<std::string>{"import", bundle_, "--db", at("o.db")}}) {
    EXPECT_THAT(refusal(ErrorKind::database, words), HasSubstr("may be written by others"));
    std::vector<std::string> allowed = words;
    allowed.push_back("--allow-untrusted");
    done(allowed);
  }
}

TEST_F(CliExport, EmbedsTheBundleInSourceThatCompilesAndOpens) {
  exported({"--cpp", at("cpp")});
  write(at("main.cpp"), R"(
#include "mla_bundle.h"
#include <stdio.h>
int main() {
  mla_options options = mla_options_init();
  options.arch = "host";
  mla_dispatcher* dispatcher;
  if (mla_open_bundle(MLA_DEVICE_NONE, &options, &dispatcher) != MLA_OK) {
    puts(mla_last_error());
    return 1;
  }
  mla_dispatcher_info info = mla_dispatcher_info_init();
  mla_get_dispatcher_info(dispatcher, &info);
  const mla_bundle_winner& winner = mla_bundle_winners[0];
  printf("%d %d %zu %s %d %g %s\n%s\n", info.winners, info.has_code, mla_bundle_winner_count,
         winner.arch, winner.tokens, winner.median_us, winner.evidence, winner.params);
  fwrite(mla_bundle_bytes, 1, mla_bundle_size, stderr);
  mla_close(dispatcher);
}
)");
  // What find_package(mla_tune) would give.
  write(at("CMakeLists.txt"), R"(
cmake_minimum_required(VERSION 3.16)
project(user LANGUAGES CXX)
set(CMAKE_CXX_FLAGS "-Wall -Wextra -Werror )" MLA_SANITIZERS R"(")
add_library(mla_tune::mla_dispatch SHARED IMPORTED)
set_target_properties(mla_tune::mla_dispatch PROPERTIES
  IMPORTED_LOCATION ")" MLA_DISPATCH_LIBRARY R"("
  INTERFACE_INCLUDE_DIRECTORIES ")" MLA_SOURCE R"(/kernels")
add_subdirectory(cpp)
add_executable(program main.cpp)
target_link_libraries(program PRIVATE mla_bundle)
)");
  const std::string build = "cd " + folder_.path().string() +
                            " && cmake -B build . >log 2>&1 && cmake --build build >>log 2>&1 ||"
                            " { cat log; exit 1; }; build/program 2>bytes";
  const CommandResult result = run_command({"sh", "-c", build}, deadline_in(240), environment());
  ASSERT_TRUE(result.success()) << result.output;
  EXPECT_EQ(result.output, "1 1 1 host 8 900 measured\n" + known_.winner.params + "\n");
  EXPECT_EQ(contents(at("bytes")), contents(bundle_));
}

TEST_F(CliExport, WritesOverNoDatabaseAndNoFileTwice) {
  const std::string before = contents(db_), csv = at("w.csv");
  EXPECT_THAT(refusal(ErrorKind::usage, {"export", "--db", db_, "--out", db_}),
              HasSubstr("would replace"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"export", "--db", db_, "--csv", db_}),
              HasSubstr("would replace"));
  EXPECT_EQ(contents(db_), before);
  EXPECT_THAT(
      refusal(ErrorKind::usage, {"export", "--db", db_, "--json", csv, "--csv",
                                 at("../" + folder_.path().filename().string() + "/w.csv")}),
      HasSubstr("name one file"));
  exported();
  exported();
  EXPECT_THAT(refusal(ErrorKind::usage, {"export", "--db", db_, "--csv", bundle_}),
              HasSubstr("would replace"));
}

TEST_F(CliExport, SaysWhatItNeeds) {
  EXPECT_THAT(refusal(ErrorKind::usage, {"export", "--db", db_}), HasSubstr("--out"));
  EXPECT_THAT(refusal(ErrorKind::database, {"export", "--db", at("none"), "--out", bundle_}),
              HasSubstr("does not exist"));
  EXPECT_THAT(
      refusal(ErrorKind::usage, {"export", "--db", db_, "--arch", "gfx950", "--out", bundle_}),
      HasSubstr("no winners of gfx950"));
  EXPECT_THAT(refusal(ErrorKind::usage, {"import", at("none"), "--db", db_}),
              HasSubstr("cannot read"));
  exported();
  EXPECT_THAT(refusal(ErrorKind::database, {"lookup", "--db", bundle_, "--arch", "host", "--heads",
                                            "16", "--tokens", "1", "--main-len", "1"}),
              HasSubstr("mla-tune import"));
  ASSERT_TRUE(fs::remove(bundle_));
  KnownWinner other = known_;
  other.winner.rocm = other.origin.toolchain.release = "1.2.3";
  put(other);
  EXPECT_THAT(refusal(ErrorKind::toolchain, {"export", "--db", db_, "--out", bundle_}),
              AllOf(HasSubstr("release 1.2.3"), HasSubstr(compiler_.release), HasSubstr("--rocm")));
  EXPECT_FALSE(fs::exists(bundle_));
}

}  // namespace
}  // namespace mla::test
