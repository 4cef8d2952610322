#include <gtest/gtest.h>

#include <set>

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tuner/space.hpp"

namespace mla {
namespace {

// The dispatcher knows no YAML, so it is here that its fallback is held against every space.
TEST(Fallback, IsAVariantThatEveryArchAdmits) {
  const std::filesystem::path configs = MLA_CONFIGS;
  std::set<std::string> seen;
  for (const std::string& name : known_archs(configs)) {
    EXPECT_TRUE(is_dispatch_arch(name)) << name << " is tuned for and cannot be dispatched";
    const Arch arch = load_arch(configs, name);
    EXPECT_EQ(dispatch_lanes(name), arch.limits.lanes);
    const Space space = Space::load(configs, "sparse_mla_decode", arch);
    for (const int tokens : {1, 16, 40, 100, 1000}) {
      const Launch launch = fallback_launch(
          name, {.heads = 16, .tokens = tokens, .main_len = 128, .extra_len = 4096});
      const Constraint* refused = space.refusal(space.point(variant_params(launch)));
      EXPECT_EQ(refused, nullptr) << name << ": " << (refused ? refused->because : "");
      seen.insert(variant_params(launch));
    }
  }
  EXPECT_GT(seen.size(), 3u) << "every number of splits";
}

}  // namespace
}  // namespace mla
