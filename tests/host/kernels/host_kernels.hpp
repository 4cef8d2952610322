#pragma once

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/device_host.hpp"
#include "kernels/process.hpp"

namespace mla {

// What each kernel below may use.
inline constexpr const char* kPrelude = R"(
#include "host_abi.hpp"
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <unistd.h>
using namespace mla;
#define self mla_host_wave
#define KERNEL extern "C" void entry
static std::uint16_t* out_row(const DecodeArgs& a, long long t, long long h) {
  return static_cast<std::uint16_t*>(a.out) + t * a.out_token_stride + h * a.out_head_stride;
}
static std::uint16_t bf16(float v) {
  unsigned bits;
  std::memcpy(&bits, &v, 4);
  return static_cast<std::uint16_t>((bits + 0x7FFF + (bits >> 16 & 1)) >> 16);
}
)";

class DeviceHost : public testing::Test {
 protected:
  DeviceHost() {
    std::string pattern = (std::filesystem::temp_directory_path() / "mla-host-XXXXXX").string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("no temporary folder");
    folder_ = pattern;
    launch_.config.block_h = 16;
    launch_.config.waves = 2;
    launch_.splits = {0, 1, SplitMap::contiguous};
    launch_.reduce = {16, 1};
  }
  ~DeviceHost() override {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }

  std::string compile(const std::string& body) {
    const std::string stem = (folder_ / std::to_string(count_++)).string();
    std::ofstream(stem + ".cpp") << kPrelude << body;
    const auto result = run_command({MLA_CXX, "-std=c++20", "-O1", "-shared", "-fPIC", "-w", "-I",
                                     MLA_TEMPLATES, stem + ".cpp", "-o", stem + ".so"},
                                    deadline_in(120));
    EXPECT_TRUE(result.success()) << result.output;
    return stem + ".so";
  }

  RunResult run(const std::string& body, int samples = 0, double deadline = 60) {
    return runner_->run(compile(body), "", launch_, data(), samples, deadline);
  }

  // 3 tokens of 16 heads; lists of 5 in the main scope.
  const ProblemData& data() {
    if (data_.tokens == 0) {
      ProblemRecord problem;
      problem.kernel = "sparse_mla_decode";
      problem.num_heads = 16;
      problem.num_tokens = 3;
      problem.main_len = 5;
      problem.main_page = 4;
      data_ = make_inputs(problem, {});
    }
    return data_;
  }

  std::filesystem::path folder_;
  int count_ = 0;
  Launch launch_{};
  ProblemData data_;
  std::unique_ptr<Runner> runner_ = make_host_runner(MLA_WORKER, 2);
};

}  // namespace mla
