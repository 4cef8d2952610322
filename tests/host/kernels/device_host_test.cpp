#include "kernels/device_host.hpp"

#include <gtest/gtest.h>

#include <cmath>

#include "db/error.hpp"
#include "kernels/compare.hpp"
#include "kernels/reference.hpp"
#include "tests/host/kernels/host_kernels.hpp"

namespace mla {
namespace {

TEST_F(DeviceHost, RunsARightKernelToARightResult) {
  const std::string kernel = compile(plain_kernel());
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
    const RunResult result = runner_->run(kernel, "", launch_, inputs, 60);
    ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
    const Comparison comparison = compare(result.output, compute_reference(inputs), {});
    EXPECT_TRUE(comparison.ok) << comparison.reason;
    EXPECT_LT(comparison.cosine_gap, 1e-6);
  }
}

TEST_F(DeviceHost, FindsAWrongKernelOut) {
  std::string wrong = plain_kernel();
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
        make_host_runner(MLA_WORKER, threads)->run(kernel, "", launch_, inputs, 60);
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
  const RunResult result = runner_->run(decode, reduce, launch_, data(), 60);
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  for (std::size_t t = 0; t < 3; ++t) {
    EXPECT_EQ(float(300 * t + 3), result.output.lse[t * 16]);
    EXPECT_EQ(3, result.output.lse[t * 16 + 1]);
  }
  EXPECT_EQ(Verdict::launch_failed, runner_->run(decode, "", launch_, data(), 60).verdict);
}

TEST_F(DeviceHost, TimesWholeLaunches) {
  begin_timing();
  ASSERT_EQ(Verdict::ok, add(1, plain_kernel("if (self->index == 0) usleep(2000);")).verdict);
  const RunResult result = runner_->sample(1, 7, 60);
  ASSERT_EQ(Verdict::ok, result.verdict) << result.reason;
  ASSERT_EQ(7u, result.samples_us.size());
  // 3 workgroups on 2 threads: two in a row.
  for (const float us : result.samples_us) EXPECT_GT(us, 4000);
}

TEST_F(DeviceHost, ChecksACandidateOnTheInputsThatItIsTimedOn) {
  begin_timing();
  const RunResult right = add(1, plain_kernel());
  EXPECT_EQ(Verdict::ok, right.verdict) << right.reason;
  EXPECT_GE(right.max_error, 0);
  EXPECT_GE(right.cosine_gap, 0);
  const RunResult wrong = add(2, plain_kernel("if (t == 2) l *= 1.1f;"));
  EXPECT_EQ(Verdict::wrong_result, wrong.verdict);
  EXPECT_THAT(wrong.reason, testing::HasSubstr("token 2"));
  EXPECT_EQ(Verdict::ok, runner_->sample(1, 1, 60).verdict) << "the others stay";
  EXPECT_THROW(runner_->sample(2, 1, 60), Error);
  begin_timing();
  EXPECT_THROW(runner_->sample(1, 1, 60), Error) << "earlier candidates are forgotten";
}

TEST_F(DeviceHost, ChecksSomeTokensOfManyAgainstTheReference) {
  ProblemRecord problem = problem_;
  problem.num_tokens = 500;
  problem.main_len = 20;  // 160,000 keys times heads: every third token is compared
  ASSERT_EQ(Verdict::ok, runner_->begin_timing(problem, 1, 60).verdict);
  EXPECT_EQ(Verdict::ok, add(1, plain_kernel()).verdict);
  const RunResult wrong = add(2, plain_kernel("if (t == 300) l *= 1.1f;"));
  EXPECT_EQ(Verdict::wrong_result, wrong.verdict);
  EXPECT_THAT(wrong.reason, testing::HasSubstr("one token of 3"));
}

TEST_F(DeviceHost, TellsItsConditionsAsJson) {
  EXPECT_THAT(runner_->conditions(), testing::StartsWith("{"));
  EXPECT_THAT(runner_->conditions(), testing::HasSubstr("\"threads\":2"));
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
