#include "kernels/mla_dispatch_former.h"

#include <gtest/gtest.h>

#include <cstring>
#include <string>

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tests/null/db/fixture.hpp"

namespace mla {
namespace {

class DispatchLibrary : public ::testing::Test {
 protected:
  void SetUp() override {
    path_ = (folder_ / "t.db").string();
    Store store = test::create(path_);
    test::Ids ids = test::put_ids(store);
    Launch launch = fallback_launch("gfx950", {.heads = 16, .tokens = 1, .main_len = 1});
    launch.splits.split_extra = 4;
    ids.variant =
        store.put(VariantRecord{0, test::key(9), "sparse_mla_decode", variant_params(launch)});
    store.put(test::a_prediction(ids));
  }
  void TearDown() override { mla_dispatch_close(table_); }
  mla_query served() const {
    mla_query query = MLA_QUERY_INIT;
    query.heads = 16;
    query.tokens = 8;
    query.main_len = 128;
    query.extra_len = 1024;
    query.extra_page = 2;
    return query;
  }

  test::TempDir folder_;
  std::string path_;
  mla_dispatch* table_ = nullptr;
  char why_[256] = "x";
};

TEST_F(DispatchLibrary, AnswersAsTheTableDoes) {
  ASSERT_EQ(mla_dispatch_open(path_.c_str(), "gfx950", &table_, why_, sizeof why_), MLA_OK) << why_;
  EXPECT_STREQ(why_, "");
  const mla_query query = served();
  mla_answer answer = MLA_ANSWER_INIT;
  ASSERT_EQ(mla_dispatch_lookup(table_, &query, &answer), MLA_OK);
  EXPECT_EQ(answer.grade, MLA_GRADE_PREDICTED);
  EXPECT_EQ(answer.evidence, MLA_EVIDENCE_PREDICTED);
  EXPECT_EQ(answer.variant, test::key(9));
  EXPECT_EQ(answer.splits, 4);
  EXPECT_EQ(answer.workspace_bytes, 8LL * 16 * 4 * 515 * 4);
  EXPECT_EQ(answer.tuned_extra_page, 2);
  EXPECT_NE(std::strstr(answer.params, "\"split_extra\":4"), nullptr);
}

TEST_F(DispatchLibrary, SaysWhatIsWrongWithoutThrowing) {
  EXPECT_EQ(mla_dispatch_open("/nowhere/t.db", "gfx950", &table_, why_, sizeof why_),
            MLA_ERROR_DATABASE);
  EXPECT_NE(std::strstr(why_, "does not exist"), nullptr);
  EXPECT_EQ(table_, nullptr);
  EXPECT_EQ(mla_dispatch_open(path_.c_str(), "gfx1", &table_, why_, 8), MLA_ERROR_USAGE);
  EXPECT_EQ(std::strlen(why_), 7u) << "cut to the room there is";
  EXPECT_EQ(mla_dispatch_open(path_.c_str(), "gfx1", &table_, nullptr, 0), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_dispatch_open(nullptr, "gfx950", &table_, nullptr, 0), MLA_ERROR_USAGE);
  mla_dispatch_close(nullptr);
}

TEST_F(DispatchLibrary, RefusesStructsWithoutTheirSize) {
  ASSERT_EQ(mla_dispatch_open(path_.c_str(), "gfx950", &table_, nullptr, 0), MLA_OK);
  mla_query query = served();
  mla_answer answer = MLA_ANSWER_INIT;
  query.size = 0;
  EXPECT_EQ(mla_dispatch_lookup(table_, &query, &answer), MLA_ERROR_USAGE);
  query = served();
  answer.size = 8;
  EXPECT_EQ(mla_dispatch_lookup(table_, &query, &answer), MLA_ERROR_USAGE);
  EXPECT_EQ(mla_dispatch_lookup(nullptr, &query, &answer), MLA_ERROR_USAGE);
}

TEST_F(DispatchLibrary, LeavesAloneWhatItDoesNotKnowOfALongerStruct) {
  struct Longer {
    mla_answer known;
    int added;
  } longer{MLA_ANSWER_INIT, 77};
  longer.known.size = sizeof longer;
  ASSERT_EQ(mla_dispatch_open(path_.c_str(), "gfx950", &table_, nullptr, 0), MLA_OK);
  const mla_query query = served();
  ASSERT_EQ(mla_dispatch_lookup(table_, &query, &longer.known), MLA_OK);
  EXPECT_EQ(longer.added, 77);
  EXPECT_EQ(longer.known.size, sizeof longer);
  EXPECT_EQ(longer.known.grade, MLA_GRADE_PREDICTED);
}

TEST_F(DispatchLibrary, AnswersNoneWithEmptyStrings) {
  ASSERT_EQ(mla_dispatch_open(path_.c_str(), "gfx950", &table_, nullptr, 0), MLA_OK);
  const mla_query query = MLA_QUERY_INIT;
  mla_answer answer = MLA_ANSWER_INIT;
  ASSERT_EQ(mla_dispatch_lookup(table_, &query, &answer), MLA_OK);
  EXPECT_EQ(answer.grade, MLA_GRADE_NONE);
  EXPECT_STREQ(answer.variant, "");
  EXPECT_STREQ(answer.params, "");
}

}  // namespace
}  // namespace mla
