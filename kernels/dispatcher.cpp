#include "kernels/dispatcher.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <set>

#include "db/store.hpp"
#include "kernels/params.hpp"

namespace mla {
namespace {

// "7.2" of "7.2.4".
std::string_view major_minor(std::string_view release) {
  const std::size_t dot = release.find('.');
  if (dot == std::string_view::npos) return release;
  return release.substr(0, release.find('.', dot + 1));
}

}  // namespace

Dispatcher::Dispatcher(DispatchSource source, DispatchTarget target,
                       const DispatchSettings& settings)
    : source_(std::move(source)),
      target_(std::move(target)),
      settings_(settings),
      rule_{.nearest = !settings.no_nearest.value_or(false),
            .predicted = !settings.no_predicted.value_or(false)} {
  WinnerRows winners = take_winners();
  if (!settings_.variant.empty()) choose_variant(winners);
  if (source_.bundle) take_codes(winners);
  table_.emplace(target_.arch, std::move(winners));
  if (has_code() && settings_.eager) load_all();
  plans_ = PlanTable::create(this);
}

Dispatcher::~Dispatcher() { plans_->close(); }

WinnerRows Dispatcher::take_winners() const {
  if (source_.bundle) return source_.bundle->winner_rows(target_.arch);
  const std::vector<Winner> winners =
      Store::open(source_.database, StoreMode::read_only).winners(target_.arch);
  return winner_rows(target_.arch, winners);
}

// Leaves the winners of the one variant.
void Dispatcher::choose_variant(WinnerRows& winners) const {
  std::set<std::string> keys;
  std::erase_if(winners.rows, [&](const WinnerRows::Row& row) {
    const std::string& key = winners.variants[static_cast<std::size_t>(row.variant)].key;
    const bool chosen = key.starts_with(settings_.variant);
    if (chosen) keys.insert(key);
    return !chosen;
  });
  if (settings_.variant == "fallback" || keys.size() == 1) return;
  throw Error(ErrorKind::usage,
              fmt::format("variant '{}' is forced, and {} winners of {} for {} begin so: {}",
                          settings_.variant, keys.size(), source_.name, target_.arch,
                          keys.empty() ? "name one of its winners, or \"fallback\""
                                       : "write more of the key"));
}

void Dispatcher::take_codes(const WinnerRows& winners) {
  for (const std::string& key : winners.codes) codes_.emplace_back().key = key;
  const auto code_at = [&](int position) {
    return position < 0 ? nullptr : &codes_[static_cast<std::size_t>(position)];
  };
  winner_codes_.reserve(winners.rows.size());
  for (const WinnerRows::Row& row : winners.rows)
    winner_codes_.push_back({code_at(row.decode), code_at(row.reduce)});

  const auto code_of = [&](const std::string& key) {
    const auto found = std::ranges::find(codes_, key, &Code::key);
    return found == codes_.end() ? nullptr : &*found;
  };
  const std::vector<BundleFallback> known = source_.bundle->fallbacks(target_.arch);
  for (const Launch& launch : fallback_launches(target_.arch)) {
    const std::string params = variant_params(launch);
    const auto row = std::ranges::find(known, params, &BundleFallback::params);
    if (row == known.end())
      throw Error(ErrorKind::database,
                  fmt::format("{} was made by another version of mla-tune ({}): it lacks the "
                              "built-in variant of this one; export it again",
                              source_.name, source_.bundle->version()));
    fallback_codes_.push_back({code_of(row->decode_key), code_of(row->reduce_key)});
  }
}

const Dispatcher::Codes& Dispatcher::codes_of(const Query& query,
                                              const Answer& answer) const noexcept {
  if (answer.winner >= 0) return winner_codes_[static_cast<std::size_t>(answer.winner)];
  return fallback_codes_[static_cast<std::size_t>(fallback_index(query))];
}

// A kernel needs the same dynamic memory however it is launched.
void* Dispatcher::load(Code* code, int dynamic_lds) {
  if (code == nullptr) return nullptr;
  if (void* function = code->function.load(std::memory_order_acquire)) return function;
  const std::lock_guard lock(loading_);
  if (void* function = code->function.load(std::memory_order_acquire)) return function;
  void* function = target_.device->load(source_.bundle->code_object(code->key), dynamic_lds);
  code->function.store(function, std::memory_order_release);
  loaded_.fetch_add(1, std::memory_order_relaxed);
  return function;
}

void Dispatcher::load_all() {
  const auto load_both = [&](const Codes& codes, const Launch& launch) {
    load(codes.decode, dynamic_lds_bytes(target_.arch, launch.config));
    load(codes.reduce, 0);
  };
  table_->for_each_winner([&](int winner, const Launch& launch) {
    load_both(winner_codes_[static_cast<std::size_t>(winner)], launch);
  });
  const std::vector<Launch> fallbacks = fallback_launches(target_.arch);
  for (std::size_t i = 0; i < fallbacks.size(); ++i) load_both(fallback_codes_[i], fallbacks[i]);
}

Answer Dispatcher::decide(const Query& query) const noexcept {
  return settings_.variant.empty() ? table_->lookup(query, rule_) : table_->force(query);
}

const Plan* Dispatcher::make_plan(const Query& asked, const PlanKey& key, bool has_sink,
                                  bool wants_lse) {
  if (const char* why = unlaunchable(asked)) throw Error(ErrorKind::usage, why);
  if (!packs(asked))
    if (const Plan* known = plans_->find(key)) return known;
  Plan plan{.alive = PlanTable::kAlive,
            .has_sink = has_sink,
            .wants_lse = wants_lse,
            .key = key,
            .query = asked,
            .owner = this,
            .decode = nullptr,
            .reduce = nullptr,
            .reduce_waits = source_.bundle && source_.bundle->reduce_waits(),
            .counts = settings_.zeroed_workspaces,
            .answer = decide(asked)};
  if (has_code()) {
    const Codes& codes = codes_of(asked, plan.answer);
    plan.decode = load(codes.decode, plan.answer.decode_dynamic_lds);
    if (plan.reduces())
      plan.reduce =
          load(plan.answer.borrows_reduce ? fallback_codes_.back().reduce : codes.reduce, 0);
    if (plan.reduces() && plan.reduce == nullptr)
      throw Error(ErrorKind::database,
                  fmt::format("variant {} has several splits here, and {} no reduce kernel of it: "
                              "force another variant, or none",
                              plan.answer.variant, source_.name));
  }
  bool inserted = false;
  const Plan* there = plans_->insert(plan, inserted);
  if (there == nullptr)
    throw Error(ErrorKind::usage,
                fmt::format("{} different problems were planned: plan for capacities, which suit "
                            "every shorter list, instead of for lengths",
                            PlanTable::kMostPlans));
  if (inserted && settings_.log.value_or(false)) log_decision(*there);
  return there;
}

void Dispatcher::log_decision(const Plan& plan) const {
  const Query& q = plan.query;
  const Answer& a = plan.answer;
  const std::string line = fmt::format(
      "mla_dispatch: {}, {} heads, {} tokens, {} + {} keys: {}, variant {}{}, {} kernel{}, {} "
      "bytes "
      "of workspace\n",
      target_.arch, q.heads, q.tokens, q.main_len, q.extra_len, name(a.grade), a.variant,
      a.has_evidence
          ? fmt::format(" (tuned for {} heads, {} tokens, {} + {} keys: {:.2f} us, release {})",
                        a.tuned_for.heads, a.tuned_for.tokens, a.tuned_for.main_len,
                        a.tuned_for.extra_len, a.median_us, a.rocm)
          : std::string(),
      plan.reduces() ? 2 : 1, plan.reduces() ? "s" : "", plan.workspace_bytes(q.tokens));
  std::fwrite(line.data(), 1, line.size(), stderr);
}

bool Dispatcher::is_other_release(std::string_view release) const noexcept {
  return !release.empty() && !target_.release.empty() &&
         major_minor(release) != major_minor(target_.release);
}

}  // namespace mla
