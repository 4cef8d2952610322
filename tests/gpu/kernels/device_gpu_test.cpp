// The GPU behind the seam: what runs right, and what a variant that does not run costs.

#include "kernels/device_gpu.hpp"

#include <gmock/gmock.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>

#include "kernels/compare.hpp"
#include "tests/gpu/found_gpus.hpp"
#include "tests/naive_launch.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;

class DeviceGpu : public ::testing::Test {
 protected:
  static void SetUpTestSuite() { found_ = find_gpus_to_test(missing_); }
  static void TearDownTestSuite() { found_.reset(); }

  void SetUp() override {
    if (!found_) GTEST_SKIP() << missing_;
    runner_ = make_gpu_runner(found_->gpu, found_->checks, 0);
    naive_ = naive_launch(found_->gpu.device.arch);
    variant_ = some_launch(found_->gpu.device.arch);
    problem_.kernel = "sparse_mla_decode";
    problem_.num_heads = 16;
    problem_.num_tokens = 3;
    problem_.main_len = 128;
    problem_.main_page = 64;
    problem_.extra_len = 333;
    problem_.extra_page = 2;
  }

  static std::string compile(const std::string& source) {
    const CompileResult result = compile_to_test(*found_, source);
    EXPECT_EQ(result.verdict, Verdict::ok) << result.log;
    return result.code;
  }
  // A kernel launched as the naive reference is, with these statements for a body; `args` are its
  // DecodeArgs.
  static std::string kernel(const std::string& body) {
    return compile(
        "#include \"sparse_mla_naive.hpp\"\n"
        "extern \"C\" MLA_KERNEL(mla::kCheckGeometry) void entry(mla::DecodeArgs args) {\n" +
        body + "\n}\n");
  }
  RunResult time_begun() { return runner_->begin_timing(problem_, 7, 60); }
  RunResult add(int number, const std::string& code) {
    return runner_->add_candidate(number, code, "", naive_, {}, 20);
  }

  static inline std::optional<FoundGpus> found_;
  static inline std::string missing_;
  std::unique_ptr<Runner> runner_;
  Launch naive_ = {};
  Launch variant_ = {};
  ProblemRecord problem_;
};

InputOptions troubled() {
  InputOptions options;
  options.seed = 5;
  options.sink_infinities = true;
  options.invalid_fraction = 0.1;
  options.poisoned_fraction = 0.1;
  options.duplicate_fraction = 0.1;
  options.empty_rows = true;
  return options;
}

TEST_F(DeviceGpu, KnowsWhatItIs) {
  const Device& device = runner_->identity();
  EXPECT_FALSE(device.name.empty());
  EXPECT_TRUE(device.arch.starts_with("sm_") || device.arch.starts_with("gfx")) << device.arch;
  EXPECT_GT(device.compute_units, 0);
  EXPECT_GT(device.memory_bytes, 1 << 30);
  EXPECT_GT(device.clock_mhz, 100);
  EXPECT_THAT(device.pci_id, HasSubstr(":"));
  EXPECT_FALSE(device.runtime.empty());
}

TEST_F(DeviceGpu, SaysItsConditionsInJson) {
  const auto json = nlohmann::json::parse(runner_->conditions());
  EXPECT_TRUE(json.is_object());
  if (!runner_->identity().arch.starts_with("sm_")) return;
  EXPECT_GT(json.at("sm_mhz").get<int>(), 0);
}

TEST_F(DeviceGpu, TheNaiveReferenceAgreesWithFloat64WhateverTheInputs) {
  for (const int format : {1, 2}) {
    for (const int extra_len : {0, 333}) {
      problem_.extra_len = extra_len;
      problem_.extra_page = extra_len > 0 ? 2 : 0;
      problem_.extra_format = format;
      problem_.lengths = "ragged";
      problem_.num_tokens = 9;
      const ProblemData data = make_inputs(problem_, troubled());
      const RunResult ran = runner_->run(found_->checks.naive, "", naive_, data, 30);
      ASSERT_EQ(ran.verdict, Verdict::ok) << ran.reason;
      const Comparison seen = compare(ran.output, compute_reference(data), {});
      EXPECT_TRUE(seen.ok) << seen.reason;
    }
  }
}

