#include "reports/select.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>

#include "db/error.hpp"

namespace mla {
namespace {

using Kind = Condition::Kind;

std::string family(const Toolchain& toolchain) {
  if (toolchain.compiler == "hiprtc") return "rocm";
  if (toolchain.compiler == "nvrtc") return "cuda";
  return toolchain.compiler;
}

// "7.2" stands for 7.2.4, not for 7.20.
bool is_release(const std::string& release, const std::string& wanted) {
  return release == wanted || release.starts_with(wanted + ".");
}

std::vector<int> numbers_of(const std::string& version) {
  std::vector<int> numbers;
  const char* end = version.data() + version.size();
  for (const char* at = version.data(); at < end;) {
    int number = 0;
    const auto [next, error] = std::from_chars(at, end, number);
    if (error == std::errc()) numbers.push_back(number);
    at = error == std::errc() ? next : at + 1;
  }
  return numbers;
}

template <class List>
std::string listed(const List& items) {
  return items.empty() ? "none" : fmt::format("{}", fmt::join(items, ", "));
}

// Hash of the templates that a session compiled; empty: not recorded.
std::string templates_of(const Session& session) {
  const auto conditions = nlohmann::json::parse(session.conditions, nullptr, false);
  const auto at = conditions.is_object() ? conditions.find("templates") : conditions.end();
  return at != conditions.end() && at->is_string() ? at->get<std::string>() : "";
}

// All that answer to a condition, and the names of all that could.
class Lookup {
 public:
  Lookup(const Facts& facts, Condition& condition) : facts_(facts), condition_(condition) {}

  void find(const std::string& prefix) {
    switch (condition_.kind) {
      case Kind::release:
        return find_release(prefix);
      case Kind::session:
        return find_session();
      case Kind::device:
        return find_device();
      case Kind::driver:
        return find_driver();
      case Kind::version:
        return find_version();
      case Kind::templates:
        return find_templates();
      case Kind::file:
        return find_file();
    }
  }
  std::string there() const { return listed(names_); }

 private:
  void offer(std::size_t place, bool answers, std::string name) {
    if (answers) condition_.places.push_back(static_cast<int>(place));
    if (std::ranges::find(names_, name) == names_.end()) names_.push_back(std::move(name));
  }
  void find_release(const std::string& prefix) {
    for (std::size_t i = 0; i < facts_.toolchains.size(); ++i) {
      const Toolchain& one = facts_.toolchains[i];
      const bool family_fits = prefix == "release" || prefix == family(one);
      offer(i, family_fits && is_release(one.release, condition_.value), release_name(one));
    }
  }
  void find_session() {
    for (std::size_t i = 0; i < facts_.sessions.size(); ++i) {
      const auto& [session, file] = facts_.sessions[i];
      offer(i, std::to_string(session.id) == condition_.value,
            fmt::format("{}session:{} ({})",
                        facts_.files.size() > 1 ? fmt::format("db:{},", file + 1) : "", session.id,
                        session.started));
    }
  }
  void find_device() {
    for (std::size_t i = 0; i < facts_.devices.size(); ++i) {
      const Device& device = facts_.devices[i];
      const std::string& value = condition_.value;
      offer(i, value == std::to_string(i + 1) || value == device.name || value == device.pci_id,
            fmt::format("device:{} ({}{}{})", i + 1, device.name,
                        device.pci_id.empty() ? "" : " at ", device.pci_id));
    }
  }
  void find_driver() {
    for (std::size_t i = 0; i < facts_.devices.size(); ++i) {
      const std::string& driver = facts_.devices[i].driver;
      if (!driver.empty())
        offer(i, is_release(driver, condition_.value), fmt::format("driver:{}", driver));
    }
  }
  void find_version() {
    for (std::size_t i = 0; i < facts_.sessions.size(); ++i) {
      const std::string& version = facts_.sessions[i].session.version;
      offer(i, version == condition_.value, fmt::format("version:{}", version));
    }
  }
  void find_templates() {
    for (std::size_t i = 0; i < facts_.sessions.size(); ++i) {
      const std::string templates = templates_of(facts_.sessions[i].session);
      if (!templates.empty())
        offer(i, !condition_.value.empty() && templates.starts_with(condition_.value),
              fmt::format("templates:{}", templates));
    }
  }
  void find_file() {
    for (std::size_t i = 0; i < facts_.files.size(); ++i) {
      const std::string path = facts_.files[i].path.string();
      offer(i, condition_.value == std::to_string(i + 1) || condition_.value == path,
            fmt::format("db:{} ({})", i + 1, path));
    }
  }

