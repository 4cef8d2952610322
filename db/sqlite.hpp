#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

struct sqlite3;
struct sqlite3_stmt;

// Private to db/: SQLite's C API with owners, and its return codes turned into mla::Error in one
// place.
namespace mla::sqlite {

class Connection;

// A prepared statement on loan from its connection; going out of scope gives it back, reset.
// Parameters are numbered from 1, columns from 0, as in SQLite. Text and blobs are copied in and
// out.
class Statement {
 public:
  Statement(Connection& connection, sqlite3_stmt* statement)
      : connection_(&connection), statement_(statement) {}
  Statement(Statement&& other) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  template <typename... Values>
  Statement& bind(const Values&... values) {
    (bind_next(values), ...);
    return *this;
  }
  void bind_next(int value) { bind_next(std::int64_t{value}); }
  void bind_next(std::int64_t value);
  void bind_next(double value);  // a NaN is bound as NULL, which every column here refuses
  void bind_next(std::string_view value);
  void bind_next(std::span<const std::byte> value);
  void bind_next(bool) = delete;

  // True while there is a row to read. Throws Error for every other outcome than a row or the end.
  bool step();
  void run() {
    while (step()) {
    }
  }

  std::int64_t integer(int column) const;
  int small(int column) const { return static_cast<int>(integer(column)); }
  double real(int column) const;
  std::string text(int column) const;
  std::vector<std::byte> blob(int column) const;

 private:
  void check(int code) const;

  Connection* connection_;
  sqlite3_stmt* statement_;
  int bound_ = 0;
};

enum class Access { read, write, immutable };

// One connection, one thread. Statements must not outlive it.
class Connection {
 public:
  // write creates the file where there is none. immutable promises that nobody writes while it is
  // open.
  Connection(const std::filesystem::path& path, Access access, int busy_timeout_ms);
  // An empty database in memory.
  Connection();
  // Reads the bytes of a database file, which must outlive it and never change. They may come from
  // anybody. `name` stands for the path in errors; `remedy` is what they advise where it is
  // damaged.
  Connection(const std::string& name, std::string_view image, const char* remedy);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  ~Connection();

  // The bytes of the file that this database would be.
  std::string serialized();

  // The content of this one into `memory`, which is a database in memory.
  void copy_to(Connection& memory) const;
  // Becomes a database in memory with the content that it has. Errors go on naming this file.
  void copy_into_memory();

  // `sql` must be a literal: statements are compiled once and kept under its address.
  Statement prepare(const char* sql);
  // Any number of statements without parameters; rows are dropped.
  void run_script(const char* sql);
  std::int64_t last_id() const;
  bool is_read_only() const;
  // False once SQLite has rolled a transaction back by itself, as it does when the disk is full.
  bool in_transaction() const;
  // Never throw: after a failure SQLite may have undone everything already.
  void roll_back() noexcept;
  void undo_savepoint() noexcept;  // the one called "one"
  void limit_pages(std::int64_t pages);
  const std::filesystem::path& path() const { return path_; }

  // The one place where a code becomes an exception. `code` is an extended result code.
  [[noreturn]] void fail(int code) const;

 private:
  void close() noexcept;

  std::filesystem::path path_;
  int busy_timeout_ms_ = 0;
  const char* remedy_ = nullptr;  // of a damaged file; null: that of one that is written to
  sqlite3* handle_ = nullptr;
  std::map<const char*, sqlite3_stmt*> statements_;
};

}  // namespace mla::sqlite
