#pragma once

#include <string>
#include <vector>

#include "reports/facts.hpp"

namespace mla {

// One condition of a selector: what kind of thing, and which.
struct Condition {
  enum class Kind { release, session, device, driver, version, templates, file };
  Kind kind = Kind::release;
  std::string value = {};
  std::vector<int> places =
      {};  // in Facts' list of the kind; of driver: devices, of version and templates: sessions
};

// What one side of a comparison consists of: all conditions hold.
struct Selector {
  std::string text;  // as the user wrote it
  std::vector<Condition> conditions;
};

// Reads "rocm-6.4.3", "cuda-13.0", "release:6.4", "session:12", "device:3", "device:NVIDIA H200",
// "driver:580.65", "version:0.1.0", "templates:3f2a", "db:old.db", or several joined by commas. A
// release is named in full or by its beginning ("7.2" for 7.2.4); a device by its id (as listed),
// name or PCI id; a session by its id, templates by the beginning of their hash, a database by its
// path or place (from 1). Throws Error{usage} listing those
// that are there where nothing answers to the name, or more than one session does.
Selector parse_selector(const std::string& text, const Facts& facts);

bool selects(const Selector& selector, const FactRow& row);
// Code objects know their toolchain and their files alone.
bool selects(const Selector& selector, const FactCode& code);
// Whether a condition of this kind is among its own.
bool has(const Selector& selector, Condition::Kind kind);

// "rocm-6.4.3": how a toolchain is selected.
std::string release_name(const Toolchain& toolchain);

// Releases that have measurements of `arch` (empty: any), oldest first by version number.
std::vector<std::string> releases(const Facts& facts, const std::string& arch);

}  // namespace mla
