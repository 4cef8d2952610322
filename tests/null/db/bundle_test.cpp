// What a bundle gives back, and which files are refused before anything of them is used.

#include "db/bundle.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include "tests/null/db/bundle_fixture.hpp"
#include "tests/null/db/child.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class BundleFile : public ::testing::Test {
 protected:
  void SetUp() override { write_bundle(path_, small_contents()); }
  std::string refusal(const BundleOptions& options = {}) const {
    return error_of(ErrorKind::database, [&] { Bundle::open(path_, options); });
  }
  TempDir folder_;
  const fs::path path_ = folder_ / "b.mla";
};

TEST_F(BundleFile, GivesBackWhatWasPutIn) {
  const Bundle bundle = Bundle::open(path_);
  EXPECT_THAT(bundle.archs(), ElementsAre("gfx950", "host"));
  EXPECT_EQ(bundle.version(), "0.1.0");
  EXPECT_EQ(bundle.signer(), std::nullopt);
  EXPECT_EQ(bundle.size(), fs::file_size(path_));

  const BundleContents contents = small_contents();
  const auto winners = bundle.winners("gfx950");
  ASSERT_EQ(winners.size(), 2u);
  for (std::size_t i = 0; i < winners.size(); ++i) {
    const Winner &got = winners[i].winner, &put = contents.winners[i].winner.winner;
    EXPECT_EQ(got.arch, put.arch);
    EXPECT_EQ(got.problem, put.problem);
    EXPECT_EQ(got.rocm, put.rocm);
    EXPECT_EQ(got.variant, put.variant);
    EXPECT_EQ(got.params, put.params);
    EXPECT_EQ(got.evidence, put.evidence);
    EXPECT_EQ(got.median_us, put.median_us);
    EXPECT_EQ(winners[i].decode_key, contents.winners[i].winner.decode_key);
    EXPECT_EQ(winners[i].reduce_key, contents.winners[i].winner.reduce_key);
    const WinnerOrigin origin = bundle.origins("gfx950")[i];
    EXPECT_EQ(origin.device.name, "gfx950 (model)");
    EXPECT_EQ(origin.toolchain.library, "libhiprtc.so");
    EXPECT_EQ(origin.ci_high_us, 13);
    EXPECT_EQ(origin.recorded, "2026-01-02T03:04:05Z");
  }
  ASSERT_EQ(bundle.fallbacks("gfx950").size(), 2u);
  EXPECT_EQ(bundle.fallbacks("gfx950")[0].reduce_key, "");
  EXPECT_EQ(bundle.fallbacks("gfx950")[1].reduce_key, key(2));
  for (const auto& code : contents.code_objects) EXPECT_EQ(bundle.code_object(code.key), code.code);
}

TEST_F(BundleFile, HasNothingForAnArchThatIsNotInIt) {
  const Bundle bundle = Bundle::open(path_);
  EXPECT_TRUE(bundle.winners("sm_90").empty());
  EXPECT_TRUE(bundle.fallbacks("sm_90").empty());
  EXPECT_THAT(error_of(ErrorKind::database, [&] { bundle.code_object(key(99)); }),
              HasSubstr("no code object"));
}

TEST_F(BundleFile, EqualContentsAreEqualBytes) {
  EXPECT_EQ(bundle_bytes(small_contents()), bytes_of(path_));
}

TEST_F(BundleFile, AnswersFromMemoryAsFromTheFile) {
  const std::string bytes = bytes_of(path_);
  EXPECT_EQ(answers(Bundle::from_memory(bytes, "embedded")), answers(Bundle::open(path_)));
  EXPECT_EQ(answers(Bundle::open(path_, {.eager = true})), answers(Bundle::open(path_)));
}

TEST_F(BundleFile, KeepsAnsweringWhenTheFileIsGoneOrOverwritten) {
  const Bundle bundle = Bundle::open(path_);
  const std::string before = answers(bundle);
  put_bytes(path_, std::string(fs::file_size(path_), 'x'));
  EXPECT_EQ(answers(bundle), before);
  fs::remove(path_);
  EXPECT_EQ(answers(bundle), before);
}

TEST_F(BundleFile, AnswersInAChild) {
  const Bundle bundle = Bundle::open(path_);
  Child child([&](const auto& say) { say(answers(bundle)); });
  EXPECT_EQ(child.hear_out(), answers(bundle));
}

TEST_F(BundleFile, IsADatabaseThatTheShellReads) {
  EXPECT_EQ(raw_sql(path_, "PRAGMA integrity_check"), "ok");
  EXPECT_EQ(raw_sql(path_, "SELECT count(*) FROM winners"), "3");
}

