// What a killed process, a full disk, a second writer and a damaged file do to a database.
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>

#include <fstream>
#include <random>

#include "tests/null/db/child.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/db/raw_sql.hpp"

namespace mla::test {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

constexpr int kBatch = 10;

// Appends one batch of measurements with samples in one transaction.
void put_batch(Store& store, const Ids& ids) {
  auto transaction = store.transaction();
  auto m = a_timing(ids);
  m.samples_us.assign(500, 10);
  for (int n = 0; n < kBatch; ++n) store.put(m);
  transaction.commit();
}

std::int64_t measurements_in(Store& store) { return store.stats().tables[5].second; }

class FaultTest : public ::testing::Test {
 protected:
  TempDir dir_;
  fs::path path_ = dir_ / "t.db";
};

TEST_F(FaultTest, AKilledWriterLosesAtMostTheBatchItWasIn) {
  std::mt19937 random(7);
  std::int64_t acknowledged = 0;
  for (int kill = 0; kill < 12; ++kill) {
    Child writer([&](const auto& say) {
      auto store = create(path_);
      const auto ids = put_ids(store);
      say("+");
      for (;;) {
        put_batch(store, ids);
        say(".");
      }
    });
    std::string heard = writer.hear();
    usleep(static_cast<unsigned>(random() % 30000));
    writer.kill_and_wait();
    heard += writer.hear_out();
    for (const char c : heard) acknowledged += c == '.' ? kBatch : 0;
    // A reader may be the first to come by.
    auto reader = Store::open(path_, StoreMode::read_only);
    auto store = create(path_);
    const auto found = measurements_in(store);
    EXPECT_EQ(measurements_in(reader), found);
    EXPECT_EQ(found % kBatch, 0) << "a batch is there in part";
    // One more batch may have been committed than the writer lived to say.
    EXPECT_GE(found, acknowledged);
    EXPECT_LE(found, acknowledged + kBatch * (kill + 1));
    EXPECT_THAT(store.check(), IsEmpty());
  }
  EXPECT_GT(acknowledged, 0);
}

TEST_F(FaultTest, AWriterKilledWhileItMakesTheFileLeavesOneThatOpens) {
  std::mt19937 random(8);
  for (int kill = 0; kill < 40; ++kill) {
    const auto path = dir_ / ("new" + std::to_string(kill) + ".db").c_str();
    Child writer([&](const auto& say) {
      say("+");
      create(path);
    });
    writer.hear();
    usleep(static_cast<unsigned>(random() % 4000));
    writer.kill_and_wait();
    auto store = create(path);
    EXPECT_THAT(store.check(), IsEmpty());
    EXPECT_EQ(store.put(a_variant(1)), 1);
  }
}

TEST_F(FaultTest, ATornLogCostsTheLastBatchesOnly) {
  Child writer([&](const auto& say) {
    auto store = create(path_);
    const auto ids = put_ids(store);
    for (int n = 0; n < 8; ++n) put_batch(store, ids);
    say("done");
    pause();
  });
  writer.hear();
  writer.kill_and_wait();
  const auto wal = fs::path(path_.string() + "-wal");
  const auto size = fs::file_size(wal);
  ASSERT_GT(size, 100000u);
  fs::resize_file(wal, size / 2 + 333);
  fs::remove(path_.string() + "-shm");
  auto store = create(path_);
  EXPECT_THAT(store.check(), IsEmpty());
  EXPECT_GT(measurements_in(store), 0);
  EXPECT_LT(measurements_in(store), 8 * kBatch);
  EXPECT_EQ(measurements_in(store) % kBatch, 0);
}

TEST_F(FaultTest, AFullDiskUndoesTheBatchAndKeepsTheRest) {
  {
    auto store = create(path_, {.max_pages = 60});
    const auto ids = put_ids(store);
    put_batch(store, ids);
    const auto kept = [&] { return measurements_in(store); };
    std::int64_t batches = 1;
    const auto message = error_of(ErrorKind::database, [&] {
      for (;; ++batches) put_batch(store, ids);
    });
    EXPECT_THAT(message, AllOf(HasSubstr("no space left"), HasSubstr("t.db")));
    EXPECT_EQ(kept(), batches * kBatch);
    EXPECT_THAT(store.check(), IsEmpty());
  }
  auto store = create(path_);
  const auto before = measurements_in(store);
  put_batch(store, put_ids(store));
  EXPECT_EQ(measurements_in(store), before + kBatch);
}

TEST_F(FaultTest, AnUndoneBatchTakesNothingMore) {
  auto store = create(path_, {.max_pages = 60});
  const auto ids = put_ids(store);
  auto big = a_timing(ids);
  big.samples_us.assign(100000, 10);
  {
    auto transaction = store.transaction();
    store.put(a_timing(ids));
    error_of(ErrorKind::database, [&] { store.put(big); });
    // A caller that shrugs and goes on must not get half of its batch stored.
    for (int n = 0; n < 3; ++n) {
      try {
        store.put(a_timing(ids));
      } catch (const Error&) {
      }
    }
    try {
      transaction.commit();
      EXPECT_EQ(measurements_in(store), 4);
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), HasSubstr("undone"));
    }
  }
  EXPECT_THAT(measurements_in(store), ::testing::AnyOf(0, 4));
  EXPECT_THAT(store.check(), IsEmpty());
}

