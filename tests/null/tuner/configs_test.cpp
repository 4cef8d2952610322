// The configurations that ship with the project, against the header they describe.
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <iterator>
#include <random>
#include <set>
#include <tuple>

#include "temp_configs.hpp"
#include "tuner/shapes.hpp"
#include "tuner/source.hpp"
#include "tuner/space.hpp"

namespace mla {
namespace {

using ::testing::ElementsAre;

const std::filesystem::path kConfigs = MLA_CONFIGS;

Space decode_space(const std::string& arch) {
  return Space::load(kConfigs, "sparse_mla_decode", load_arch(kConfigs, arch));
}

std::string read(const std::filesystem::path& file) {
  std::ifstream in(file);
  return {std::istreambuf_iterator<char>(in), {}};
}

// About `wanted` admissible points, spread over the space. Every code point gets launches that the
// first one admits; that they suit it too is checked.
std::vector<Point> sample(const Space& space, std::size_t wanted) {
  std::vector<Point> points;
  const std::vector<Point> codes = space.code_points();
  const std::vector<Point> launches = space.launch_points(codes.front());
  const std::size_t step = codes.size() / wanted + 1;
  for (std::size_t i = 0; i < codes.size(); i += step) {
    Point point = launches[i * 7919 % launches.size()];
    std::copy(codes[i].begin(), codes[i].end(), point.begin());
    if (space.refusal(point) == nullptr) points.push_back(point);
  }
  return points;
}

TEST(Configs, EveryArchLoads) {
  EXPECT_THAT(known_archs(kConfigs), ElementsAre("gfx942", "gfx950", "host", "sm_90"));
  for (const std::string& name : known_archs(kConfigs))
    EXPECT_EQ(load_arch(kConfigs, name).name, name);
}

TEST(Configs, TheArchsAgreeWithTheirVendorsPeaks) {
  const auto peak = [](const Arch& a) {
    return a.matrix_rate * a.compute_units * a.clock_mhz * 1e6;
  };
  EXPECT_NEAR(peak(load_arch(kConfigs, "gfx950")), 2.5e15, 0.05e15);
  EXPECT_NEAR(peak(load_arch(kConfigs, "gfx942")), 1.3e15, 0.05e15);
  EXPECT_NEAR(peak(load_arch(kConfigs, "sm_90")), 989e12, 5e12);
}

TEST(Configs, TheSpaceHasEveryFieldOfTheStructsAndNoOther) {
  std::set<std::string> fields, names;
  Launch launch{};
  for_each_config_field(launch.config, [&](const char* name, auto) { fields.insert(name); });
  for_each_splits_field(launch.splits, [&](const char* name, auto) { fields.insert(name); });
  for_each_reduce_field(
      launch.reduce, [&](const char* name, auto) { fields.insert(std::string("reduce_") + name); });
  const Space space = decode_space("gfx950");
  for (const Parameter& p : space.parameters()) names.insert(p.name);
  EXPECT_EQ(names, fields);
}

TEST(Configs, EachParameterChangesWhatItsStructSays) {
  const Space space = decode_space("gfx950");
  Launch launch{};
  std::set<std::string> code, launches;
  for_each_config_field(launch.config, [&](const char* name, auto) { code.insert(name); });
  for_each_splits_field(launch.splits, [&](const char* name, auto) { launches.insert(name); });
  for (const Parameter& p : space.parameters())
    EXPECT_EQ(p.changes, code.contains(p.name)       ? Changes::code
                         : launches.contains(p.name) ? Changes::launch
                                                     : Changes::reduce)
        << p.name;
}

TEST(Configs, EveryAdmissibleVariantIsValidCode) {
  for (const std::string& arch : known_archs(kConfigs)) {
    const Space space = decode_space(arch);
    const std::vector<Point> points = sample(space, 2000);
    EXPECT_GT(points.size(), 100u) << arch;
    for (const Point& point : points) {
      const Launch launch = variant_launch(space.params(point));
      ASSERT_TRUE(valid(launch.config)) << arch << " " << space.params(point);
      ASSERT_TRUE(valid(launch.config, launch.splits)) << arch << " " << space.params(point);
      ASSERT_TRUE(valid(launch.reduce)) << arch << " " << space.params(point);
    }
  }
}

TEST(Configs, TheSpacesLdsBytesAreTheKernels) {
  for (const std::string& arch : known_archs(kConfigs)) {
    const Space space = decode_space(arch);
    for (const Point& point : sample(space, 2000))
      ASSERT_EQ(space.derived(point, "lds_bytes"),
                lds_bytes(variant_launch(space.params(point)).config))
          << arch << " " << space.params(point);
  }
}

TEST(Configs, ParametersSurviveTheTripThroughJson) {
  const Space space = decode_space("gfx950");
  for (const Point& point : sample(space, 500)) {
    const std::string params = space.params(point);
    EXPECT_EQ(variant_params(variant_launch(params)), params);
    EXPECT_EQ(space.point(params), point);
  }
}

TEST(Configs, ThereAreVariantsEnough) {
  const auto code = [](const char* arch) { return decode_space(arch).count().code_admissible; };
  EXPECT_GE(code("gfx950"), 1000);
  EXPECT_GE(code("gfx942"), 200);
  EXPECT_GE(code("sm_90"), 100);
  EXPECT_GE(code("host"), 100);
}

TEST(Configs, CountingTakesNoTime) {
  const auto begin = std::chrono::steady_clock::now();
  const Space space = decode_space("gfx950");
  const SpaceCounts counts = space.count();
  EXPECT_EQ(counts.code_admissible, static_cast<std::int64_t>(space.code_points().size()));
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(5));
}

TEST(Configs, LargeTilesAreRefusedWhereLdsIsSmall) {
  const Space space = decode_space("gfx942");
  std::size_t tile = 0;
  while (space.parameters()[tile].name != "block_k") ++tile;
  for (const Point& code : space.code_points())
    ASSERT_FALSE(code[tile] >= 64 && *space.derived(code, "tile_bytes") > 65536);
}

TEST(Configs, ASingleSplitIsListedOnce) {
  const Space space = decode_space("gfx950");
  std::size_t single = 0;
  for (const Point& point : space.launch_points(space.code_points().front())) {
    const Launch launch = variant_launch(space.params(point));
    single += total_splits(launch.splits, true) == 1;
  }
  EXPECT_EQ(single, 2u) << "in either order of the grid";
}

TEST(Configs, TheToleranceIsThePublishedOne) {
  const Tolerance t = decode_space("gfx950").tolerance();
  EXPECT_DOUBLE_EQ(t.absolute, 1e-3);
  EXPECT_DOUBLE_EQ(t.relative, 2.01 / 128);
  EXPECT_DOUBLE_EQ(t.cosine_gap, 5e-6);
  EXPECT_DOUBLE_EQ(t.lse_absolute, 1e-6);
  EXPECT_DOUBLE_EQ(t.lse_relative, 8.01 / 65536);
}

// Whatever a slip of the hand does to a file, the answer is a space or a message with its place.
TEST(Configs, DamagedFilesAreRefusedInWordsOrRead) {
  const TempConfigs configs;
  const Arch arch = load_arch(kConfigs, "gfx950");
  std::mt19937 random(11);
  const auto damage = [&](std::string text) {
    static const std::string bytes =
        "[]{}:,&*#'\"-|>!%@ \n\t\x01\xff"
        "a0";
    for (auto n = random() % 3 + 1; n > 0; --n) {
      const std::size_t at = random() % text.size(), length = random() % 12;
      switch (random() % 3) {
        case 0:
          text.erase(at, length);
          break;
        case 1:
          text[at] = bytes[random() % bytes.size()];
          break;
        default:
          text.insert(at, text.substr(random() % text.size(), length));
      }
    }
    return text;
  };
  const auto check = [&](const std::string& name, const std::function<void()>& load) {
    const std::string error = configs.error(load);
    EXPECT_TRUE(error == "nothing" || error.starts_with(name + ":")) << error;
  };
  const std::string decode = "spaces/sparse_mla_decode.yaml",
                    reduce = "spaces/sparse_mla_reduce.yaml";
  configs.write(reduce, read(kConfigs / reduce));
  for (int i = 0; i < 150; ++i) {
    configs.write(decode, damage(read(kConfigs / decode)));
    check(decode, [&] { Space::load(configs.root(), "sparse_mla_decode", arch); });
    configs.write("archs/gfx950.yaml", damage(read(kConfigs / "archs/gfx950.yaml")));
    check("archs/gfx950.yaml", [&] { load_arch(configs.root(), "gfx950"); });
    configs.write("shapes/s.yaml", damage(read(kConfigs / "shapes/quick.yaml")));
    check("shapes/s.yaml", [&] { load_shapes(configs.root() / "shapes/s.yaml", arch); });
  }
}

TEST(Configs, TheShapesLoad) {
  const Arch gfx942 = load_arch(kConfigs, "gfx942");
  const auto load = [&](const char* name) {
    return load_shapes(kConfigs / "shapes" / name, gfx942);
  };
  const std::vector<ProblemRecord> quick = load("quick.yaml");
  ASSERT_FALSE(quick.empty());
  EXPECT_EQ(quick[0].main_format, static_cast<int>(Fp8Format::fnuz));
  EXPECT_EQ(quick[0].extra_format, static_cast<int>(Fp8Format::ocp));
}

// Streams, heads a rank and batches of the two models; what their layers attend to.
TEST(Configs, TheShapesAreTheModels) {
  struct Model {
    const char* file;
    std::vector<int> heads;
    int top_k;  // of the layers compressed by 4
  };
  for (const Model& model : {Model{"dsv4_pro.yaml", {16, 32, 64, 128}, 1024},
                             Model{"dsv4_flash.yaml", {8, 16, 32, 64}, 512}}) {
    const auto problems =
        load_shapes(kConfigs / "shapes" / model.file, load_arch(kConfigs, "gfx950"));
    std::set<std::tuple<int, int, int, int, std::string>> found;
    for (const ProblemRecord& p : problems) {
      EXPECT_EQ(p.main_len, 128);
      EXPECT_EQ(p.main_page, 64);
      EXPECT_FALSE(p.warm_cache);
      found.insert({p.num_heads, p.num_tokens, p.extra_len, p.extra_page, p.lengths});
    }
    const auto has = [&](int heads, int tokens, int extra_len, int extra_page,
                         const char* lengths) {
      return found.contains({heads, tokens, extra_len, extra_page, lengths});
    };
    for (const int heads : model.heads) {
      for (const int tokens : {1, 2, 4, 8, 16, 32, 64, 128, 256, 512}) {
        SCOPED_TRACE(fmt::format("{}: {} heads, {} tokens", model.file, heads, tokens));
        EXPECT_TRUE(has(heads, tokens, 0, 0, "uniform"));
        EXPECT_TRUE(has(heads, tokens, model.top_k, 64, "uniform"));
        EXPECT_EQ(has(heads, tokens, model.top_k, 64, "ragged"), tokens > 1);
        for (const int context :
             {8'192, 32'768, 65'536, 100'000, 131'072, 262'144, 500'000, 1'048'576}) {
          EXPECT_TRUE(has(heads, tokens, context / 128, 2, "uniform")) << context;
          EXPECT_EQ(has(heads, tokens, context / 128, 2, "ragged"), tokens > 1) << context;
        }
      }
    }
    EXPECT_EQ(problems.size(), 4u * (19 * 11 + 9 * 10)) << model.file;
  }
}

}  // namespace
}  // namespace mla