  const Facts& facts_;
  Condition& condition_;
  std::vector<std::string> names_;
};

Condition parse_condition(const std::string& text, const Facts& facts) {
  Condition condition;
  std::string prefix = text.substr(0, text.find(':'));
  const bool has_colon = prefix.size() < text.size();
  if (has_colon) condition.value = text.substr(prefix.size() + 1);
  if (prefix == "session")
    condition.kind = Kind::session;
  else if (prefix == "device")
    condition.kind = Kind::device;
  else if (prefix == "driver")
    condition.kind = Kind::driver;
  else if (prefix == "version")
    condition.kind = Kind::version;
  else if (prefix == "templates")
    condition.kind = Kind::templates;
  else if (prefix == "db")
    condition.kind = Kind::file;
  else if (!has_colon && text.find('-') != std::string::npos) {
    const std::size_t dash = text.rfind('-');
    prefix = text.substr(0, dash);
    condition.value = text.substr(dash + 1);
  } else if (prefix != "release" || !has_colon) {
    throw Error(
        ErrorKind::usage,
        fmt::format(
            "'{}' selects nothing: write rocm-6.4.3, release:6.4.3, session:ID, "
            "device:ID, driver:VERSION, version:VERSION, templates:HASH or db:FILE. There are: "
            "{}",
            text, listed(releases(facts, ""))));
  }
  Lookup lookup(facts, condition);
  lookup.find(prefix);
  if (condition.places.empty())
    throw Error(ErrorKind::usage,
                fmt::format("there is no {} in the database; there are: {}", text, lookup.there()));
  return condition;
}

bool among(const std::vector<int>& places, std::int64_t place) {
  return std::ranges::find(places, static_cast<int>(place)) != places.end();
}

}  // namespace

std::string release_name(const Toolchain& toolchain) {
  return fmt::format("{}-{}", family(toolchain), toolchain.release);
}

Selector parse_selector(const std::string& text, const Facts& facts) {
  Selector selector{text, {}};
  for (std::size_t from = 0; from <= text.size();) {
    const std::size_t comma = std::min(text.find(',', from), text.size());
    selector.conditions.push_back(parse_condition(text.substr(from, comma - from), facts));
    from = comma + 1;
  }
  for (const Condition& condition : selector.conditions)
    if (condition.kind == Kind::session && condition.places.size() > 1 &&
        !has(selector, Kind::file))
      throw Error(ErrorKind::usage,
                  fmt::format("several databases have a session {0}: write db:1,session:{0} for "
                              "that of the first",
                              condition.value));
  return selector;
}

bool selects(const Selector& selector, const FactRow& row) {
  return std::ranges::all_of(selector.conditions, [&](const Condition& condition) {
    switch (condition.kind) {
      case Kind::release:
        return among(condition.places, row.trial.toolchain_id);
      case Kind::session:
      case Kind::version:
      case Kind::templates:
        return among(condition.places, row.trial.session_id);
      case Kind::device:
      case Kind::driver:
        return among(condition.places, row.trial.device_id);
      case Kind::file:
        return among(condition.places, row.file);
    }
    return false;
  });
}

bool selects(const Selector& selector, const FactCode& code) {
  return std::ranges::all_of(selector.conditions, [&](const Condition& condition) {
    if (condition.kind == Kind::release) return among(condition.places, code.code.toolchain_id);
    if (condition.kind != Kind::file) return true;
    return std::ranges::any_of(code.files, [&](int file) { return among(condition.places, file); });
  });
}

bool has(const Selector& selector, Condition::Kind kind) {
  return std::ranges::any_of(selector.conditions,
                             [&](const Condition& one) { return one.kind == kind; });
}

std::vector<std::string> releases(const Facts& facts, const std::string& arch) {
  std::set<std::int64_t> used;
  for (const FactRow& row : facts.rows)
    if (arch.empty() || facts.devices[static_cast<std::size_t>(row.trial.device_id)].arch == arch)
      used.insert(row.trial.toolchain_id);
  std::vector<Toolchain> toolchains;
  for (const std::int64_t place : used)
    toolchains.push_back(facts.toolchains[static_cast<std::size_t>(place)]);
  std::ranges::sort(toolchains, {}, [](const Toolchain& one) {
    return std::pair(family(one), numbers_of(one.release));
  });
  std::vector<std::string> names;
  for (const Toolchain& one : toolchains)
    if (std::string name = release_name(one); std::ranges::find(names, name) == names.end())
      names.push_back(std::move(name));
  return names;
}

}  // namespace mla