TEST_F(BundleFile, IsKnownFromATuningDatabase) {
  EXPECT_TRUE(is_bundle(path_));
  const fs::path database = folder_ / "t.db";
  { create(database); }
  EXPECT_FALSE(is_bundle(database));
  EXPECT_THAT(error_of(ErrorKind::database, [&] { Bundle::open(database); }),
              AllOf(HasSubstr("tuning database"), HasSubstr("mla-tune export")));
  EXPECT_THAT(error_of(ErrorKind::database, [&] { is_bundle(folder_ / "none"); }),
              HasSubstr("cannot be read"));
}

TEST_F(BundleFile, RefusesWhatIsNoBundle) {
  const auto refused = [&](const std::string& bytes) {
    put_bytes(path_, bytes);
    return refusal();
  };
  EXPECT_THAT(refused(""), HasSubstr("is empty"));
  EXPECT_THAT(refused("hello"), HasSubstr("is not a bundle"));
  EXPECT_THAT(refused(std::string(5000, 'x')), HasSubstr("is not a bundle"));
  fs::remove(path_);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("does not exist"), HasSubstr("mla-tune export")));
  fs::create_directory(path_);
  EXPECT_THAT(refusal(), HasSubstr("is not a file"));
  fs::remove(path_);
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  EXPECT_THAT(refusal(), HasSubstr("is not a file"));
  fs::remove(path_);
  raw_sql(path_, "PRAGMA application_id = 77; CREATE TABLE t (x)");
  EXPECT_THAT(refusal(), HasSubstr("of another program"));
}

TEST_F(BundleFile, RefusesANewerFormat) {
  std::string bytes = bytes_of(path_);
  bytes[63] = 3;  // user_version
  put_bytes(path_, bytes);
  EXPECT_THAT(refusal(), AllOf(HasSubstr("newer mla-tune"), HasSubstr("format is 3")));
}

TEST_F(BundleFile, RefusesAFileCutAnywhere) {
  const std::string bytes = bytes_of(path_);
  for (std::size_t size = 0; size < bytes.size(); size += size < 200 ? 1 : 997)
    EXPECT_THROW(Bundle::from_memory(std::string_view(bytes).substr(0, size), "cut"), Error)
        << size;
  EXPECT_THROW(Bundle::from_memory(bytes + "x", "longer"), Error);
}

// The seal is over every byte; behind it there is only the signature, here none.
TEST_F(BundleFile, RefusesAFlipOfAnyByteOrAnswersTheSame) {
  const std::string bytes = bytes_of(path_);
  const std::string right = answers(Bundle::from_memory(bytes, "right"));
  int refused = 0;
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    try {
      EXPECT_EQ(answers(Bundle::from_memory(flipped, "flipped")), right) << "byte " << at;
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::database) << error.what();
      ++refused;
    }
  }
  EXPECT_EQ(refused, static_cast<int>(bytes.size()));
}

TEST(BundleContents, ThatDoNotFitTogetherAreRefused) {
  const auto refusal = [](auto&& spoil) {
    BundleContents contents = small_contents();
    spoil(contents);
    return error_of(ErrorKind::internal, [&] { bundle_bytes(contents); });
  };
  EXPECT_THAT(refusal([](auto& c) { c.winners[0].winner.decode_key = key(44); }),
              HasSubstr("is missing"));
  EXPECT_THAT(refusal([](auto& c) { c.winners[0].winner.decode_key = ""; }),
              HasSubstr("is missing"));
  EXPECT_THAT(refusal([](auto& c) { c.winners[0].winner.reduce_key = key(6); }),
              HasSubstr("is for host"));
  EXPECT_THAT(refusal([](auto& c) { c.fallbacks.pop_back(); }), HasSubstr("no fallback"));
  EXPECT_THAT(refusal([](auto& c) { c.winners[1].winner.winner.params = "{}"; }),
              HasSubstr("two sets of parameters"));
  EXPECT_THAT(refusal([](auto& c) { c.winners[0].origin.toolchain.release = "6.4.3"; }),
              HasSubstr("compiled by 6.4.3"));
  EXPECT_THAT(refusal([](auto& c) { c.winners[0].winner.winner.median_us = 0; }),
              HasSubstr("breaks its rules"));
  EXPECT_THAT(refusal([](auto& c) { c.code_objects[0].code.clear(); }),
              HasSubstr("breaks its rules"));
  EXPECT_THAT(refusal([](auto& c) { c.winners.push_back(c.winners[0]); }),
              HasSubstr("breaks its rules"));
}

}  // namespace
}  // namespace mla::test
