#include <gmock/gmock.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "db/error.hpp"
#include "tests/host/kernels/host_kernels.hpp"

// What kernels do wrong, and that it costs nobody but them.

namespace mla {
namespace {

using testing::AllOf;
using testing::HasSubstr;

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
  const RunResult result = runner_->run(kernel, "", launch_, data(), 0.5);
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
      run("KERNEL(DecodeArgs) { if (self->index == 1) self->barrier(self); }", 30);
  EXPECT_EQ(Verdict::crashed, result.verdict);
  EXPECT_THAT(result.reason, AllOf(HasSubstr("barrier mismatch"), HasSubstr("1 of 2 waves"),
                                   HasSubstr("(wave 1)"), HasSubstr("workgroup (")));
}

TEST_F(DeviceHost, LetsSomeWavesMeetApart) {
  EXPECT_EQ(Verdict::ok, run("KERNEL(DecodeArgs) { self->meet(self, 1, 1); self->barrier(self); "
                             "if (self->index == 1) self->meet(self, 1, 1); }",
                             30)
                             .verdict);
  const RunResult alone = run("KERNEL(DecodeArgs) { self->meet(self, self->index, 2); }", 30);
  EXPECT_EQ(Verdict::crashed, alone.verdict);
  EXPECT_THAT(alone.reason, AllOf(HasSubstr("0 of 2 waves"), HasSubstr("(wave 0 1)")));
}

TEST_F(DeviceHost, LetsAWaveArriveWithoutWaiting) {
  // Wave 0 is a turn ahead of whom it arrives for, twice over; were it to wait, neither would end.
  EXPECT_EQ(Verdict::ok, run("KERNEL(DecodeArgs) { if (self->index == 0) { "
                             "self->arrive(self, 4, 2); self->arrive(self, 5, 2); "
                             "self->meet(self, 6, 2); } else { self->meet(self, 5, 2); "
                             "self->meet(self, 4, 2); self->arrive(self, 6, 2); } }",
                             30)
                             .verdict);
  const RunResult alone =
      run("KERNEL(DecodeArgs) { if (self->index == 0) self->arrive(self, 4, 3); "
          "else self->meet(self, 4, 3); }",
          30);
  EXPECT_EQ(Verdict::crashed, alone.verdict);
  EXPECT_THAT(alone.reason, HasSubstr("(wave 1)"));
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
  begin_timing();
  const RunResult added = add(1, plain_kernel("std::puts(\"{\"); std::fflush(stdout);"));
  ASSERT_EQ(Verdict::ok, added.verdict) << added.reason;
  EXPECT_EQ(Verdict::ok, runner_->sample(1, 2, 60).verdict);
}

TEST_F(DeviceHost, ReportsAnObjectThatCannotBeLaunched) {
  const RunResult unnamed = run("extern \"C\" void other(DecodeArgs) {}");
  EXPECT_EQ(Verdict::launch_failed, unnamed.verdict);
  EXPECT_THAT(unnamed.reason, HasSubstr("entry"));
  const RunResult missing = runner_->run("/no/such.so", "", launch_, data(), 60);
  EXPECT_EQ(Verdict::launch_failed, missing.verdict);
  EXPECT_THAT(missing.reason, HasSubstr("/no/such.so"));
  EXPECT_EQ(Verdict::launch_failed,
            run("void nowhere(); KERNEL(DecodeArgs) { nowhere(); }").verdict);
}

TEST_F(DeviceHost, SaysSoWhenThereIsNoWorker) {
  try {
    make_host_runner("/no/worker", 1)->run("x.so", "", launch_, data(), 5);
    FAIL() << "ran";
  } catch (const Error& error) {
    EXPECT_EQ(ErrorKind::system, error.kind());
    EXPECT_THAT(error.what(), HasSubstr("/no/worker"));
  }
}

TEST_F(DeviceHost, CrashesInATimedLaunchToo) {
  begin_timing();
  ASSERT_EQ(Verdict::ok,
            add(1, plain_kernel("static int n; if (++n > 200) std::abort();")).verdict);
  EXPECT_EQ(Verdict::crashed, runner_->sample(1, 50, 60).verdict);
  EXPECT_THROW(runner_->sample(1, 1, 60), Error) << "it is gone";
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
    make_host_runner(MLA_WORKER, 1)->run(kernel, "", launch_, inputs, 600);
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

}  // namespace
}  // namespace mla
