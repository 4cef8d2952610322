#include "tuner/model.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "tests/null/tuner/toy_space.hpp"

namespace mla {
namespace {

const Arch kArch = model_arch();

ProblemRecord a_problem(int tokens, int heads = 16, int extra = 1024) {
  return {.kernel = "sparse_mla_decode",
          .num_heads = heads,
          .num_tokens = tokens,
          .main_len = 128,
          .extra_len = extra,
          .main_page = 64,
          .extra_page = extra > 0 ? 64 : 0};
}

Launch a_launch(int split_extra = 1, int split_main = 0) {
  return {{16, 32, 4, WaveSplit::keys, 16, 1, 2, Dequantise::at_store, LoadPath::registers, 16,
           LdsLayout::padded, QueryIn::registers, ValueRead::transposing, 1, 8, 8},
          {split_main, split_extra, SplitMap::contiguous},
          {4, 2}};
}

Resources a_kernel(int waves_per_simd = 2) {
  Resources r;
  r.vgprs = 200;
  r.lds_bytes = 40000;
  r.waves_per_simd = waves_per_simd;
  r.mfma = 64;
  r.valu = 900;
  r.lds = 150;
  r.vmem = 80;
  return r;
}

double us(const ProblemRecord& problem, const Launch& launch,
          const Resources& resources = a_kernel(), const Arch& arch = kArch) {
  return predict(arch, problem, launch, resources).total_us;
}

TEST(Model, SplittingALongListHelpsASingleToken) {
  const ProblemRecord problem = a_problem(1, 16, 8192);
  EXPECT_LT(us(problem, a_launch(4)), us(problem, a_launch(1)));
  EXPECT_LT(us(problem, a_launch(16)), us(problem, a_launch(4)));
}

TEST(Model, SplittingCostsWhereTheBatchFillsTheChip) {
  const ProblemRecord problem = a_problem(512, 16, 512);
  EXPECT_GT(us(problem, a_launch(8)), us(problem, a_launch(1)));
  EXPECT_GT(us(problem, a_launch(32)), us(problem, a_launch(8)));
}

TEST(Model, ASplitPaysForItsReduceKernel) {
  const Prediction whole = predict(kArch, a_problem(8), a_launch(1), a_kernel());
  const Prediction split = predict(kArch, a_problem(8), a_launch(4), a_kernel());
  EXPECT_EQ(whole.merge_us, 0);
  EXPECT_GT(split.merge_us, 0);
  EXPECT_DOUBLE_EQ(whole.total_us, whole.decode_us + kArch.launch_overhead_us);
  EXPECT_DOUBLE_EQ(split.total_us, split.decode_us + split.merge_us + 2 * kArch.launch_overhead_us);
}

TEST(Model, WhatTheLastWorkgroupMergesSavesALaunchWhereItIsLittle) {
  Launch launch = a_launch(2);
  launch.config.waves = 8;
  Launch last = launch;
  last.config.merge = Merge::last;
  const Prediction merged = predict(kArch, a_problem(8), last, a_kernel());
  EXPECT_GT(merged.merge_us, 0);
  EXPECT_DOUBLE_EQ(merged.total_us, merged.decode_us + merged.merge_us + kArch.launch_overhead_us);
  EXPECT_LT(merged.total_us, us(a_problem(8), launch));
  launch.splits.split_extra = last.splits.split_extra = 32;
  EXPECT_GT(us(a_problem(8), last), us(a_problem(8), launch)) << "all rows are one workgroup's";
  last.splits.split_extra = 1;
  EXPECT_EQ(predict(kArch, a_problem(8), last, a_kernel()).merge_us, 0);
}

TEST(Model, HeadsThatFollowEachOtherOnADieReadLessFromMemory) {
  Arch arch = kArch;
  arch.memory_rate /= 50;  // so that nothing else counts
  Launch launch = a_launch(), in_turn = launch;
  in_turn.splits.grid_order = GridOrder::heads;
  EXPECT_LT(us(a_problem(512, 64), in_turn, a_kernel(), arch),
            us(a_problem(512, 64), launch, a_kernel(), arch));
  EXPECT_EQ(us(a_problem(512, 16), in_turn, a_kernel(), arch),
            us(a_problem(512, 16), launch, a_kernel(), arch))
      << "one group of heads";
}

// Of twenty CUs in domains of eight: two clusters of five find a place, one a domain, and four of
// four, the rest of the chip having room for another.
TEST(Model, AClusterFindsItsPlacesInOneDomain) {
  Arch arch = kArch;
  arch.compute_units = 20;
  arch.units_per_cluster_domain = 8;
  const auto decode = [&](int cluster, int tokens) {
    Launch launch = a_launch(cluster);
    launch.config.cluster = cluster;
    return predict_decode_us(arch, a_problem(tokens), launch.config, launch.splits, a_kernel(1));
  };
  EXPECT_GT(decode(5, 3), 1.5 * decode(5, 2)) << "the third waits";
  EXPECT_LT(decode(4, 5), 1.2 * decode(4, 4));
  EXPECT_GT(decode(4, 6), 1.5 * decode(4, 5));
}

TEST(Model, WhoReadsATileTwicePaysForItWhereOperandsComeFromLds) {
  Arch arch = kArch;
  arch.limits.lanes = 32;
  arch.memory_rate *= 2;
  Launch scorers = a_launch();
  scorers.config.wave_split = WaveSplit::scorers;
  scorers.config.load_path = LoadPath::bulk;
  scorers.config.block_k = 64;
  scorers.config.waves = 16;
  scorers.config.prefetch = 3;
  Launch roles = scorers;
  roles.config.wave_split = WaveSplit::roles;
  const ProblemRecord problem = a_problem(512, 16, 8192);
  EXPECT_LT(us(problem, scorers, a_kernel(4), arch), 0.9 * us(problem, roles, a_kernel(4), arch));
}

TEST(Model, AClusterNeedsNoReduceKernelAndACuForEachWorkgroup) {
  Launch apart = a_launch(4), together = apart;
  together.config.cluster = 4;
  const ProblemRecord few = a_problem(8), many = a_problem(kArch.compute_units / 2);
  EXPECT_EQ(predict(kArch, few, together, a_kernel(4)).merge_us, 0);
  EXPECT_LT(us(few, together, a_kernel(4)), us(few, apart, a_kernel(4)));
  const auto decode = [&](const Launch& launch) {
    return predict_decode_us(kArch, many, launch.config, launch.splits, a_kernel(4));
  };
  EXPECT_GT(decode(together), decode(apart)) << "two workgroups a CU, but not of clusters";
}

TEST(Model, OneWorkgroupTooManyCostsARound) {
  const Resources resources = a_kernel(1);
  ASSERT_EQ(workgroups_per_cu(kArch, a_launch().config, resources), 1);
  const double full = us(a_problem(kArch.compute_units), a_launch(), resources);
  const double over = us(a_problem(kArch.compute_units + 1), a_launch(), resources);
  EXPECT_GT(over, 1.7 * (full - kArch.launch_overhead_us));
}

TEST(Model, ATokenMoreCostsNothingUntilMemoryOrTheDeviceIsFull) {
  const Launch launch = a_launch(16, 1);  // 17 workgroups a token, 256 CUs
  EXPECT_EQ(us(a_problem(1), launch), us(a_problem(2), launch));
  EXPECT_LT(us(a_problem(2), launch), us(a_problem(64), launch));
  EXPECT_LT(us(a_problem(64), launch), us(a_problem(512), launch));
}

TEST(Model, PrefetchingHidesLatency) {
  Launch launch = a_launch();
  launch.config.prefetch = 1;
  const double exposed = us(a_problem(1), launch);
  launch.config.prefetch = 2;
  const double hidden = us(a_problem(1), launch);
  EXPECT_LT(hidden, exposed);
}

// Most of the VALU instructions in gfx9's code run once, or for NaN alone.
TEST(Model, CodeThatTheLoopDoesNotRunCostsNothing) {
  Resources larger = a_kernel();
  larger.valu *= 5;
  EXPECT_EQ(us(a_problem(64), a_launch(), larger), us(a_problem(64), a_launch()));
  larger.lds *= 5;
  EXPECT_GT(us(a_problem(64), a_launch(), larger), us(a_problem(64), a_launch()));
}

TEST(Model, DequantisingInMoreInstructionsTakesLonger) {
  Arch arch = kArch;
  arch.valu_per_element *= 8;
  EXPECT_GT(us(a_problem(64), a_launch(), a_kernel(), arch), us(a_problem(64), a_launch()));
}

TEST(Model, RowsThatBeginInOneBankAreSlow) {
  Launch linear = a_launch();
  linear.config.lds_layout = LdsLayout::linear;
  EXPECT_GT(us(a_problem(64), linear), us(a_problem(64), a_launch()));
}

// Memory bounds both, and both are predicted nearly the same.
TEST(Model, OfVariantsThatWaitForMemoryTheOneWithMoreSlackIsFaster) {
  Launch more = a_launch(), less = a_launch();
  more.config.rescale_threshold = 1;
  Arch arch = kArch;
  arch.memory_rate /= 100;
  const ProblemRecord problem = a_problem(512);
  EXPECT_LT(us(problem, less, a_kernel(), arch), us(problem, more, a_kernel(), arch));
  EXPECT_GT(us(problem, less, a_kernel(), arch), 0.999 * us(problem, more, a_kernel(), arch));
}

// One wave's vector instructions run while another's matrix instructions do.
TEST(Model, ASecondWaveOnEachSimdHelpsALongList) {
  Resources two = a_kernel(2);
  two.lds_bytes = 70000;
  EXPECT_LT(us(a_problem(512), a_launch(), two), us(a_problem(512), a_launch(), a_kernel(1)));
}

TEST(Model, WorkgroupsShareACuAsRegistersAndLdsAllow) {
  Resources resources = a_kernel(3);
  resources.lds_bytes = 30000;
  EXPECT_EQ(workgroups_per_cu(kArch, a_launch().config, resources), 3);
  resources.lds_bytes = 70000;
  EXPECT_EQ(workgroups_per_cu(kArch, a_launch().config, resources), 2);
  EXPECT_EQ(workgroups_per_cu(kArch, a_launch().config, Resources{}), 1) << "nothing is known";
}

TEST(Model, EqualQuestionsHaveEqualAnswers) {
  EXPECT_EQ(us(a_problem(8), a_launch(4)), us(a_problem(8), a_launch(4)));
}

// Whatever the numbers: a time is finite and no better than the machine's limits allow, and more
// work or a slower machine is never faster.
TEST(Model, KeepsToTheLimitsOfTheMachine) {
  std::mt19937 random(1);
  const auto one_of = [&](std::initializer_list<int> values) {
    return *(values.begin() + static_cast<long>(random() % values.size()));
  };
  Arch slow = kArch;
  slow.memory_rate /= 2;
  slow.matrix_rate /= 2;
  for (int n = 0; n < 3000; ++n) {
    ProblemRecord problem = a_problem(one_of({1, 3, 8, 64, 512}), one_of({1, 8, 16, 37, 64, 128}),
                                      one_of({0, 8, 512, 1024, 8192}));
    problem.main_len = one_of({0, 1, 128});
    Launch launch = a_launch(one_of({1, 2, 8, 32}), one_of({0, 1, 4}));
    launch.config.block_h = one_of({16, 32, 64, 128});
    launch.config.block_k = one_of({16, 32, 64, 128});
    launch.config.waves = one_of({1, 2, 4, 8});
    launch.config.wave_split = static_cast<WaveSplit>(one_of({1, 2, 3}));
    launch.config.prefetch = one_of({1, 2, 3});
    launch.reduce = {one_of({1, 4, 16}), one_of({1, 4})};
    Resources resources = random() % 4 == 0 ? Resources{} : a_kernel(one_of({1, 2, 8}));
    resources.lds_bytes = one_of({-1, 1000, 80000, 163840});
    const Prediction p = predict(kArch, problem, launch, resources);
    ASSERT_TRUE(std::isfinite(p.total_us));
    ASSERT_GE(p.decode_us, p.roofline_us);
    ASSERT_GE(p.roofline_us, minimum_bytes(problem) / kArch.memory_rate * 1e6 * 0.999999);
    ASSERT_GT(p.total_us, p.decode_us);
    ASSERT_GE(us(problem, launch, resources, slow), p.total_us * 0.999999);
    problem.num_tokens *= 2;
    ASSERT_GE(us(problem, launch, resources), p.total_us * 0.999999);
  }
}

TEST(Model, TheDeviceOfPredictionsSaysThatItIsAModel) {
  const Device device = model_device(kArch);
  EXPECT_EQ(device.arch, "gfx950");
  EXPECT_NE(device.name.find("model"), std::string::npos);
  EXPECT_FALSE(device.runtime.empty());
}

}  // namespace
}  // namespace mla
