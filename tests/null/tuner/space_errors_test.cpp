// What users get to read when a YAML file is wrong: file, line and remedy.
#include <gtest/gtest.h>
#include <unistd.h>

#include "temp_configs.hpp"
#include "tuner/space.hpp"

namespace mla {
namespace {

constexpr const char* kReduce = R"(kernel: r
parameters:
  waves: {changes: code, values: [1, 2]}
)";

constexpr const char* kGood = R"(kernel: toy
reduce: r
parameters:
  tile: {changes: code, values: [16, 32]}
  wave_split: {changes: code, enum: WaveSplit, values: [keys, heads]}
  splits: {changes: launch, values: [1, 2]}
  reduce_waves: {changes: reduce, values: [1]}
let:
  need: tile * 4
constraints:
  - name: lds
    expr: need <= arch.lds_per_workgroup
    because: no more
tolerance:
  absolute: 1e-3
  relative: 2.01/128
  because: reasons
)";

struct Case {
  const char* from;
  const char* to;
  const char* message;
};

void expect_messages(const std::vector<Case>& cases) {
  const TempConfigs configs;
  configs.write("spaces/r.yaml", kReduce);
  for (const Case& c : cases) {
    std::string text = kGood;
    ASSERT_NE(text.find(c.from), std::string::npos) << c.from;
    text.replace(text.find(c.from), std::string(c.from).size(), c.to);
    configs.write("spaces/toy.yaml", text);
    EXPECT_EQ(configs.error([&] { Space::load(configs.root(), "toy", toy_arch()); }), c.message)
        << text;
  }
}

TEST(SpaceErrors, TheGoodFileIsGood) {
  expect_messages({{"kernel: toy", "kernel: toy", "nothing"}});
}

TEST(SpaceErrors, AMissingFileIsNamed) {
  const TempConfigs configs;
  EXPECT_EQ(configs.error([&] { Space::load(configs.root(), "toy", toy_arch()); }),
            "spaces/toy.yaml: cannot be read: No such file or directory");
  std::filesystem::create_directory(configs.root() / "spaces/toy.yaml");
  EXPECT_EQ(configs.error([&] { Space::load(configs.root(), "toy", toy_arch()); }),
            "spaces/toy.yaml: cannot be read: it is a folder; name a YAML file");
}

TEST(SpaceErrors, WhatIsNoYamlIsRefusedAtItsLine) {
  const TempConfigs configs;
  const auto error = [&](const std::string& text) {
    configs.write("spaces/toy.yaml", text);
    return configs.error([&] { Space::load(configs.root(), "toy", toy_arch()); });
  };
  EXPECT_EQ(error("kernel: toy\nparameters: [1, 2\n"),
            "spaces/toy.yaml:3: not valid YAML at column 1: end of sequence flow not found");
  EXPECT_EQ(error(""), "spaces/toy.yaml:1: the file must hold a map of keys and values");
  EXPECT_EQ(error("- a\n"), "spaces/toy.yaml:1: the file must hold a map of keys and values");
  EXPECT_EQ(error("kernel: toy\n"), "spaces/toy.yaml:1: the key 'parameters' is missing");
  EXPECT_EQ(error("kernel: toy\nparameters: {}\n"),
            "spaces/toy.yaml:2: a space needs at least one parameter");
  EXPECT_EQ(error("kernel: toy\nparameters: 5\n"),
            "spaces/toy.yaml:2: a map of keys and values is expected here");
}

TEST(SpaceErrors, UnknownKeysAreNamedWithTheNearest) {
  expect_messages({
      {"parameters:", "paramters:",
       "spaces/toy.yaml:3: a space has no key 'paramters'; did you mean 'parameters'?"},
      {"changes: code, values: [16", "change: code, values: [16",
       "spaces/toy.yaml:4: parameter 'tile' has no key 'change'; did you mean 'changes'?"},
      {"    because: no more", "    why: no more",
       "spaces/toy.yaml:13: a constraint has no key 'why'; known are name, expr, because"},
      {"  absolute:", "  absolut:",
       "spaces/toy.yaml:15: tolerance has no key 'absolut'; did you mean 'absolute'?"},
      {"  splits:", "  tile:", "spaces/toy.yaml:6: the key 'tile' is given twice"},
      {"kernel: toy", "kernel: tyo",
       "spaces/toy.yaml:1: the file's name says 'toy', this says 'tyo'"},
  });
}

