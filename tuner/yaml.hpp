#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mla {

// A node of a YAML file that knows where it stands, for reading what users write: every accessor
// throws Error{usage} with file:line, what is wrong and what would be right. Cheap to copy.
class Yaml {
 public:
  // The root of the file, which must be a map.
  static Yaml load(const std::filesystem::path& file);
  // The same for text; `file` is what messages call it.
  static Yaml parse(const std::string& text, const std::string& file);

  std::string where() const;  // "configs/spaces/x.yaml:12"
  [[noreturn]] void fail(const std::string& what) const;

  bool is_map() const { return node_.IsMap(); }
  bool is_list() const { return node_.IsSequence(); }
  bool is_scalar() const { return node_.IsScalar(); }

  // Refuses a node that is no map, a key outside `keys` (naming the nearest one) and a key given
  // twice. `what` is how messages call the map: "a parameter".
  void allow(const std::vector<std::string>& keys, const std::string& what) const;
  Yaml operator[](const std::string& key) const;
  std::optional<Yaml> find(const std::string& key) const;
  // In the order of the file; refuses a key given twice.
  std::vector<std::pair<std::string, Yaml>> entries() const;
  std::vector<Yaml> items() const;

  std::string text() const;  // not empty
  std::int64_t integer(std::int64_t least, std::int64_t most) const;
  double positive() const;  // a number such as 8e12 or a quotient such as 2.01/128
  bool flag() const;        // true or false
  std::vector<std::int64_t> integers(std::int64_t least, std::int64_t most) const;  // maybe none

 private:
  Yaml(const YAML::Node& node, std::shared_ptr<const std::string> file, int line)
      : node_(node), file_(std::move(file)), line_(line) {}
  Yaml child(const YAML::Node& node) const;

  YAML::Node node_;
  std::shared_ptr<const std::string> file_;
  int line_;  // from 1
};

}  // namespace mla
