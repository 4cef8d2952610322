#include "db/sqlite.hpp"

#include <fmt/format.h>
#include <sqlite3.h>

#include <cstring>
#include <utility>

#include "db/error.hpp"

namespace mla::sqlite {
namespace {

// SQLite wants a URI for its `immutable` flag; in a URI a path's own '?', '#' and '%' must not be
// read as syntax.
std::string immutable_uri(const std::filesystem::path& path) {
  std::string uri = "file:";
  for (const char c : path.string()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= '0' && byte <= '9') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= 'a' && byte <= 'z') || std::strchr("/._-", c) != nullptr;
    uri += plain ? std::string(1, c) : fmt::format("%{:02X}", byte);
  }
  return uri + "?immutable=1";
}

}  // namespace

Statement::Statement(Statement&& other) noexcept
    : connection_(other.connection_),
      statement_(std::exchange(other.statement_, nullptr)),
      bound_(other.bound_) {}

Statement::~Statement() {
  if (statement_ == nullptr) return;
  sqlite3_reset(statement_);
  sqlite3_clear_bindings(statement_);
}

void Statement::check(int code) const {
  if (code != SQLITE_OK) connection_->fail(code);
}

void Statement::bind_next(std::int64_t value) {
  check(sqlite3_bind_int64(statement_, ++bound_, value));
}

void Statement::bind_next(double value) { check(sqlite3_bind_double(statement_, ++bound_, value)); }

void Statement::bind_next(std::string_view value) {
  // A null pointer would be bound as NULL instead of the empty text.
  check(sqlite3_bind_text64(statement_, ++bound_, value.empty() ? "" : value.data(), value.size(),
                            SQLITE_TRANSIENT, SQLITE_UTF8));
}

void Statement::bind_next(std::span<const std::byte> value) {
  if (value.empty()) {
    check(sqlite3_bind_zeroblob(statement_, ++bound_, 0));
  } else {
    check(sqlite3_bind_blob64(statement_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT));
  }
}

bool Statement::step() {
  const int code = sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  connection_->fail(code);
}

std::int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(statement_, column);
}

double Statement::real(int column) const { return sqlite3_column_double(statement_, column); }

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(statement_, column));
  if (data == nullptr) return {};
  return std::string(data, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column)));
}

std::vector<std::byte> Statement::blob(int column) const {
  const auto* data = static_cast<const std::byte*>(sqlite3_column_blob(statement_, column));
  if (data == nullptr) return {};
  return {data, data + sqlite3_column_bytes(statement_, column)};
}

Connection::Connection(const std::filesystem::path& path, Access access, int busy_timeout_ms)
    : path_(path), busy_timeout_ms_(busy_timeout_ms) {
  const int flags =
      access == Access::write
          ? SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE
          : SQLITE_OPEN_READONLY | (access == Access::immutable ? SQLITE_OPEN_URI : 0);
  // Absolute, so that no name can be taken for a URI or for one of SQLite's special names.
  const auto absolute = std::filesystem::absolute(path);
  const std::string name =
      access == Access::immutable ? immutable_uri(absolute) : absolute.string();
  try {
    const int code = sqlite3_open_v2(name.c_str(), &handle_, flags, nullptr);
    if (code != SQLITE_OK) fail(code);
    sqlite3_extended_result_codes(handle_, 1);
    sqlite3_busy_timeout(handle_, busy_timeout_ms);
    // The file may come from anybody: its schema must not be able to rewrite it behind our back.
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    run_script("PRAGMA foreign_keys = ON; PRAGMA cell_size_check = ON;");
  } catch (...) {
    close();
    throw;
  }
}

Connection::Connection() : path_(":memory:") {
  const int code = sqlite3_open_v2(":memory:", &handle_, SQLITE_OPEN_READWRITE, nullptr);
  try {
    if (code != SQLITE_OK) fail(code);
    sqlite3_extended_result_codes(handle_, 1);
    run_script("PRAGMA foreign_keys = ON");
  } catch (...) {
    close();
    throw;
  }
}

Connection::Connection(const std::string& name, std::string_view image, const char* remedy)
    : path_(name), remedy_(remedy) {
  const int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX;
  const int code = sqlite3_open_v2(":memory:", &handle_, flags, nullptr);
  try {
    if (code != SQLITE_OK) fail(code);
    sqlite3_extended_result_codes(handle_, 1);
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    for (const int off : {SQLITE_DBCONFIG_TRUSTED_SCHEMA, SQLITE_DBCONFIG_ENABLE_TRIGGER,
                          SQLITE_DBCONFIG_ENABLE_VIEW, SQLITE_DBCONFIG_ENABLE_LOAD_EXTENSION})
      sqlite3_db_config(handle_, off, 0, nullptr);
    run_script("PRAGMA cell_size_check = ON");
    // Read-only: SQLite takes a pointer to what it may write, and writes nothing.
    auto* bytes = reinterpret_cast<unsigned char*>(const_cast<char*>(image.data()));
    const auto size = static_cast<sqlite3_int64>(image.size());
    const int outcome =
        sqlite3_deserialize(handle_, "main", bytes, size, size, SQLITE_DESERIALIZE_READONLY);
    if (outcome != SQLITE_OK) fail(outcome);
    // Pages are read where they are, not from copies.
    run_script("PRAGMA query_only = ON; PRAGMA mmap_size = 1073741824");
  } catch (...) {
    close();
    throw;
  }
}

Connection::~Connection() { close(); }

