// The kernel templates through the real compilers: what each arch is expected to make of good
// variants.

#include <gtest/gtest.h>

#include "db/error.hpp"
#include "tests/decode_config.hpp"
#include "tests/gpu/templates/sparse_mla_decode_variants.hpp"
#include "tuner/arch.hpp"
#include "tuner/compile.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

constexpr Config kColumns = test::with([](Config& c) { c.query_in = QueryIn::lds; });

// One release's hipRTC, or NVRTC where the release is empty.
struct Target {
  const char* name;
  const char* arch;  // of configs/archs
  const char* compiled_for;
  const char* release;

  friend void PrintTo(const Target& target, std::ostream* to) { *to << target.name; }
};

class Templates : public ::testing::TestWithParam<Target> {
 protected:
  void SetUp() override {
    try {
      toolchain_ =
          toolchain_for(GetParam().compiled_for, search_from_environment(GetParam().release));
    } catch (const Error& error) {
      GTEST_SKIP() << error.what();
    }
  }
  static CompileJob job_of(const std::string& source) {
    CompileJob job;
    job.arch = GetParam().compiled_for;
    job.source = source;
    job.headers = read_headers(MLA_TEMPLATES);
    job.deadline_seconds = 120;
    return job;
  }
  CompileResult compile(const std::string& source) {
    CompilePool pool(toolchain_, nullptr, 1);
    pool.submit(job_of(source));
    return pool.next().value();
  }
  FoundToolchain toolchain_;
};
INSTANTIATE_TEST_SUITE_P(Targets, Templates,
                         ::testing::Values(Target{"Mi355xRocm72", "gfx950", "gfx950", "7.2"},
                                           Target{"Mi355xRocm64", "gfx950", "gfx950", "6.4"},
                                           Target{"Mi300xRocm72", "gfx942", "gfx942", "7.2"},
                                           Target{"Mi300xRocm64", "gfx942", "gfx942", "6.4"},
                                           Target{"Hopper", "sm_90", "sm_90a", ""}),
                         [](const auto& info) { return std::string(info.param.name); });

TEST_P(Templates, CompileAVariantThatCanLaunchAndDoesNotSpill) {
  Config config = kColumns;
  if (GetParam().arch == std::string("gfx942")) {  // 64 KiB of LDS, and no read that transposes
    config.block_k = 32;
    config.waves = 2;
    config.query_in = QueryIn::registers;
    config.value_read = ValueRead::permuting;
  }
  const CompileResult result = compile(decode_source(config));
  ASSERT_EQ(result.verdict, Verdict::ok) << result.log;
  const Arch arch = load_arch(MLA_CONFIGS, GetParam().arch);
  const int lanes = arch.limits.lanes;
  const Resources found = inspect(result.code, "entry", arch.limits, threads(config, lanes),
                                  lanes == 32 ? lds_bytes(config) : 0, result.mix);
  EXPECT_EQ(reason_to_reject(found, arch.limits, threads(config, lanes)), "");
  EXPECT_GE(found.lds_bytes, lds_bytes(config));
  if (lanes == 64) {
    EXPECT_GT(found.mfma, 0);
    EXPECT_LE(found.vmem, 400) << "rows are not loaded 16 bytes at a time";
  }
}

// Those of Hopper have run on one. Release 6.4 spills some of them, which makes them slow, not
// wrong.
TEST_P(Templates, CompileWhatTestsRunOnAnAmdGpu) {
  const std::string_view name = GetParam().arch;
  if (!name.starts_with("gfx")) GTEST_SKIP() << "no AMD GPU";
  const Arch arch = load_arch(MLA_CONFIGS, GetParam().arch);
  CompilePool pool(toolchain_, nullptr, 2);
  for (const test::Variant& variant : test::kVariants) {
    if (!name.starts_with(variant.arch)) continue;
    CompileJob job = job_of(decode_source(variant.config));
    job.tag = static_cast<std::uint64_t>(&variant - test::kVariants);
    pool.submit(std::move(job));
  }
  EXPECT_GE(pool.outstanding(), 5u);
  while (const auto result = pool.next()) {
    const test::Variant& variant = test::kVariants[result->tag];
    ASSERT_EQ(result->verdict, Verdict::ok) << variant.name << ": " << result->log;
    if (GetParam().release == std::string("6.4")) continue;
    const int threads_of_it = threads(variant.config, arch.limits.lanes);
    const Resources found =
        inspect(result->code, "entry", arch.limits, threads_of_it, 0, result->mix);
    EXPECT_EQ(reason_to_reject(found, arch.limits, threads_of_it), "") << variant.name;
  }
}

TEST_P(Templates, CompileTheReduce) {
  const CompileResult result = compile(reduce_source({.block_h = 4, .waves = 2}));
  EXPECT_EQ(result.verdict, Verdict::ok) << result.log;
}

TEST_P(Templates, RefuseAForgottenField) {
  Config config = kColumns;
  config.prefetch = 0;
  const CompileResult result = compile(decode_source(config));
  EXPECT_EQ(result.verdict, Verdict::compile_failed);
  EXPECT_NE(result.log.find("this Config has a field that is missing"), std::string::npos)
      << result.log;
}

}  // namespace
}  // namespace mla
