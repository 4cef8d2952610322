// The C API but for mla_launch: what it takes and gives, and the statuses.

#include "kernels/mla_dispatch.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "kernels/dispatcher.hpp"
#include "kernels/mla_error.hpp"

namespace mla {
namespace {

constexpr const char* kClosed =
    "the dispatcher was closed, or opened before a fork(): open it again in this process";
constexpr const char* kNull = "a pointer is null";
constexpr const char* kSize = "a struct's `size` was not set: make it with its mla_*_init()";

// What the first version of each struct held: a caller that knows less has not set `size`.
constexpr std::size_t kLeastOptions =
    offsetof(mla_options, zeroed_workspaces) + sizeof(std::int32_t);
constexpr std::size_t kLeastProblem = offsetof(mla_problem, wants_lse) + sizeof(std::int32_t);
constexpr std::size_t kLeastPlanInfo = offsetof(mla_plan_info, last_merges) + sizeof(std::uint32_t);
constexpr std::size_t kLeastDispatcherInfo =
    offsetof(mla_dispatcher_info, reserved) + sizeof(std::int32_t);

// No struct will ever be that long: its `size` is not one.
constexpr std::size_t kMostBytes = 4096;

std::string text(const char* from) { return from == nullptr ? std::string() : from; }

std::optional<bool> switch_of(std::int32_t value, const char* name) {
  if (value == MLA_UNSET) return std::nullopt;
  if (value == MLA_ON || value == MLA_OFF) return value == MLA_ON;
  throw Error(ErrorKind::usage, text(name) + ": give MLA_UNSET, MLA_ON or MLA_OFF");
}

DispatchSettings settings_of(const mla_options* options) {
  DispatchSettings settings;
  if (options != nullptr) {
    if (options->size < kLeastOptions) throw Error(ErrorKind::usage, kSize);
    settings.arch = text(options->arch);
    settings.variant = text(options->variant);
    settings.release = text(options->release);
    settings.driver = text(options->driver);
    if (options->public_key != nullptr)
      settings.public_key.assign(options->public_key, options->public_key + MLA_PUBLIC_KEY_BYTES);
    settings.eager = options->eager != 0;
    settings.allow_untrusted = options->allow_untrusted != 0;
    settings.zeroed_workspaces = options->zeroed_workspaces != 0;
    settings.no_nearest = switch_of(options->no_nearest, "no_nearest");
    settings.no_predicted = switch_of(options->no_predicted, "no_predicted");
    settings.log = switch_of(options->log, "log");
  }
  apply_environment(settings, std::getenv("MLA_DISPATCH"));
  return settings;
}

template <class OpenSource>
mla_status open(std::int32_t device, const mla_options* options, mla_dispatcher** dispatcher,
                OpenSource open_source) noexcept {
  if (dispatcher == nullptr) return fail(MLA_ERROR_USAGE, kNull);
  *dispatcher = nullptr;
  try {
    const DispatchSettings settings = settings_of(options);
    DispatchSource source = open_source(settings);
    DispatchTarget target = DispatchTarget::find(device, source, settings);
    auto made = std::make_unique<Dispatcher>(std::move(source), std::move(target), settings);
    *dispatcher = reinterpret_cast<mla_dispatcher*>(&made.release()->plans());
    return MLA_OK;
  } catch (...) {
    return fail_with_exception();
  }
}

Dispatcher* owner_of(const mla_dispatcher* dispatcher) noexcept {
  return PlanTable::owner_of(reinterpret_cast<const PlanTable*>(dispatcher));
}

Query query_of(const mla_problem& from) noexcept {
  return {.heads = from.heads,
          .tokens = from.tokens,
          .main_len = from.main_capacity,
          .extra_len = from.extra_capacity,
          .main_page = from.main_page,
          .extra_page = from.extra_page,
          .main_format = static_cast<Fp8Format>(from.main_format),
          .extra_format = static_cast<Fp8Format>(from.extra_format)};
}

// A caller that was built with a shorter struct gets what it knows; a longer one keeps its rest.
template <class Info>
void hand_over(Info& found, Info* to) noexcept {
  found.size = to->size;
  std::memcpy(to, &found, std::min(to->size, sizeof found));
}

const char* text(std::string_view view) noexcept { return view.empty() ? "" : view.data(); }

void copy(const Dim3& from, std::uint32_t (&to)[3]) noexcept {
  to[0] = from.x;
  to[1] = from.y;
  to[2] = from.z;
}

mla_plan_info info_of(const Plan& plan) noexcept {
  const Answer& from = plan.answer;
  mla_plan_info to = mla_plan_info_init();
  to.grade = static_cast<std::int32_t>(from.grade);
  to.evidence = from.has_evidence ? static_cast<std::int32_t>(from.evidence) : MLA_EVIDENCE_NONE;
  to.variant = text(from.variant);
  to.params = text(from.params);
  to.release = text(from.rocm);
  to.median_us = from.median_us;
  to.workspace_bytes = plan.workspace_bytes(plan.query.tokens);
  to.release_differs = plan.owner->is_other_release(from.rocm) ? 1 : 0;
  to.has_code = plan.decode != nullptr ? 1 : 0;
  to.kernel_count = plan.reduces() ? 2 : 1;
  to.splits = from.splits;
  to.split_main = from.launch.splits.split_main;
  to.split_extra = from.launch.splits.split_extra;
  to.split_map = static_cast<std::int32_t>(from.launch.splits.split_map);
  if (from.has_evidence) {
    to.tuned_heads = from.tuned_for.heads;
    to.tuned_tokens = from.tuned_for.tokens;
    to.tuned_main_len = from.tuned_for.main_len;
    to.tuned_extra_len = from.tuned_for.extra_len;
    to.tuned_main_page = from.tuned_for.main_page;
    to.tuned_extra_page = from.tuned_for.extra_page;
  }
  copy(from.decode_grid, to.decode_grid);
  to.decode_block = from.decode_block;
  to.decode_dynamic_lds = static_cast<std::uint32_t>(from.decode_dynamic_lds);
  if (plan.reduces()) {
    copy(from.reduce_grid, to.reduce_grid);
    to.reduce_block = from.reduce_block;
  }
  to.grid_order = static_cast<std::uint32_t>(from.launch.splits.grid_order);
  to.last_merges = plan.last_merges() ? 1 : 0;
  return to;
}

}  // namespace
}  // namespace mla

