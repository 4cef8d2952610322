#include "tuner/launch_json.hpp"

#include <gmock/gmock.h>

#include "kernels/params.hpp"
#include "tests/null/tuner/toy_space.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;
using Json = nlohmann::ordered_json;

Json described(int cluster, const std::string& compiler, Merge merge = Merge::kernel) {
  Launch launch{{16, 64, 4, WaveSplit::weights, 16, 1, 2, Dequantise::at_store, LoadPath::registers,
                 16, LdsLayout::swizzled, QueryIn::lds, ValueRead::transposing, 1, 8, 8},
                {0, 2 * cluster, SplitMap::contiguous},
                {4, 2}};
  launch.config.cluster = cluster;
  launch.config.merge = merge;
  const NamedVariant variant{"a key", variant_params(launch), launch};
  const ProblemRecord problem{.kernel = "sparse_mla_decode",
                              .num_heads = 16,
                              .num_tokens = 8,
                              .main_len = 128,
                              .extra_len = 1024};
  const bool nvidia = compiler == "nvrtc";
  return launch_json(variant, nvidia ? "sm_90" : "gfx950", {.compiler = compiler}, problem,
                     {"decode.co", {}}, {"reduce.co", {}});
}

TEST(LaunchJson, SaysWhatLargeClustersMustBeAllowed) {
  EXPECT_FALSE(described(1, "nvrtc")["kernels"][0].contains("cluster"));
  const Json of_ten = described(10, "nvrtc");
  EXPECT_EQ(of_ten["kernels"][0]["cluster"]["workgroups"], Json::parse("[1, 1, 10]"));
  EXPECT_THAT(of_ten["kernels"][0]["cluster"]["meaning"].get<std::string>(),
              HasSubstr("NON_PORTABLE_CLUSTER_SIZE"));
  EXPECT_EQ(of_ten["example"]["decode_grid"], Json::parse("[8, 1, 20]"));
  EXPECT_THAT(of_ten["kernels"][1]["when"].get<std::string>(), HasSubstr("(splits / 10) > 1"));
}

TEST(LaunchJson, SaysWhatTheLastWorkgroupNeedsToMerge) {
  EXPECT_FALSE(described(2, "nvrtc").contains("arrivals"));
  const Json last = described(2, "nvrtc", Merge::last);
  EXPECT_EQ(last["arrivals"]["count"], "tokens * ceil(heads/16) * 2");
  EXPECT_EQ(last["kernels"][1]["when"],
            "(splits / 2) > 1 and arrivals is null, after sparse_mla_decode on the same stream");
  EXPECT_EQ(last["kernels"][0]["arguments"].back()["name"], "arrivals");
}

TEST(LaunchJson, SaysWhereTheReduceKernelMayOverlap) {
  EXPECT_THAT(described(1, "nvrtc")["kernels"][1]["overlap"].get<std::string>(),
              HasSubstr("waits for sparse_mla_decode itself"));
  EXPECT_FALSE(described(1, "hiprtc")["kernels"][1].contains("overlap"));
}

}  // namespace
}  // namespace mla
