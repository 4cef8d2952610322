#pragma once

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <functional>
#include <string>

#include "db/error.hpp"
#include "tuner/arch.hpp"

namespace mla {

// A folder of configurations that goes with the test.
class TempConfigs {
 public:
  TempConfigs() {
    const auto* test = ::testing::UnitTest::GetInstance()->current_test_info();
    root_ = std::filesystem::temp_directory_path() /
            ("mla_configs_" + std::to_string(::getpid()) + "_" + test->name());
    std::filesystem::remove_all(root_);
    for (const char* folder : {"archs", "spaces", "shapes"})
      std::filesystem::create_directories(root_ / folder);
  }
  ~TempConfigs() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TempConfigs(const TempConfigs&) = delete;
  TempConfigs& operator=(const TempConfigs&) = delete;

  const std::filesystem::path& root() const { return root_; }
  std::filesystem::path write(const std::string& name, const std::string& text) const {
    std::ofstream(root_ / name) << text;
    return root_ / name;
  }

  // What went wrong, in words, without the folder's name; "nothing" if nothing did.
  std::string error(const std::function<void()>& action) const {
    try {
      action();
    } catch (const Error& e) {
      EXPECT_EQ(e.kind(), ErrorKind::usage) << e.what();
      std::string what = e.what();
      const std::string prefix = root_.string() + "/";
      for (std::size_t at; (at = what.find(prefix)) != std::string::npos;)
        what.erase(at, prefix.size());
      return what;
    }
    return "nothing";
  }

 private:
  std::filesystem::path root_;
};

// An arch with few numbers, for toy spaces.
inline Arch toy_arch() {
  Arch arch;
  arch.name = "toy";
  arch.limits.lds_per_workgroup = 100;
  arch.direct_load_widths = {4, 16};
  arch.has_transposing_read = true;
  return arch;
}

}  // namespace mla
