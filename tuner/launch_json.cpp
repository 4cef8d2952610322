#include "tuner/launch_json.hpp"

#include <fmt/format.h>

#include <cstddef>

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

struct Argument {
  std::string name;
  const char* type;
  std::size_t offset;
  std::size_t size;
  std::string meaning;
};

#define MLA_ARGUMENT(S, field, type, meaning) \
  Argument { #field, type, offsetof(S, field), sizeof(S::field), meaning }

std::vector<Argument> scope_arguments(const std::string& scope, std::size_t at) {
  std::vector<Argument> fields = {
      MLA_ARGUMENT(CacheScope, cache, "const uint8*",
                   "pages; in each, token i has 448 e4m3 then 64 bf16 at byte i*576, and 7 UE8M0 "
                   "scale bytes, one per 64 of the e4m3, at byte page_size*576 + i*8"),
      MLA_ARGUMENT(CacheScope, indices, "const int32*",
                   "slots; slot s is token s % page_size of page s / page_size; one outside "
                   "[0, rows) is skipped"),
      MLA_ARGUMENT(CacheScope, indptr, "const int32*",
                   "tokens + 1 offsets: query token t reads indices[indptr[t]] up to, not "
                   "including, indices[indptr[t+1]]; null: the scope is absent"),
      MLA_ARGUMENT(CacheScope, page_stride, "int64",
                   "bytes from page to page; a multiple of 16, at least 584*page_size"),
      MLA_ARGUMENT(CacheScope, page_size, "int32", "tokens per page; at least 1, also if absent"),
      MLA_ARGUMENT(CacheScope, rows, "int32", "tokens in the cache"),
      MLA_ARGUMENT(CacheScope, format, "int32", "how e4m3 is read: 1 OCP, 2 FNUZ"),
      MLA_ARGUMENT(CacheScope, ragged, "int32",
                   "1 where lists differ in length, so that long ones come first; else 0")};
  for (Argument& field : fields) {
    field.name = scope + "." + field.name;
    field.offset += at;
  }
  return fields;
}

constexpr const char* kOut =
    "bf16 [tokens, heads, 512]; last dimension dense, rows 8-byte aligned; all of it is written";
constexpr const char* kLse =
    "fp32 [tokens, heads], heads dense; natural logarithm, sink excluded, +inf for a row without "
    "keys; null: not wanted";
constexpr const char* kSink =
    "fp32 [heads] in the space of scaled logits, +-inf allowed; null: none";

std::vector<Argument> decode_arguments() {
  std::vector<Argument> all = {
      MLA_ARGUMENT(DecodeArgs, q, "const bf16*",
                   "bf16 [tokens, heads, 512]; last dimension dense, rows 16-byte aligned"),
      MLA_ARGUMENT(DecodeArgs, q_token_stride, "int64", "elements from token to token"),
      MLA_ARGUMENT(DecodeArgs, q_head_stride, "int64", "elements from head to head")};
  for (const Argument& a : scope_arguments("main", offsetof(DecodeArgs, main))) all.push_back(a);
  for (const Argument& a : scope_arguments("extra", offsetof(DecodeArgs, extra))) all.push_back(a);
  const Argument rest[] = {
      MLA_ARGUMENT(DecodeArgs, sink, "const float*", kSink),
      MLA_ARGUMENT(DecodeArgs, out, "bf16*", kOut),
      MLA_ARGUMENT(DecodeArgs, out_token_stride, "int64", "elements from token to token"),
      MLA_ARGUMENT(DecodeArgs, out_head_stride, "int64", "elements from head to head"),
      MLA_ARGUMENT(DecodeArgs, lse, "float*", kLse),
      MLA_ARGUMENT(DecodeArgs, lse_token_stride, "int64", "elements from token to token"),
      MLA_ARGUMENT(
          DecodeArgs, workspace, "float*",
          "workspace.bytes bytes, 16-byte aligned, contents irrelevant; null with one split"),
      MLA_ARGUMENT(DecodeArgs, scale, "float", "softmax scale; 512^-0.5 for this model"),
      MLA_ARGUMENT(DecodeArgs, tokens, "int32", "query rows"),
      MLA_ARGUMENT(DecodeArgs, heads, "int32", "query heads, 1 to 128"),
      MLA_ARGUMENT(DecodeArgs, split_main, "int32", "params.split_main"),
      MLA_ARGUMENT(DecodeArgs, split_extra, "int32", "params.split_extra"),
      MLA_ARGUMENT(DecodeArgs, split_map, "int32", "params.split_map: 1 contiguous, 2 strided"),
      MLA_ARGUMENT(DecodeArgs, grid_order, "int32",
                   "params.grid_order: 1 tokens (where it is left out), 2 heads"),
      MLA_ARGUMENT(DecodeArgs, reserved, "int32", "0"),
      MLA_ARGUMENT(DecodeArgs, arrivals, "uint32*",
                   "with params.merge last: arrivals.count zeros, which the kernel leaves as such, "
                   "for it to merge the splits itself; null: sparse_mla_reduce does")};
  all.insert(all.end(), std::begin(rest), std::end(rest));
  return all;
}

std::vector<Argument> reduce_arguments() {
  return {MLA_ARGUMENT(ReduceArgs, workspace, "const float*", "what sparse_mla_decode left"),
          MLA_ARGUMENT(ReduceArgs, sink, "const float*", kSink),
          MLA_ARGUMENT(ReduceArgs, out, "bf16*", kOut),
          MLA_ARGUMENT(ReduceArgs, out_token_stride, "int64", "elements from token to token"),
          MLA_ARGUMENT(ReduceArgs, out_head_stride, "int64", "elements from head to head"),
          MLA_ARGUMENT(ReduceArgs, lse, "float*", kLse),
          MLA_ARGUMENT(ReduceArgs, lse_token_stride, "int64", "elements from token to token"),
          MLA_ARGUMENT(ReduceArgs, tokens, "int32", "query rows"),
          MLA_ARGUMENT(ReduceArgs, heads, "int32", "query heads, 1 to 128"),
          MLA_ARGUMENT(ReduceArgs, splits, "int32", "the value of `splits`"),
          MLA_ARGUMENT(ReduceArgs, reserved, "int32", "0")};
}

#undef MLA_ARGUMENT

Json arguments_json(const std::vector<Argument>& arguments) {
  Json list = Json::array();
  for (const Argument& a : arguments)
    list.push_back({{"name", a.name},
                    {"type", a.type},
                    {"offset", a.offset},
                    {"size", a.size},
                    {"meaning", a.meaning}});
  return list;
}

Json resources_json(const Resources& r) {
  return {{"vgprs", r.vgprs},
          {"agprs", r.agprs},
          {"sgprs", r.sgprs},
          {"lds_bytes", r.lds_bytes},
          {"scratch_bytes", r.scratch_bytes},
          {"vgpr_spills", r.vgpr_spills},
          {"sgpr_spills", r.sgpr_spills},
          {"code_bytes", r.code_bytes},
          {"waves_per_simd", r.waves_per_simd}};
}

std::string splits_formula(const Splits& s) {
  if (s.split_main == 0) return fmt::format("{}", s.split_extra);
  return fmt::format("{} + {}*has_extra", s.split_main, s.split_extra);
}

Json grid(const Dim3& d) { return Json::array({d.x, d.y, d.z}); }

Json kernel_json(const char* name, const EmittedKernel& kernel, const std::string& when,
                 int block_h, const char* z, unsigned block, int dynamic_lds, std::size_t size,
                 const std::vector<Argument>& arguments) {
  return {{"name", name},
          {"file", kernel.file},
          {"entry", "entry"},
          {"when", when},
          {"grid", Json::array({"tokens", fmt::format("ceil(heads/{})", block_h), z})},
          {"block", Json::array({block, 1, 1})},
          {"dynamic_lds_bytes", dynamic_lds},
          {"arguments_bytes", size},
          {"arguments", arguments_json(arguments)},
          {"resources", resources_json(kernel.resources)}};
}

}  // namespace

