#pragma once

#include <gtest/gtest.h>
#include <sqlite3.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

namespace mla::test {

// The rows that a query gives, each as one text, in the query's order.
inline std::vector<std::string> rows_of(const std::filesystem::path& path, const std::string& sql) {
  sqlite3* handle = nullptr;
  EXPECT_EQ(sqlite3_open_v2(path.c_str(), &handle, SQLITE_OPEN_READONLY, nullptr), SQLITE_OK);
  std::vector<std::string> rows;
  const auto keep = [](void* out, int columns, char** values, char**) {
    std::string row;
    for (int i = 0; i < columns; ++i) row += std::string(values[i] ? values[i] : "NULL") + " | ";
    static_cast<std::vector<std::string>*>(out)->push_back(row);
    return 0;
  };
  char* error = nullptr;
  EXPECT_EQ(sqlite3_exec(handle, sql.c_str(), keep, &rows, &error), SQLITE_OK) << error;
  sqlite3_free(error);
  sqlite3_close(handle);
  return rows;
}

// What a database says, by table, whatever ids its rows have; nothing of when and by whom it was
// found out. Sorted.
inline std::map<std::string, std::vector<std::string>> content_of(
    const std::filesystem::path& path) {
  const std::string toolchain = "t.compiler, t.release, t.library, t.llvm";
  const std::string problem =
      "p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page, p.extra_page,"
      " p.main_format, p.extra_format, p.lengths, p.warm_cache";
  const std::string device =
      "d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id, d.partition,"
      " d.driver, d.runtime";
  std::map<std::string, std::vector<std::string>> content = {
      {"toolchains", rows_of(path, "SELECT " + toolchain + " FROM toolchains t")},
      {"devices", rows_of(path, "SELECT " + device + " FROM devices d")},
      {"problems", rows_of(path, "SELECT " + problem + " FROM problems p")},
      {"variants", rows_of(path, "SELECT key, kernel, params FROM variants")},
      {"code_objects",
       rows_of(path, "SELECT c.key, " + toolchain +
                         ", c.arch, entry_template, verdict, reason, content, vgprs, agprs, sgprs,"
                         " lds_bytes, scratch_bytes, vgpr_spills, sgpr_spills, code_bytes,"
                         " waves_per_simd, mfma, lds, vmem, valu, salu FROM code_objects c"
                         " JOIN toolchains t ON t.id = toolchain_id")},
      {"variant_code_objects",
       rows_of(path,
               "SELECT v.key, c.key FROM variant_code_objects JOIN variants v ON v.id = variant_id"
               " JOIN code_objects c ON c.id = code_object_id")},
      {"measurements",
       rows_of(path, "SELECT v.key, " + problem + ", " + device + ", " + toolchain +
                         ", evidence, round, verdict, reason, median_us, mad_us, ci_low_us,"
                         " ci_high_us, max_error, cosine_gap, hex(samples) FROM measurements m"
                         " JOIN variants v ON v.id = variant_id JOIN problems p ON p.id ="
                         " problem_id JOIN devices d ON d.id = device_id"
                         " JOIN toolchains t ON t.id = m.toolchain_id")},
      {"winners", rows_of(path, "SELECT * FROM winner")},
      {"verdicts", rows_of(path, "SELECT * FROM variant_verdict")},
  };
  for (auto& [table, rows] : content) std::ranges::sort(rows);
  return content;
}

}  // namespace mla::test
