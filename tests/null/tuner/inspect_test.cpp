#include "tuner/inspect.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <string>

#include "db/error.hpp"
#include "tests/null/tuner/elf_builder.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;

const GpuLimits kGfx950{};
const GpuLimits kGfx942{.lds_per_workgroup = 65536, .lds_per_cu = 65536, .lds_granule = 512};
const GpuLimits kSm90{.lanes = 32,
                      .registers_per_wave = 255,
                      .waves_per_simd = 16,
                      .lds_per_workgroup = 228 * 1024,
                      .lds_per_cu = 228 * 1024,
                      .lds_granule = 128,
                      .lds_reserved = 1024};

Resources of(const AmdKernel& kernel, const GpuLimits& limits = kGfx950, int threads = 256,
             int dynamic_lds = 0) {
  return inspect(kernel.build(), "entry", limits, threads, dynamic_lds, {});
}

int waves(int granules, int threads, int lds, const GpuLimits& limits = kGfx950) {
  return of({.vgpr_granules = granules}, limits, threads, lds).waves_per_simd;
}

TEST(Inspect, ReadsWhatTheCodeObjectStates) {
  const Resources found = of({.vgpr_granules = 20,
                              .agprs = 32,
                              .sgprs = 40,
                              .lds = 4096,
                              .scratch = 16,
                              .vgpr_spills = 3,
                              .sgpr_spills = 2,
                              .code = std::string(400, 'c')},
                             kGfx950, 256, 1000);
  EXPECT_EQ(found.vgprs, 160);
  EXPECT_EQ(found.agprs, 32);
  EXPECT_EQ(found.sgprs, 40);
  EXPECT_EQ(found.lds_bytes, 5096);
  EXPECT_EQ(found.scratch_bytes, 16);
  EXPECT_EQ(found.vgpr_spills, 3);
  EXPECT_EQ(found.sgpr_spills, 2);
  EXPECT_EQ(found.code_bytes, 400);
  EXPECT_EQ(found.mfma, -1) << "no instructions were counted";
}

TEST(Inspect, FindsTheOccupancyThatRegistersAllow) {
  EXPECT_EQ(waves(20, 256, 0), 3);  // 160 registers of 512
  EXPECT_EQ(waves(22, 256, 0), 2);  // 176
  EXPECT_EQ(waves(8, 256, 0), 8);
  EXPECT_EQ(waves(1, 256, 0), 8);  // the most that a SIMD holds
  EXPECT_EQ(waves(32, 256, 0), 2);
  EXPECT_EQ(waves(33, 256, 0), 1);
  EXPECT_EQ(waves(64, 256, 0), 1);
  EXPECT_EQ(waves(64, 512, 0), 0);  // eight waves need two slots on each SIMD
  EXPECT_EQ(waves(32, 512, 0), 2);
  EXPECT_EQ(waves(20, 512, 0), 2);  // three slots hold one workgroup of two waves a SIMD
}

TEST(Inspect, FindsTheOccupancyThatLdsAllows) {
  EXPECT_EQ(waves(8, 256, 160 * 1024), 1);
  EXPECT_EQ(waves(8, 256, 80 * 1024), 2);
  EXPECT_EQ(waves(8, 256, 80 * 1024 + 1), 1);
  EXPECT_EQ(waves(8, 256, 64 * 1024), 2);
  EXPECT_EQ(waves(8, 256, 64 * 1024, kGfx942), 1);
  EXPECT_EQ(waves(8, 256, 32 * 1024, kGfx942), 2);
  EXPECT_EQ(waves(8, 64, 40 * 1024), 1);  // four workgroups of one wave on four SIMDs
  EXPECT_EQ(waves(8, 64, 16 * 1024), 3);  // ten of them: the fullest SIMD has three
  EXPECT_EQ(waves(8, 256, 160 * 1024 + 1), 0);
}

TEST(Inspect, GivesNoMoreWavesForMoreResources) {
  std::mt19937 random(1);
  for (int i = 0; i < 300; ++i) {
    const int granules = 1 + static_cast<int>(random() % 60);
    const int threads = 64 << (random() % 5);
    const int lds = static_cast<int>(random() % (150 * 1024));
    EXPECT_GE(waves(granules, threads, lds), waves(granules + 1, threads, lds));
    EXPECT_GE(waves(granules, threads, lds), waves(granules, threads, lds + 4096));
    EXPECT_LE(waves(granules, threads, lds), 8);
  }
}