Json launch_json(const NamedVariant& variant, const std::string& arch, const Toolchain& toolchain,
                 const ProblemRecord& problem, const EmittedKernel& decode,
                 const EmittedKernel& reduce) {
  const Launch& launch = variant.launch;
  const int lanes = dispatch_lanes(arch);
  const bool has_extra = problem.extra_len > 0;
  const int splits = total_splits(launch.splits, has_extra);
  const int left = partials(launch, has_extra);
  // What sparse_mla_reduce is given, by its formula.
  const std::string given =
      launch.config.cluster > 1 ? fmt::format("(splits / {})", launch.config.cluster) : "splits";
  const bool merges = launch.config.merge == Merge::last;
  Json json;
  json["kernel"] = "sparse_mla_decode";
  json["arch"] = arch;
  json["variant"] = variant.key;
  json["params"] = Json::parse(variant.params);
  json["toolchain"] = {{"compiler", toolchain.compiler},
                       {"release", toolchain.release},
                       {"library", toolchain.library},
                       {"llvm", toolchain.llvm}};
  json["conventions"] = {
      {"grid", "workgroups in x, y, z; multiply by block where a launch counts threads"},
      {"block", "threads in x, y, z"},
      {"arguments",
       "one struct, passed by value at the start of the kernel's argument segment; "
       "offset and size in bytes; pointers are device pointers of 8 bytes; int is "
       "little-endian two's complement; arguments that the compiler adds behind "
       "arguments_bytes are not read"},
      {"expressions",
       "+ - * / as usual, ceil(x) rounds up; a comparison is 1 or 0; names are those of `problem`, "
       "and "
       "`splits`"}};
  json["problem"] = {{"tokens", "query rows"},
                     {"heads", "query heads, 1 to 128"},
                     {"has_extra", "1 where extra.indptr is not null, else 0"}};
  json["splits"] = splits_formula(launch.splits);
  json["kernels"] = Json::array(
      {kernel_json("sparse_mla_decode", decode, "always", launch.config.block_h, "splits",
                   static_cast<unsigned>(threads(launch.config, lanes)),
                   dynamic_lds_bytes(arch, launch.config), sizeof(DecodeArgs), decode_arguments()),
       kernel_json("sparse_mla_reduce", reduce,
                   fmt::format("{} > 1{}, after sparse_mla_decode on the same stream", given,
                               merges ? " and arrivals is null" : ""),
                   launch.reduce.block_h, "1", static_cast<unsigned>(threads(launch.reduce, lanes)),
                   0, sizeof(ReduceArgs), reduce_arguments())});
  if (launch.config.cluster > 1)
    json["kernels"][0]["cluster"] = {
        {"workgroups", Json::array({1, 1, launch.config.cluster})},
        {"meaning",
         "of itself, by what the code object says; of more than 8 workgroups the function must be "
         "allowed CU_FUNC_ATTRIBUTE_NON_PORTABLE_CLUSTER_SIZE_ALLOWED"}};
  if (toolchain.compiler == "nvrtc")
    json["kernels"][1]["overlap"] =
        "waits for sparse_mla_decode itself (PTX griddepcontrol.wait): may be launched with "
        "CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION, and need not";
  static_assert(kStatistics == 3, "say below what the new one is");
  json["workspace"] = {
      {"bytes",
       fmt::format("4 * tokens * heads * {0} * {1} * ({0} > 1)", given, kHeadDim + kStatistics)},
      {"layout",
       fmt::format(
           "fp32: rows [tokens, heads, {0}, 512], not normalised, the sum of 2^(s-m) v; then "
           "[tokens, heads, {0}, 3]: m, the running maximum of the logits in base 2; the sum of "
           "2^(s-m) as rounded to bf16, 0 for a split without keys, whose row is not written; the "
           "same sum before rounding. The contents before the launch do not matter.",
           given)}};
  if (merges)
    json["arrivals"] = {
        {"count",
         fmt::format("tokens * ceil(heads/{}) * {}", launch.config.block_h, launch.config.cluster)},
        {"meaning",
         "uint32: how many workgroups have left their part of a row. Zeros before the first "
         "launch; "
         "every launch leaves zeros to the next on its stream, whatever the variant. Launches that "
         "may overlap need memory of their own"}};
  json["example"] = {
      {"problem",
       {{"tokens", problem.num_tokens}, {"heads", problem.num_heads}, {"has_extra", has_extra}}},
      {"splits", splits},
      {"decode_grid", grid(decode_grid(launch.config, launch.splits, problem.num_tokens,
                                       problem.num_heads, has_extra))},
      {"decode_block", Json::array({threads(launch.config, lanes), 1, 1})},
      {"reduce_grid",
       left > 1 ? grid(reduce_grid(launch.reduce, problem.num_tokens, problem.num_heads)) : Json()},
      {"reduce_block", left > 1 ? Json::array({threads(launch.reduce, lanes), 1, 1}) : Json()},
      {"workspace_bytes", 4 * workspace_floats(problem.num_tokens, problem.num_heads, left)}};
  return json;
}

}  // namespace mla
