#include "kernels/device_host.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <thread>

#include "db/error.hpp"
#include "kernels/compare.hpp"
#include "kernels/fp8.hpp"
#include "kernels/process.hpp"
#include "kernels/reference.hpp"

namespace mla {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// What each kernel below may use.
constexpr const char* kPrelude = R"(
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
    if (!std::isnan(a.workspace[a.tokens * a.heads * 3 * 514 - 1])) std::abort();
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

TEST_F(DeviceHost, ReportsACrashWithTheSignalAndGoesOn) {
  const RunResult result = run("KERNEL(DecodeArgs) { *(volatile int*)nullptr = 1; }");
  EXPECT_EQ(Verdict::crashed, result.verdict);
  EXPECT_THAT(result.reason, AllOf(HasSubstr("SIGSEGV"), HasSubstr("belongs to no buffer")));
  EXPECT_EQ(Verdict::ok, run("KERNEL(DecodeArgs) {}").verdict);
}

TEST_F(DeviceHost, KillsAHangingKernelAtTheDeadline) {
  const auto before = std::chrono::steady_clock::now();
  const std::string kernel =
      compile("KERNEL(DecodeArgs) { for (volatile int i = 0;; i = i + 1) {} }");
  const RunResult result = runner_->run(kernel, "", launch_, data(), 0, 0.5);
  EXPECT_EQ(Verdict::timed_out, result.verdict);
  EXPECT_THAT(result.reason, HasSubstr("0.5 s"));
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(30));
}

TEST_F(DeviceHost, NamesTheMemoryThatWasMissedAndByHowMuch) {
  const auto reason = [&](const char* body) {
    const RunResult result = run(body);
    EXPECT_EQ(Verdict::crashed, result.verdict) << body;
    return result.reason;
  };
  EXPECT_THAT(reason("KERNEL(DecodeArgs) { self->shared_memory(self, 1024)[1026] = 1; }"),
              HasSubstr("touched shared memory, 2 bytes past its end"));
  EXPECT_THAT(reason("KERNEL(DecodeArgs a) { if (a.main.indices[15] == 12345) std::abort(); }"),
              HasSubstr("main indices, 0 bytes past its end"));
  EXPECT_THAT(reason("KERNEL(DecodeArgs a) { *const_cast<unsigned char*>(a.main.cache) = 1; }"),
              HasSubstr("wrote to the main cache, which is read-only"));
  EXPECT_THAT(reason("KERNEL(DecodeArgs a) { a.lse[a.tokens * a.lse_token_stride] = 1; }"),
              HasSubstr("lse, 0 bytes past its end"));
  EXPECT_THAT(reason(R"(static int sink;
    static int deep(int n) { volatile char room[4096]; room[n & 4095] = 1; return deep(n + 1) + room[n & 1]; }
    KERNEL(DecodeArgs) { sink = deep(0); })"),
              HasSubstr("a wave's stack"));
}

TEST_F(DeviceHost, SeesWritesThatNoPageStops) {
  const auto wrong = [&](const char* body, const char* reason) {
    const RunResult result = run(body);
    EXPECT_NE(Verdict::ok, result.verdict);
    EXPECT_NE(Verdict::timed_out, result.verdict);
    EXPECT_THAT(result.reason, HasSubstr(reason));
  };
  wrong("KERNEL(DecodeArgs) { self->shared_memory(self, 1000)[1000] = 1; }",
        "wrote past the 1000 bytes of shared memory");
  wrong("KERNEL(DecodeArgs a) { out_row(a, 0, 0)[512] = 1; }", "between the rows");
  wrong("KERNEL(DecodeArgs a) { a.lse[16] = 1; }", "between the rows");
  wrong("KERNEL(DecodeArgs a) { out_row(a, 0, 0)[-1] = 1; }", "wrote outside out");
}

TEST_F(DeviceHost, ReportsABarrierThatNotAllWavesReach) {
  const RunResult result =
      run("KERNEL(DecodeArgs) { if (self->index == 1) self->barrier(self); }", 0, 30);
  EXPECT_EQ(Verdict::crashed, result.verdict);
  EXPECT_THAT(result.reason, AllOf(HasSubstr("barrier mismatch"), HasSubstr("1 of 2 waves"),
                                   HasSubstr("(wave 1)"), HasSubstr("workgroup (")));
}

