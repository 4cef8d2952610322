#include "tuner/arch.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include "temp_configs.hpp"

namespace mla {
namespace {

constexpr const char* kArch = R"(arch: toy
device: A Toy
compiler: hiprtc
lanes: 64
simds_per_cu: 4
registers_per_lane: 512
register_granule: 8
registers_per_wave: 256
waves_per_simd: 8
threads_per_workgroup: 1024
lds_per_cu: 65536
lds_per_workgroup: 32768
lds_granule: 512
lds_reserved: 0
workgroups_per_cluster: 4
units_per_cluster_domain: 10
has_transposing_read: true
has_bulk_copies: true
direct_load_widths: [4, 16]
dies: 2
compute_units: 30
clock_mhz: 2000
matrix_rate: 2048
valu_per_element: 0.5
memory_bytes: 16e9
memory_rate: 1.5e12
l2_bytes: 4194304
llc_bytes: 8388608
launch_overhead_us: 2.5
main_format: fnuz
extra_format: ocp
)";

std::string replaced(const std::string& from, const std::string& to) {
  std::string text = kArch;
  EXPECT_NE(text.find(from), std::string::npos) << from;
  return text.replace(text.find(from), from.size(), to);
}

TEST(Arch, ReadsWhatTheFileSays) {
  const TempConfigs configs;
  configs.write("archs/toy.yaml", kArch);
  const Arch arch = load_arch(configs.root(), "toy");
  EXPECT_EQ(arch.device, "A Toy");
  EXPECT_EQ(arch.compiler, "hiprtc");
  EXPECT_EQ(arch.limits.registers_per_wave, 256);
  EXPECT_EQ(arch.limits.lds_per_workgroup, 32768);
  EXPECT_EQ(arch.dies, 2);
  EXPECT_EQ(arch.compute_units, 30);
  EXPECT_EQ(arch.memory_rate, 1.5e12);
  EXPECT_EQ(arch.launch_overhead_us, 2.5);
  EXPECT_TRUE(arch.has_transposing_read);
  EXPECT_TRUE(arch.has_bulk_copies);
  EXPECT_EQ(arch.workgroups_per_cluster, 4);
  EXPECT_EQ(arch.units_per_cluster_domain, 10);
  EXPECT_EQ(arch.direct_load_widths, (std::vector<std::int64_t>{4, 16}));
  EXPECT_EQ(arch.main_format, Fp8Format::fnuz);
  EXPECT_EQ(arch.extra_format, Fp8Format::ocp);
}

TEST(Arch, GivesItsLimitsToExpressions) {
  const TempConfigs configs;
  configs.write("archs/toy.yaml", kArch);
  const Symbols symbols = arch_symbols(load_arch(configs.root(), "toy"));
  const auto value = [&](const char* text) {
    return Expression::parse(text, symbols, "here")(nullptr);
  };
  EXPECT_EQ(value("arch.lds_per_workgroup / arch.lanes"), 512);
  EXPECT_EQ(value("arch.has_transposing_read and 16 in arch.direct_load_widths"), 1);
  EXPECT_EQ(value("8 in arch.direct_load_widths"), 0);
}

TEST(Arch, AnUnknownOneIsToldWhichThereAre) {
  const TempConfigs configs;
  configs.write("archs/toy.yaml", kArch);
  configs.write("archs/model.yaml", kArch);
  configs.write("archs/notes.txt", "");
  EXPECT_EQ(
      configs.error([&] { load_arch(configs.root(), "gfx1100"); }),
      "unknown arch 'gfx1100': archs describes model, toy; to add one, write gfx1100.yaml there");
  EXPECT_EQ(configs.error([&] { load_arch(configs.root(), "../archs/toy"); }).substr(0, 12),
            "unknown arch");
  EXPECT_EQ(configs.error([&] { load_arch(configs.root() / "nowhere", "toy"); }),
            "no arch is described in nowhere/archs: name the folder that holds archs/, spaces/ and "
            "shapes/");
}

TEST(Arch, MistakesAreNamedAtTheirLine) {
  const TempConfigs configs;
  const auto error = [&](const std::string& from, const std::string& to) {
    configs.write("archs/toy.yaml", replaced(from, to));
    return configs.error([&] { load_arch(configs.root(), "toy"); });
  };
  EXPECT_EQ(error("arch: toy", "arch: tyo"),
            "archs/toy.yaml:1: the file's name says 'toy', this says 'tyo'");
  EXPECT_EQ(error("hiprtc", "hipcc"),
            "archs/toy.yaml:3: 'hipcc' is no compiler; known are hiprtc, nvrtc, c++");
  EXPECT_EQ(error("lanes: 64", "lane: 64"),
            "archs/toy.yaml:4: an arch file has no key 'lane'; did you mean 'lanes'?");
  EXPECT_EQ(error("lanes: 64", "lanes: 0"),
            "archs/toy.yaml:4: an integer from 1 to 1073741824 is expected, not '0'");
  EXPECT_EQ(error("lanes: 64\n", ""), "archs/toy.yaml:1: the key 'lanes' is missing");
  EXPECT_EQ(error("1.5e12", "fast"),
            "archs/toy.yaml:26: a positive number (8e12, 2.01/128) is expected, not 'fast'");
  EXPECT_EQ(error("has_transposing_read: true", "has_transposing_read: yes"),
            "archs/toy.yaml:17: true or false is expected, not 'yes'");
  EXPECT_EQ(error("fnuz", "e5m2"),
            "archs/toy.yaml:30: 'e5m2' is no fp8 format; known are ocp, fnuz");
  EXPECT_EQ(error("[4, 16]", "[4, 4]"), "archs/toy.yaml:19: 4 is listed twice");
}

}  // namespace
}  // namespace mla
