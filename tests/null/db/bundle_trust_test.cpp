// Who may have written a bundle, and what a forged one can do: nothing but be refused.

#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>

#include "db/bundle_seal.hpp"
#include "tests/null/db/bundle_fixture.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

class BundleTrust : public ::testing::Test {
 protected:
  void SetUp() override {
    fs::create_directory(place_);
    write_bundle(path_, small_contents());
  }
  std::string refusal(const fs::path& path) const {
    return error_of(ErrorKind::database, [&] { Bundle::open(path); });
  }
  void expect_refused_unless_allowed(const fs::path& path, const std::string& why) const {
    EXPECT_THAT(refusal(path), AllOf(HasSubstr(why), HasSubstr("untrusted")));
    EXPECT_EQ(answers(Bundle::open(path, {.allow_untrusted = true})), right_);
  }
  TempDir folder_;
  const fs::path place_ = folder_ / "place";
  const fs::path path_ = place_ / "b.mla";
  const std::string right_ = [] {
    const std::string bytes = bundle_bytes(small_contents());
    return answers(Bundle::from_memory(bytes, "right"));
  }();
};

TEST_F(BundleTrust, WritesAFileThatOthersMayReadAndNotWrite) {
  const mode_t before = ::umask(0);
  write_bundle(path_, small_contents());
  ::umask(before);
  EXPECT_EQ(fs::status(path_).permissions(), fs::perms(0644));
  EXPECT_EQ(answers(Bundle::open(path_)), right_);
  EXPECT_EQ(std::distance(fs::directory_iterator(place_), {}), 1) << "nothing is left behind";
}

TEST_F(BundleTrust, RefusesAFileThatOthersMayWrite) {
  for (const int mode : {0664, 0646, 0666}) {
    fs::permissions(path_, fs::perms(mode));
    expect_refused_unless_allowed(path_, "the file may be written by others");
  }
}

TEST_F(BundleTrust, RefusesAFolderThatOthersMayWrite) {
  for (const int mode : {0775, 0757, 01777}) {
    ASSERT_EQ(::chmod(place_.c_str(), static_cast<mode_t>(mode)), 0);
    expect_refused_unless_allowed(path_, "its folder");
  }
}

TEST_F(BundleTrust, RefusesWhatBelongsToSomebodyElse) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root may give files away";
  ASSERT_EQ(::chown(path_.c_str(), 65534, 0), 0);
  expect_refused_unless_allowed(path_, "the file belongs to user 65534");
  ASSERT_EQ(::chown(path_.c_str(), 0, 0), 0);
  ASSERT_EQ(::chown(place_.c_str(), 65534, 0), 0);
  expect_refused_unless_allowed(path_, "belongs to user 65534");
}

TEST_F(BundleTrust, RefusesALinkButNotAFolderReachedThroughOne) {
  const fs::path link = place_ / "link.mla";
  fs::create_symlink(path_, link);
  expect_refused_unless_allowed(link, "is a link");
  fs::create_directory_symlink(place_, folder_ / "current");
  EXPECT_EQ(answers(Bundle::open(folder_ / "current" / "b.mla")), right_);
  fs::permissions(place_, fs::perms(0777));
  expect_refused_unless_allowed(folder_ / "current" / "b.mla", "its folder");
}

TEST_F(BundleTrust, FindsAFileNamedFromItsOwnFolder) {
  const fs::path before = fs::current_path();
  fs::current_path(place_);
  EXPECT_EQ(answers(Bundle::open("b.mla")), right_);
  fs::current_path(before);
}

// --- what somebody makes who knows how to seal

class ForgedBundle : public BundleTrust {
 protected:
  // The error of opening and reading all of it after that SQL.
  std::string refusal_after(const std::string& sql) const {
    const fs::path image = folder_ / "image.db";
    std::string bytes = bytes_of(path_);
    bytes.resize(bytes.size() - kSealBytes);
    put_bytes(image, bytes);
    raw_sql(image, sql);
    bytes = bytes_of(image);
    fs::remove(image);
    seal(bytes, nullptr);
    return error_of(ErrorKind::database, [&] { answers(Bundle::from_memory(bytes, "forged")); });
  }
};

TEST_F(ForgedBundle, WithAnotherSchemaIsRefused) {
  for (const char* sql :
       {"CREATE TABLE more (x)", "CREATE INDEX more ON winners (arch)", "DROP TABLE fallbacks",
        "CREATE VIEW more AS SELECT load_extension('x')",
        "CREATE TRIGGER more AFTER INSERT ON winners BEGIN DELETE FROM winners; END",
        "DROP TABLE winners; CREATE VIEW winners AS SELECT 1 AS id",
        "ALTER TABLE variants ADD COLUMN more TEXT"})
    EXPECT_THAT(refusal_after(sql), HasSubstr("does not have the tables of its format")) << sql;
}

