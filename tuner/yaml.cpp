#include "tuner/yaml.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cmath>
#include <cstring>
#include <fstream>
#include <set>
#include <sstream>

#include "db/error.hpp"
#include "tuner/suggest.hpp"

namespace mla {
namespace {

constexpr std::size_t kMaxBytes = 1 << 20;  // a configuration is written by hand

template <class T>
std::optional<T> number(std::string_view text) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

Yaml Yaml::load(const std::filesystem::path& file) {
  const auto refuse = [&](const std::string& why) {
    throw Error(ErrorKind::usage, fmt::format("{}: cannot be read: {}", file.string(), why));
  };
  std::error_code ignored;
  if (std::filesystem::is_directory(file, ignored)) refuse("it is a folder; name a YAML file");
  errno = 0;
  std::ifstream in(file, std::ios::binary);
  if (!in) refuse(std::strerror(errno != 0 ? errno : ENOENT));
  std::string text(kMaxBytes, '\0');
  in.read(text.data(), static_cast<std::streamsize>(text.size()));
  text.resize(static_cast<std::size_t>(in.gcount()));
  if (text.size() == kMaxBytes) refuse("it is larger than a megabyte; is it a YAML file?");
  return parse(text, file.string());
}

Yaml Yaml::parse(const std::string& text, const std::string& file) {
  try {
    Yaml root(YAML::Load(text), std::make_shared<const std::string>(file), 1);
    if (!root.is_map()) root.fail("the file must hold a map of keys and values");
    return root;
  } catch (const YAML::Exception& e) {
    throw Error(ErrorKind::usage, fmt::format("{}:{}: not valid YAML at column {}: {}", file,
                                              e.mark.line + 1, e.mark.column + 1, e.msg));
  }
}

Yaml Yaml::child(const YAML::Node& node) const {
  // A null node has no place of its own: its parent's is near enough.
  return {node, file_, node.Mark().line < 0 ? line_ : node.Mark().line + 1};
}

std::string Yaml::where() const { return fmt::format("{}:{}", *file_, line_); }

void Yaml::fail(const std::string& what) const {
  throw Error(ErrorKind::usage, where() + ": " + what);
}

void Yaml::allow(const std::vector<std::string>& keys, const std::string& what) const {
  if (!is_map()) fail(fmt::format("{} must be a map of keys and values", what));
  for (const auto& [key, value] : entries())
    if (std::find(keys.begin(), keys.end(), key) == keys.end())
      value.fail(fmt::format("{} has no key '{}'{}", what, key, suggestion(key, keys)));
}

std::optional<Yaml> Yaml::find(const std::string& key) const {
  if (!is_map()) fail("a map of keys and values is expected here");
  const YAML::Node found = node_[key];
  if (!found.IsDefined()) return std::nullopt;
  return child(found);
}

Yaml Yaml::operator[](const std::string& key) const {
  if (auto found = find(key)) return *found;
  fail(fmt::format("the key '{}' is missing", key));
}

std::vector<std::pair<std::string, Yaml>> Yaml::entries() const {
  if (!is_map()) fail("a map of keys and values is expected here");
  std::vector<std::pair<std::string, Yaml>> entries;
  std::set<std::string> seen;
  for (const auto& pair : node_) {
    // The key's place, because a value may start lines below it.
    const Yaml key = child(pair.first);
    if (!key.is_scalar()) key.fail("a key must be a name");
    if (!seen.insert(pair.first.Scalar()).second)
      key.fail(fmt::format("the key '{}' is given twice", pair.first.Scalar()));
    Yaml value = child(pair.second);
    value.line_ = key.line_;
    entries.emplace_back(pair.first.Scalar(), value);
  }
  return entries;
}

std::vector<Yaml> Yaml::items() const {
  if (!is_list()) fail("a list is expected here");
  std::vector<Yaml> items;
  for (const auto& item : node_) items.push_back(child(item));
  return items;
}

std::string Yaml::text() const {
  if (!is_scalar() || node_.Scalar().empty()) fail("a text is expected here");
  return node_.Scalar();
}

std::int64_t Yaml::integer(std::int64_t least, std::int64_t most) const {
  const auto value = is_scalar() ? number<std::int64_t>(node_.Scalar()) : std::nullopt;
  if (!value || *value < least || *value > most)
    fail(fmt::format("an integer from {} to {} is expected{}", least, most,
                     is_scalar() ? ", not '" + node_.Scalar() + "'" : ""));
  return *value;
}

double Yaml::positive() const {
  if (is_scalar()) {
    const std::string_view text = node_.Scalar();
    const std::size_t slash = text.find('/');
    const auto dividend = number<double>(text.substr(0, slash));
    const auto divisor =
        slash == std::string_view::npos ? 1.0 : number<double>(text.substr(slash + 1));
    if (dividend && divisor)
      if (const double value = *dividend / *divisor; std::isfinite(value) && value > 0)
        return value;
  }
  fail(fmt::format("a positive number (8e12, 2.01/128) is expected{}",
                   is_scalar() ? ", not '" + node_.Scalar() + "'" : ""));
}

bool Yaml::flag() const {
  if (is_scalar() && node_.Scalar() == "true") return true;
  if (is_scalar() && node_.Scalar() == "false") return false;
  fail(fmt::format("true or false is expected{}",
                   is_scalar() ? ", not '" + node_.Scalar() + "'" : ""));
}

std::vector<std::int64_t> Yaml::integers(std::int64_t least, std::int64_t most) const {
  std::vector<std::int64_t> values;
  for (const Yaml& item : items()) {
    values.push_back(item.integer(least, most));
    if (std::count(values.begin(), values.end(), values.back()) > 1)
      item.fail(fmt::format("{} is listed twice", values.back()));
  }
  return values;
}

}  // namespace mla