TEST(Inspect, RejectsWhatCannotLaunchOrSpills) {
  const auto reason = [](const AmdKernel& kernel, int threads = 256, int dynamic_lds = 0) {
    return reason_to_reject(of(kernel, kGfx950, threads, dynamic_lds), kGfx950, threads);
  };
  EXPECT_EQ(reason({}), "");
  EXPECT_EQ(reason({.vgpr_granules = 64, .lds = 160 * 1024}), "");
  EXPECT_EQ(reason({.vgpr_spills = 3}), "spills 3 VGPRs");
  EXPECT_EQ(reason({.sgpr_spills = 2}), "spills 2 SGPRs");
  EXPECT_THAT(reason({.scratch = 16}), HasSubstr("16 bytes of scratch"));
  EXPECT_THAT(reason({.lds = 100'000}, 256, 100'000), HasSubstr("200000 bytes of LDS, of 163840"));
  EXPECT_THAT(reason({}, 2048), HasSubstr("2048 threads"));
  EXPECT_THAT(reason({.vgpr_granules = 64}, 512), HasSubstr("no workgroup"));
  EXPECT_EQ(reason({.scratch = 16, .vgpr_spills = 3}),
            "spills 3 VGPRs; uses 16 bytes of scratch memory per lane");
}

TEST(Inspect, LeavesTheSystemItsShareOfLds) {
  const auto reason = [](int lds) {
    Resources use;
    use.lds_bytes = lds;
    use.waves_per_simd = 1;
    return reason_to_reject(use, kSm90, 512);
  };
  EXPECT_EQ(reason(227 * 1024), "");
  EXPECT_EQ(reason(227 * 1024 + 128), "232576 bytes of LDS, of 232448 per workgroup");
}

TEST(Inspect, CountsInstructionsByKind) {
  const InstructionMix mix = count_instructions(
      "\tv_mfma_f32_16x16x32_bf16 v[0:3], v[4:7], v[8:11], v[0:3]\n"
      "\tv_mfma_f32_16x16x32_bf16 v[0:3], v[4:7], v[8:11], v[0:3]\n"
      "  v_smfmac_f32_16x16x64_bf16 v[0:3], v[4:7], v[8:11], v0\n"
      "ds_read_b128 v[0:3], v4\nds_write_b64 v0, v[2:3]\nglobal_load_dwordx4 v[0:3], v4, s[0:1]\n"
      "buffer_load_dword v0, s[0:3], 0\nflat_load_dword v0, v[0:1]\nscratch_load_dword v0, off\n\n"
      "v_add_f32 v0, v1, v2\nv_accvgpr_read_b32 v0, a0\ns_waitcnt lgkmcnt(0)\ns_endpgm\n"
      "s_code_end\ns_code_end\n");
  EXPECT_EQ(mix.at("v_mfma_f32_16x16x32_bf16"), 2);
  const Resources found = inspect(AmdKernel{}.build(), "entry", kGfx950, 64, 0, mix);
  EXPECT_EQ(found.mfma, 3);
  EXPECT_EQ(found.lds, 2);
  EXPECT_EQ(found.vmem, 4);
  EXPECT_EQ(found.valu, 2);
  EXPECT_EQ(found.salu, 2) << "padding is not code";
}

TEST(Inspect, CountsALineThatDoesNotEnd) {
  EXPECT_EQ(count_instructions("s_endpgm").at("s_endpgm"), 1);
  EXPECT_TRUE(count_instructions("").empty());
  EXPECT_TRUE(count_instructions("\n \n").empty());
}

TEST(Inspect, FindsTheCodeOfAKernelWithoutItsPadding) {
  EXPECT_EQ(kernel_code(AmdKernel{}.build(), "entry"), std::string(64, 'c'));
  EXPECT_THROW(kernel_code(AmdKernel{}.build(), "other"), Error);
}

TEST(Inspect, KnowsTheSameCodeAgain) {
  AmdKernel kernel;
  const std::string identity = code_identity(kernel.build());
  EXPECT_EQ(code_identity(kernel.build()), identity);
  kernel.code[3] = 'x';
  EXPECT_NE(code_identity(kernel.build()), identity);
  EXPECT_NE(code_identity(AmdKernel{.lds = 4}.build()), identity);
  EXPECT_NE(code_identity(AmdKernel{.vgpr_granules = 2}.build()), identity);
}

std::string cuda_info(std::uint8_t attribute, std::uint32_t symbol, std::uint32_t value) {
  std::string bytes{4, static_cast<char>(attribute), 8, 0};
  bytes.append(reinterpret_cast<const char*>(&symbol), 4);
  bytes.append(reinterpret_cast<const char*>(&value), 4);
  return bytes;
}

TEST(Inspect, ReadsACubin) {
  ElfBuilder elf(190);
  const auto text = elf.add(".text.entry", std::string(512, 'c'));
  const std::uint32_t other = elf.symbol("other", text, 8);
  const std::uint32_t entry = elf.symbol("entry", text, 512);
  const std::string unsized{3, 0x1b, 16, 0};
  elf.add(".nv.info", cuda_info(0x2f, other, 200) + unsized + cuda_info(0x2f, entry, 61) +
                          cuda_info(0x11, entry, 24));
  elf.add(".nv.shared.entry", "", SHT_NOBITS, 3072);
  elf.add(".nv.shared.reserved.0", "", SHT_NOBITS, 0);
  const Resources found = inspect(elf.build(), "entry", kSm90, 128, 100, {});
  EXPECT_EQ(found.vgprs, 61);
  EXPECT_EQ(found.scratch_bytes, 24);
  EXPECT_EQ(found.lds_bytes, 2048 + 100);
  EXPECT_EQ(found.code_bytes, 512);
  EXPECT_EQ(found.vgpr_spills, -1);
  EXPECT_EQ(found.waves_per_simd, 8);
  EXPECT_THAT(reason_to_reject(found, kSm90, 128), HasSubstr("24 bytes of scratch"));
}

TEST(Inspect, RefusesBytesThatAreNoCodeObjectWithoutReadingPastThem) {
  const std::string whole = AmdKernel{}.build();
  for (std::size_t size = 0; size < whole.size(); size += 3) {
    // On the heap and of exactly this size, so that a sanitizer sees any byte too many.
    const std::string cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_THROW(inspect(cut, "entry", kGfx950, 256, 0, {}), Error) << size;
  }
  EXPECT_THROW(inspect(whole, "other", kGfx950, 256, 0, {}), Error);
}

TEST(Inspect, SurvivesAnyDamage) {
  const std::string whole = AmdKernel{.vgpr_granules = 20}.build();
  std::mt19937 random(7);
  for (int i = 0; i < 3000; ++i) {
    std::string damaged = whole;
    for (int flips = 0; flips < 3; ++flips)
      damaged[random() % damaged.size()] = static_cast<char>(random());
    try {
      inspect(damaged, "entry", kGfx950, 256, 0, {});
      code_identity(damaged);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::toolchain);
    }
  }
}

}  // namespace
}  // namespace mla