TEST_F(ForgedBundle, WithRowsThatDoNotFitTogetherIsRefused) {
  const std::string past_rules = "PRAGMA ignore_check_constraints = ON; PRAGMA writable_schema=ON;";
  for (const char* sql :
       {"UPDATE code_objects SET arch = 'gfx942'", "DELETE FROM code_objects",
        "UPDATE code_objects SET bytes = 1 << 40", "UPDATE code_objects SET bytes = bytes + 1",
        "UPDATE code_objects SET checksum = '00000000000000000000000000000000'",
        "UPDATE code_objects SET content = zeroblob(100)",
        "UPDATE code_objects SET content = (SELECT content FROM code_objects WHERE id = 5)",
        "UPDATE winners SET decode_id = 99", "UPDATE winners SET decode_id = 0",
        "UPDATE winners SET evidence = 9", "UPDATE fallbacks SET reduce_id = 77",
        "PRAGMA journal_mode = WAL"})
    EXPECT_THAT(refusal_after(past_rules + sql), HasSubstr("is damaged")) << sql;
}

// SQLite reads what it is given; it must come to an answer or an error, whatever that is.
TEST_F(ForgedBundle, WithAnyByteChangedDoesNoHarm) {
  std::string image = bytes_of(path_);
  image.resize(image.size() - kSealBytes);
  int refused = 0;
  for (std::size_t at = 0; at < image.size(); at += 37) {
    std::string forged = image;
    forged[at] = static_cast<char>(forged[at] ^ (at % 5 == 0 ? 0xff : 1 << at % 8));
    seal(forged, nullptr);
    try {
      answers(Bundle::from_memory(forged, "forged"));
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::database) << error.what();
      ++refused;
    }
  }
  EXPECT_GT(refused, 100);
}

// --- signatures

class SignedBundle : public BundleTrust {
 protected:
  void SetUp() override {
    BundleTrust::SetUp();
    write_bundle(path_, small_contents(), &key_);
  }
  std::string refusal_of(const std::string& bytes, const PublicKey& key) const {
    return error_of(ErrorKind::database,
                    [&] { Bundle::from_memory(bytes, "signed", {.public_key = key}); });
  }
  const SigningKey key_ = new_signing_key();
};

TEST_F(SignedBundle, OpensWithTheKeyAndWithout) {
  EXPECT_EQ(answers(Bundle::open(path_)), right_);
  const Bundle bundle = Bundle::open(path_, {.public_key = key_.public_key()});
  EXPECT_EQ(answers(bundle), right_);
  EXPECT_EQ(bundle.signer(), key_.public_key());
}

TEST_F(SignedBundle, RefusesAnUnsignedOneAndAnotherSigner) {
  EXPECT_THAT(refusal_of(bundle_bytes(small_contents()), key_.public_key()),
              AllOf(HasSubstr("is not signed"), HasSubstr("--sign")));
  const SigningKey other = new_signing_key();
  EXPECT_THAT(refusal_of(bytes_of(path_), other.public_key()),
              AllOf(HasSubstr(hex(key_.public_key())), HasSubstr(hex(other.public_key()))));
}

// Somebody who knows the format: everything fits but the signature, which is that of another file.
TEST_F(SignedBundle, RefusesWhatIsSealedAgainWithoutTheKey) {
  const std::string genuine = bytes_of(path_);
  std::string forged = bundle_bytes({.version = "evil"});
  const std::size_t end = forged.size() - kSealBytes;
  forged.replace(end + 24, 40, genuine, genuine.size() - kSealBytes + 24, 40);
  const std::string sum = checksum(std::string_view(forged).substr(0, end + 64));
  for (std::size_t i = 0; i < 16; ++i)
    forged[end + 64 + i] = static_cast<char>(std::stoi(sum.substr(2 * i, 2), nullptr, 16));
  forged.replace(end + 80, 64, genuine, genuine.size() - 64, 64);
  EXPECT_EQ(Bundle::from_memory(forged, "forged").version(), "evil") << "it is well made";
  EXPECT_THAT(refusal_of(forged, key_.public_key()), HasSubstr("wrong signature"));
}

TEST_F(SignedBundle, RefusesAFlipOfAnyByte) {
  const std::string bytes = bytes_of(path_);
  for (std::size_t at = 0; at < bytes.size(); at += at + 200 < bytes.size() ? 61 : 1) {
    std::string flipped = bytes;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << at % 8));
    EXPECT_THROW(Bundle::from_memory(flipped, "flipped", {.public_key = key_.public_key()}), Error)
        << "byte " << at;
  }
}

TEST_F(SignedBundle, TakesKeysOfTheRightKindAlone) {
  const fs::path secret = folder_ / "k", open = folder_ / "k.pub";
  put_bytes(secret, key_.pem());
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { read_signing_key(secret); }),
              HasSubstr("chmod 600"));
  fs::permissions(secret, fs::perms(0600));
  put_bytes(open, public_pem(key_.public_key()));
  EXPECT_EQ(read_signing_key(secret).public_key(), key_.public_key());
  EXPECT_EQ(read_public_key(open), key_.public_key());
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { read_public_key(secret); }),
              HasSubstr("no Ed25519 public key"));
  fs::permissions(open, fs::perms(0600));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { read_signing_key(open); }),
              HasSubstr("no Ed25519 signing key"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { read_public_key(folder_ / "none"); }),
              HasSubstr("cannot read"));
  EXPECT_THAT(error_of(ErrorKind::usage, [&] { read_public_key(folder_.path()); }),
              HasSubstr("cannot read"));
  EXPECT_THAT(error_of(ErrorKind::usage,
                       [&] {
                         Bundle::open(path_, {.public_key = {1, 2, 3}});
                       }),
              HasSubstr("32 bytes"));
}

}  // namespace
}  // namespace mla::test
