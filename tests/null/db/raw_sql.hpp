#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <filesystem>
#include <string>

namespace mla::test {

// SQL past the Store, to make files that no Store would make and to be the other program.
class RawSql {
 public:
  explicit RawSql(const std::filesystem::path& path) {
    EXPECT_EQ(sqlite3_open(path.c_str(), &handle_), SQLITE_OK);
  }
  RawSql(const RawSql&) = delete;
  RawSql& operator=(const RawSql&) = delete;
  ~RawSql() { sqlite3_close(handle_); }

  // The first column of the last row.
  std::string operator()(const std::string& sql) {
    std::string result;
    const auto keep = [](void* out, int, char** values, char**) {
      *static_cast<std::string*>(out) = values[0] != nullptr ? values[0] : "";
      return 0;
    };
    char* error = nullptr;
    EXPECT_EQ(sqlite3_exec(handle_, sql.c_str(), keep, &result, &error), SQLITE_OK) << error;
    sqlite3_free(error);
    return result;
  }

 private:
  sqlite3* handle_ = nullptr;
};

inline std::string raw_sql(const std::filesystem::path& path, const std::string& sql) {
  RawSql connection(path);
  return connection(sql);
}

}  // namespace mla::test
