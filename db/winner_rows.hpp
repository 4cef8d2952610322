#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"

namespace mla {

// Winners of one arch, with what they share told once: a serving engine that starts reads ten
// thousand of them, and most are of variants, releases and code objects that others are of too.
struct WinnerRows {
  struct Variant {
    std::string key, params;
  };
  // Shared things by their position below.
  struct Row {
    ProblemRecord problem = {};
    Evidence evidence = Evidence::predicted;
    double median_us = 0;
    int release = 0;
    int variant = 0;
    int decode = -1;  // code objects; -1: there is none
    int reduce = -1;
  };
  std::vector<std::string> releases = {};
  std::vector<Variant> variants = {};
  std::vector<std::string> codes = {};  // keys
  std::vector<Row> rows = {};
};

// Of the winners of `arch`, in their order; without code objects.
WinnerRows winner_rows(std::string_view arch, const std::vector<Winner>& winners);

}  // namespace mla
