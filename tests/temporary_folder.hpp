#pragma once

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <string>

namespace mla {

// A folder of the test's own, gone with it.
class TemporaryFolder {
 public:
  TemporaryFolder() : root_(::testing::TempDir() + "mla-test-XXXXXX") {
    if (::mkdtemp(root_.data()) == nullptr) ADD_FAILURE() << "cannot make " << root_;
  }
  ~TemporaryFolder() {
    std::error_code ignored;
    std::filesystem::remove_all(root_, ignored);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;

  const std::string& path() const { return root_; }
  std::string path(const std::string& name) const { return root_ + "/" + name; }

 private:
  std::string root_;
};

}  // namespace mla
