// mla_launch: what is checked before a launch, and the launch.

#include <cstdint>

#include "kernels/dispatcher.hpp"
#include "kernels/launch_arguments.hpp"
#include "kernels/mla_dispatch.h"
#include "kernels/mla_error.hpp"

namespace mla {
namespace {

constexpr std::size_t kLeastArgs = offsetof(mla_launch_args, reserved) + sizeof(std::int32_t);

constexpr std::int64_t kTokenBytes = 584;  // of a cached token, its scales included

static_assert(kArrivalCounters * sizeof(unsigned) == MLA_COUNTER_BYTES);

bool is_aligned(const void* pointer, std::uintptr_t to) noexcept {
  return reinterpret_cast<std::uintptr_t>(pointer) % to == 0;
}

// Null, or what is wrong with a scope that the plan has (or has not).
const char* trouble(const mla_scope& scope, bool planned, int page, Fp8Format format) noexcept {
  if (!planned)
    return scope.indptr == nullptr
               ? nullptr
               : "a scope is given that the plan lacks: plan with a capacity for it";
  if (scope.indptr == nullptr || scope.indices == nullptr || scope.cache == nullptr)
    return "a scope that was planned lacks its cache, indices or indptr: where all lists are "
           "empty, "
           "indptr says so";
  if (scope.page_size != page || scope.format != static_cast<int>(format))
    return "a scope's page_size or format is not the plan's";
  if (scope.rows < 0 || scope.page_stride < 0 || scope.page_stride % 16 != 0 ||
      !is_aligned(scope.cache, 16))
    return "a scope's cache must be 16-byte aligned, its page_stride a multiple of 16, its rows 0 "
           "or more";
  // Of one page the distance to the next is not read.
  if (scope.rows > page && scope.page_stride < std::int64_t{page} * kTokenBytes)
    return "a scope's pages overlap: page_stride counts bytes, page_size * 584 at least";
  return nullptr;
}

const char* trouble(const Plan& plan, const mla_launch_args& args) noexcept {
  const Query& q = plan.query;
  if (args.heads != q.heads) return "heads are not the plan's";
  if (args.tokens < 0 || args.tokens > q.tokens) return "tokens are more than the plan's";
  if (args.q == nullptr || args.out == nullptr) return "q or out is null";
  if (!is_aligned(args.q, 16) || args.q_token_stride % 8 != 0 || args.q_head_stride % 8 != 0)
    return "the rows of q must be 16-byte aligned";
  if (!is_aligned(args.out, 8) || args.out_token_stride % 4 != 0 || args.out_head_stride % 4 != 0)
    return "the rows of out must be 8-byte aligned";
  if ((args.sink != nullptr) != plan.has_sink)
    return "sink is given exactly where has_sink says so";
  if ((args.lse != nullptr) != plan.wants_lse)
    return "lse is given exactly where wants_lse says so";
  if (!(args.scale > 0)) return "scale must be positive";
  if (const char* why = trouble(args.main, q.main_len > 0, q.main_page, q.main_format)) return why;
  return trouble(args.extra, q.extra_len > 0, q.extra_page, q.extra_format);
}

CacheScope scope_of(const mla_scope& from) noexcept {
  if (from.indptr == nullptr) return {};
  return {.cache = static_cast<const unsigned char*>(from.cache),
          .indices = from.indices,
          .indptr = from.indptr,
          .page_stride = from.page_stride,
          .page_size = from.page_size,
          .rows = from.rows,
          .format = static_cast<Fp8Format>(from.format),
          .ragged = from.ragged};
}

DecodeArgs decode_args(const Plan& plan, const mla_launch_args& args, float* workspace,
                       unsigned* arrivals) noexcept {
  const Splits& splits = plan.answer.launch.splits;
  return {.q = args.q,
          .q_token_stride = args.q_token_stride,
          .q_head_stride = args.q_head_stride,
          .main = scope_of(args.main),
          .extra = scope_of(args.extra),
          .sink = args.sink,
          .out = args.out,
          .out_token_stride = args.out_token_stride,
          .out_head_stride = args.out_head_stride,
          .lse = args.lse,
          .lse_token_stride = args.lse_token_stride,
          .workspace = workspace,
          .scale = args.scale,
          .tokens = args.tokens,
          .heads = args.heads,
          .split_main = splits.split_main,
          .split_extra = splits.split_extra,
          .split_map = splits.split_map,
          .grid_order = splits.grid_order,
          .reserved = 0,
          .arrivals = arrivals};
}

mla_status launch(const Plan& plan, const mla_launch_args& args, unsigned char* memory,
                  void* stream) noexcept {
  const Answer& answer = plan.answer;
  auto* workspace =
      plan.splits() ? reinterpret_cast<float*>(memory + plan.counter_bytes()) : nullptr;
  DecodeArgs decode = decode_args(
      plan, args, workspace, plan.last_merges() ? reinterpret_cast<unsigned*>(memory) : nullptr);
  ReduceArgs reduce = reduce_arguments(decode, answer.partials);
  const auto tokens = static_cast<unsigned>(args.tokens);
  const KernelLaunch kernels[] = {{plan.decode,
                                   {tokens, answer.decode_grid.y, answer.decode_grid.z},
                                   answer.decode_block,
                                   static_cast<unsigned>(answer.decode_dynamic_lds),
                                   &decode,
                                   false},
                                  {plan.reduce,
                                   {tokens, answer.reduce_grid.y, answer.reduce_grid.z},
                                   answer.reduce_block,
                                   0,
                                   &reduce,
                                   true,
                                   plan.reduce_waits}};
  const LaunchDevice& device = *plan.owner->device();
  const int error = device.launch(kernels, plan.reduces() ? 2 : 1, stream);
  if (error == 0) return MLA_OK;
  try {
    return fail(MLA_ERROR_DEVICE, ("launching: " + device.explain(error)).c_str());
  } catch (...) {
    return fail_with(MLA_ERROR_DEVICE, "launching: error %lld of the driver", error);
  }
}

}  // namespace
}  // namespace mla

