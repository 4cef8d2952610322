#include "kernels/params.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
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
    entry("keys", WaveSplit::keys),       entry("heads", WaveSplit::heads),
    entry("columns", WaveSplit::columns), entry("weights", WaveSplit::weights),
    entry("blocks", WaveSplit::blocks),   entry("roles", WaveSplit::roles),
    entry("scorers", WaveSplit::scorers), entry("rows", WaveSplit::rows)};
constexpr Enumerator kSplitMap[] = {entry("contiguous", SplitMap::contiguous),
                                    entry("strided", SplitMap::strided)};
constexpr Enumerator kDequantise[] = {entry("at_store", Dequantise::at_store),
                                      entry("at_use", Dequantise::at_use)};
constexpr Enumerator kLoadPath[] = {entry("registers", LoadPath::registers),
                                    entry("direct", LoadPath::direct),
                                    entry("bulk", LoadPath::bulk)};
constexpr Enumerator kLdsLayout[] = {entry("linear", LdsLayout::linear),
                                     entry("padded", LdsLayout::padded),
                                     entry("swizzled", LdsLayout::swizzled)};
constexpr Enumerator kQueryIn[] = {entry("registers", QueryIn::registers),
                                   entry("lds", QueryIn::lds)};
constexpr Enumerator kValueRead[] = {entry("transposing", ValueRead::transposing),
                                     entry("permuting", ValueRead::permuting),
                                     entry("strided", ValueRead::strided)};
constexpr Enumerator kGridOrder[] = {entry("tokens", GridOrder::tokens),
                                     entry("heads", GridOrder::heads)};
constexpr Enumerator kMerge[] = {entry("kernel", Merge::kernel), entry("last", Merge::last)};

constexpr Enumeration kEnumerations[] = {
    {"WaveSplit", kWaveSplit}, {"SplitMap", kSplitMap},   {"Dequantise", kDequantise},
    {"LoadPath", kLoadPath},   {"LdsLayout", kLdsLayout}, {"QueryIn", kQueryIn},
    {"ValueRead", kValueRead}, {"Merge", kMerge},         {"GridOrder", kGridOrder},
};

// The parameters that the first databases do not know.
struct Younger {
  const char* name;
  int before;
  const Enumeration* type;  // null: a number
};
constexpr Younger kYounger[] = {
    {"cluster", 1, nullptr},
    {"merge", static_cast<int>(Merge::kernel), &kEnumerations[7]},
    {"grid_order", static_cast<int>(GridOrder::tokens), &kEnumerations[8]}};

nlohmann::json json_before(const Younger& parameter) {
  if (parameter.type == nullptr) return parameter.before;
  return enumerator_name(*parameter.type, parameter.before);
}

constexpr int kLeastNumber = -1'000'000, kMostNumber = 1'000'000;

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
    if (number < kLeastNumber || number > kMostNumber)
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

// What stands before each value in what variant_params() writes of a variant without younger
// fields, in the order of the text, and where each field, in the order of for_each_field, lies
// there.
struct Layout {
  std::vector<std::string> labels;
  std::vector<std::size_t> places;
};

Layout canonical_layout() {
  std::vector<std::string> names;
  Launch any{};
  for_each_field(any, [&](const std::string& name, auto) { names.push_back(name); });
  std::vector<std::string> sorted = names;
  std::erase_if(sorted, [](const std::string& name) { return value_before(name).has_value(); });
  std::ranges::sort(sorted);
  Layout layout;
  for (const std::string& name : sorted)
    layout.labels.push_back((layout.labels.empty() ? "{\"" : ",\"") + name + "\":");
  for (const std::string& name : names)
    layout.places.push_back(
        static_cast<std::size_t>(std::ranges::find(sorted, name) - sorted.begin()));
  return layout;
}

bool read_plain(std::string_view value, auto& field) {
  using Field = std::remove_reference_t<decltype(field)>;
  const Enumeration* type = enumeration_of(field);
  if (type == nullptr) {
    int number = 0;
    const char* end = value.data() + value.size();
    const auto [read, error] = std::from_chars(value.data(), end, number);
    if (read != end || error != std::errc()) return false;
    if (number < kLeastNumber || number > kMostNumber) return false;
    field = static_cast<Field>(number);
    return true;
  }
  if (value.size() < 2 || value.front() != '"' || value.back() != '"') return false;
  for (const Enumerator& e : type->values)
    if (e.name == value.substr(1, value.size() - 2)) {
      field = static_cast<Field>(e.value);
      return true;
    }
  return false;
}

// Fills `launch` from what variant_params() wrote, in a hundredth of a general reader's time, which
// counts when a dispatcher opens. False, and `launch` half filled, for whatever else it may be.
bool read_canonical(std::string_view text, Launch& launch) {
  static const Layout layout = canonical_layout();
  std::array<std::string_view, 32> values;
  if (layout.labels.size() > values.size()) return false;
  auto value = values.begin();
  for (const std::string& label : layout.labels) {
    if (!text.starts_with(label)) return false;
    text.remove_prefix(label.size());
    *value = text.substr(0, text.find_first_of(",}"));
    text.remove_prefix(value++->size());
  }
  if (text != "}") return false;
  bool good = true;
  auto place = layout.places.begin();
  const auto read = [&](const char*, auto& field) {
    const std::size_t at = *place++;
    if (at < layout.labels.size()) good = good && read_plain(values[at], field);
  };
  for_each_config_field(launch.config, read);
  for_each_splits_field(launch.splits, read);
  for_each_reduce_field(launch.reduce, read);
  return good;
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
const Enumeration* enumeration_of(Merge) { return &kEnumerations[7]; }
const Enumeration* enumeration_of(GridOrder) { return &kEnumerations[8]; }

std::optional<int> value_before(std::string_view parameter) {
  for (const Younger& one : kYounger)
    if (parameter == one.name) return one.before;
  return {};
}

std::string all_params(std::string_view text) {
  nlohmann::json params = nlohmann::json::parse(text);
  for (const Younger& one : kYounger) params.emplace(one.name, json_before(one));
  return params.dump();
}

std::string canonical_params(std::string_view text) {
  nlohmann::json params = nlohmann::json::parse(text);
  for (const Younger& one : kYounger)
    if (const auto found = params.find(one.name);
        found != params.end() && *found == json_before(one))
      params.erase(found);
  return params.dump();
}

std::string variant_params(const Launch& launch) {
  nlohmann::json params = nlohmann::json::object();  // a std::map underneath: its keys are sorted
  for_each_field(launch, [&](const std::string& name, auto field) {
    if (value_before(name) == static_cast<int>(field)) return;
    if (const Enumeration* type = enumeration_of(field))
      params[name] = enumerator_name(*type, static_cast<int>(field));
    else
      params[name] = static_cast<int>(field);
  });
  return params.dump();
}

Launch variant_launch(std::string_view text) {
  Launch plain{};
  if (read_canonical(text, plain)) return plain;
  const nlohmann::json params = nlohmann::json::parse(text, nullptr, false);
  if (!params.is_object()) refuse("not a JSON object");
  Launch launch{};
  std::set<std::string> known;
  for_each_field(launch, [&](const std::string& name, auto& field) {
    known.insert(name);
    const auto found = params.find(name);
    if (found == params.end() && value_before(name)) return;  // which `launch` has
    if (found == params.end()) refuse("'" + name + "' is missing");
    read_field(*found, name, field);
  });
  for (const auto& [name, value] : params.items())
    if (!known.contains(name)) refuse("'" + name + "' is no parameter");
  return launch;
}

}  // namespace mla
