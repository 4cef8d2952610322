#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tuner/shard.hpp"

namespace mla {

enum class DeviceChoice {
  automatic,  // the arch's GPU where there is one; else predictions, checked on the host
  gpu,        // that, or Error{device}
  host,       // predictions checked on the host, or for arch host times of the CPU
  none,       // compile and rank only: nothing is executed, so nothing can win
};

// What `mla-tune tune` was asked for.
struct TuneOptions {
  std::string arch = "gfx950";
  std::string shapes = {};  // file; empty: <configs>/shapes/quick.yaml
  std::string db = "mla-tune.db";
  DeviceChoice device = DeviceChoice::automatic;
  int jobs = 0;  // helper processes; 0: one per core
  // Time to spend on compiling with `jobs` helpers. What the database's code objects took counts,
  // so that the same command again finds everything done, and a larger budget goes on from there.
  // 0: 5 minutes, or no limit where code_objects is set.
  double budget_seconds = 0;
  std::uint64_t seed = 1;
  std::string rocm = {};       // release ("7.2") or folder; empty: the first that knows the arch
  std::string configs = {};    // folder; empty: the installed one
  std::string templates = {};  // likewise
  // How many to compile of the decode kernel. 0: 260 for a GPU and 6 for the host, or no limit
  // where a budget is set.
  std::size_t code_objects = 0;
  bool exhaustive = false;       // TuneLimits::exhaustive; then code_objects 0 is all
  int launches = 0;              // TuneLimits::launches
  bool retry = false;            // TuneLimits::retry
  Shard shard = {};              // more than one: no budget may be set, and none is by default
  bool warm_cache = false;       // the problems with their inputs in cache, whatever the file says
  int verify = 16;               // the best so many variants of each problem are checked
  std::string command = "tune";  // the command line, for the record
};

// The installed configs: beside this program or above it, or ../share/mla-tune of its folder;
// `chosen` goes first. Throws Error{usage} naming where it looked.
std::string configs_folder(const std::string& chosen = {});

// Tunes, saying on standard output what it does: a bar with the time left on a terminal, lines
// otherwise. Ctrl-C and SIGTERM end it with everything so far stored; the same command resumes and
// repeats nothing. Returns 0, or throws Error; Error{interrupted} where it was stopped.
int tune_command(const TuneOptions& options);

}  // namespace mla