TEST_F(DeviceGpu, ASplitVariantAgreesWithFloat64) {
  const ProblemData data = make_inputs(problem_, troubled());
  const RunResult ran = runner_->run(compile(decode_source(variant_.config)),
                                     compile(reduce_source(variant_.reduce)), variant_, data, 30);
  ASSERT_EQ(ran.verdict, Verdict::ok) << ran.reason;
  const Comparison seen = compare(ran.output, compute_reference(data), {});
  EXPECT_TRUE(seen.ok) << seen.reason;
}

TEST_F(DeviceGpu, ChecksAndTimesCandidatesOnTheSameInputs) {
  ASSERT_EQ(time_begun().verdict, Verdict::ok);
  const RunResult naive = add(1, found_->checks.naive);
  ASSERT_EQ(naive.verdict, Verdict::ok) << naive.reason;
  EXPECT_EQ(naive.max_error, 0);  // it is its own reference
  const RunResult variant =
      runner_->add_candidate(2, compile(decode_source(variant_.config)),
                             compile(reduce_source(variant_.reduce)), variant_, {}, 20);
  ASSERT_EQ(variant.verdict, Verdict::ok) << variant.reason;
  EXPECT_GT(variant.max_error, 0);
  EXPECT_LT(variant.cosine_gap, 5e-6);
  for (const int candidate : {1, 2, 1}) {
    const RunResult timed = runner_->sample(candidate, 4, 20);
    ASSERT_EQ(timed.verdict, Verdict::ok) << timed.reason;
    ASSERT_EQ(timed.samples_us.size(), 4u);
    for (const float us : timed.samples_us) EXPECT_GT(us, 0.5f);
  }
}

TEST_F(DeviceGpu, TimesProblemsOfEveryShape) {
  ProblemRecord shapes[5];
  for (ProblemRecord& shape : shapes) shape = problem_;
  shapes[0].extra_len = shapes[0].extra_page = 0;
  shapes[1].lengths = "ragged";
  shapes[1].num_tokens = 17;
  shapes[2].warm_cache = true;
  shapes[3].main_page = 48;
  shapes[3].num_heads = 5;
  shapes[4].num_tokens = 64;
  shapes[4].num_heads = 128;
  shapes[4].extra_len = 1024;
  for (const ProblemRecord& shape : shapes) {
    problem_ = shape;
    const RunResult begun = time_begun();
    ASSERT_EQ(begun.verdict, Verdict::ok) << begun.reason;
    const RunResult added = add(1, found_->checks.naive);
    EXPECT_EQ(added.verdict, Verdict::ok) << added.reason;
    EXPECT_EQ(runner_->sample(1, 1, 20).verdict, Verdict::ok);
  }
}