using namespace mla;

extern "C" const char* mla_version(void) { return MLA_VERSION; }

extern "C" const char* mla_last_error(void) { return last_error(); }

extern "C" mla_status mla_open(const char* path, std::int32_t device, const mla_options* options,
                               mla_dispatcher** dispatcher) {
  return open(device, options, dispatcher, [&](const DispatchSettings& settings) {
    if (path == nullptr) throw Error(ErrorKind::usage, kNull);
    return DispatchSource::open(path, settings);
  });
}

extern "C" mla_status mla_open_memory(const void* bundle, std::size_t bytes, const char* name,
                                      std::int32_t device, const mla_options* options,
                                      mla_dispatcher** dispatcher) {
  return open(device, options, dispatcher, [&](const DispatchSettings& settings) {
    if (bundle == nullptr) throw Error(ErrorKind::usage, kNull);
    return DispatchSource::from_memory({static_cast<const char*>(bundle), bytes},
                                       name == nullptr ? "a bundle in memory" : name, settings);
  });
}

extern "C" void mla_close(mla_dispatcher* dispatcher) { delete owner_of(dispatcher); }

extern "C" mla_status mla_get_dispatcher_info(const mla_dispatcher* dispatcher,
                                              mla_dispatcher_info* info) {
  if (dispatcher == nullptr || info == nullptr) return fail(MLA_ERROR_USAGE, kNull);
  if (info->size < kLeastDispatcherInfo) return fail(MLA_ERROR_USAGE, kSize);
  const Dispatcher* owner = owner_of(dispatcher);
  if (owner == nullptr) return fail(MLA_ERROR_CLOSED, kClosed);
  mla_dispatcher_info found = mla_dispatcher_info_init();
  found.arch = owner->arch().c_str();
  found.device = owner->device_name().c_str();
  found.release = owner->release().c_str();
  found.has_code = owner->has_code() ? 1 : 0;
  found.winners = static_cast<std::int32_t>(owner->table().size());
  found.passed_over = static_cast<std::int32_t>(owner->table().warnings().size());
  found.plans = static_cast<std::int32_t>(owner->plans().size());
  found.code_objects = owner->loaded();
  hand_over(found, info);
  return MLA_OK;
}

extern "C" mla_status mla_plan(mla_dispatcher* dispatcher, const mla_problem* problem,
                               const mla_launch_plan** plan) {
  if (dispatcher == nullptr || problem == nullptr || plan == nullptr)
    return fail(MLA_ERROR_USAGE, kNull);
  *plan = nullptr;
  if (problem->size < kLeastProblem) return fail(MLA_ERROR_USAGE, kSize);
  Dispatcher* owner = owner_of(dispatcher);
  if (owner == nullptr) return fail(MLA_ERROR_CLOSED, kClosed);
  try {
    *plan = reinterpret_cast<const mla_launch_plan*>(
        owner->plan(query_of(*problem), problem->has_sink != 0, problem->wants_lse != 0));
    return MLA_OK;
  } catch (...) {
    return fail_with_exception();
  }
}

extern "C" mla_status mla_get_plan_info(const mla_launch_plan* plan, mla_plan_info* info) {
  if (plan == nullptr || info == nullptr) return fail(MLA_ERROR_USAGE, kNull);
  if (info->size < kLeastPlanInfo) return fail(MLA_ERROR_USAGE, kSize);
  const Plan& known = *reinterpret_cast<const Plan*>(plan);
  if (known.alive != PlanTable::kAlive) return fail(MLA_ERROR_CLOSED, kClosed);
  mla_plan_info found = info_of(known);
  hand_over(found, info);
  return MLA_OK;
}

extern "C" mla_status mla_workspace_bytes(mla_dispatcher* dispatcher, const mla_problem* problems,
                                          std::size_t count, std::int64_t* bytes) {
  if (bytes == nullptr || (problems == nullptr && count > 0)) return fail(MLA_ERROR_USAGE, kNull);
  std::int64_t most = 0;
  const auto* at = reinterpret_cast<const unsigned char*>(problems);
  if (count > 0 && (problems->size < kLeastProblem || problems->size > kMostBytes))
    return fail(MLA_ERROR_USAGE, kSize);
  for (std::size_t i = 0; i < count; ++i, at += problems->size) {
    const mla_launch_plan* plan = nullptr;
    const mla_status status = mla_plan(dispatcher, reinterpret_cast<const mla_problem*>(at), &plan);
    if (status != MLA_OK) return status;
    const Plan& made = *reinterpret_cast<const Plan*>(plan);
    most = std::max<std::int64_t>(most, made.workspace_bytes(made.query.tokens));
  }
  *bytes = most;
  return MLA_OK;
}
