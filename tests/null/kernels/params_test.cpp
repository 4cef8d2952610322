#include "kernels/params.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <random>

#include "db/error.hpp"

namespace mla {
namespace {

Launch random_launch(unsigned seed) {
  std::mt19937 random(seed);
  Launch launch{};
  const auto fill = [&](const char*, auto& field) {
    using Field = std::remove_reference_t<decltype(field)>;
    if (const Enumeration* type = enumeration_of(field))
      field = static_cast<Field>(type->values[random() % type->values.size()].value);
    else
      field = static_cast<Field>(static_cast<int>(random() % 200) - 1);
  };
  for_each_config_field(launch.config, fill);
  for_each_splits_field(launch.splits, fill);
  for_each_reduce_field(launch.reduce, fill);
  return launch;
}

std::string error(const std::string& params) {
  try {
    variant_launch(params);
  } catch (const Error& e) {
    EXPECT_EQ(e.kind(), ErrorKind::database);
    const std::string what = e.what(), prefix = "the parameters of a variant cannot be read: ";
    EXPECT_EQ(what.substr(0, prefix.size()), prefix);
    return what.substr(prefix.size(), what.find(';') - prefix.size());
  }
  return "nothing";
}

TEST(Params, SurviveTheTripThroughJson) {
  for (unsigned seed = 0; seed < 200; ++seed) {
    const Launch launch = random_launch(seed);
    const std::string params = variant_params(launch);
    EXPECT_EQ(variant_params(variant_launch(params)), params);
  }
}

TEST(Params, KeepEveryFieldApart) {
  const Launch launch = random_launch(1);
  const nlohmann::json before = nlohmann::json::parse(all_params(variant_params(launch)));
  Launch other = launch;
  int fields = 0;
  const auto change = [&](const char* name, auto& field) {
    using Field = std::remove_reference_t<decltype(field)>;
    const Field kept = field;
    field = static_cast<Field>(static_cast<int>(field) == 1 ? 2 : 1);
    const nlohmann::json diff =
        nlohmann::json::diff(before, nlohmann::json::parse(all_params(variant_params(other))));
    EXPECT_EQ(diff.size(), 1u) << name;
    EXPECT_NE(diff[0]["path"].get<std::string>().find(name), std::string::npos) << diff;
    field = kept;
    ++fields;
  };
  for_each_config_field(other.config, change);
  for_each_splits_field(other.splits, change);
  for_each_reduce_field(other.reduce, change);
  EXPECT_EQ(static_cast<std::size_t>(fields), before.size());
}

TEST(Params, AreCanonical) {
  const std::string params = variant_params(random_launch(2));
  EXPECT_EQ(params.find(' '), std::string::npos);
  // Another order of keys and other spaces are the same variant.
  nlohmann::ordered_json shuffled;
  const nlohmann::json sorted = nlohmann::json::parse(params);
  for (auto it = sorted.rbegin(); it != sorted.rend(); ++it) shuffled[it.key()] = it.value();
  EXPECT_NE(shuffled.dump(3), params);
  EXPECT_EQ(variant_params(variant_launch(shuffled.dump(3))), params);
}

TEST(Params, LeaveOutAYoungerFieldWhereItSaysWhatAllVariantsDidBefore) {
  Launch launch = random_launch(4);
  launch.config.cluster = 1;
  const std::string before = variant_params(launch);
  EXPECT_FALSE(nlohmann::json::parse(before).contains("cluster"));
  EXPECT_EQ(variant_launch(before).config.cluster, 1);
  launch.config.cluster = 4;
  const std::string after = variant_params(launch);
  EXPECT_EQ(nlohmann::json::parse(after)["cluster"], 4);
  EXPECT_EQ(variant_launch(after).config.cluster, 4);
  EXPECT_EQ(variant_launch(after).config.rescale_threshold, launch.config.rescale_threshold);
  launch.config.merge = Merge::last;
  const std::string last = variant_params(launch);
  EXPECT_EQ(nlohmann::json::parse(last)["merge"], "last");
  EXPECT_EQ(variant_launch(last).config.merge, Merge::last);
}

TEST(Params, ATableOfVariantsHasEveryFieldAndGivesThemBack) {
  for (const int seed : {4, 5, 6}) {
    Launch launch = random_launch(seed);
    launch.config.cluster = seed == 4 ? 1 : 2;
    launch.config.merge = seed == 5 ? Merge::last : Merge::kernel;
    launch.splits.grid_order = seed == 6 ? GridOrder::heads : GridOrder::tokens;
    const std::string params = variant_params(launch), all = all_params(params);
    EXPECT_EQ(nlohmann::json::parse(all)["cluster"], launch.config.cluster);
    EXPECT_EQ(nlohmann::json::parse(all)["merge"], seed == 5 ? "last" : "kernel");
    EXPECT_EQ(nlohmann::json::parse(all)["grid_order"], seed == 6 ? "heads" : "tokens");
    EXPECT_EQ(canonical_params(all), params);
  }
}

TEST(Params, WhatCannotBeReadIsNamed) {
  const nlohmann::json good = nlohmann::json::parse(variant_params(random_launch(3)));
  const auto with = [&](const char* key, const nlohmann::json& value) {
    nlohmann::json changed = good;
    if (value.is_discarded())
      changed.erase(key);
    else
      changed[key] = value;
    return error(changed.dump());
  };
  EXPECT_EQ(error("{"), "not a JSON object");
  EXPECT_EQ(error("[]"), "not a JSON object");
  EXPECT_EQ(with("block_h", nlohmann::json(nlohmann::json::value_t::discarded)),
            "'block_h' is missing");
  EXPECT_EQ(with("tile", 3), "'tile' is no parameter");
  EXPECT_EQ(with("block_h", "16"), "'block_h' is \"16\", not an integer");
  EXPECT_EQ(with("block_h", 16.5), "'block_h' is 16.5, not an integer");
  EXPECT_EQ(with("block_h", 1ll << 40), "'block_h' is 1099511627776, out of range");
  EXPECT_EQ(with("wave_split", 1), "'wave_split' is 1, which is no WaveSplit");
  EXPECT_EQ(with("wave_split", "strided"), "'wave_split' is \"strided\", which is no WaveSplit");
}

TEST(Params, EnumerationsAreFoundByTheirTypesName) {
  EXPECT_EQ(find_enumeration("WaveSplit"), enumeration_of(WaveSplit::keys));
  EXPECT_EQ(find_enumeration("SplitMap"), enumeration_of(SplitMap::strided));
  EXPECT_EQ(find_enumeration("Dequantise"), enumeration_of(Dequantise::at_use));
  EXPECT_EQ(find_enumeration("LoadPath"), enumeration_of(LoadPath::direct));
  EXPECT_EQ(find_enumeration("LdsLayout"), enumeration_of(LdsLayout::padded));
  EXPECT_EQ(find_enumeration("QueryIn"), enumeration_of(QueryIn::lds));
  EXPECT_EQ(find_enumeration("ValueRead"), enumeration_of(ValueRead::strided));
  EXPECT_EQ(find_enumeration("Wavesplit"), nullptr);
  EXPECT_EQ(enumerator_name(*find_enumeration("ValueRead"), 3), "strided");
  EXPECT_EQ(enumerator_name(*find_enumeration("ValueRead"), 4), "");
}

}  // namespace
}  // namespace mla