TEST_F(DeviceHost, ReportsExitAbortExceptionAndDefectsOfVerbs) {
  const auto reason = [&](const char* body) {
    const RunResult result = run(body);
    EXPECT_EQ(Verdict::crashed, result.verdict) << body;
    return result.reason;
  };
  EXPECT_THAT(reason("KERNEL(DecodeArgs) { std::exit(3); }"), HasSubstr("exit code 3"));
  EXPECT_THAT(reason("KERNEL(DecodeArgs) { std::exit(0); }"), HasSubstr("exit code 0"));
  EXPECT_THAT(
      reason(
          "KERNEL(DecodeArgs) { std::puts(\"last words\"); std::fflush(stdout); std::abort(); }"),
      AllOf(HasSubstr("SIGABRT"), HasSubstr("last words")));
  EXPECT_THAT(reason("KERNEL(DecodeArgs) { throw 1; }"), HasSubstr("SIGABRT"));
  EXPECT_THAT(reason("KERNEL(DecodeArgs) { self->fail(self, \"rows overlap\"); }"),
              HasSubstr("rows overlap"));
  EXPECT_THAT(
      reason(
          "KERNEL(DecodeArgs) { self->shared_memory(self, 64); self->shared_memory(self, 65); }"),
      HasSubstr("64 bytes of shared memory, then for 65"));
}

TEST_F(DeviceHost, IsNotConfusedByAKernelThatPrints) {
  EXPECT_EQ(Verdict::ok,
            run("KERNEL(DecodeArgs) { std::puts(\"{\"); std::fflush(stdout); }", 2).verdict);
}

TEST_F(DeviceHost, ReportsAnObjectThatCannotBeLaunched) {
  const RunResult unnamed = run("extern \"C\" void other(DecodeArgs) {}");
  EXPECT_EQ(Verdict::launch_failed, unnamed.verdict);
  EXPECT_THAT(unnamed.reason, HasSubstr("entry"));
  const RunResult missing = runner_->run("/no/such.so", "", launch_, data(), 0, 60);
  EXPECT_EQ(Verdict::launch_failed, missing.verdict);
  EXPECT_THAT(missing.reason, HasSubstr("/no/such.so"));
  EXPECT_EQ(Verdict::launch_failed,
            run("void nowhere(); KERNEL(DecodeArgs) { nowhere(); }").verdict);
}

TEST_F(DeviceHost, SaysSoWhenThereIsNoWorker) {
  try {
    make_host_runner("/no/worker", 1)->run("x.so", "", launch_, data(), 0, 5);
    FAIL() << "ran";
  } catch (const Error& error) {
    EXPECT_EQ(ErrorKind::system, error.kind());
    EXPECT_THAT(error.what(), HasSubstr("/no/worker"));
  }
}

TEST_F(DeviceHost, CrashesInATimedLaunchToo) {
  const RunResult result =
      run("static int n; KERNEL(DecodeArgs) { if (++n > 20) std::abort(); }", 50);
  EXPECT_EQ(Verdict::crashed, result.verdict);
}

TEST_F(DeviceHost, LeavesNoWorkerBehindWhenItIsKilled) {
  const std::string pid_file = (folder_ / "pid").string();
  const std::string kernel =
      compile("KERNEL(DecodeArgs) { std::FILE* f = std::fopen(\"" + pid_file +
              "\", \"w\"); std::fprintf(f, \"%d\\n\", getpid()); "
              "std::fclose(f); for (volatile int i = 0;; i = i + 1) {} }");
  const ProblemData& inputs = data();
  const pid_t supervisor = ::fork();
  ASSERT_GE(supervisor, 0);
  if (supervisor == 0) {
    make_host_runner(MLA_WORKER, 1)->run(kernel, "", launch_, inputs, 0, 600);
    ::_exit(0);
  }
  int worker = 0;
  for (int tries = 0; tries < 3000 && worker == 0; ++tries) {
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
    std::ifstream(pid_file) >> worker;
  }
  ASSERT_GT(worker, 0);
  ::kill(supervisor, SIGKILL);
  ::waitpid(supervisor, nullptr, 0);
  for (int tries = 0; tries < 1000; ++tries) {
    std::ifstream stat("/proc/" + std::to_string(worker) + "/stat");
    std::string line;
    if (!std::getline(stat, line) || line.find(") Z") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  ::kill(worker, SIGKILL);
  FAIL() << "the worker outlives its supervisor";
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
