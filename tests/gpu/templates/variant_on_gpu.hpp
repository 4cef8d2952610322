#pragma once

// A variant of sparse_mla_decode on this machine's GPU, where it is one that runs it.

#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <string>

#include "kernels/device_gpu.hpp"
#include "tests/gpu/found_gpus.hpp"
#include "tests/gpu/templates/sparse_mla_decode_variants.hpp"

namespace mla::test {

class VariantOnGpu : public ::testing::TestWithParam<Variant> {
 protected:
  static void SetUpTestSuite() { found_ = find_gpus_to_test(missing_); }
  static void TearDownTestSuite() { found_.reset(); }
  void SetUp() override {
    if (!found_) GTEST_SKIP() << missing_;
    const std::string& arch = found_->gpu.device.arch;
    if (!arch.starts_with(GetParam().arch))
      GTEST_SKIP() << "a variant for " << GetParam().arch << ", and this GPU is " << arch;
    runner_ = make_gpu_runner(found_->gpu, found_->checks, 0);
  }
  // Empty where it does not compile, which fails the test.
  static std::string compile(const std::string& source) {
    const CompileResult result = compile_to_test(*found_, source);
    EXPECT_EQ(result.verdict, Verdict::ok) << result.log;
    return result.code;
  }

  std::unique_ptr<Runner> runner_;

 private:
  static inline std::optional<FoundGpus> found_;
  static inline std::string missing_;
};

}  // namespace mla::test
