#include <fmt/format.h>
#include <unistd.h>

#include <system_error>

#include "db/bundle_schema.hpp"
#include "db/schema.hpp"
#include "db/store_impl.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

enum class Content { empty, ours };

struct Format {
  Content content;
  int version;
};

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw Error(ErrorKind::database, fmt::format("{} {}", path.string(), why));
}

Format identify(sqlite::Connection& connection) {
  auto row = connection.prepare(
      "SELECT (SELECT application_id FROM pragma_application_id),"
      "       (SELECT user_version FROM pragma_user_version),"
      "       (SELECT count(*) FROM sqlite_schema)");
  row.step();
  const auto application = row.integer(0);
  const int version = row.small(1);
  if (application == 0 && version == 0 && row.integer(2) == 0) return {Content::empty, 0};
  if (application == kBundleApplicationId)
    refuse(connection.path(),
           "is a bundle, not a tuning database: `mla-tune import` puts its winners into one");
  if (application != kApplicationId || version < 1) {
    refuse(connection.path(),
           "is an SQLite database of another program; it was left as it is. Name another file.");
  }
  if (version > kSchemaVersion) {
    refuse(connection.path(),
           fmt::format("was written by a newer mla-tune: its format is {}, this program knows "
                       "formats up to {}. Use the newer program, or name another file.",
                       version, kSchemaVersion));
  }
  return {Content::ours, version};
}

// Either the file gets this program's format whole or it stays as it was.
void make_current(sqlite::Connection& connection) {
  // A step may move rows between tables; what it leaves is checked as a whole before it counts.
  connection.run_script("PRAGMA foreign_keys = OFF; BEGIN IMMEDIATE");
  try {
    // Read again: another process may have done it while we waited.
    const Format format = identify(connection);
    if (format.content == Content::empty) {
      connection.run_script(kSchemaSql);
    } else {
      for (int version = format.version; version < kSchemaVersion; ++version) {
        connection.run_script(kMigrations[version - 1]);
      }
      auto orphan = connection.prepare("PRAGMA foreign_key_check");
      if (format.version < kSchemaVersion && orphan.step()) {
        refuse(connection.path(),
               fmt::format("cannot be brought from format {} to {}: a row of {} refers to one that "
                           "is not there. It was left as it is; restore a copy, or start a new "
                           "file.",
                           format.version, kSchemaVersion, orphan.text(0)));
      }
    }
    connection.run_script("COMMIT; PRAGMA foreign_keys = ON");
  } catch (...) {
    connection.roll_back();
    throw;
  }
}

// Even to read a WAL database SQLite writes beside it, unless told that nobody can be writing.
bool needs_immutable(const fs::path& path) {
  const auto folder = fs::absolute(path).parent_path();
  std::error_code ignored;
  const auto wal = fs::path(path.string() + "-wal");
  const bool unfinished = fs::exists(wal, ignored) && fs::file_size(wal, ignored) > 0;
  return ::access(folder.c_str(), W_OK) != 0 && !unfinished;
}

void check_path(const fs::path& path, StoreMode mode) {
  std::error_code error;
  const auto status = fs::status(path, error);
  if (fs::is_directory(status)) refuse(path, "is a directory; name a file.");
  if (fs::exists(status)) return;
  if (mode == StoreMode::read_only) {
    refuse(path, "does not exist. Name the file that a tuning run wrote, or tune first.");
  }
  const auto folder = fs::absolute(path).parent_path();
  if (!fs::is_directory(folder, error)) {
    refuse(path, fmt::format("cannot be created: {} is not a directory. Create it first.",
                             folder.string()));
  }
}

}  // namespace

int Store::stored_format(const fs::path& path, StoreMode mode) {
  check_path(path, StoreMode::read_only);
  const auto access = mode == StoreMode::read_write_create ? sqlite::Access::write
                      : needs_immutable(path)              ? sqlite::Access::immutable
                                                           : sqlite::Access::read;
  sqlite::Connection connection(path, access, StoreOptions{}.busy_timeout_ms);
  return identify(connection).version;
}

Store Store::open(const fs::path& path, StoreMode mode, const StoreOptions& options) {
  check_path(path, mode);
  if (mode == StoreMode::read_only) {
    const auto access = needs_immutable(path) ? sqlite::Access::immutable : sqlite::Access::read;
    auto impl = std::make_unique<Impl>(path, access, options.busy_timeout_ms);
    const Format format = identify(impl->connection);
    if (format.content == Content::empty) {
      refuse(path, "is empty. Name the file that a tuning run wrote, or tune first.");
    }
    if (format.version < kSchemaVersion) {
      impl->connection.copy_into_memory();
      make_current(impl->connection);
    }
    return Store(std::move(impl));
  }

  auto impl = std::make_unique<Impl>(path, sqlite::Access::write, options.busy_timeout_ms);
  auto& connection = impl->connection;
  // First without the lock: nothing is put beside a file that is not ours.
  identify(connection);
  if (connection.is_read_only()) {
    refuse(path, "is read-only. Give yourself write permission on the file, or name another one.");
  }
  impl->lock = WriterLock(path);
  if (options.max_pages > 0) connection.limit_pages(options.max_pages);
  // The size of the log after a big batch is given back; a lost power supply costs at most the last
  // commits.
  connection.run_script(
      "PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA journal_size_limit = "
      "16777216;");
  const Format format = identify(connection);
  if (format.content == Content::empty || format.version < kSchemaVersion) make_current(connection);
  return Store(std::move(impl));
}

Store::Store(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Store::Transaction Store::transaction() { return Transaction(impl_.get()); }

Store::Transaction::Transaction(Impl* impl) : impl_(impl) {
  if (impl_->transaction_open) {
    throw Error(ErrorKind::internal, "a transaction is open already; they do not nest");
  }
  impl_->connection.run_script("BEGIN IMMEDIATE");
  impl_->transaction_open = true;
}

Store::Transaction::~Transaction() {
  if (impl_ == nullptr) return;
  impl_->connection.roll_back();
  impl_->transaction_open = false;
}

void Store::Transaction::commit() {
  impl_->prepare("COMMIT").run();
  impl_->transaction_open = false;
  impl_ = nullptr;
}

}  // namespace mla
