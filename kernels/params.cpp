#include "kernels/params.hpp"

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <set>

#include "db/error.hpp"

namespace mla {
namespace {

template <class E>
constexpr Enumerator entry(std::string_view name, E value) {
  return {name, static_cast<int>(value)};
}

constexpr Enumerator kWaveSplit[] = {
    entry("keys", WaveSplit::keys), entry("heads", WaveSplit::heads),
    entry("columns", WaveSplit::columns), entry("weights", WaveSplit::weights)};
constexpr Enumerator kSplitMap[] = {entry("contiguous", SplitMap::contiguous),
                                    entry("strided", SplitMap::strided)};
constexpr Enumerator kDequantise[] = {entry("at_store", Dequantise::at_store),
                                      entry("at_use", Dequantise::at_use)};
constexpr Enumerator kLoadPath[] = {entry("registers", LoadPath::registers),
                                    entry("direct", LoadPath::direct)};
constexpr Enumerator kLdsLayout[] = {entry("linear", LdsLayout::linear),
                                     entry("padded", LdsLayout::padded),
                                     entry("swizzled", LdsLayout::swizzled)};
constexpr Enumerator kQueryIn[] = {entry("registers", QueryIn::registers),
                                   entry("lds", QueryIn::lds)};
constexpr Enumerator kValueRead[] = {entry("transposing", ValueRead::transposing),
                                     entry("permuting", ValueRead::permuting),
                                     entry("strided", ValueRead::strided)};

constexpr Enumeration kEnumerations[] = {
    {"WaveSplit", kWaveSplit}, {"SplitMap", kSplitMap},   {"Dequantise", kDequantise},
    {"LoadPath", kLoadPath},   {"LdsLayout", kLdsLayout}, {"QueryIn", kQueryIn},
    {"ValueRead", kValueRead},
};

template <class F>
void for_each_field(auto& launch, F&& f) {
  for_each_config_field(launch.config, f);
  for_each_splits_field(launch.splits, f);
  for_each_reduce_field(launch.reduce, [&](const char* name, auto& field) {
    f(std::string("reduce_") + name, field);
  });
}

[[noreturn]] void refuse(const std::string& what) {
  throw Error(ErrorKind::database,
              "the parameters of a variant cannot be read: " + what +
                  "; they were written by another version of mla-tune or edited by hand: tune "
                  "again with this version");
}

void read_field(const nlohmann::json& value, const std::string& name, auto& field) {
  const Enumeration* type = enumeration_of(field);
  if (type == nullptr) {
    if (!value.is_number_integer())
      refuse(fmt::format("'{}' is {}, not an integer", name, value.dump()));
    const auto number = value.get<std::int64_t>();
    if (number < -1'000'000 || number > 1'000'000)
      refuse(fmt::format("'{}' is {}, out of range", name, number));
    field = static_cast<std::remove_reference_t<decltype(field)>>(number);
    return;
  }
  if (value.is_string())
    for (const Enumerator& e : type->values)
      if (e.name == value.get_ref<const std::string&>()) {
        field = static_cast<std::remove_reference_t<decltype(field)>>(e.value);
        return;
      }
  refuse(fmt::format("'{}' is {}, which is no {}", name, value.dump(), type->name));
}

}  // namespace

std::span<const Enumeration> enumerations() { return kEnumerations; }

const Enumeration* find_enumeration(std::string_view type) {
  for (const Enumeration& e : kEnumerations)
    if (e.name == type) return &e;
  return nullptr;
}

std::string_view enumerator_name(const Enumeration& type, int value) {
  for (const Enumerator& e : type.values)
    if (e.value == value) return e.name;
  return {};
}

const Enumeration* enumeration_of(int) { return nullptr; }
const Enumeration* enumeration_of(WaveSplit) { return &kEnumerations[0]; }
const Enumeration* enumeration_of(SplitMap) { return &kEnumerations[1]; }
const Enumeration* enumeration_of(Dequantise) { return &kEnumerations[2]; }
const Enumeration* enumeration_of(LoadPath) { return &kEnumerations[3]; }
const Enumeration* enumeration_of(LdsLayout) { return &kEnumerations[4]; }
const Enumeration* enumeration_of(QueryIn) { return &kEnumerations[5]; }
const Enumeration* enumeration_of(ValueRead) { return &kEnumerations[6]; }

std::string variant_params(const Launch& launch) {
  nlohmann::json params = nlohmann::json::object();  // a std::map underneath: its keys are sorted
  for_each_field(launch, [&](const std::string& name, auto field) {
    if (const Enumeration* type = enumeration_of(field))
      params[name] = enumerator_name(*type, static_cast<int>(field));
    else
      params[name] = static_cast<int>(field);
  });
  return params.dump();
}

Launch variant_launch(std::string_view text) {
  const nlohmann::json params = nlohmann::json::parse(text, nullptr, false);
  if (!params.is_object()) refuse("not a JSON object");
  Launch launch{};
  std::set<std::string> known;
  for_each_field(launch, [&](const std::string& name, auto& field) {
    known.insert(name);
    const auto found = params.find(name);
    if (found == params.end()) refuse("'" + name + "' is missing");
    read_field(*found, name, field);
  });
  for (const auto& [name, value] : params.items())
    if (!known.contains(name)) refuse("'" + name + "' is no parameter");
  return launch;
}

}  // namespace mla
