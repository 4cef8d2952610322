// The golden report as people and machines get it.
#include "reports/render.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <iterator>

#include "db/error.hpp"
#include "reports/page.hpp"
#include "tests/temporary_folder.hpp"

namespace mla {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t found = 0;
  for (std::size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1))
    ++found;
  return found;
}

class RenderTest : public ::testing::Test {
 protected:
  RenderTest() {
    std::ifstream file(MLA_TEST_DATA "/report_every_verdict.json");
    report_ = Json::parse(file);
  }
  Json report_;
};

TEST_F(RenderTest, SaysTheGravestFirstInPlainText) {
  const std::string text = comparison_text(report_, false);
  EXPECT_EQ(text.find("rocm-7.2.4 breaks 2 of 12 problems that work with rocm-6.4.3"), 0u) << text;
  EXPECT_EQ(text.find('\033'), std::string::npos);
  EXPECT_THAT(text, AllOf(HasSubstr("regressed    gfx950  16 heads, 1 token"), HasSubstr("+10.0 %"),
                          HasSubstr("predicted"), HasSubstr("spills 9 VGPRs"),
                          HasSubstr("no viable conversion")));
  // A verdict of noise is no news, and neither is that nothing happened.
  EXPECT_THAT(text, Not(HasSubstr("same         gfx950  16 heads, 3 tokens")));
}

TEST_F(RenderTest, ColoursForATerminalAndChangesNothingElse) {
  std::string coloured = comparison_text(report_, true);
  EXPECT_NE(coloured.find("\033["), std::string::npos);
  for (std::size_t at; (at = coloured.find('\033')) != std::string::npos;)
    coloured.erase(at, coloured.find('m', at) - at + 1);
  EXPECT_EQ(coloured, comparison_text(report_, false));
}

TEST_F(RenderTest, FitsIntoATicket) {
  const std::string markdown = comparison_markdown(report_);
  EXPECT_LE(count(markdown, "\n"), 40u);
  EXPECT_THAT(markdown, AllOf(HasSubstr("### rocm-7.2.4 against rocm-6.4.3: broken"),
                              HasSubstr("| regressed | gfx950 16 heads, 1 token"),
                              HasSubstr("| predicted | 0 | 1 |")));
  // 100 problems more do not make it longer.
  Json many = report_;
  for (int i = 0; i < 100; ++i) many["problems"].push_back(many["problems"][0]);
  EXPECT_LE(count(comparison_markdown(many), "\n"), 45u);
}

TEST_F(RenderTest, MakesEachProblemATestCaseForCI) {
  const std::string xml = comparison_junit(report_);
  EXPECT_EQ(count(xml, "<testcase "), 12u);
  EXPECT_EQ(count(xml, "<failure "), 2u);
  EXPECT_EQ(count(xml, "<error "), 2u);
  EXPECT_EQ(count(xml, "<skipped "), 2u);
  EXPECT_THAT(xml, HasSubstr("<testsuite name=\"gfx950 rocm-6.4.3 to rocm-7.2.4\" tests=\"10\" "
                             "failures=\"1\" errors=\"2\" skipped=\"2\""));
}

TEST_F(RenderTest, EscapesWhatXmlMustNotContain) {
  report_["problems"][0]["reason"] = "a < b && \"c\" \x01 > d";
  EXPECT_THAT(comparison_junit(report_),
              HasSubstr("message=\"a &lt; b &amp;&amp; &quot;c&quot;   &gt; d\""));
}

TEST_F(RenderTest, KeepsWholeCharactersOfWhatACompilerSaid) {
  const std::string bell = "\a", broken = "\xff", e = "\u00e9";
  EXPECT_EQ(first_words("a" + bell + "b\033[31m" + broken + "\nc", 40), "a b [31m\uFFFD");
  EXPECT_EQ(first_words(e + e + e + e, 8), e + e + e + e);
  EXPECT_EQ(first_words(e + e + e + e, 7), e + e + "...");
  report_["problems"][0]["reason"] = broken;
  EXPECT_THAT(comparison_junit(report_), HasSubstr("message=\"\uFFFD\""));
}

TEST_F(RenderTest, NamesNoTwoCasesOfASuiteAlike) {
  report_["problems"].push_back(report_["problems"][0]);
  const std::string words = report_["problems"][0]["words"].get<std::string>();
  EXPECT_EQ(count(comparison_junit(report_), words + "\" time"), 1u);
}

TEST_F(RenderTest, TellsNewFailuresBeforeOldOnes) {
  const std::string markdown = comparison_markdown(report_);
  EXPECT_LT(markdown.rfind("New failure"), markdown.find("Failed before"));
}

TEST_F(RenderTest, PutsTheReportIntoThePageAndNothingCanEndItsElementEarly) {
  report_["problems"][0]["reason"] = "</script><script>alert(1)</script>";
  const std::string page = page_html(report_, MLA_PAGE);
  EXPECT_EQ(count(page, "alert(1)"), 1u);
  EXPECT_EQ(page.find("</script><script>alert"), std::string::npos);
  EXPECT_EQ(page.find(kPagePlaceholder), std::string::npos);
  // What it would load. That a browser asks for nothing is page_test's to show.
  EXPECT_EQ(page.find("<script src"), std::string::npos);
  EXPECT_EQ(page.find("rel=\"stylesheet\""), std::string::npos);
  EXPECT_EQ(page.find("@import"), std::string::npos);
}

TEST_F(RenderTest, RefusesAPageWithoutThePlace) {
  TemporaryFolder folder;
  std::ofstream(folder.path("page.html")) << "<html></html>";
  EXPECT_THROW(page_html(report_, folder.path("page.html")), Error);
  EXPECT_THROW(page_html(report_, folder.path("none.html")), Error);
}

}  // namespace
}  // namespace mla
