#include "tuner/tune.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "db/error.hpp"
#include "kernels/device_host.hpp"
#include "tests/temporary_folder.hpp"
#include "tuner/shapes.hpp"

namespace mla {
namespace {

using testing::Each;
using testing::Field;
using testing::IsEmpty;
using testing::Not;
using testing::SizeIs;

class Silence : public Progress {
 public:
  void begin(const std::string&, std::size_t) override {}
  void advance(std::size_t, const std::string&) override {}
  void say(const std::string&) override {}
};

// The loop with the real compilers, templates and host device, on a problem of no size.
class TuneForReal : public testing::Test {
 protected:
  TuneReport run(const std::string& arch_name, const std::string& rocm) {
    const Arch arch = load_arch(MLA_CONFIGS, arch_name);
    const Space space = Space::load(MLA_CONFIGS, "sparse_mla_decode", arch);
    const ToolchainSearch search = search_from_environment(rocm);
    Cache cache(folder_.path("cache"));
    const auto compiler = make_pool_compiler(toolchain_for(arch_name, search), &cache, 2);
    const auto host_compiler = make_pool_compiler(toolchain_for("host", search), &cache, 2);
    const auto runner = make_host_runner(MLA_WORKER, 2);
    Store store = Store::open(path_, StoreMode::read_write_create);
    const bool host = arch_name == "host";
    const TuneParts parts{.arch = arch,
                          .space = space,
                          .problems = {make_problem(arch, 16, 1, 30, 64, 50, 2)},
                          .headers = read_headers(MLA_TEMPLATES),
                          .store = store,
                          .compiler = *compiler,
                          .bench = host ? Bench::target : Bench::host,
                          .runners = {runner.get()},
                          .host_compiler = host_compiler.get(),
                          .objects_are_files = true};
    const TuneLimits limits{
        .code_objects = host ? 2u : 6u, .jobs = 2, .verify = 1, .timing_seconds = 0.02};
    Silence progress;
    return tune(parts, limits, {.command = "test", .version = "0"}, progress, [] { return false; });
  }
  TemporaryFolder folder_;
  std::string path_ = folder_.path("tune.db");
};

TEST_F(TuneForReal, TimesTheCpu) {
  const TuneReport report = run("host", "");
  EXPECT_EQ(report.codes.at(Verdict::ok), static_cast<int>(report.compiled));
  EXPECT_THAT(report.failures, IsEmpty());
  Store store = Store::open(path_, StoreMode::read_only);
  const auto winners = store.winners("host");
  ASSERT_THAT(winners, SizeIs(1));
  EXPECT_EQ(winners[0].evidence, Evidence::measured);
  EXPECT_GT(winners[0].median_us, 1);
  const auto rows = store.measurements(1, 1, 1, Round::final);
  ASSERT_THAT(rows, Not(IsEmpty()));
  EXPECT_GE(rows[0].max_error, 0);
  EXPECT_LT(rows[0].cosine_gap, 5e-6);
  EXPECT_LE(rows[0].ci_low_us, rows[0].median_us);
  EXPECT_THAT(store.check(), IsEmpty());
}

class TuneForRocm : public TuneForReal, public testing::WithParamInterface<const char*> {};
INSTANTIATE_TEST_SUITE_P(Releases, TuneForRocm, testing::Values("7.2", "6.4"),
                         [](const auto& info) {
                           return std::string(info.param[0] == '7' ? "Rocm72" : "Rocm64");
                         });

TEST_P(TuneForRocm, PredictsAndChecksForAGpuThatIsNotHere) {
  try {
    toolchain_for("gfx950", search_from_environment(GetParam()));
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
  const TuneReport report = run("gfx950", GetParam());
  EXPECT_GT(report.codes.at(Verdict::ok), 0);
  EXPECT_EQ(report.wins, 1u);
  EXPECT_THAT(report.failures, IsEmpty());
  {
    Store store = Store::open(path_, StoreMode::read_only);
    const auto winners = store.winners("gfx950");
    ASSERT_THAT(winners, SizeIs(1));
    EXPECT_EQ(winners[0].evidence, Evidence::predicted);
    EXPECT_TRUE(winners[0].rocm.starts_with(GetParam())) << winners[0].rocm;
    EXPECT_THAT(store.measurements(1, 1, 1, Round::search),
                Each(Field(&MeasurementRecord::verdict, Verdict::unverified)));
    EXPECT_THAT(store.check(), IsEmpty());
  }
  const TuneReport again = run("gfx950", GetParam());
  EXPECT_EQ(again.compiled, 0u);
  EXPECT_EQ(again.checked, 0u);
}

}  // namespace
}  // namespace mla
