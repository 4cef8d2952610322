#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

#include "db/error.hpp"
#include "db/store.hpp"

namespace mla::test {

// A folder of its own for each test, gone with it.
class TempDir {
 public:
  TempDir() {
    std::string name = (std::filesystem::temp_directory_path() / "mla-db-XXXXXX").string();
    if (mkdtemp(name.data()) == nullptr) throw Error(ErrorKind::system, "no temporary folder");
    path_ = name;
  }
  TempDir(const TempDir&) = delete;
  TempDir& operator=(const TempDir&) = delete;
  ~TempDir() {
    std::error_code ignored;
    std::filesystem::permissions(path_, std::filesystem::perms::owner_all, ignored);
    std::filesystem::remove_all(path_, ignored);
  }
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const char* name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

// A key for the n-th of something.
inline std::string key(int n) {
  char text[33];
  std::snprintf(text, sizeof text, "%032x", static_cast<unsigned>(n));
  return text;
}

inline ProblemRecord a_problem(int tokens = 8) {
  return {.kernel = "sparse_mla_decode",
          .num_heads = 16,
          .num_tokens = tokens,
          .main_len = 128,
          .extra_len = 1024,
          .main_page = 64,
          .extra_page = 2};
}

inline VariantRecord a_variant(int n) {
  return {
      .key = key(n), .kernel = "sparse_mla_decode", .params = "{\"n\":" + std::to_string(n) + "}"};
}

inline Toolchain a_toolchain(const std::string& release = "7.2.4") {
  return {.compiler = "hiprtc", .release = release, .library = "libhiprtc.so", .llvm = "22.1.0"};
}

inline Device a_device(const std::string& arch = "gfx950") {
  return {.arch = arch,
          .name = arch + " (model)",
          .compute_units = 256,
          .memory_bytes = 1 << 30,
          .clock_mhz = 2400};
}

// The ids that a measurement needs.
struct Ids {
  std::int64_t toolchain, device, problem, variant, session;
};

inline Ids put_ids(Store& store) {
  return {store.put(a_toolchain()), store.put(a_device()), store.put(a_problem()),
          store.put(a_variant(1)), store.start_session({.command = "test", .version = "0"})};
}

inline MeasurementRecord a_prediction(const Ids& ids, Round round = Round::final,
                                      double median = 10) {
  return {.variant_id = ids.variant,
          .problem_id = ids.problem,
          .device_id = ids.device,
          .toolchain_id = ids.toolchain,
          .session_id = ids.session,
          .evidence = Evidence::predicted,
          .round = round,
          .median_us = median,
          .max_error = 1e-4,
          .cosine_gap = 1e-7};
}

inline MeasurementRecord a_timing(const Ids& ids, Round round = Round::final, float median = 10) {
  auto m = a_prediction(ids, round, double{median});
  m.evidence = Evidence::measured;
  m.samples_us = {median, median, median};
  return m;
}

inline MeasurementRecord a_failure(const Ids& ids, Verdict verdict, Evidence evidence,
                                   Round round = Round::final) {
  auto m = a_prediction(ids, round, 0);
  m.evidence = evidence;
  m.verdict = verdict;
  m.reason = "it broke";
  m.max_error = -1;
  m.cosine_gap = -1;
  return m;
}

inline Store create(const std::filesystem::path& path, const StoreOptions& options = {}) {
  return Store::open(path, StoreMode::read_write_create, options);
}

// The message of the Error of this kind that `action` throws; a test failure where it does not.
template <typename Action>
std::string error_of(ErrorKind kind, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), kind) << error.what();
    return error.what();
  }
  ADD_FAILURE() << "nothing was thrown";
  return {};
}

}  // namespace mla::test
