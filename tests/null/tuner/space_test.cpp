#include "tuner/space.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>
#include <random>

#include "temp_configs.hpp"

namespace mla {
namespace {

using ::testing::HasSubstr;

constexpr const char* kToyReduce = R"(
kernel: toy_reduce
parameters:
  waves: {changes: code, values: [1, 2, 4]}
  heads_each: {changes: code, values: [1, 2, 3]}
let:
  work: waves * heads_each
constraints:
  - {name: odd_work, expr: work != 6, because: six is not allowed}
)";

// Launch parameters stand in front of code parameters on purpose, and one constraint mixes them.
constexpr const char* kToy = R"(
kernel: toy
reduce: toy_reduce
parameters:
  splits: {changes: launch, values: [0, 1, 2, 4]}
  tile: {changes: code, values: [16, 32, 64]}
  wave_split: {changes: code, enum: WaveSplit, values: [columns, keys]}
  stages: {changes: code, values: [1, 2, 3]}
  width: {changes: code, values: {toy: [4, 8, 16], default: [1]}}
  map: {changes: launch, enum: SplitMap, values: [strided, contiguous]}
  reduce_waves: {changes: reduce, values: [1, 2]}
  reduce_heads_each: {changes: reduce, values: [1, 2, 3]}
let:
  need: tile * stages + half
  twice: need * 2
constraints:
  - name: lds
    expr: need <= arch.lds_per_workgroup
    because: there is no more
  - name: width
    expr: width in arch.direct_load_widths or wave_split == keys
    because: widths
  - name: mixed
    expr: tile > 16 or splits != 4
    because: a mixed one
  - name: map
    expr: splits > 1 or map == strided
    because: listed once
  - name: unsplit
    expr: splits > 1 or (reduce_waves == 1 and reduce_heads_each == 1)
    because: no reduce
)";

std::string toy() {
  std::string text = kToy;
  // A let may stand on another, but only on one above it.
  text.replace(text.find("  need: tile"), 0, "  half: tile / 2\n");
  return text;
}

Space load(const TempConfigs& configs) {
  configs.write("spaces/toy.yaml", toy());
  configs.write("spaces/toy_reduce.yaml", kToyReduce);
  return Space::load(configs.root(), "toy", toy_arch());
}

// The same space in plain C++: the constraint that refuses a point, or "".
std::string judge(int tile, int wave_split, int stages, int width, int splits, int map, int waves,
                  int heads_each) {
  const bool keys = wave_split == static_cast<int>(WaveSplit::keys);
  if (tile * stages + tile / 2 > 100) return "lds";
  if (width == 8 && !keys) return "width";
  if (tile <= 16 && splits == 4) return "mixed";
  if (splits <= 1 && map != static_cast<int>(SplitMap::strided)) return "map";
  if (splits <= 1 && (waves != 1 || heads_each != 1)) return "unsplit";
  if (waves * heads_each == 6) return "toy_reduce.odd_work";
  return "";
}

template <class F>
void for_each_toy_point(F f) {
  for (int tile : {16, 32, 64})
    for (int wave_split : {3, 1})
      for (int stages : {1, 2, 3})
        for (int width : {4, 8, 16})
          for (int splits : {0, 1, 2, 4})
            for (int map : {2, 1})
              for (int waves : {1, 2})
                for (int heads_each : {1, 2, 3})
                  f(Point{tile, wave_split, stages, width, splits, map, waves, heads_each},
                    judge(tile, wave_split, stages, width, splits, map, waves, heads_each));
}

TEST(Space, CountsWhatBruteForceCounts) {
  const TempConfigs configs;
  const SpaceCounts counts = load(configs).count();
  std::map<std::string, std::int64_t> expected;
  std::int64_t total = 0;
  for_each_toy_point([&](const Point&, const std::string& verdict) {
    ++total;
    ++expected[verdict];
  });
  EXPECT_EQ(counts.total, total);
  EXPECT_EQ(counts.admissible, expected[""]);
  std::int64_t refused = 0;
  for (const Refused& r : counts.refused) {
    EXPECT_EQ(r.points, expected[r.constraint]) << r.constraint;
    refused += r.points;
  }
  EXPECT_EQ(counts.refused.size(), 6u);
  EXPECT_EQ(counts.total, counts.admissible + refused);
  EXPECT_EQ(counts.code_total, 3 * 2 * 3 * 3);
}

