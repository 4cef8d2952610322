#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mount.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "kernels/process.hpp"
#include "tests/null/db/fixture.hpp"

namespace mla::test {

namespace fs = std::filesystem;

inline std::string contents(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

inline void write(const fs::path& path, const std::string& text) {
  std::ofstream(path, std::ios::binary) << text;
}

// A file system of the test's own that is soon full.
class TinyDisk {
 public:
  TinyDisk(const fs::path& at, const char* size) : at_(at) {
    fs::create_directories(at);
    mounted_ = ::mount("tmpfs", at.c_str(), "tmpfs", 0, size) == 0;
  }
  ~TinyDisk() {
    if (mounted_) ::umount2(at_.c_str(), MNT_DETACH);
  }
  TinyDisk(const TinyDisk&) = delete;
  TinyDisk& operator=(const TinyDisk&) = delete;
  bool mounted() const { return mounted_; }
  bool resize(const char* size) const {
    return ::mount("tmpfs", at_.c_str(), "tmpfs", MS_REMOUNT, size) == 0;
  }

 private:
  fs::path at_;
  bool mounted_ = false;
};

struct Outcome {
  int code = -1;  // exit code; -1: a signal ended it, or the deadline came
  std::string out;
  std::string error;
};

// Runs the program mla-tune with folders of the test's own for cache and results.
class CommandLineTest : public ::testing::Test {
 protected:
  // `setup`: shell commands before it, such as "ulimit -f 8".
  Outcome run(std::vector<std::string> words, const std::string& setup = ":") {
    const std::string out = folder_ / "out.txt", error = folder_ / "error.txt";
    std::vector<std::string> argv = {
        "sh",
        "-c",
        setup + R"(; o=$1 e=$2; shift 2; exec env -u ROCM_PATH -u CUDA_PATH "$@" >"$o" 2>"$e")",
        "sh",
        out,
        error,
        MLA_TUNE_PROGRAM};
    argv.insert(argv.end(), words.begin(), words.end());
    const CommandResult result = run_command(argv, deadline_in(240), environment());
    Outcome outcome{-1, contents(out), contents(error)};
    if (result.status && result.status->signal == 0) outcome.code = result.status->code;
    return outcome;
  }

  // A command that fails: its exit code as expected, and nothing but one message on standard error.
  std::string refusal(ErrorKind kind, const std::vector<std::string>& words,
                      const std::string& setup = ":") {
    const Outcome outcome = run(words, setup);
    EXPECT_EQ(outcome.code, static_cast<int>(kind)) << outcome.out << outcome.error;
    EXPECT_EQ(outcome.error.find("mla-tune: "), 0u) << outcome.error;
    EXPECT_EQ(outcome.error.find("terminate"), std::string::npos) << outcome.error;
    return outcome.error;
  }

  std::vector<std::string> environment() const {
    std::vector<std::string> all = {"XDG_CACHE_HOME=" + (folder_ / "cache").string(),
                                    "TMPDIR=" + folder_.path().string(), "AMD_COMGR_CACHE=0"};
    if (!real_data_) all.push_back("XDG_DATA_HOME=" + (folder_ / "data").string());
    return all;
  }

  // A copy of the project's configurations, to be spoilt.
  fs::path copy_configs() const {
    const fs::path copy = folder_ / "configs";
    fs::copy(fs::path(MLA_SOURCE) / "configs", copy, fs::copy_options::recursive);
    return copy;
  }
  static void replace(const fs::path& file, const std::string& what, const std::string& by) {
    std::string text = contents(file);
    const std::size_t at = text.find(what);
    ASSERT_NE(at, std::string::npos) << file << " has no " << what;
    write(file, text.replace(at, what.size(), by));
  }

  TempDir folder_;
  bool real_data_ = false;  // whether the machine's private ROCm is in sight
};

}  // namespace mla::test