void Connection::close() noexcept {
  for (const auto& [sql, statement] : statements_) sqlite3_finalize(statement);
  statements_.clear();
  sqlite3_close_v2(handle_);
  handle_ = nullptr;
}

std::string Connection::serialized() {
  sqlite3_int64 size = 0;
  unsigned char* bytes = sqlite3_serialize(handle_, "main", &size, 0);
  if (bytes == nullptr) fail(SQLITE_NOMEM);
  std::string image(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  sqlite3_free(bytes);
  return image;
}

void Connection::copy_to(Connection& memory) const {
  sqlite3_backup* backup = sqlite3_backup_init(memory.handle_, "main", handle_, "main");
  if (backup == nullptr) memory.fail(sqlite3_extended_errcode(memory.handle_));
  const int outcome = sqlite3_backup_step(backup, -1);
  sqlite3_backup_finish(backup);
  if (outcome != SQLITE_DONE) fail(outcome);
}

void Connection::copy_into_memory() {
  Connection memory;
  copy_to(memory);
  close();
  std::swap(handle_, memory.handle_);
}

Statement Connection::prepare(const char* sql) {
  sqlite3_stmt*& statement = statements_[sql];
  if (statement == nullptr) {
    const int code =
        sqlite3_prepare_v3(handle_, sql, -1, SQLITE_PREPARE_PERSISTENT, &statement, nullptr);
    if (code != SQLITE_OK) fail(code);
  }
  return Statement(*this, statement);
}

void Connection::run_script(const char* sql) {
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, nullptr);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t Connection::last_id() const { return sqlite3_last_insert_rowid(handle_); }

bool Connection::is_read_only() const { return sqlite3_db_readonly(handle_, "main") == 1; }

bool Connection::in_transaction() const { return sqlite3_get_autocommit(handle_) == 0; }

void Connection::roll_back() noexcept {
  if (in_transaction()) sqlite3_exec(handle_, "ROLLBACK", nullptr, nullptr, nullptr);
}

void Connection::undo_savepoint() noexcept {
  if (!in_transaction()) return;
  sqlite3_exec(handle_, "ROLLBACK TO one; RELEASE one", nullptr, nullptr, nullptr);
}

void Connection::limit_pages(std::int64_t pages) {
  // A pragma takes no bound value; the text has nothing but this program's own number in it.
  run_script(fmt::format("PRAGMA max_page_count = {}", pages).c_str());
}

void Connection::fail(int code) const {
  const std::string file = path_.string();
  const std::string detail = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  const int system = handle_ != nullptr ? sqlite3_system_errno(handle_) : 0;
  const auto database = [](const std::string& message) -> Error {
    return Error(ErrorKind::database, message);
  };
  if (remedy_ != nullptr && (code & 0xff) != SQLITE_NOMEM)
    throw database(fmt::format("{} is damaged ({}): {}", file, detail, remedy_));
  switch (code & 0xff) {
    case SQLITE_NOTADB:
      throw database(
          fmt::format("{} is not an SQLite database; it was left as it is. Name another file, or "
                      "move this one away.",
                      file));
    case SQLITE_CORRUPT:
      throw database(
          fmt::format("{} is damaged ({}). Keep a copy, recover what can be read with `sqlite3 {} "
                      ".recover | sqlite3 new.db`, or move it away and start a new one.",
                      file, detail, file));
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw database(fmt::format(
          "{} stayed locked for {} ms: another program is writing to it (another mla-tune, or an "
          "sqlite3 shell inside a transaction). Wait for it or end it, and run again; what was "
          "stored before is kept.",
          file, busy_timeout_ms_));
    case SQLITE_READONLY:
      if (code == SQLITE_READONLY_ROLLBACK || code == SQLITE_READONLY_RECOVERY)
        throw database(
            fmt::format("{} was left in the middle of a change by a program that was killed, and "
                        "reading cannot undo it: `mla-tune db migrate --db {}` does, and so does "
                        "the next run that writes it.",
                        file, file));
      throw database(
          fmt::format("{} cannot be written ({}). Give yourself write permission on the file and "
                      "its folder, or name another file.",
                      file, detail));
    case SQLITE_CANTOPEN:
      throw database(fmt::format(
          "{} cannot be opened ({}{}{}). Check that its folder exists and that you may read and "
          "write there.",
          file, detail, system != 0 ? ": " : "", system != 0 ? std::strerror(system) : ""));
    case SQLITE_FULL:
      throw database(fmt::format(
          "no space left to write {} ({}). Nothing was half written: the change was undone and "
          "what was stored before is kept. Free some space and run again.",
          file, detail));
    case SQLITE_IOERR:
      // Of a failed commit SQLite does not tell the system's reason.
      throw database(fmt::format(
          "reading or writing {} failed ({}): its disk is over a quota or a limit, or fails. The "
          "change was undone and what was stored before is kept. Check the disk and run again.",
          file, detail));
    case SQLITE_CONSTRAINT:
      throw Error(ErrorKind::internal,
                  fmt::format("{} refused a row that breaks its rules: {}", file, detail));
    case SQLITE_ERROR:
      throw database(
          fmt::format("{} does not have the tables and columns of its format ({}). Somebody "
                      "changed its schema: restore a copy, or move it away and start a new one.",
                      file, detail));
    case SQLITE_NOMEM:
      throw Error(ErrorKind::system, fmt::format("out of memory while using {}", file));
    default:
      throw Error(ErrorKind::internal,
                  fmt::format("{}: SQLite returned {} ({})", file, code, detail));
  }
}

}  // namespace mla::sqlite