TEST(Space, ListsEveryAdmissiblePointOnceInTwoSteps) {
  const TempConfigs configs;
  const Space space = load(configs);
  std::vector<Point> expected, listed;
  for_each_toy_point([&](const Point& point, const std::string& verdict) {
    if (verdict.empty()) expected.push_back(point);
  });
  for (const Point& code : space.code_points()) {
    EXPECT_EQ(code.size(), space.code_parameters());
    EXPECT_EQ(space.refusal(code), nullptr);
    for (const Point& whole : space.launch_points(code)) listed.push_back(whole);
  }
  EXPECT_EQ(listed, expected);
  EXPECT_EQ(static_cast<std::int64_t>(space.code_points().size()), space.count().code_admissible);
}

TEST(Space, SaysWhichConstraintAPointBreaks) {
  const TempConfigs configs;
  const Space space = load(configs);
  for_each_toy_point([&](const Point& point, const std::string& verdict) {
    const Constraint* refusal = space.refusal(point);
    EXPECT_EQ(refusal == nullptr ? "" : refusal->name, verdict) << space.params(point);
  });
  EXPECT_TRUE(space.launch_points({64, 1, 3, 4}).empty());
}

TEST(Space, PutsCodeParametersFirstAndKeepsTheFilesOrderOtherwise) {
  const TempConfigs configs;
  const Space space = load(configs);
  std::vector<std::string> names;
  for (const Parameter& p : space.parameters()) names.push_back(p.name);
  EXPECT_THAT(names, ::testing::ElementsAre("tile", "wave_split", "stages", "width", "splits",
                                            "map", "reduce_waves", "reduce_heads_each"));
}

TEST(Space, ComputesDerivedQuantities) {
  const TempConfigs configs;
  const Space space = load(configs);
  EXPECT_EQ(space.derived({32, 1, 2, 4}, "need"), 32 * 2 + 16);
  EXPECT_EQ(space.derived({32, 1, 2, 4}, "twice"), 160);
  EXPECT_EQ(space.derived({32, 1, 2, 4}, "nothing"), std::nullopt);
  EXPECT_EQ(space.derived({32, 1, 2, 4}, "toy_reduce.work"), std::nullopt);
  EXPECT_EQ(space.derived({32, 1, 2, 4, 1, 1, 2, 3}, "toy_reduce.work"), 6);
}

TEST(Space, TakesTheValuesOfTheArch) {
  const TempConfigs configs;
  load(configs);
  Arch other = toy_arch();
  other.name = "other";
  EXPECT_EQ(Space::load(configs.root(), "toy", other).parameters()[3].values, std::vector<int>{1});
}

TEST(Space, WritesAPointAsCanonicalJsonAndReadsItBack) {
  const TempConfigs configs;
  const Space space = load(configs);
  EXPECT_EQ(space.params({32, 1, 2, 4, 2, 2, 1, 3}),
            R"({"map":"strided","reduce_heads_each":3,"reduce_waves":1,"splits":2,"stages":2,)"
            R"("tile":32,"wave_split":"keys","width":4})");
  for_each_toy_point([&](const Point& point, const std::string&) {
    EXPECT_EQ(space.point(space.params(point)), point);
  });
}

TEST(Space, RefusesParametersThatAreNotItsOwn) {
  const TempConfigs configs;
  const Space space = load(configs);
  const std::string good = space.params({32, 1, 2, 4, 2, 2, 1, 3});
  const auto error = [&](const std::string& from, const std::string& to) {
    std::string text = good;
    text.replace(text.find(from), from.size(), to);
    return configs.error([&] { space.point(text); });
  };
  EXPECT_EQ(configs.error([&] { space.point("[]"); }), "parameters of toy: not a JSON object");
  EXPECT_EQ(configs.error([&] { space.point("{"); }), "parameters of toy: not a JSON object");
  EXPECT_EQ(error("\"tile\"", "\"tiel\""),
            "parameters of toy: unknown parameter 'tiel'; did you mean 'tile'?");
  EXPECT_EQ(error(",\"width\":4", ""), "parameters of toy: 'width' is missing");
  EXPECT_EQ(error("\"keys\"", "\"heads\""),
            "parameters of toy: \"heads\" is no value of 'wave_split' on toy (spaces/toy.yaml)");
  EXPECT_EQ(error(":32", ":48"),
            "parameters of toy: 48 is no value of 'tile' on toy (spaces/toy.yaml)");
  EXPECT_EQ(error(":32", ":\"32\""),
            "parameters of toy: \"32\" is no value of 'tile' on toy (spaces/toy.yaml)");
}