extern "C" mla_status mla_launch(const mla_launch_plan* handle, const mla_launch_args* args,
                                 void* workspace, std::size_t workspace_bytes, void* stream) {
  using namespace mla;
  if (handle == nullptr || args == nullptr) return fail(MLA_ERROR_USAGE, "a pointer is null");
  if (args->size < kLeastArgs)
    return fail(MLA_ERROR_USAGE, "args: `size` was not set: make it with mla_launch_args_init()");
  const Plan& plan = *reinterpret_cast<const Plan*>(handle);
  if (plan.alive != PlanTable::kAlive)
    return fail(MLA_ERROR_CLOSED,
                "the plan's dispatcher was closed, or opened before a fork(): open it again");
  if (plan.decode == nullptr)
    return fail(MLA_ERROR_NO_CODE,
                "the plan has no code: it is of a tuning database (export it with `mla-tune "
                "export --out`), or was opened without a device");
  if (const char* why = trouble(plan, *args)) return fail(MLA_ERROR_USAGE, why);
  if (args->tokens == 0) return MLA_OK;
  const long long needed = plan.workspace_bytes(args->tokens);
  if (needed > 0 && (workspace == nullptr || workspace_bytes < static_cast<std::size_t>(needed)))
    return fail_with(MLA_ERROR_USAGE, "the workspace is too small: this launch needs %lld bytes",
                     needed);
  if (!is_aligned(workspace, MLA_WORKSPACE_ALIGNMENT))
    return fail_with(MLA_ERROR_USAGE, "the workspace must be aligned to %lld bytes",
                     MLA_WORKSPACE_ALIGNMENT);
  return launch(plan, *args, static_cast<unsigned char*>(workspace), stream);
}
