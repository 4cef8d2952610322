#pragma once

#include <string>
#include <vector>

#include "db/records.hpp"

namespace mla {

// How often a model launches the kernel with this problem in one decode step: its layers of the
// kind that poses it, the multi-token-prediction layer counted once.
struct ModelLayers {
  std::string model;  // "DSv4-Pro", "DSv4-Flash"
  int layers = 0;
};

// Which kind of layer poses a problem: "SWA" (the window alone), "CSA" (compressed by 4, the
// indexer's best), "HCA" (compressed by 128, all), or "other".
std::string layer_kind(const ProblemRecord& problem);

// The models that pose a problem at some tensor parallelism; none for shapes that neither has.
std::vector<ModelLayers> layers_of(const ProblemRecord& problem);

// The most layers of any model; 1 for a shape that neither has.
int step_weight(const ProblemRecord& problem);

// "16 heads, 8 tokens, 128+1024 keys (page 64)": a problem in words. The window's page stands there
// where it is not 64; formats do not, which the arch decides as a rule.
std::string shape_words(const ProblemRecord& problem);
// "16h-8t-128+1024-p64+64": the same as an identifier.
std::string shape_id(const ProblemRecord& problem);

}  // namespace mla
