#include "tuner/source.hpp"

#include <gtest/gtest.h>

#include "tuner/hash.hpp"

namespace mla {
namespace {

constexpr Launch kLaunch{
    .config = {.block_h = 16,
               .block_k = 32,
               .waves = 4,
               .wave_split = WaveSplit::columns,
               .mfma = 16,
               .stages = 2,
               .prefetch = 3,
               .dequantise = Dequantise::at_store,
               .load_path = LoadPath::registers,
               .load_width = 16,
               .lds_layout = LdsLayout::padded,
               .query_in = QueryIn::lds,
               .value_read = ValueRead::strided,
               .waves_per_eu = 2,
               .unroll = 8,
               .rescale_threshold = -1},
    .splits = {.split_main = 0, .split_extra = 8, .split_map = SplitMap::strided},
    .reduce = {.block_h = 4, .waves = 2},
};

TEST(Source, PrintsTheWholeUnitOfADecodeKernel) {
  EXPECT_EQ(decode_source(kLaunch.config), R"(#include "sparse_mla_decode.hpp"

constexpr mla::Config kConfig{
    .block_h = 16,
    .block_k = 32,
    .waves = 4,
    .wave_split = mla::WaveSplit::columns,
    .mfma = 16,
    .stages = 2,
    .prefetch = 3,
    .dequantise = mla::Dequantise::at_store,
    .load_path = mla::LoadPath::registers,
    .load_width = 16,
    .lds_layout = mla::LdsLayout::padded,
    .query_in = mla::QueryIn::lds,
    .value_read = mla::ValueRead::strided,
    .waves_per_eu = 2,
    .unroll = 8,
    .rescale_threshold = -1,
};

extern "C" MLA_KERNEL(kConfig) void entry(mla::DecodeArgs args) {
  mla::sparse_mla_decode<kConfig>(args);
}
)");
}

TEST(Source, SaysWhichWorkgroupsAreACluster) {
  Config config = kLaunch.config;
  config.cluster = 4;
  const std::string source = decode_source(config);
  EXPECT_NE(source.find("    .cluster = 4,\n"), std::string::npos);
  EXPECT_NE(source.find("extern \"C\" MLA_CLUSTER_KERNEL(kConfig) void entry"), std::string::npos);
}

TEST(Source, PrintsTheWholeUnitOfAReduceKernel) {
  EXPECT_EQ(reduce_source(kLaunch.reduce), R"(#include "sparse_mla_reduce.hpp"

constexpr mla::ReduceConfig kConfig{
    .block_h = 4,
    .waves = 2,
};

extern "C" MLA_KERNEL(kConfig) void entry(mla::ReduceArgs args) {
  mla::sparse_mla_reduce<kConfig>(args);
}
)");
}

TEST(Source, DiffersWithEveryFieldOfTheConfig) {
  Config config = kLaunch.config;
  for_each_config_field(config, [&](const char* name, auto& field) {
    const auto before = field;
    field =
        static_cast<std::remove_reference_t<decltype(field)>>(static_cast<int>(field) == 1 ? 2 : 1);
    EXPECT_NE(decode_source(config), decode_source(kLaunch.config)) << name;
    field = before;
  });
}

TEST(Source, AKeyIsOfTheTemplateAndItsParameters) {
  const std::string params = variant_params(kLaunch);
  const std::string key = variant_key("sparse_mla_decode", params);
  EXPECT_EQ(key.size(), 32u);
  EXPECT_EQ(key.find_first_not_of("0123456789abcdef"), std::string::npos);
  EXPECT_EQ(key, variant_key("sparse_mla_decode", params));
  EXPECT_NE(key, variant_key("sparse_mla_reduce", params));
  Launch other = kLaunch;
  other.splits.split_extra = 12;
  EXPECT_NE(key, variant_key("sparse_mla_decode", variant_params(other)));
  EXPECT_EQ(decode_source(other.config), decode_source(kLaunch.config));
}

// Stored in databases: a change of it orphans every row.
TEST(Source, AKeyStaysTheSameFromVersionToVersion) {
  EXPECT_EQ(variant_key("sparse_mla_decode", "{}"), "74afd4e78ce1f9d82939135bcdcecb62");
}

}  // namespace
}  // namespace mla
