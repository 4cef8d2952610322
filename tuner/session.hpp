#pragma once

#include <cstdint>
#include <string>

#include "db/records.hpp"

namespace mla {

// The record of a run that begins: its command line, this program's version, an identity that no
// other run has, and what a reader needs to trust the numbers (host, cores, load, governor).
// `templates`: which ones it compiles, by hash_of(); empty: none.
Session new_session(const std::string& command, std::uint64_t seed,
                    const std::string& templates = {});

}  // namespace mla
