#include "kernels/device_host.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "kernels/compare.hpp"
#include "kernels/reference.hpp"
#include "tests/host/kernels/host_kernels.hpp"

namespace mla {
namespace {

// The definition, one head a wave at a time.
constexpr const char* kPlainKernel = R"(
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
    const float sum = l + (a.sink && l > 0 ? std::exp(a.sink[h] - m) : 0);
    for (int c = 0; c < 512; ++c) out_row(a, t, h)[c] = bf16(l > 0 ? acc[c] / sum : 0);
    a.lse[t * a.lse_token_stride + h] = l > 0 ? m + std::log(l) : INFINITY;
  }
}
)";

TEST_F(DeviceHost, RunsARightKernelToARightResult) {
  const std::string kernel = compile(kPlainKernel);
  ProblemRecord problem;
  problem.kernel = "sparse_mla_decode";
  problem.num_heads = 19;  // the second group of 16 is not full
  problem.num_tokens = 7;
  problem.main_len = 40;
  problem.main_page = 8;
  problem.main_format = 2;
  problem.extra_len = 33;
  problem.extra_page = 2;
  problem.lengths = "ragged";
  for (std::uint64_t seed = 1; seed <= 3; ++seed) {
    const ProblemData inputs = make_inputs(problem, {.seed = seed,
                                                     .sink = seed != 2,
                                                     .sink_infinities = seed == 3,
                                                     .invalid_fraction = 0.1,
                                                     .poisoned_fraction = 0.2,
                                                     .duplicate_fraction = 0.1,
                                                     .empty_rows = true});
    const RunResult result = runner_->run(kernel, "", launch_, inputs, 0, 60);
    ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
    const Comparison comparison = compare(result.output, compute_reference(inputs), {});
    EXPECT_TRUE(comparison.ok) << comparison.reason;
    EXPECT_LT(comparison.cosine_gap, 1e-6);
  }
}

TEST_F(DeviceHost, FindsAWrongKernelOut) {
  std::string wrong = kPlainKernel;
  wrong.replace(wrong.find("/ 64]"), 5, "/ 65]");  // the scale of a neighbour
  const RunResult result = run(wrong);
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  EXPECT_FALSE(compare(result.output, compute_reference(data()), {}).ok);
}

TEST_F(DeviceHost, LeavesPoisonWhereAKernelWritesNothing) {
  const RunResult result =
      run("KERNEL(DecodeArgs a) { if (self->index == 0) *out_row(a, 1, 2) = 0; }");
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  for (std::size_t i = 0; i < result.output.out.size(); ++i) {
    ASSERT_EQ(i == (16 + 2) * 512 ? 0 : 0xFFFF, result.output.out[i]);
  }
  for (const float lse : result.output.lse) EXPECT_TRUE(std::isnan(lse));
}

TEST_F(DeviceHost, RunsEachWaveOfEachWorkgroupOnceOnAnyNumberOfThreads) {
  const std::string kernel = compile(R"(KERNEL(DecodeArgs a) {
    auto* out = out_row(a, self->workgroup.x, self->index);
    if (*out != 0xFFFF || self->count != 8 || self->grid.x != unsigned(a.tokens)) std::abort();
    usleep(100);
    *out = std::uint16_t(self->workgroup.x + 1);
  })");
  launch_.config.waves = 8;
  ProblemRecord problem;
  problem.kernel = "sparse_mla_decode";
  problem.num_heads = 16;
  problem.num_tokens = 100;
  const ProblemData inputs = make_inputs(problem, {});
  for (const int threads : {1, 3}) {
    const RunResult result =
        make_host_runner(MLA_WORKER, threads)->run(kernel, "", launch_, inputs, 0, 60);
    ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
    for (std::size_t t = 0; t < 100; ++t) {
      for (std::size_t wave = 0; wave < 8; ++wave) {
        ASSERT_EQ(t + 1, result.output.out[(t * 16 + wave) * 512]);
      }
    }
  }
}

TEST_F(DeviceHost, LetsWavesExchangeThroughPoisonedSharedMemory) {
  const RunResult result = run(R"(KERNEL(DecodeArgs a) {
    auto* shared = reinterpret_cast<std::uint16_t*>(self->shared_memory(self, 300));
    if (shared[self->index] != 0xFFFF || reinterpret_cast<std::uintptr_t>(shared) % 256 != 0) std::abort();
    for (int round = 0; round < 5; ++round) {
      self->barrier(self);
      shared[self->index] = std::uint16_t(10 * round + self->index);
      self->barrier(self);
      *out_row(a, self->workgroup.x, self->index) = shared[1 - self->index];
    }
  })");
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  for (std::size_t t = 0; t < 3; ++t) {
    EXPECT_EQ(41, result.output.out[t * 16 * 512]);
    EXPECT_EQ(40, result.output.out[(t * 16 + 1) * 512]);
  }
}

TEST_F(DeviceHost, RunsTheReduceKernelAfterTheWholeDecode) {
  launch_.splits = {0, 3, SplitMap::contiguous};
  const std::string decode = compile(R"(KERNEL(DecodeArgs a) {
    const auto w = self->workgroup;
    if (self->index == 0) a.workspace[w.x * 3 + w.z] = float(w.x * 100 + w.z);
  })");
  const std::string reduce = compile(R"(KERNEL(ReduceArgs a) {
    const unsigned t = self->workgroup.x;
    a.lse[t * a.lse_token_stride] = a.workspace[t * 3] + a.workspace[t * 3 + 1] + a.workspace[t * 3 + 2];
    a.lse[t * a.lse_token_stride + 1] = float(a.splits);
    if (!std::isnan(a.workspace[a.tokens * a.heads * 3 * 515 - 1])) std::abort();
  })");
  const RunResult result = runner_->run(decode, reduce, launch_, data(), 0, 60);
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  for (std::size_t t = 0; t < 3; ++t) {
    EXPECT_EQ(float(300 * t + 3), result.output.lse[t * 16]);
    EXPECT_EQ(3, result.output.lse[t * 16 + 1]);
  }
  EXPECT_EQ(Verdict::launch_failed, runner_->run(decode, "", launch_, data(), 0, 60).verdict);
}

TEST_F(DeviceHost, TimesWholeLaunches) {
  const RunResult result = run("KERNEL(DecodeArgs) { if (self->index == 0) usleep(2000); }", 7);
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  ASSERT_EQ(7u, result.samples_us.size());
  // 3 workgroups on 2 threads: two in a row.
  for (const float us : result.samples_us) EXPECT_GT(us, 4000);
}

TEST(HostIdentity, KnowsThisMachine) {
  const Device device = host_identity(2);
  EXPECT_EQ("host", device.arch);
  EXPECT_EQ(2, device.compute_units);
  EXPECT_GT(device.memory_bytes, 1 << 20);
  EXPECT_FALSE(device.name.empty());
}

}  // namespace
}  // namespace mla
