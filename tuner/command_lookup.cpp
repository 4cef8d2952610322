#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "kernels/dispatch.hpp"
#include "tuner/commands.hpp"
#include "tuner/shapes.hpp"
#include "tuner/tune_command.hpp"

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

const char* format_name(Fp8Format format) { return format == Fp8Format::fnuz ? "fnuz" : "ocp"; }

Json to_json(const Query& q) {
  return {{"heads", q.heads},
          {"tokens", q.tokens},
          {"main_len", q.main_len},
          {"extra_len", q.extra_len},
          {"main_page", q.main_page},
          {"extra_page", q.extra_page},
          {"main_format", format_name(q.main_format)},
          {"extra_format", format_name(q.extra_format)}};
}

Json kernel_json(const Dim3& grid, unsigned block) {
  return {{"grid", {grid.x, grid.y, grid.z}}, {"block", {block, 1, 1}}};
}

Json to_json(const std::string& arch, const Query& query, const Answer& a) {
  Json json;
  json["arch"] = arch;
  json["query"] = to_json(query);
  json["match"] = name(a.grade);
  json["evidence"] = a.has_evidence ? Json(name(a.evidence)) : Json();
  json["variant"] = a.variant;
  json["params"] = Json::parse(a.params);
  json["median_us"] = a.has_evidence ? Json(a.median_us) : Json();
  json["rocm"] = a.has_evidence ? Json(a.rocm) : Json();
  json["tuned_for"] = a.has_evidence ? to_json(a.tuned_for) : Json();
  json["splits"] = a.splits;
  json["workspace_bytes"] = a.workspace_bytes;
  json["decode"] = kernel_json(a.decode_grid, a.decode_block);
  json["decode"]["dynamic_lds_bytes"] = a.decode_dynamic_lds;
  json["reduce"] = a.partials > 1 ? kernel_json(a.reduce_grid, a.reduce_block) : Json();
  json["arrival_counters"] = a.arrival_counters;
  return json;
}

std::string in_words(const Query& q) {
  return fmt::format(
      "{} heads, {} tokens, {} keys (page {}){}", q.heads, q.tokens, q.main_len, q.main_page,
      q.extra_len > 0 ? fmt::format(" + {} keys (page {})", q.extra_len, q.extra_page)
                      : std::string());
}

void print(const std::string& arch, const Query& query, const Answer& a) {
  fmt::print("{} on {}\n  match      {}\n", in_words(query), arch, name(a.grade));
  if (a.has_evidence) {
    fmt::print("  evidence   {}, {:.2f} us there, compiled by release {}\n", name(a.evidence),
               a.median_us, a.rocm);
    fmt::print("  tuned for  {}\n", in_words(a.tuned_for));
  } else {
    fmt::print("  evidence   none: nothing near was tuned for {} in this database\n", arch);
  }
  fmt::print("  variant    {}\n  params     {}\n  splits     {}, workspace {} bytes\n", a.variant,
             a.params, a.splits, a.workspace_bytes);
  fmt::print("  decode     grid {} x {} x {}, block {}\n", a.decode_grid.x, a.decode_grid.y,
             a.decode_grid.z, a.decode_block);
  if (a.arrival_counters > 0)
    fmt::print("  merge      by the last workgroup, given {} counters; by reduce otherwise\n",
               a.arrival_counters);
  if (a.partials > 1)
    fmt::print("  reduce     grid {} x {} x {}, block {}\n", a.reduce_grid.x, a.reduce_grid.y,
               a.reduce_grid.z, a.reduce_block);
}

}  // namespace

int lookup_command(const LookupOptions& options) {
  const Arch arch = load_arch(configs_folder(options.configs), options.arch);
  const ProblemRecord problem =
      make_problem(arch, options.heads, options.tokens, options.main_len, options.main_page,
                   options.extra_len, options.extra_page);
  validate(problem);
  const DispatchTable table = DispatchTable::load(options.db, arch.name, options.rocm);
  for (const std::string& warning : table.warnings()) fmt::print(stderr, "warning: {}\n", warning);
  const Query query = query_of(problem);
  const Answer answer = table.lookup(query);
  if (options.json) {
    fmt::print("{}\n", to_json(arch.name, query, answer).dump(2));
  } else {
    print(arch.name, query, answer);
  }
  return 0;
}

}  // namespace mla
