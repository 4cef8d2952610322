#pragma once

#include <map>
#include <string>
#include <vector>

#include "reports/select.hpp"

namespace mla {

// What one side knows of a problem on an arch: of each variant the rows that count, as the view
// `winner` has it. Places are of Facts::rows.
struct Standing {
  int winner = -1;              // -1: none
  std::map<int, int> decisive;  // by variant: final round, or a failure
  std::map<int, int> search;    // by variant: the newest usable row of the search
  int failures = 0;             // of `decisive`
};

struct ProblemKey {
  std::string arch;
  int problem = 0;  // place in Facts::problems
  friend auto operator<=>(const ProblemKey&, const ProblemKey&) = default;
};

// Which part of a code object's source a variant decides: canonical JSON of the parameters that are
// compiled in. Launch parameters (splits) share code; the reduce kernel has its own.
std::string code_params(const std::string& params, const std::string& entry_template);

struct CodeKey {
  std::string arch;
  std::string entry_template;
  std::string params;  // code_params()
  friend auto operator<=>(const CodeKey&, const CodeKey&) = default;
};

// One side of a comparison.
struct Side {
  Selector selector;
  std::map<ProblemKey, Standing> standings;
  // The newest of each, place in Facts::codes. Where the selector tells runs apart, those alone of
  // which each toolchain has one.
  std::map<CodeKey, int> codes;
  std::vector<int> toolchains, devices;  // of its rows, ascending places
  std::size_t rows = 0;
};

// `arch` empty: all. Throws Error{usage} where nothing is selected.
Side make_side(const Facts& facts, Selector selector, const std::string& arch);

// The template whose problems and parameters are the decode kernel's, and its companion.
inline constexpr const char* kDecodeTemplate = "sparse_mla_decode";
inline constexpr const char* kReduceTemplate = "sparse_mla_reduce";

}  // namespace mla
