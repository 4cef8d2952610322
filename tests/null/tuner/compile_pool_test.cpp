#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include <chrono>
#include <map>
#include <string>

#include "kernels/process.hpp"
#include "tests/temporary_folder.hpp"
#include "tuner/compile.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;

FoundToolchain fake_compiler() {
  FoundToolchain found;
  found.record.compiler = "nvrtc";
  found.identity = "fake 1";
  found.command = {sibling_program("fake_helper"), "nvrtc", "none"};
  return found;
}

CompileJob job(std::uint64_t tag, const std::string& source, double deadline_seconds = 30) {
  CompileJob made;
  made.tag = tag;
  made.arch = "sm_90a";
  made.source = source;
  made.deadline_seconds = deadline_seconds;
  return made;
}

std::map<std::uint64_t, CompileResult> take_all(CompilePool& pool) {
  std::map<std::uint64_t, CompileResult> results;
  while (auto result = pool.next()) results[result->tag] = *result;
  return results;
}

TEST(CompilePool, GivesEveryJobAResult) {
  CompilePool pool(fake_compiler(), nullptr, 2);
  EXPECT_FALSE(pool.next().has_value()) << "nothing was submitted";
  for (std::uint64_t tag = 0; tag < 20; ++tag) pool.submit(job(tag, std::to_string(tag)));
  const auto results = take_all(pool);
  ASSERT_EQ(results.size(), 20u);
  for (const auto& [tag, result] : results) {
    EXPECT_EQ(result.verdict, Verdict::ok);
    EXPECT_THAT(result.code, HasSubstr("code of " + std::to_string(tag)));
    EXPECT_EQ(result.log, "a warning");
  }
  EXPECT_EQ(pool.outstanding(), 0u);
}

TEST(CompilePool, LosesOnlyTheJobThatCrashesItsHelper) {
  CompilePool pool(fake_compiler(), nullptr, 1);
  pool.submit(job(1, "crash"));
  pool.submit(job(2, "fine"));
  pool.submit(job(3, "crash"));
  pool.submit(job(4, "fine"));
  const auto results = take_all(pool);
  EXPECT_EQ(results.at(1).verdict, Verdict::crashed);
  EXPECT_THAT(results.at(1).log, HasSubstr("SIGABRT"));
  EXPECT_EQ(results.at(2).verdict, Verdict::ok);
  EXPECT_EQ(results.at(3).verdict, Verdict::crashed);
  EXPECT_EQ(results.at(4).verdict, Verdict::ok);
}

TEST(CompilePool, StopsAJobAtItsDeadlineAndGoesOn) {
  CompilePool pool(fake_compiler(), nullptr, 1);
  pool.submit(job(1, "hang", 0.2));
  pool.submit(job(2, "fine"));
  const auto results = take_all(pool);
  EXPECT_EQ(results.at(1).verdict, Verdict::timed_out);
  EXPECT_GE(results.at(1).seconds, 0.19);
  EXPECT_EQ(results.at(2).verdict, Verdict::ok);
}

TEST(CompilePool, GoesOnWhenAHelperIsKilledInTheMiddleOfAJob) {
  CompilePool pool(fake_compiler(), nullptr, 1);
  pool.submit(job(1, "whoami"));
  const std::string code = pool.next().value().code;
  const pid_t helper = std::stoi(code.substr(code.rfind(' ')));
  pool.submit(job(2, "slow"));
  EXPECT_FALSE(pool.next(deadline_in(0.1)).has_value());
  ASSERT_EQ(::kill(helper, SIGKILL), 0);
  pool.submit(job(3, "fine"));
  const auto results = take_all(pool);
  EXPECT_EQ(results.at(2).verdict, Verdict::crashed);
  EXPECT_THAT(results.at(2).log, HasSubstr("SIGKILL"));
  EXPECT_EQ(results.at(3).verdict, Verdict::ok);
}