TEST_F(DeviceGpu, SeesOneWrongElementAmongMany) {
  ASSERT_EQ(time_begun().verdict, Verdict::ok);
  const RunResult added = add(1, kernel(R"(
    mla::sparse_mla_naive(args);
    if (mla::workgroup_id().x == 2 && mla::workgroup_id().y == 7 && mla::lane_id() == 3)
      static_cast<unsigned short*>(args.out)[(2 * args.heads + 7) * 512 + 3] = 0x4000;)"));
  EXPECT_EQ(added.verdict, Verdict::wrong_result);
  EXPECT_THAT(added.reason, HasSubstr("token 2, head 7, column 3"));
  EXPECT_THAT(added.reason, HasSubstr("1 of"));
}

TEST_F(DeviceGpu, SeesAWrongLse) {
  ASSERT_EQ(time_begun().verdict, Verdict::ok);
  const RunResult added = add(1, kernel(R"(
    mla::sparse_mla_naive(args);
    if (mla::workgroup_id().x == 1 && mla::lane_id() == 0)
      args.lse[args.heads + mla::workgroup_id().y] += 0.5f;)"));
  EXPECT_EQ(added.verdict, Verdict::wrong_result);
  EXPECT_THAT(added.reason, HasSubstr("lse[token 1, head 0]"));
}

TEST_F(DeviceGpu, SeesWhatWasNotWritten) {
  ASSERT_EQ(time_begun().verdict, Verdict::ok);
  const RunResult added =
      add(1, kernel("if (mla::workgroup_id().x != 1) mla::sparse_mla_naive(args);"));
  EXPECT_EQ(added.verdict, Verdict::wrong_result);
  EXPECT_THAT(added.reason, HasSubstr("nan, expected"));
}

TEST_F(DeviceGpu, SeesWritesToInputsAndBetweenRows) {
  const ProblemData data = make_inputs(problem_, {});
  const RunResult input = runner_->run(
      kernel("const_cast<unsigned char*>(args.main.cache)[5] ^= 1;"), "", naive_, data, 20);
  EXPECT_EQ(input.verdict, Verdict::wrong_result);
  EXPECT_EQ(input.reason, "wrote to its inputs");
  const RunResult gap =
      runner_->run(kernel("static_cast<unsigned short*>(args.out)[args.out_head_stride - 1] = 0;"),
                   "", naive_, data, 20);
  EXPECT_EQ(gap.verdict, Verdict::wrong_result);
  EXPECT_THAT(gap.reason, HasSubstr("between the rows"));
}

TEST_F(DeviceGpu, RefusesBytesThatAreNoCode) {
  const ProblemData data = make_inputs(problem_, {});
  const RunResult ran = runner_->run("no code object", "", naive_, data, 20);
  EXPECT_EQ(ran.verdict, Verdict::launch_failed) << ran.reason;
  EXPECT_EQ(runner_->run(found_->checks.naive, "", naive_, data, 20).verdict, Verdict::ok);
}

TEST_F(DeviceGpu, AnIllegalAddressCostsThatCandidateOnly) {
  ASSERT_EQ(time_begun().verdict, Verdict::ok);
  ASSERT_EQ(add(1, found_->checks.naive).verdict, Verdict::ok);
  const RunResult crashed = add(2, kernel("*reinterpret_cast<volatile int*>(0x10ull) = 1;"));
  EXPECT_EQ(crashed.verdict, Verdict::crashed) << crashed.reason;
  EXPECT_FALSE(crashed.reason.empty());
  const RunResult timed = runner_->sample(1, 2, 20);
  EXPECT_EQ(timed.verdict, Verdict::ok) << timed.reason;
  EXPECT_EQ(timed.samples_us.size(), 2u);
}

TEST_F(DeviceGpu, AHangCostsThatCandidateAndItsDeadlineOnly) {
  ASSERT_EQ(time_begun().verdict, Verdict::ok);
  ASSERT_EQ(add(1, found_->checks.naive).verdict, Verdict::ok);
  const std::string endless = kernel(
      "volatile unsigned* out = static_cast<volatile unsigned*>(args.out);\n"
      "while (true) out[0] = out[0] + 1;");
  const auto start = std::chrono::steady_clock::now();
  const RunResult hung = runner_->add_candidate(2, endless, "", naive_, {}, 2);
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  EXPECT_EQ(hung.verdict, Verdict::timed_out) << hung.reason;
  EXPECT_LT(took.count(), 15);
  const RunResult timed = runner_->sample(1, 2, 20);
  EXPECT_EQ(timed.verdict, Verdict::ok) << timed.reason;
  const ProblemData data = make_inputs(problem_, {});
  EXPECT_EQ(runner_->run(found_->checks.naive, "", naive_, data, 20).verdict, Verdict::ok);
}

TEST_F(DeviceGpu, SeveralGpusWorkSideBySide) {
  if (found_->gpus.size() < 2) GTEST_SKIP() << "one GPU only";
  std::vector<RunResult> results(found_->gpus.size());
  std::vector<std::jthread> threads;
  for (std::size_t i = 0; i < results.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto runner = make_gpu_runner(found_->gpus[i], found_->checks, 0);
      RunResult& result = results[i];
      result = runner->begin_timing(problem_, i, 60);
      if (result.verdict != Verdict::ok) return;
      result = runner->add_candidate(1, found_->checks.naive, "", naive_, {}, 20);
      if (result.verdict == Verdict::ok) result = runner->sample(1, 3, 20);
    });
  }
  threads.clear();
  for (const RunResult& result : results) {
    EXPECT_EQ(result.verdict, Verdict::ok) << result.reason;
    EXPECT_EQ(result.samples_us.size(), 3u);
  }
  EXPECT_NE(found_->gpus[0].device.pci_id, found_->gpus[1].device.pci_id);
}

}  // namespace
}  // namespace mla
