#pragma once

#include <utility>

#include "db/error.hpp"
#include "db/sqlite.hpp"
#include "db/store.hpp"
#include "db/writer_lock.hpp"

namespace mla {

// Private to db/: what a Store owns. The lock is let go after the connection is closed.
struct Store::Impl {
  WriterLock lock;
  sqlite::Connection connection;
  bool transaction_open = false;

  Impl(const std::filesystem::path& path, sqlite::Access access, int busy_timeout_ms)
      : connection(path, access, busy_timeout_ms) {}

  // Every statement of a Store comes from here: after SQLite has undone a transaction by itself (a
  // full disk), what the caller still puts into it must not be stored one by one.
  sqlite::Statement prepare(const char* sql) {
    if (transaction_open && !connection.in_transaction()) {
      throw Error(
          ErrorKind::database,
          connection.path().string() + ": this batch was undone after an earlier error; run again");
    }
    return connection.prepare(sql);
  }

  template <typename... Values>
  sqlite::Statement query(const char* sql, const Values&... values) {
    auto statement = prepare(sql);
    statement.bind(values...);
    return statement;
  }
};

// All columns of code_objects, in the order of the table.
CodeObjectRecord code_object_from(const sqlite::Statement& row);
// A row of measurements whose columns stand in the order of the table; samples are left out.
MeasurementRecord measurement_from(const sqlite::Statement& row);
std::vector<float> samples_from(const std::vector<std::byte>& bytes);

// Several statements as one: undone on destruction unless released. Works inside a transaction and
// outside, where it is one. Statements made after it must be gone before it.
class Store::Savepoint {
 public:
  explicit Savepoint(Impl& impl) : impl_(&impl) { impl.prepare("SAVEPOINT one").run(); }
  Savepoint(const Savepoint&) = delete;
  Savepoint& operator=(const Savepoint&) = delete;
  ~Savepoint() {
    if (impl_ != nullptr) impl_->connection.undo_savepoint();
  }
  void release() {
    impl_->connection.run_script("RELEASE one");
    impl_ = nullptr;
  }

 private:
  Impl* impl_;
};

}  // namespace mla
