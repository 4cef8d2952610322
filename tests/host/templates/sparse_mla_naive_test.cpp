// The kernels that check others on a GPU: the reference on the CPU against float64, and both
// through every compiler that is there.

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>

#include "db/error.hpp"
#include "kernels/compare.hpp"
#include "kernels/device_host.hpp"
#include "kernels/params.hpp"
#include "tests/naive_launch.hpp"
#include "tests/temporary_folder.hpp"
#include "tuner/gpus.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

class NaiveReference : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    CompilePool pool(toolchain_for("host", search_from_environment()), nullptr, 1);
    CompileJob job;
    job.arch = "host";
    job.source = naive_source();
    job.headers = read_headers(MLA_TEMPLATES);
    job.deadline_seconds = 120;
    pool.submit(job);
    code_ = pool.next().value();
  }
  void SetUp() override {
    ASSERT_EQ(code_.verdict, Verdict::ok) << code_.log;
    std::ofstream(object_, std::ios::binary)
        .write(code_.code.data(), static_cast<std::streamsize>(code_.code.size()));
    ::chmod(object_.c_str(), 0700);
    problem_.kernel = "sparse_mla_decode";
    problem_.num_heads = 7;
    problem_.num_tokens = 5;
    problem_.main_len = 70;
    problem_.main_page = 48;
    problem_.extra_len = 33;
    problem_.extra_page = 2;
    problem_.lengths = "ragged";
    options_.seed = 11;
  }
  void expect_right() {
    const ProblemData data = make_inputs(problem_, options_);
    const RunResult run = runner_->run(object_, "", naive_launch("host"), data, 60);
    ASSERT_EQ(run.verdict, Verdict::ok) << run.reason;
    const Comparison seen = compare(run.output, compute_reference(data), {});
    EXPECT_TRUE(seen.ok) << seen.reason;
  }

  static inline CompileResult code_;
  TemporaryFolder folder_;
  std::string object_ = folder_.path("naive.so");
  std::unique_ptr<Runner> runner_ = make_host_runner(MLA_WORKER, 2);
  ProblemRecord problem_;
  InputOptions options_;
};

TEST_F(NaiveReference, AgreesWithFloat64) { expect_right(); }

TEST_F(NaiveReference, AgreesWithoutAnExtraScopeAndWithoutSinks) {
  problem_.extra_len = problem_.extra_page = 0;
  options_.sink = false;
  expect_right();
}

TEST_F(NaiveReference, AgreesOnInvalidSlotsNanRowsInfiniteSinksAndEmptyRows) {
  options_.invalid_fraction = 0.2;
  options_.poisoned_fraction = 0.3;
  options_.duplicate_fraction = 0.1;
  options_.sink_infinities = true;
  options_.empty_rows = true;
  for (const int main_format : {1, 2}) {
    for (const int extra_format : {1, 2}) {
      problem_.main_format = main_format;
      problem_.extra_format = extra_format;
      expect_right();
    }
  }
}

TEST(CheckKernels, CompileForEveryTargetThatIsHere) {
  int compiled = 0;
  for (const char* arch : {"gfx950", "gfx942", "sm_90"}) {
    std::optional<FoundToolchain> toolchain;
    try {
      toolchain = toolchain_for(arch, search_from_environment());
    } catch (const Error&) {
      continue;
    }
    const CheckCode checks = compile_checks(*toolchain, nullptr, arch, read_headers(MLA_TEMPLATES));
    EXPECT_FALSE(checks.naive.empty());
    EXPECT_FALSE(checks.compare.empty());
    ++compiled;
  }
  if (compiled == 0) GTEST_SKIP() << "neither hipRTC nor NVRTC is here";
}

}  // namespace
}  // namespace mla
