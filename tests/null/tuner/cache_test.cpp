#include "tuner/cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "db/error.hpp"
#include "tests/temporary_folder.hpp"
#include "tuner/hash.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;

std::string noise(std::size_t size, unsigned seed) {
  std::mt19937 random(seed);
  std::string bytes(size, '\0');
  for (char& byte : bytes) byte = static_cast<char>(random());
  return bytes;
}

std::vector<fs::path> files_in(const std::string& folder) {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path());
  return files;
}

std::string read_file(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

void write_file(const fs::path& path, const std::string& bytes) {
  std::ofstream(path, std::ios::binary | std::ios::trunc) << bytes;
}

std::string refusal_of(const std::string& folder) {
  try {
    Cache cache(folder);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::system);
    return error.what();
  }
  return "";
}

class CacheTest : public ::testing::Test {
 protected:
  TemporaryFolder folder_;
  std::string where_ = folder_.path("cache");
  std::string key_ = content_key("key");
};

TEST_F(CacheTest, GivesBackWhatWasStored) {
  Cache cache(where_);
  EXPECT_FALSE(cache.find(key_));
  for (const std::string& content : {std::string(), std::string("short"), noise(100'000, 1)}) {
    cache.store(key_, content);
    EXPECT_EQ(cache.find(key_), content);
  }
  EXPECT_EQ(Cache(where_).find(key_), noise(100'000, 1)) << "from another object too";
  EXPECT_EQ(cache.use().entries, 1u);
}

TEST_F(CacheTest, CompressesWhatItStores) {
  Cache cache(where_);
  cache.store(key_, std::string(100'000, 'a'));
  EXPECT_LT(cache.use().bytes, 1000u);
}

TEST_F(CacheTest, MakesItsFolderForItsUserAlone) {
  Cache cache(folder_.path("deep/er/cache"));
  struct stat status {};
  ASSERT_EQ(::stat(folder_.path("deep/er/cache").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(CacheTest, TakesReadingAwayFromOthers) {
  fs::create_directory(where_);
  ::chmod(where_.c_str(), 0755);
  Cache cache(where_);
  struct stat status {};
  ASSERT_EQ(::stat(where_.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0700u);
}

TEST_F(CacheTest, RefusesAFolderThatOthersMayWrite) {
  fs::create_directory(where_);
  for (const mode_t mode : {0777u, 0770u, 0702u, 0720u}) {
    ::chmod(where_.c_str(), mode);
    EXPECT_THAT(refusal_of(where_),
                ::testing::AllOf(HasSubstr("written by other users"), HasSubstr("chmod 700")));
  }
}

TEST_F(CacheTest, RefusesAFolderThatBelongsToAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  fs::create_directory(where_);
  ASSERT_EQ(::chown(where_.c_str(), 12345, 12345), 0);
  EXPECT_THAT(refusal_of(where_), HasSubstr("belongs to user 12345"));
}

TEST_F(CacheTest, SaysWhatIsInTheWayOfItsFolder) {
  write_file(where_, "a file");
  EXPECT_THAT(refusal_of(where_), HasSubstr(where_));
  EXPECT_THAT(refusal_of("/proc/mla-tune"), HasSubstr("XDG_CACHE_HOME"));
}

TEST_F(CacheTest, DropsAnEntryWithAnyByteChanged) {
  Cache cache(where_);
  const std::string content = noise(200, 2);
  cache.store(key_, content);
  const fs::path file = files_in(where_).at(0);
  const std::string whole = read_file(file);
  int unnoticed = 0;
  for (std::size_t i = 0; i < whole.size(); ++i) {
    std::string damaged = whole;
    damaged[i] = static_cast<char>(damaged[i] ^ 0x10);
    write_file(file, damaged);
    const auto found = cache.find(key_);
    if (found) {
      ++unnoticed;  // zstd's frame has a bit without meaning
      EXPECT_EQ(*found, content) << "byte " << i;
    } else {
      EXPECT_FALSE(fs::exists(file)) << "byte " << i;
    }
  }
  EXPECT_LE(unnoticed, 1);
}

TEST_F(CacheTest, DropsAnEntryThatWasCutOffOrEmptied) {
  Cache cache(where_);
  cache.store(key_, noise(200, 3));
  const fs::path file = files_in(where_).at(0);
  const std::string whole = read_file(file);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    write_file(file, whole.substr(0, size));
    EXPECT_FALSE(cache.find(key_)) << size;
    EXPECT_FALSE(fs::exists(file));
  }
  write_file(file, whole + "more");
  EXPECT_FALSE(cache.find(key_));
  cache.store(key_, "rebuilt");
  EXPECT_EQ(cache.find(key_), "rebuilt");
}

TEST_F(CacheTest, DropsAnEntryUnderAnotherEntrysName) {
  Cache cache(where_);
  cache.store(key_, "content");
  const fs::path file = files_in(where_).at(0);
  const std::string other = content_key("other");
  fs::rename(file, file.parent_path() / (other + file.extension().string()));
  EXPECT_FALSE(cache.find(other));
}

TEST_F(CacheTest, NeverFollowsALinkToAFileElsewhere) {
  Cache cache(where_);
  cache.store(key_, "content");
  const fs::path file = files_in(where_).at(0);
  fs::rename(file, folder_.path("elsewhere"));
  fs::create_symlink(folder_.path("elsewhere"), file);
  EXPECT_FALSE(cache.find(key_));
}

TEST_F(CacheTest, LetsTheLeastRecentlyUsedGoWhenItIsFull) {
  Cache cache(where_, 50'000);
  std::vector<std::string> keys;
  for (unsigned i = 0; i < 4; ++i) {
    keys.push_back(content_key(std::to_string(i)));
    cache.store(keys[i], noise(10'000, i));
    std::this_thread::sleep_for(std::chrono::milliseconds(15));
  }
  ASSERT_TRUE(cache.find(keys[0])) << "used: now the newest";
  std::this_thread::sleep_for(std::chrono::milliseconds(15));
  keys.push_back(content_key("4"));
  cache.store(keys[4], noise(10'000, 4));  // 50 kB and five headers: above the cap
  EXPECT_LE(cache.use().bytes, 45'000u);
  EXPECT_TRUE(cache.find(keys[0]));
  EXPECT_FALSE(cache.find(keys[1]));
  EXPECT_TRUE(cache.find(keys[3]));
  EXPECT_TRUE(cache.find(keys[4]));
}

TEST_F(CacheTest, KeepsTheNewestEntryWhateverTheCap) {
  Cache cache(where_, 1);
  cache.store(key_, noise(1000, 1));
  EXPECT_TRUE(cache.find(key_));
}

TEST_F(CacheTest, LeavesNothingBehindWhenTheDiskIsFull) {
  const pid_t child = ::fork();
  if (child == 0) {
    std::signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{500, 500};
    ::setrlimit(RLIMIT_FSIZE, &limit);
    Cache cache(where_);
    try {
      cache.store(key_, noise(10'000, 1));
    } catch (const Error& error) {
      const std::string said = error.what();
      ::_exit(said.find(where_) != std::string::npos &&
                      said.find("XDG_CACHE_HOME") != std::string::npos
                  ? 7
                  : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(WEXITSTATUS(status), 7);
  EXPECT_TRUE(files_in(where_).empty());
}

TEST_F(CacheTest, IsSharedByProcessesThatStoreAndReadAtOnce) {
  std::vector<pid_t> children;
  for (unsigned process = 0; process < 3; ++process) {
    const pid_t child = ::fork();
    if (child == 0) {
      bool right = true;
      Cache cache(where_, 120'000);  // so small that they evict each other's entries
      for (unsigned round = 0; round < 150; ++round) {
        const unsigned number = (round * 7 + process) % 20;
        const std::string key = content_key(std::to_string(number));
        const auto found = cache.find(key);
        right = right && (!found || *found == noise(8'000, number));
        if (!found) cache.store(key, noise(8'000, number));
      }
      ::_exit(right ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ASSERT_EQ(::waitpid(child, &status, 0), child);
    EXPECT_EQ(status, 0);
  }
  for (const fs::path& file : files_in(where_)) EXPECT_EQ(file.extension(), ".entry");
  EXPECT_GT(Cache(where_).use().entries, 0u);
}

TEST_F(CacheTest, SurvivesKillsAtAnyMoment) {
  for (unsigned round = 0; round < 20; ++round) {
    const pid_t child = ::fork();
    if (child == 0) {
      Cache cache(where_);
      for (unsigned i = 0;; ++i)
        cache.store(content_key(std::to_string(i % 5)), noise(50'000, i % 5));
    }
    ::usleep(500 * round);
    ::kill(child, SIGKILL);
    int status = 0;
    ::waitpid(child, &status, 0);
    Cache cache(where_);
    for (unsigned i = 0; i < 5; ++i) {
      const auto found = cache.find(content_key(std::to_string(i)));
      EXPECT_TRUE(!found || *found == noise(50'000, i));
    }
  }
}

TEST(DefaultCacheFolder, FollowsTheXdgRules) {
  const char* home = ::getenv("HOME");
  const char* xdg = ::getenv("XDG_CACHE_HOME");
  const std::string old_home = home == nullptr ? "" : home;
  const std::string old_xdg = xdg == nullptr ? "" : xdg;
  ::setenv("HOME", "/home/someone", 1);
  ::setenv("XDG_CACHE_HOME", "/else/where", 1);
  EXPECT_EQ(default_cache_folder(), "/else/where/mla-tune");
  ::setenv("XDG_CACHE_HOME", "relative", 1);
  EXPECT_EQ(default_cache_folder(), "/home/someone/.cache/mla-tune");
  ::unsetenv("XDG_CACHE_HOME");
  EXPECT_EQ(default_cache_folder(), "/home/someone/.cache/mla-tune");
  ::setenv("HOME", old_home.c_str(), 1);
  if (xdg != nullptr) ::setenv("XDG_CACHE_HOME", old_xdg.c_str(), 1);
}

TEST(ContentKey, IsThePublishedHashOfItsInputOnEveryMachine) {
  // Stored in databases: it may never change.
  EXPECT_EQ(content_key("mla"), content_key(std::string("mla")));
  EXPECT_EQ(content_key("mla").size(), 32u);
  const std::string_view ab[] = {"a", "b"};
  const std::string_view joined[] = {"ab", ""};
  EXPECT_NE(content_key(ab), content_key(joined));
}

}  // namespace
}  // namespace mla
