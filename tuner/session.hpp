#pragma once

#include <cstdint>
#include <string>

#include "db/records.hpp"

namespace mla {

// The record of a run that begins: its command line, this program's version, an identity that no
// other run has, and what a reader needs to trust the numbers (host, cores, load, governor).
Session new_session(const std::string& command, std::uint64_t seed);

}  // namespace mla
