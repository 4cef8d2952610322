#pragma once

#include <array>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "kernels/device.hpp"

namespace mla {

// The parameters of a variant under the names the YAML spaces, the database and `lookup` use: the
// fields of Config and Splits by their own names, those of ReduceConfig as reduce_<field>.
// Enumerations are written by enumerator name.

struct Enumerator {
  std::string_view name;
  int value;
};

struct Enumeration {
  std::string_view name;  // of the C++ type: "WaveSplit"
  std::span<const Enumerator> values;
};

// Every enumeration a parameter may have. Static storage.
std::span<const Enumeration> enumerations();
// Null where there is no such type.
const Enumeration* find_enumeration(std::string_view type);
// The name of `value`; empty where the enumeration has none such.
std::string_view enumerator_name(const Enumeration& type, int value);

// The type of an enumerated field; null for an int.
const Enumeration* enumeration_of(int);
const Enumeration* enumeration_of(WaveSplit);
const Enumeration* enumeration_of(SplitMap);
const Enumeration* enumeration_of(Dequantise);
const Enumeration* enumeration_of(LoadPath);
const Enumeration* enumeration_of(LdsLayout);
const Enumeration* enumeration_of(QueryIn);
const Enumeration* enumeration_of(ValueRead);
const Enumeration* enumeration_of(Merge);
const Enumeration* enumeration_of(GridOrder);

// Call f(name, field) for each field, in order of declaration: the order designated initialisers
// need.
template <class C, class F>
void for_each_config_field(C& c, F&& f) {
  f("block_h", c.block_h);
  f("block_k", c.block_k);
  f("waves", c.waves);
  f("wave_split", c.wave_split);
  f("mfma", c.mfma);
  f("stages", c.stages);
  f("prefetch", c.prefetch);
  f("dequantise", c.dequantise);
  f("load_path", c.load_path);
  f("load_width", c.load_width);
  f("lds_layout", c.lds_layout);
  f("query_in", c.query_in);
  f("value_read", c.value_read);
  f("waves_per_eu", c.waves_per_eu);
  f("unroll", c.unroll);
  f("rescale_threshold", c.rescale_threshold);
  f("cluster", c.cluster);
  f("merge", c.merge);
}
static_assert(sizeof(Config) == 18 * sizeof(int), "list the new field of Config above");

template <class S, class F>
void for_each_splits_field(S& s, F&& f) {
  f("split_main", s.split_main);
  f("split_extra", s.split_extra);
  f("split_map", s.split_map);
  f("grid_order", s.grid_order);
}
static_assert(sizeof(Splits) == 4 * sizeof(int), "list the new field of Splits above");

template <class R, class F>
void for_each_reduce_field(R& r, F&& f) {
  f("block_h", r.block_h);
  f("waves", r.waves);
}
static_assert(sizeof(ReduceConfig) == 2 * sizeof(int), "list the new field of ReduceConfig above");

// What a parameter is where JSON leaves it out: what every variant did before there was such a
// parameter. None for those that are never left out.
std::optional<int> value_before(std::string_view parameter);

// Canonical JSON of a variant: keys sorted, no spaces. A parameter with its value_before() is left
// out, so that variants keep the ids they are stored under.
std::string variant_params(const Launch& launch);

// The same JSON with nothing left out, for tables in which every variant has every parameter.
// `params` is an object.
std::string all_params(std::string_view params);
// Its inverse: what variant_params() leaves out is left out.
std::string canonical_params(std::string_view params);

// The inverse of variant_params(). Throws Error{database} naming the key for text that is no JSON
// object, an unknown or missing key, a value of the wrong kind, an unknown enumerator.
Launch variant_launch(std::string_view params);

}  // namespace mla