TEST_F(FaultTest, AWriteThatTheSystemRefusesKeepsWhatWasStored) {
  Child writer([&](const auto& say) {
    auto store = create(path_);
    const auto ids = put_ids(store);
    put_batch(store, ids);
    signal(SIGXFSZ, SIG_IGN);
    const rlimit limit{300000, 300000};
    setrlimit(RLIMIT_FSIZE, &limit);
    for (int n = 0; n < 100; ++n) put_batch(store, ids);
    say("nothing happened");
  });
  EXPECT_THAT(writer.hear_out(),
              AllOf(HasSubstr("threw"), HasSubstr("what was stored before is kept")));
  auto store = create(path_);
  EXPECT_THAT(store.check(), IsEmpty());
  EXPECT_GE(measurements_in(store), kBatch);
  EXPECT_EQ(measurements_in(store) % kBatch, 0);
}

TEST_F(FaultTest, ASecondWriterIsToldWhoTheFirstIs) {
  Child writer([&](const auto& say) {
    auto store = create(path_);
    store.put(a_variant(1));
    say("writing");
    pause();
  });
  writer.hear();
  const auto message = error_of(ErrorKind::database, [&] { create(path_); });
  EXPECT_THAT(message,
              AllOf(HasSubstr("process " + std::to_string(writer.pid())), HasSubstr("one writer")));
  fs::create_symlink(path_, dir_ / "alias.db");
  error_of(ErrorKind::database, [&] { create(dir_ / "alias.db"); });
  EXPECT_THAT(Store::open(path_, StoreMode::read_only).variants(), SizeIs(1));
  writer.kill_and_wait();
  EXPECT_THAT(create(path_).variants(), SizeIs(1));
}

TEST_F(FaultTest, AHelperThatOutlivesItsWriterDoesNotKeepTheNextOneOut) {
  Child writer([&](const auto& say) {
    auto store = create(path_);
    if (fork() == 0) {
      say("helper");
      sleep(2);
      _exit(0);
    }
    pause();
  });
  EXPECT_EQ(writer.hear(), "helper");
  writer.kill_and_wait();
  create(path_);
}

TEST_F(FaultTest, AnotherProgramsTransactionIsWaitedForAndThenReported) {
  auto store = create(path_, {.busy_timeout_ms = 50});
  RawSql other(path_);
  other("BEGIN IMMEDIATE");
  EXPECT_THAT(error_of(ErrorKind::database, [&] { store.put(a_variant(1)); }),
              AllOf(HasSubstr("locked for 50 ms"), HasSubstr("another program")));
  error_of(ErrorKind::database, [&] { (void)store.transaction(); });
  EXPECT_THAT(store.variants(), IsEmpty());
  other("COMMIT");
  store.put(a_variant(1));
  auto transaction = store.transaction();
  transaction.commit();
  EXPECT_THAT(store.variants(), SizeIs(1));
}

// A sound file of about 20 pages.
std::string sound_file(const fs::path& path) {
  {
    auto store = create(path);
    auto ids = put_ids(store);
    for (int n = 0; n < 60; ++n) {
      ids.variant = store.put(a_variant(n));
      auto m = a_timing(ids);
      m.samples_us.assign(100, 10);
      store.put(m);
    }
  }
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

// Uses a possibly damaged file in every way there is. True if the damage was noticed. Whatever is
// not an mla::Error, a crash included, fails the test.
bool damage_is_noticed(const fs::path& path) {
  bool noticed = false;
  for (const auto mode : {StoreMode::read_only, StoreMode::read_write_create}) {
    try {
      auto store = Store::open(path, mode);
      noticed |= !store.check().empty();
      store.winners();
      store.stats();
      if (mode == StoreMode::read_write_create) {
        put_batch(store, put_ids(store));
      }
    } catch (const Error& error) {
      EXPECT_STRNE(error.what(), "");
      noticed = true;
    }
  }
  return noticed;
}

TEST_F(FaultTest, ATruncatedFileIsNoticed) {
  const auto sound = sound_file(path_);
  std::mt19937 random(9);
  std::vector<std::size_t> sizes = {
      1, 15, 16, 99, 100, 511, 512, 4095, 4096, 4097, sound.size() - 1};
  for (std::size_t page = 4096; page < sound.size(); page += 4096) sizes.push_back(page);
  for (int n = 0; n < 30; ++n) sizes.push_back(1 + random() % (sound.size() - 1));
  for (const auto size : sizes) {
    const auto path = dir_ / (std::to_string(size) + ".db").c_str();
    std::ofstream(path, std::ios::binary) << sound.substr(0, size);
    const bool noticed = damage_is_noticed(path);
    // Of a page that is there in part SQLite reads the rest as zeros; a sample may become another.
    if (size + 4096 <= sound.size()) {
      EXPECT_TRUE(noticed) << size << " of " << sound.size() << " bytes";
    }
  }
}

TEST_F(FaultTest, ADamagedFileIsReadOrRefusedAndNeverCrashes) {
  const auto sound = sound_file(path_);
  std::mt19937 random(10);
  int noticed = 0;
  for (int n = 0; n < 120; ++n) {
    auto damaged = sound;
    // Some in the header and the schema, where it hurts most; some anywhere.
    const std::size_t reach = n % 2 == 0 ? 8192 : sound.size();
    for (int flips = 1 + n % 8; flips > 0; --flips) {
      damaged[random() % reach] ^= static_cast<char>(1 << (random() % 8));
    }
    const auto path = dir_ / (std::to_string(n) + ".db").c_str();
    std::ofstream(path, std::ios::binary) << damaged;
    noticed += damage_is_noticed(path) ? 1 : 0;
    fs::remove(path);
  }
  // Not all can be: a flipped bit inside a text, or in unused space, is a file as good as any.
  EXPECT_GT(noticed, 30);
}

}  // namespace
}  // namespace mla::test
