#include "tuner/compile.hpp"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <thread>

#include "db/error.hpp"
#include "tests/temporary_folder.hpp"
#include "tuner/toolchain.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr const char* kReverse = R"(
#include "shared.hpp"
extern "C" __global__ void __launch_bounds__(256) entry(float* data) {
  __shared__ float tile[kThreads];
  tile[threadIdx.x] = data[threadIdx.x];
  __syncthreads();
  data[threadIdx.x] = tile[kThreads - 1 - threadIdx.x];
}
)";

SourceHeaders shared_header() {
  return std::make_shared<const std::vector<SourceHeader>>(
      std::vector<SourceHeader>{{"shared.hpp", "constexpr int kThreads = 256;\n"}});
}

CompileJob reverse_kernel(const std::string& arch) {
  CompileJob job;
  job.arch = arch;
  job.source = kReverse;
  job.headers = shared_header();
  return job;
}

// Every hipRTC on this machine: the tests run with each release.
class HipRtc : public ::testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    try {
      toolchain_ = toolchain_for("gfx950", search_from_environment(GetParam()));
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  CompileResult compile(CompileJob job, Cache* cache = nullptr) {
    CompilePool pool(toolchain_, cache, 1);
    pool.submit(std::move(job));
    return pool.next().value();
  }
  FoundToolchain toolchain_;
  TemporaryFolder folder_;
};
INSTANTIATE_TEST_SUITE_P(Releases, HipRtc, ::testing::Values("7.2", "6.4"), [](const auto& info) {
  return std::string(info.param[0] == '7' ? "Rocm72" : "Rocm64");
});

TEST_P(HipRtc, SaysWhichReleaseItIs) {
  EXPECT_THAT(toolchain_.record.release, ::testing::StartsWith(GetParam()));
  EXPECT_THAT(toolchain_.record.library, HasSubstr("libhiprtc.so."));
  EXPECT_FALSE(toolchain_.record.llvm.empty());
}

TEST_P(HipRtc, CompilesAKernelAndTellsWhatItNeeds) {
  for (const char* arch : {"gfx950", "gfx942"}) {
    const CompileResult result = compile(reverse_kernel(arch));
    ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
    const Resources found = inspect(result.code, "entry", GpuLimits{}, 256, 0, result.mix);
    EXPECT_EQ(found.lds_bytes, 1024);
    EXPECT_EQ(found.scratch_bytes, 0);
    EXPECT_EQ(found.vgpr_spills, 0);
    EXPECT_EQ(found.vgprs, 8);
    EXPECT_EQ(found.lds, 2);
    EXPECT_EQ(found.vmem, 2);
    EXPECT_EQ(found.mfma, 0);
    EXPECT_GT(found.salu, 0);
    EXPECT_EQ(found.waves_per_simd, 8);
    EXPECT_EQ(reason_to_reject(found, GpuLimits{}, 256), "");
  }
}

TEST_P(HipRtc, CountsMatrixInstructions) {
  CompileJob job;
  job.arch = "gfx950";
  job.source = R"(
typedef __bf16 B __attribute__((ext_vector_type(8)));
typedef float F __attribute__((ext_vector_type(4)));
extern "C" __global__ void entry(F* c, const B* a) {
  F sum = c[threadIdx.x];
  sum = __builtin_amdgcn_mfma_f32_16x16x32_bf16(a[0], a[threadIdx.x], sum, 0, 0, 0);
  sum = __builtin_amdgcn_mfma_f32_16x16x32_bf16(a[1], a[threadIdx.x], sum, 0, 0, 0);
  c[threadIdx.x] = sum;
})";
  const CompileResult result = compile(job);
  ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
  EXPECT_EQ(result.mix.at("v_mfma_f32_16x16x32_bf16"), 2);
  EXPECT_EQ(inspect(result.code, "entry", GpuLimits{}, 64, 0, result.mix).mfma, 2);
}

TEST_P(HipRtc, ShowsTheInstructionsOfAKernel) {
  CompilePool pool(toolchain_, nullptr, 1);
  pool.submit(reverse_kernel("gfx950"));
  const CompileResult result = pool.next().value();
  ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
  const std::string listing = pool.disassemble(result.code, "gfx950", "entry");
  EXPECT_THAT(listing, HasSubstr("ds_write_b32"));
  EXPECT_THAT(listing, HasSubstr("s_endpgm"));
  EXPECT_THAT(listing, Not(HasSubstr(".long")));
}

