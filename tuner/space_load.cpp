// From configs/spaces/<kernel>.yaml to a Space.

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "db/error.hpp"
#include "tuner/space.hpp"
#include "tuner/suggest.hpp"
#include "tuner/yaml.hpp"

namespace mla {
namespace {

constexpr std::string_view kReducePrefix = "reduce_";

// What has been read so far, and the names that expressions may use.
struct Reading {
  std::filesystem::path folder;
  const Arch& arch;
  SpaceParts parts;
  Symbols symbols;
};

std::string prefixed(const std::string& name) { return std::string(kReducePrefix) + name; }

bool is_identifier(const std::string& name) {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || c == '_'; };
  const auto rest = [&](char c) { return letter(c) || (c >= '0' && c <= '9'); };
  return letter(name[0]) && std::all_of(name.begin(), name.end(), rest);
}

// A name that could not be told from another would change what a constraint says.
void check_name(const Yaml& place, const std::string& name, const Symbols& symbols) {
  if (name.empty() || !is_identifier(name))
    place.fail(fmt::format("'{}' is no name: use a-z, 0-9 and _", name));
  for (const char* word :
       {"and", "or", "not", "in", "if", "min", "max", "ceil_div", "true", "false", "arch"})
    if (name == word) place.fail(fmt::format("'{}' is a word of the expressions", name));
  if (symbols.contains(name)) place.fail(fmt::format("'{}' is already a name", name));
  for (const Enumeration& type : enumerations())
    for (const Enumerator& e : type.values)
      if (e.name == name)
        place.fail(fmt::format("'{}' would hide the enumerator of {}", name, type.name));
}

const Enumeration* read_enumeration(const Yaml& parameter) {
  const auto type = parameter.find("enum");
  if (!type) return nullptr;
  if (const Enumeration* found = find_enumeration(type->text())) return found;
  std::vector<std::string> known;
  for (const Enumeration& e : enumerations()) known.emplace_back(e.name);
  type->fail(
      fmt::format("unknown enumeration '{}'{}", type->text(), suggestion(type->text(), known)));
}

// `values: [..]`, or by arch with an optional default: `values: {gfx942: [4], default: [4, 16]}`.
Yaml values_for(const Yaml& parameter, const std::string& arch) {
  const Yaml values = parameter["values"];
  if (!values.is_map()) return values;
  values.entries();  // refuses an arch given twice
  if (const auto own = values.find(arch)) return *own;
  if (const auto others = values.find("default")) return *others;
  values.fail(fmt::format("no values for {}: add '{}:' or 'default:'", arch, arch));
}

std::vector<int> read_values(const Yaml& list, const Enumeration* type) {
  std::vector<int> values;
  if (type == nullptr) {
    for (const std::int64_t value : list.integers(-1'000'000, 1'000'000))
      values.push_back(static_cast<int>(value));
  } else {
    std::vector<std::string> known;
    for (const Enumerator& e : type->values) known.emplace_back(e.name);
    for (const Yaml& item : list.items()) {
      const auto found = std::find(known.begin(), known.end(), item.text());
      if (found == known.end())
        item.fail(fmt::format("'{}' is no {}{}", item.text(), type->name,
                              suggestion(item.text(), known)));
      const int value = type->values[static_cast<std::size_t>(found - known.begin())].value;
      if (std::find(values.begin(), values.end(), value) != values.end())
        item.fail(fmt::format("'{}' is listed twice", item.text()));
      values.push_back(value);
    }
  }
  if (values.empty()) list.fail("a parameter needs at least one value");
  return values;
}

Changes read_changes(const Yaml& parameter) {
  const Yaml changes = parameter["changes"];
  const std::string text = changes.text();
  if (text == "code") return Changes::code;
  if (text == "launch") return Changes::launch;
  if (text == "reduce") return Changes::reduce;
  changes.fail(fmt::format("'{}' is no kind of change{}", text,
                           suggestion(text, {"code", "launch", "reduce"})));
}

void read_parameters(const Yaml& root, Reading& reading) {
  std::vector<Parameter>& parameters = reading.parts.parameters;
  for (const auto& [name, node] : root["parameters"].entries()) {
    check_name(node, name, reading.symbols);
    node.allow({"changes", "values", "enum", "about"}, fmt::format("parameter '{}'", name));
    Parameter parameter{name, read_enumeration(node), {}, read_changes(node)};
    parameter.values = read_values(values_for(node, reading.arch.name), parameter.enumeration);
    if ((parameter.changes == Changes::reduce) != name.starts_with(kReducePrefix))
      node.fail(
          fmt::format("parameter '{}': those of the reduce kernel, and only those, are named "
                      "{}... and have changes: reduce",
                      name, kReducePrefix));
    if (parameter.changes == Changes::reduce && reading.parts.reduce.empty())
      node.fail(
          fmt::format("parameter '{}': name the reduce kernel's space: 'reduce: <kernel>'", name));
    reading.symbols[name] = {};  // taken; its slot is known once all are read
    parameters.push_back(std::move(parameter));
  }
  if (parameters.empty()) root["parameters"].fail("a space needs at least one parameter");
  // Code parameters first, so that a walk meets each code object once.
  std::stable_sort(parameters.begin(), parameters.end(),
                   [](const Parameter& a, const Parameter& b) { return a.changes < b.changes; });
  for (std::size_t i = 0; i < parameters.size(); ++i)
    reading.symbols[parameters[i].name] = {
        parameters[i].enumeration != nullptr ? ValueType::enumeration : ValueType::number,
        static_cast<int>(i),
        0,
        parameters[i].enumeration,
        {}};
}

// `prefix` goes in front of the names kept for messages and counts: "" or "sparse_mla_reduce.".
void read_lets(const Yaml& root, const std::string& prefix, Symbols& symbols, SpaceParts& parts) {
  const auto lets = root.find("let");
  if (!lets) return;
  for (const auto& [name, node] : lets->entries()) {
    check_name(node, name, symbols);
    const int slot = static_cast<int>(parts.parameters.size() + parts.lets.size());
    Expression expression =
        Expression::parse(node.text(), symbols, fmt::format("{}: let '{}'", node.where(), name));
    symbols[name] = {expression.type(), slot, 0, expression.enumeration(), {}};
    parts.lets.push_back({prefix + name, slot, std::move(expression)});
  }
}

void read_constraints(const Yaml& root, const std::string& prefix, const Symbols& symbols,
                      SpaceParts& parts) {
  const auto constraints = root.find("constraints");
  if (!constraints) return;
  std::set<std::string> names;
  for (const Yaml& node : constraints->items()) {
    node.allow({"name", "expr", "because"}, "a constraint");
    const std::string name = node["name"].text();
    if (!names.insert(name).second)
      node["name"].fail(fmt::format("there is another constraint '{}'", name));
    const Yaml text = node["expr"];
    Expression expression = Expression::parse(
        text.text(), symbols, fmt::format("{}: constraint '{}'", text.where(), name));
    if (expression.type() != ValueType::truth)
      text.fail(fmt::format("constraint '{}': `{}` is a value, not a condition: compare it", name,
                            expression.text()));
    parts.constraints.push_back(
        {prefix + name, std::move(expression), node["because"].text(), node.where()});
  }
}

void read_tolerance(const Yaml& root, SpaceParts& parts) {
  const auto node = root.find("tolerance");
  if (!node) return;
  node->allow({"absolute", "relative", "cosine_gap", "lse_absolute", "lse_relative", "because"},
              "tolerance");
  const auto read = [&](const char* key, double& value) {
    if (const auto given = node->find(key)) value = given->positive();
  };
  read("absolute", parts.tolerance.absolute);
  read("relative", parts.tolerance.relative);
  read("cosine_gap", parts.tolerance.cosine_gap);
  read("lse_absolute", parts.tolerance.lse_absolute);
  read("lse_relative", parts.tolerance.lse_relative);
  parts.tolerance_because = (*node)["because"].text();
}

Yaml open(const std::filesystem::path& folder, const std::string& kernel) {
  const Yaml root = Yaml::load(folder / (kernel + ".yaml"));
  root.allow({"kernel", "reduce", "parameters", "let", "constraints", "tolerance"}, "a space");
  if (const Yaml name = root["kernel"]; name.text() != kernel)
    name.fail(fmt::format("the file's name says '{}', this says '{}'", kernel, name.text()));
  return root;
}

// A point is admissible only if its reduce parameters are in the reduce kernel's own space: that
// space's constraints are read again, its names standing for ours with the prefix.
void read_reduce(const Yaml& root, Reading& reading) {
  SpaceParts& parts = reading.parts;
  const Yaml reduce_root = open(reading.folder, parts.reduce);
  Reading reduce{reading.folder, reading.arch, {}, arch_symbols(reading.arch)};
  read_parameters(reduce_root, reduce);

  Symbols symbols = arch_symbols(reading.arch);
  std::vector<std::string> known;
  for (const Parameter& theirs : reduce.parts.parameters) {
    known.push_back(prefixed(theirs.name));
    const auto ours = reading.symbols.find(known.back());
    if (ours == reading.symbols.end())
      root["parameters"].fail(fmt::format("the parameter '{}' is missing: {} takes '{}'",
                                          known.back(), parts.reduce, theirs.name));
    symbols[theirs.name] = ours->second;
  }
  for (const Parameter& ours : parts.parameters) {
    if (ours.changes != Changes::reduce) continue;
    const Yaml place = root["parameters"][ours.name];
    const auto at = std::find(known.begin(), known.end(), ours.name);
    if (at == known.end())
      place.fail(fmt::format("{} has no such parameter '{}'{}", parts.reduce, ours.name,
                             suggestion(ours.name, known)));
    const Parameter& theirs =
        *std::find_if(reduce.parts.parameters.begin(), reduce.parts.parameters.end(),
                      [&](const Parameter& p) { return prefixed(p.name) == *at; });
    if (ours.enumeration != theirs.enumeration)
      place.fail(fmt::format("'{}' must have the type it has in {}", ours.name, parts.reduce));
    for (const int value : ours.values)
      if (std::find(theirs.values.begin(), theirs.values.end(), value) == theirs.values.end())
        place.fail(fmt::format("{} is no value of '{}' in {}", value, theirs.name, parts.reduce));
  }
  read_lets(reduce_root, parts.reduce + ".", symbols, parts);
  read_constraints(reduce_root, parts.reduce + ".", symbols, parts);
}

}  // namespace

Space Space::load(const std::filesystem::path& configs, const std::string& kernel,
                  const Arch& arch) {
  Reading reading{configs / "spaces", arch, {}, arch_symbols(arch)};
  const Yaml root = open(reading.folder, kernel);
  SpaceParts& parts = reading.parts;
  parts.file = (reading.folder / (kernel + ".yaml")).string();
  parts.kernel = kernel;
  parts.arch = arch.name;
  if (const auto reduce = root.find("reduce")) {
    parts.reduce = reduce->text();
    if (!is_identifier(parts.reduce) ||
        !std::filesystem::exists(reading.folder / (parts.reduce + ".yaml")))
      reduce->fail(
          fmt::format("there is no space '{0}': no {0}.yaml beside this file", parts.reduce));
  }
  read_parameters(root, reading);
  read_lets(root, "", reading.symbols, parts);
  read_constraints(root, "", reading.symbols, parts);
  if (!parts.reduce.empty()) read_reduce(root, reading);
  read_tolerance(root, parts);
  return Space(std::move(parts));
}

}  // namespace mla
