#pragma once

#include <gmock/gmock.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <memory>
#include <stdexcept>
#include <string>

#include "kernels/compare.hpp"
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

// The definition, one head a wave at a time; `here` stands where a head's sums are known.
inline std::string plain_kernel(const std::string& here = {}) {
  std::string text = R"(
static float bf(std::uint16_t b) { unsigned u = unsigned(b) << 16; float f; std::memcpy(&f, &u, 4); return f; }
static float element(const CacheScope& s, int slot, int c) {
  const unsigned char* page = s.cache + (long long)(slot / s.page_size) * s.page_stride;
  const unsigned char* row = page + slot % s.page_size * 576;
  float v;
  if (c >= 448) { std::uint16_t b; std::memcpy(&b, row + 448 + 2 * (c - 448), 2); v = bf(b); }
  else {
    const int e = row[c], scale = page[s.page_size * 576 + slot % s.page_size * 8 + c / 64];
    const bool ocp = s.format == Fp8Format::ocp;
    if (scale == 255 || (ocp ? (e & 127) == 127 : e == 128)) return 0;
    const int x = e >> 3 & 15, m = e & 7;
    v = std::ldexp(float(x ? 8 + m : m), (x ? x : 1) - (ocp ? 10 : 11) + scale - 127);
    if (e >> 7) v = -v;
  }
  return std::isnan(v) ? 0 : v;
}
KERNEL(DecodeArgs a) {
  const long long t = self->workgroup.x;
  const int first = int(self->workgroup.y) * 16;
  for (int h = first + self->index; h < first + 16 && h < a.heads; h += self->count) {
    const auto* q = static_cast<const std::uint16_t*>(a.q) + t * a.q_token_stride + h * a.q_head_stride;
    float m = -INFINITY, l = 0, acc[512] = {};
    for (const CacheScope* s : {&a.main, &a.extra}) {
      if (!s->indptr) continue;
      for (int i = s->indptr[t]; i < s->indptr[t + 1]; ++i) {
        const int slot = s->indices[i];
        if (slot < 0 || slot >= s->rows) continue;
        float score = 0;
        for (int c = 0; c < 512; ++c) score += bf(q[c]) * element(*s, slot, c);
        score *= a.scale;
        const float top = std::fmax(m, score), shrink = std::exp(m - top), p = std::exp(score - top);
        for (int c = 0; c < 512; ++c) acc[c] = acc[c] * shrink + p * element(*s, slot, c);
        l = l * shrink + p;
        m = top;
      }
    }
    HERE
    const float sum = l + (a.sink && l > 0 ? std::exp(a.sink[h] - m) : 0);
    for (int c = 0; c < 512; ++c) out_row(a, t, h)[c] = bf16(l > 0 ? acc[c] / sum : 0);
    a.lse[t * a.lse_token_stride + h] = l > 0 ? m + std::log(l) : INFINITY;
  }
}
)";
  return text.replace(text.find("HERE"), 4, here);
}

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

  RunResult run(const std::string& body, double deadline = 60) {
    return runner_->run(compile(body), "", launch_, data(), deadline);
  }
  void begin_timing() {
    const RunResult begun = runner_->begin_timing(problem_, 1, 60);
    ASSERT_EQ(Verdict::ok, begun.verdict) << begun.reason;
  }
  RunResult add(int candidate, const std::string& body) {
    return runner_->add_candidate(candidate, compile(body), "", launch_, Tolerance{}, 60);
  }

  const ProblemData& data() {
    if (data_.tokens == 0) data_ = make_inputs(problem_, {});
    return data_;
  }

  std::filesystem::path folder_;
  int count_ = 0;
  Launch launch_{};
  // 3 tokens of 16 heads; lists of 5 in the main scope.
  ProblemRecord problem_{.kernel = "sparse_mla_decode",
                         .num_heads = 16,
                         .num_tokens = 3,
                         .main_len = 5,
                         .main_page = 4};
  ProblemData data_;
  std::unique_ptr<Runner> runner_ = make_host_runner(MLA_WORKER, 2);
};

}  // namespace mla