TEST_P(HipRtc, RejectsAKernelThatSpills) {
  CompileJob job;
  job.arch = "gfx950";
  job.source = R"(
extern "C" __global__ void __launch_bounds__(1024, 8) entry(float* data) {
  float keep[256];
#pragma unroll
  for (int i = 0; i < 256; ++i) keep[i] = data[threadIdx.x + i * 1024];
  __syncthreads();
#pragma unroll
  for (int i = 0; i < 256; ++i) data[threadIdx.x + (255 - i) * 1024] = keep[i] * keep[255 - i];
})";
  const CompileResult result = compile(job);
  ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
  const Resources found = inspect(result.code, "entry", GpuLimits{}, 1024, 0, result.mix);
  EXPECT_GT(found.vgpr_spills, 0);
  EXPECT_THAT(reason_to_reject(found, GpuLimits{}, 1024), HasSubstr("spills"));
}

TEST_P(HipRtc, KeepsTheCompilersWordsWhenTheSourceIsWrong) {
  CompileJob job = reverse_kernel("gfx950");
  job.tag = 7;
  job.source += "int broken = no_such_name;\n";
  const CompileResult result = compile(job);
  EXPECT_EQ(result.verdict, Verdict::compile_failed);
  EXPECT_EQ(result.tag, 7u);
  EXPECT_THAT(result.log, HasSubstr("no_such_name"));
  EXPECT_THAT(result.log, ::testing::StartsWith("variant.hip:9:"))
      << "without the compiler's own folders";
  EXPECT_TRUE(result.code.empty());
}

TEST_P(HipRtc, GoesOnAfterTheCompilerCrashed) {
  CompilePool pool(toolchain_, nullptr, 1);
  CompileJob job = reverse_kernel("gfx950");
  job.source += "#pragma clang __debug crash\n";
  pool.submit(job);
  pool.submit(reverse_kernel("gfx950"));
  const CompileResult crashed = pool.next().value();
  EXPECT_TRUE(crashed.verdict == Verdict::crashed || crashed.verdict == Verdict::compile_failed);
  EXPECT_NE(crashed.log, "");
  EXPECT_EQ(pool.next().value().verdict, Verdict::ok);
}

TEST_P(HipRtc, TakesTheSameKernelFromTheCacheTheSecondTime) {
  Cache cache(folder_.path("cache"));
  const CompileResult first = compile(reverse_kernel("gfx950"), &cache);
  const CompileResult second = compile(reverse_kernel("gfx950"), &cache);
  const CompileResult other_arch = compile(reverse_kernel("gfx942"), &cache);
  ASSERT_EQ(first.verdict, Verdict::ok) << first.log;
  EXPECT_FALSE(first.cached);
  EXPECT_TRUE(second.cached);
  EXPECT_FALSE(other_arch.cached);
  EXPECT_EQ(second.code, first.code);
  EXPECT_EQ(second.mix, first.mix);
  EXPECT_EQ(second.seconds, first.seconds);
}

TEST_P(HipRtc, RefusesAnArchItDoesNotKnowAndSaysWhatItKnows) {
  try {
    toolchain_for("gfx9999", search_from_environment(GetParam()));
    FAIL() << "gfx9999 was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::toolchain);
    EXPECT_THAT(error.what(), HasSubstr("does not know gfx9999"));
    EXPECT_THAT(error.what(), HasSubstr("gfx950"));
  }
}

TEST_P(HipRtc, MakesTheSameIdentityOfTheSameCodeUnderAnotherHeaderText) {
  CompileJob commented = reverse_kernel("gfx950");
  commented.source += "// nothing\n";
  const CompileResult plain = compile(reverse_kernel("gfx950"));
  const CompileResult other = compile(commented);
  ASSERT_EQ(plain.verdict, Verdict::ok) << plain.log;
  EXPECT_NE(plain.key, other.key);
  EXPECT_EQ(code_identity(plain.code), code_identity(other.code));
}