TEST(SpaceErrors, BadParametersAreRefusedAtTheirLine) {
  expect_messages({
      {"[16, 32]", "[16, x]",
       "spaces/toy.yaml:4: an integer from -1000000 to 1000000 is expected, not 'x'"},
      {"[16, 32]", "[16, 16]", "spaces/toy.yaml:4: 16 is listed twice"},
      {"[16, 32]", "[]", "spaces/toy.yaml:4: a parameter needs at least one value"},
      {"[16, 32]", "16", "spaces/toy.yaml:4: a list is expected here"},
      {"[16, 32]", "{gfx942: [1]}",
       "spaces/toy.yaml:4: no values for toy: add 'toy:' or 'default:'"},
      {"[keys, heads]", "[keys, haeds]",
       "spaces/toy.yaml:5: 'haeds' is no WaveSplit; did you mean 'heads'?"},
      {"[keys, heads]", "[keys, keys]", "spaces/toy.yaml:5: 'keys' is listed twice"},
      {"WaveSplit", "WaveSpilt",
       "spaces/toy.yaml:5: unknown enumeration 'WaveSpilt'; did you mean 'WaveSplit'?"},
      {"changes: launch", "changes: lunch",
       "spaces/toy.yaml:6: 'lunch' is no kind of change; did you mean 'launch'?"},
      {"  splits:", "  Splits:", "spaces/toy.yaml:6: 'Splits' is no name: use a-z, 0-9 and _"},
      {"  splits:", "  min:", "spaces/toy.yaml:6: 'min' is a word of the expressions"},
      {"  splits:", "  padded:",
       "spaces/toy.yaml:6: 'padded' would hide the enumerator of LdsLayout"},
  });
}

TEST(SpaceErrors, TheReduceKernelsParametersMustBeItsOwn) {
  expect_messages({
      {"  reduce_waves: {changes: reduce, values: [1]}\n", "",
       "spaces/toy.yaml:4: the parameter 'reduce_waves' is missing: r takes 'waves'"},
      {"  splits:", "  reduce_wave: {changes: reduce, values: [1]}\n  splits:",
       "spaces/toy.yaml:6: r has no such parameter 'reduce_wave'; did you mean 'reduce_waves'?"},
      {"changes: reduce, values: [1]", "changes: reduce, values: [1, 3]",
       "spaces/toy.yaml:7: 3 is no value of 'waves' in r"},
      {"changes: reduce, values: [1]", "changes: launch, values: [1]",
       "spaces/toy.yaml:7: parameter 'reduce_waves': those of the reduce kernel, and only those, "
       "are "
       "named reduce_... and have changes: reduce"},
      {"reduce: r\n", "",
       "spaces/toy.yaml:6: parameter 'reduce_waves': name the reduce kernel's space: 'reduce: "
       "<kernel>'"},
      {"reduce: r\n", "reduce: s\n",
       "spaces/toy.yaml:2: there is no space 's': no s.yaml beside this file"},
  });
}

TEST(SpaceErrors, BadExpressionsAreRefusedWithTheirColumn) {
  expect_messages({
      {"need <= arch.lds_per_workgroup", "nede <= 4",
       "spaces/toy.yaml:12: constraint 'lds': column 1: unknown name 'nede' (did you mean "
       "'need'?), "
       "in `nede <= 4`"},
      {"need <= arch.lds_per_workgroup", "need <= arch.lds_per_wrokgroup",
       "spaces/toy.yaml:12: constraint 'lds': column 9: unknown name 'arch.lds_per_wrokgroup' (did "
       "you mean 'arch.lds_per_workgroup'?), in `need <= arch.lds_per_wrokgroup`"},
      {"need <= arch.lds_per_workgroup", "need + 4",
       "spaces/toy.yaml:12: constraint 'lds': `need + 4` is a value, not a condition: compare it"},
      {"tile * 4", "tiles * 4",
       "spaces/toy.yaml:9: let 'need': column 1: unknown name 'tiles' (did you mean 'tile'?), in "
       "`tiles * 4`"},
      {"  need: tile * 4", "  tile: tile * 4", "spaces/toy.yaml:9: 'tile' is already a name"},
      {"    because: no more\n", "    because: no more\n  - {name: lds, expr: true, because: x}\n",
       "spaces/toy.yaml:14: there is another constraint 'lds'"},
      {"    because: no more\n", "", "spaces/toy.yaml:11: the key 'because' is missing"},
  });
}

TEST(SpaceErrors, ArithmeticThatFailsIsReportedWhereItStands) {
  const TempConfigs configs;
  configs.write("spaces/r.yaml", kReduce);
  std::string text = kGood;
  text.replace(text.find("tile * 4"), 8, "4 / (tile - 16)");
  configs.write("spaces/toy.yaml", text);
  EXPECT_EQ(configs.error([&] { Space::load(configs.root(), "toy", toy_arch()).count(); }),
            "spaces/toy.yaml:9: let 'need': division by zero in `4 / (tile - 16)`");
}

TEST(SpaceErrors, BadTolerancesAreRefused) {
  expect_messages({
      {"1e-3", "-1e-3",
       "spaces/toy.yaml:15: a positive number (8e12, 2.01/128) is expected, not '-1e-3'"},
      {"2.01/128", "2.01/0",
       "spaces/toy.yaml:16: a positive number (8e12, 2.01/128) is expected, not '2.01/0'"},
      {"  because: reasons\n", "", "spaces/toy.yaml:15: the key 'because' is missing"},
  });
}

}  // namespace
}  // namespace mla