TEST(CompilePool, EndsAtOnceWhileAHelperHangs) {
  const auto start = std::chrono::steady_clock::now();
  {
    CompilePool pool(fake_compiler(), nullptr, 2);
    for (std::uint64_t tag = 0; tag < 4; ++tag) pool.submit(job(tag, "hang"));
    EXPECT_FALSE(pool.next(deadline_in(0.2)).has_value());
  }
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(5));
}

TEST(CompilePool, DropsWhatNoHelperHasBegun) {
  CompilePool pool(fake_compiler(), nullptr, 1);
  for (std::uint64_t tag = 0; tag < 10; ++tag) pool.submit(job(tag, "slow"));
  EXPECT_FALSE(pool.next(deadline_in(0.1)).has_value());
  EXPECT_EQ(pool.drop_waiting(), 9u);
  EXPECT_EQ(take_all(pool).size(), 1u);
}

TEST(CompilePool, RemembersSuccessesInTheCacheAndNothingElse) {
  TemporaryFolder folder;
  Cache cache(folder.path("cache"));
  for (const bool again : {false, true}) {
    CompilePool pool(fake_compiler(), &cache, 1);
    pool.submit(job(1, "fine"));
    pool.submit(job(2, "wrong"));
    pool.submit(job(3, "crash"));
    const auto results = take_all(pool);
    EXPECT_EQ(results.at(1).cached, again);
    EXPECT_EQ(results.at(1).log, "a warning");
    EXPECT_EQ(results.at(2).verdict, Verdict::compile_failed);
    EXPECT_EQ(results.at(2).log, "variant.hip:1:1: error: wrong");
    EXPECT_FALSE(results.at(2).cached);
    EXPECT_EQ(results.at(3).verdict, Verdict::crashed);
  }
  EXPECT_EQ(cache.use().entries, 1u);
}

TEST(CompilePool, CompilesOnWhenTheCacheCannotBeWritten) {
  TemporaryFolder folder;
  Cache cache(folder.path("cache"));
  std::filesystem::remove_all(cache.folder());
  CompilePool pool(fake_compiler(), &cache, 1);
  pool.submit(job(1, "fine"));
  EXPECT_EQ(pool.next().value().verdict, Verdict::ok);
}

TEST(CompilePool, SaysThatAHelperCannotBeStarted) {
  FoundToolchain missing = fake_compiler();
  missing.command = {"/nonexistent/mla-compile-helper"};
  CompilePool pool(missing, nullptr, 1);
  pool.submit(job(1, "fine"));
  const CompileResult result = pool.next().value();
  EXPECT_EQ(result.verdict, Verdict::crashed);
  EXPECT_THAT(result.log, HasSubstr("/nonexistent/mla-compile-helper"));
}

TEST(CompileKey, ChangesWithEverythingThatChangesTheCode) {
  const CompileJob base = job(0, "source");
  const FoundToolchain compiler = fake_compiler();
  const std::string key = compile_key(base, compiler);
  EXPECT_EQ(key.size(), 32u);
  CompileJob other = base;
  other.tag = 5;
  other.deadline_seconds = 1;
  EXPECT_EQ(compile_key(other, compiler), key) << "a tag is not content";
  other = base;
  other.source += " ";
  EXPECT_NE(compile_key(other, compiler), key);
  other = base;
  other.options = {"-g"};
  EXPECT_NE(compile_key(other, compiler), key);
  other = base;
  other.arch = "sm_100a";
  EXPECT_NE(compile_key(other, compiler), key);
  other = base;
  other.headers = std::make_shared<const std::vector<SourceHeader>>(
      std::vector<SourceHeader>{{"a.hpp", "text"}});
  EXPECT_NE(compile_key(other, compiler), key);
  CompileJob moved = other;
  moved.headers = std::make_shared<const std::vector<SourceHeader>>(
      std::vector<SourceHeader>{{"a.hppt", "ext"}});
  EXPECT_NE(compile_key(moved, compiler), compile_key(other, compiler));
  FoundToolchain newer = compiler;
  newer.identity = "fake 2";
  EXPECT_NE(compile_key(base, newer), key);
}

}  // namespace
}  // namespace mla
