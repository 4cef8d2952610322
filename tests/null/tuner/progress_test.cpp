#include "tuner/progress.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

namespace mla {
namespace {

using testing::HasSubstr;
using testing::Not;

// What is printed while `work` reports.
template <class Work>
std::string printed(bool terminal, Work&& work) {
  char* text = nullptr;
  std::size_t size = 0;
  std::FILE* out = ::open_memstream(&text, &size);
  {
    TextProgress progress(out, terminal);
    work(progress);
  }
  std::fclose(out);
  const std::string result(text, size);
  std::free(text);
  return result;
}

TEST(Progress, WritesSecondsAsPeopleDo) {
  EXPECT_EQ(readable_seconds(0.2), "0 s");
  EXPECT_EQ(readable_seconds(59.4), "59 s");
  EXPECT_EQ(readable_seconds(125), "2 min 05 s");
  EXPECT_EQ(readable_seconds(4200), "1 h 10 min");
}

TEST(Progress, IsPlainLinesWhereNobodyWatches) {
  const std::string text = printed(false, [](Progress& progress) {
    progress.begin("compiling", 100);
    for (std::size_t i = 1; i <= 100; ++i) progress.advance(i, "ok");
    progress.say("done");
  });
  EXPECT_EQ(text, "compiling: 100\ndone\n") << "a fast phase has no lines of its own";
}

TEST(Progress, IsABarOnATerminalThatLeavesNothingBehind) {
  const std::string text = printed(true, [](Progress& progress) {
    progress.begin("compiling", 4);
    progress.advance(2, "ok");
    progress.advance(4, "rejected");
  });
  EXPECT_THAT(text, HasSubstr("compiling 2/4"));
  EXPECT_THAT(text, HasSubstr("############............"));
  EXPECT_THAT(text, HasSubstr("rejected"));
  EXPECT_THAT(text, testing::EndsWith("\r\033[K"));
  EXPECT_THAT(text, Not(HasSubstr("\n")));
}

TEST(Progress, SaysNothingOfAPhaseWithoutWork) {
  EXPECT_EQ(printed(false, [](Progress& progress) { progress.begin("checking", 0); }), "");
}

}  // namespace
}  // namespace mla
