#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "templates/sparse_mla_config.hpp"
#include "tuner/expression.hpp"
#include "tuner/inspect.hpp"

namespace mla {

// configs/archs/<name>.yaml: what the space's constraints and the model's predictions need to know
// of a machine.
struct Arch {
  std::string name;      // "gfx950", as its compiler calls it
  std::string device;    // whose numbers these are: "AMD Instinct MI355X"
  std::string compiler;  // "hiprtc", "nvrtc" or "c++"
  GpuLimits limits;
  int dies = 1;  // that workgroups are dealt to in turn, each with an L2 of its own
  int compute_units = 0;
  int clock_mhz = 0;              // highest
  double memory_bytes = 0;        // size
  double memory_rate = 0;         // bytes per second
  double matrix_rate = 0;         // bf16 floating-point operations per clock and CU
  double valu_per_element = 0;    // VALU instructions of a lane that makes e4m3 bf16
  double l2_bytes = 0;            // that a CU can reach
  double llc_bytes = 0;           // last cache before memory, all of it
  double launch_overhead_us = 0;  // of one more kernel in a graph
  bool has_transposing_read = false;
  int workgroups_per_cluster = 1;    // that can read each other's LDS
  int units_per_cluster_domain = 1;  // CUs among which a cluster must find its places
  bool has_bulk_copies = false;      // of whole rows, global memory -> LDS
  std::vector<std::int64_t>
      direct_load_widths;  // bytes per lane, global memory -> LDS; none: no such path
  Fp8Format main_format = Fp8Format::ocp;  // what the serving engine writes there
  Fp8Format extra_format = Fp8Format::ocp;
};

// Reads <configs>/archs/<name>.yaml. Throws Error{usage}: an arch without such a file (naming those
// that have one), or file:line of what is wrong in it.
Arch load_arch(const std::filesystem::path& configs, const std::string& name);

// Names of the archs that have a file, sorted.
std::vector<std::string> known_archs(const std::filesystem::path& configs);

// What constraints call arch.<name>: the whole-numbered limits, has_transposing_read,
// has_bulk_copies, direct_load_widths.
Symbols arch_symbols(const Arch& arch);

}  // namespace mla