TEST(Space, NamesTheConstraintThatRefusedTheLastPoints) {
  const TempConfigs configs;
  std::string text = toy();
  text.replace(text.find("tile > 16 or splits != 4"), 24, "splits > 99 and tile > 0");
  configs.write("spaces/toy.yaml", text);
  configs.write("spaces/toy_reduce.yaml", kToyReduce);
  const Space space = Space::load(configs.root(), "toy", toy_arch());
  EXPECT_EQ(
      configs.error([&] { space.require_admissible(space.count()); }),
      "spaces/toy.yaml: no variant of toy is admissible for toy: the last of 2592 points were "
      "refused at spaces/toy.yaml:24 by 'mixed' (a mixed one); loosen it or list other values");
  EXPECT_EQ(space.count().admissible, 0);
}

TEST(Space, HandlesAConstraintThatDependsOnTheArchAlone) {
  const TempConfigs configs;
  configs.write("spaces/toy_reduce.yaml", R"(
kernel: toy_reduce
parameters:
  waves: {changes: code, values: [1, 2, 4]}
constraints:
  - {name: never, expr: arch.lds_per_workgroup > 5000, because: too small a machine}
)");
  const Space space = Space::load(configs.root(), "toy_reduce", toy_arch());
  const SpaceCounts counts = space.count();
  EXPECT_EQ(counts.admissible, 0);
  EXPECT_EQ(counts.refused.at(0).points, 3);
  EXPECT_TRUE(space.code_points().empty());
  EXPECT_TRUE(space.launch_points({1}).empty());
  EXPECT_THAT(configs.error([&] { space.require_admissible(counts); }), HasSubstr("'never'"));
}

TEST(Space, RefusesAProductThatOverflows) {
  const TempConfigs configs;
  std::string text = "kernel: toy_reduce\nparameters:\n";
  for (int i = 0; i < 64; ++i)
    text += "  p" + std::to_string(i) + ": {changes: code, values: [1, 2]}\n";
  configs.write("spaces/toy_reduce.yaml", text);
  EXPECT_THAT(configs.error([&] { Space::load(configs.root(), "toy_reduce", toy_arch()); }),
              HasSubstr("spaces/toy_reduce.yaml: the product of all values overflows"));
}

// Random spaces with random constraints: the walk must agree with testing every point alone.
TEST(Space, AgreesWithBruteForceOnRandomConstraints) {
  const TempConfigs configs;
  std::mt19937 random(3);
  const auto pick = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  for (int round = 0; round < 60; ++round) {
    std::string text = "kernel: random\nparameters:\n";
    const char* changes[] = {"code", "launch"};
    for (char name = 'a'; name <= 'e'; ++name)
      text +=
          std::string("  ") + name + ": {changes: " + changes[pick(2)] + ", values: [1, 2, 3]}\n";
    text += "let:\n  s: a + b * c\n  t: s - e\nconstraints:\n";
    const char* names[] = {"a", "b", "c", "d", "e", "s", "t"};
    const char* signs[] = {"<=", "!=", ">="};
    for (int i = 0; i < 5; ++i)
      text += "  - {name: c" + std::to_string(i) + ", because: chance, expr: " + names[pick(7)] +
              " + " + names[pick(7)] + " " + signs[pick(3)] + " " + std::to_string(pick(9)) + "}\n";
    configs.write("spaces/random.yaml", text);
    const Space space = Space::load(configs.root(), "random", toy_arch());
    const SpaceCounts counts = space.count();
    std::map<std::string, std::int64_t> expected;
    Point point(5);
    for (int i = 0; i < 243; ++i) {
      for (int rest = i, p = 0; p < 5; ++p, rest /= 3)
        point[static_cast<std::size_t>(p)] = 1 + rest % 3;
      const Constraint* refusal = space.refusal(point);
      ++expected[refusal == nullptr ? "" : refusal->name];
    }
    ASSERT_EQ(counts.admissible, expected[""]) << text;
    for (const Refused& r : counts.refused) ASSERT_EQ(r.points, expected[r.constraint]) << text;
    std::size_t listed = 0;
    for (const Point& code : space.code_points()) listed += space.launch_points(code).size();
    ASSERT_EQ(static_cast<std::int64_t>(listed), counts.admissible) << text;
  }
}

}  // namespace
}  // namespace mla