TEST(NvRtc, CompilesAKernelAndTellsWhatItNeeds) {
  FoundToolchain toolchain;
  try {
    toolchain = toolchain_for("sm_90", search_from_environment());
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  CompilePool pool(toolchain, nullptr, 1);
  pool.submit(reverse_kernel("sm_90a"));
  const CompileResult result = pool.next().value();
  ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
  const GpuLimits sm90{.lanes = 32,
                       .registers_per_wave = 255,
                       .waves_per_simd = 16,
                       .lds_per_workgroup = 227 * 1024,
                       .lds_per_cu = 228 * 1024,
                       .lds_granule = 128,
                       .lds_reserved = 1024};
  const Resources found = inspect(result.code, "entry", sm90, 256, 0, result.mix);
  EXPECT_EQ(found.lds_bytes, 1024);
  EXPECT_EQ(found.scratch_bytes, 0);
  EXPECT_GE(found.vgprs, 8);
  EXPECT_LE(found.vgprs, 32);
  EXPECT_GT(found.code_bytes, 0);
  EXPECT_EQ(found.waves_per_simd, 16);
}

TEST(HostCompiler, MakesASharedObjectThatRuns) {
  const FoundToolchain toolchain = toolchain_for("host", search_from_environment());
  TemporaryFolder folder;
  Cache cache(folder.path("cache"));
  CompilePool pool(toolchain, &cache, 2);
  CompileJob job;
  job.arch = "host";
  job.headers = shared_header();
  job.source = "#include \"shared.hpp\"\nextern \"C\" int entry(int x) { return x + kThreads; }\n";
  for (const bool cached : {false, true}) {
    pool.submit(job);
    const CompileResult result = pool.next().value();
    ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
    EXPECT_EQ(result.cached, cached);
    const std::string path = folder.path("entry.so");
    std::ofstream(path, std::ios::binary) << result.code;
    void* library = ::dlopen(path.c_str(), RTLD_NOW);
    ASSERT_NE(library, nullptr) << ::dlerror();
    EXPECT_EQ(reinterpret_cast<int (*)(int)>(::dlsym(library, "entry"))(1), 257);
    ::dlclose(library);
  }
}

TEST(HostCompiler, KeepsTheLogOfAnError) {
  CompilePool pool(toolchain_for("host", search_from_environment()), nullptr, 1);
  CompileJob job;
  job.arch = "host";
  job.source = "int broken = no_such_name;\n";
  pool.submit(job);
  const CompileResult result = pool.next().value();
  EXPECT_EQ(result.verdict, Verdict::compile_failed);
  EXPECT_THAT(result.log, ::testing::StartsWith("variant.cpp:1:"));
}

CompileJob endless_unit() {
  CompileJob job;
  job.arch = "host";
  job.options = {"-fconstexpr-ops-limit=1000000000000", "-fconstexpr-loop-limit=2000000000"};
  job.source =
      "constexpr long f() { long s = 0; for (int i = 0; i < 2000000000; ++i) s += i; return s; }\n"
      "extern \"C\" const long entry = 0; static_assert(f() != 0);\n";
  return job;
}

bool soon(const std::function<bool()>& holds) {
  for (int i = 0; i < 1000; ++i) {
    if (holds()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return false;
}

TEST(HostCompiler, EndsAndTidiesUpWhenTheTunerIsKilled) {
  const FoundToolchain toolchain = toolchain_for("host", search_from_environment());
  TemporaryFolder folder;
  const auto source_is_there = [&]() {
    std::error_code moving;  // files come and go under the iterator
    std::filesystem::recursive_directory_iterator at(folder.path(), moving);
    for (; !moving && at != std::filesystem::recursive_directory_iterator(); at.increment(moving)) {
      if (at->path().filename() == "variant.cpp") return true;
    }
    return false;
  };
  const pid_t tuner = ::fork();
  if (tuner == 0) {
    ::setenv("TMPDIR", folder.path().c_str(), 1);
    CompilePool pool(toolchain, nullptr, 2);
    pool.submit(endless_unit());
    pool.next();
    ::_exit(0);
  }
  EXPECT_TRUE(soon(source_is_there));
  ::kill(tuner, SIGKILL);
  int status = 0;
  ::waitpid(tuner, &status, 0);
  EXPECT_TRUE(soon([&] { return std::filesystem::is_empty(folder.path()); }));
}

TEST(HostCompiler, IsStoppedAtItsDeadline) {
  CompilePool pool(toolchain_for("host", search_from_environment()), nullptr, 1);
  CompileJob slow = endless_unit();
  slow.deadline_seconds = 0.5;
  CompileJob quick;
  quick.arch = "host";
  quick.source = "extern \"C\" int entry() { return 1; }\n";
  pool.submit(slow);
  pool.submit(quick);
  const CompileResult stopped = pool.next().value();
  EXPECT_EQ(stopped.verdict, Verdict::timed_out);
  EXPECT_THAT(stopped.log, HasSubstr("0.5 s"));
  EXPECT_EQ(pool.next().value().verdict, Verdict::ok);
}

}  // namespace
}  // namespace mla
