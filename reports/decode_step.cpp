#include "reports/decode_step.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace mla {
namespace {

// Published configurations of both models. Ratios by layer: Pro 128, 128, then 4 and 128 in turn;
// Flash 0, 0, then the same; the one layer of multi-token prediction is a window alone.
struct Model {
  const char* name;
  int heads;         // of all ranks
  int fewest_heads;  // of a rank at the largest tensor parallelism
  int window_layers, csa_layers, hca_layers;
  int index_topk;
};
constexpr Model kModels[] = {
    {"DSv4-Pro", 128, 16, 1, 30, 31, 1024},
    {"DSv4-Flash", 64, 8, 3, 21, 20, 512},
};
constexpr int kWindow = 128;
// Tokens of a page of 256 that layers compressed by 4 and by 128 keep.
constexpr int kCsaPage = 64;
constexpr int kHcaPage = 2;
constexpr int kWindowPage = 64;  // of the window, unless a problem says otherwise

}  // namespace

std::string layer_kind(const ProblemRecord& problem) {
  if (problem.main_len > kWindow) return "other";
  if (problem.extra_len == 0) return "SWA";
  if (problem.extra_page == kHcaPage) return "HCA";
  const bool selected = std::ranges::any_of(
      kModels, [&](const Model& model) { return problem.extra_len <= model.index_topk; });
  return problem.extra_page == kCsaPage && selected ? "CSA" : "other";
}

std::vector<ModelLayers> layers_of(const ProblemRecord& problem) {
  const std::string kind = layer_kind(problem);
  std::vector<ModelLayers> found;
  for (const Model& model : kModels) {
    if (problem.num_heads < model.fewest_heads || problem.num_heads > model.heads) continue;
    if (kind == "SWA") found.push_back({model.name, model.window_layers});
    if (kind == "HCA") found.push_back({model.name, model.hca_layers});
    // A full list is one model's; a shorter one is of a short context, of either.
    const bool is_full_of_another = std::ranges::any_of(kModels, [&](const Model& other) {
      return problem.extra_len == other.index_topk && other.index_topk != model.index_topk;
    });
    if (kind == "CSA" && problem.extra_len <= model.index_topk && !is_full_of_another)
      found.push_back({model.name, model.csa_layers});
  }
  return found;
}

int step_weight(const ProblemRecord& problem) {
  int most = 1;
  for (const ModelLayers& one : layers_of(problem)) most = std::max(most, one.layers);
  return most;
}

std::string shape_words(const ProblemRecord& p) {
  const bool has_extra = p.extra_len > 0;
  std::string pages = fmt::format("page {}", has_extra ? p.extra_page : p.main_page);
  if (has_extra && p.main_page != kWindowPage)
    pages = fmt::format("pages {} and {}", p.main_page, p.extra_page);
  return fmt::format("{} head{}, {} token{}, {}{} keys ({}){}{}", p.num_heads,
                     p.num_heads == 1 ? "" : "s", p.num_tokens, p.num_tokens == 1 ? "" : "s",
                     p.main_len, has_extra ? fmt::format("+{}", p.extra_len) : "", pages,
                     p.lengths == "uniform" ? "" : ", ragged", p.warm_cache ? ", warm" : "");
}

std::string shape_id(const ProblemRecord& p) {
  const auto format = [](int value) { return value == 2 ? "f" : "o"; };
  return fmt::format("{}h-{}t-{}+{}-p{}+{}-{}{}{}{}", p.num_heads, p.num_tokens, p.main_len,
                     p.extra_len, p.main_page, p.extra_page, format(p.main_format),
                     format(p.extra_format), p.lengths == "uniform" ? "" : "-" + p.lengths,
                     p.warm_cache ? "-warm" : "");
}

}  // namespace mla
