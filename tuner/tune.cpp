#include "tuner/tune.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tuner/model.hpp"
#include "tuner/source.hpp"
#include "tuner/tune_state.hpp"

namespace mla {
namespace {

using Clock = std::chrono::steady_clock;

constexpr auto kBatchLength = std::chrono::milliseconds(500);

class PoolCompiler : public Compiler {
 public:
  PoolCompiler(FoundToolchain toolchain, Cache* cache, int workers)
      : pool_(std::move(toolchain), cache, workers) {}
  void submit(CompileJob job) override { pool_.submit(std::move(job)); }
  std::optional<CompileResult> next(Deadline deadline) override { return pool_.next(deadline); }
  std::size_t drop_waiting() override { return pool_.drop_waiting(); }
  const FoundToolchain& toolchain() const override { return pool_.toolchain(); }

 private:
  CompilePool pool_;
};

// Two predictions by the same formula from the same facts.
bool same_time(double a, double b) { return std::fabs(a - b) <= 1e-9 * std::fabs(b); }

}  // namespace

std::unique_ptr<Compiler> make_pool_compiler(FoundToolchain toolchain, Cache* cache, int workers) {
  return std::make_unique<PoolCompiler>(std::move(toolchain), cache, workers);
}

void Batch::open() {
  if (transaction_) return;
  transaction_.emplace(store_.transaction());
  opened_ = Clock::now();
}

void Batch::tick() {
  if (transaction_ && Clock::now() - opened_ >= kBatchLength) commit();
}

void Batch::commit() {
  if (!transaction_) return;
  transaction_->commit();
  transaction_.reset();
}

Tuning::Tuning(const TuneParts& parts, const TuneLimits& limits, const Session& session,
               Progress& progress, const std::function<bool()>& stop)
    : parts_(parts),
      limits_(limits),
      progress_(progress),
      stop_(stop),
      store_(parts.store),
      batch_(parts.store),
      reader_(parts.space) {
  conditions_ = nlohmann::ordered_json::parse(session.conditions);
  if (parts.bench == Bench::target) note_start();
  Session started = session;
  started.conditions = conditions_.dump();
  session_id_ = store_.start_session(started);
  batch_.open();
  toolchain_id_ = store_.put(parts.compiler.toolchain().record);
  if (parts.bench == Bench::target) {
    for (const Runner* runner : parts.runners)
      device_ids_.push_back(store_.put(runner->identity()));
  } else {
    device_ids_.push_back(store_.put(model_device(parts.arch)));
  }
  for (const ProblemRecord& problem : parts.problems) problem_ids_.push_back(store_.put(problem));
  batch_.commit();
}

TuneReport Tuning::run() {
  const auto phase = [&](const char* name, auto&& work) {
    if (stopped()) return;
    const auto began = Clock::now();
    work();
    batch_.commit();
    report_.seconds[name] += std::chrono::duration<double>(Clock::now() - began).count();
  };
  phase("compile", [&] { compile_codes(); });
  phase("compile", [&] { compile_other_winners(); });
  phase("rank", [&] { compile_reduces(); });
  if (parts_.bench != Bench::target) phase("rank", [&] { store_ranking(); });
  if (parts_.bench == Bench::host) phase("check", [&] { check_best(); });
  if (parts_.bench == Bench::target) phase("measure", [&] { measure_all(); });
  batch_.commit();
  count_codes();
  store_.end_session(session_id_, conditions_at_end());
  report_.interrupted = stopped();
  return std::move(report_);
}

void Tuning::rank() {
  const std::size_t usual = parts_.bench == Bench::target ? 2 : 1;
  const std::size_t per_code = limits_.launches > 0 ? limits_.launches : usual;
  ranked_.assign(parts_.problems.size(), {});
  std::set<std::string> contents;
  for (std::size_t i = 0; i < codes_.size(); ++i) {
    Code& code = codes_[i];
    if (!code.there || code.made.record.verdict != Verdict::ok) continue;
    // Equal code objects run equally: the first stands for all.
    if (!code.made.record.content.empty() && !contents.insert(code.made.record.content).second)
      continue;
    if (code.best.empty()) {
      for (const ProblemRecord& problem : parts_.problems)
        code.best.push_back(some_launches(
            best_launches(parts_.arch, problem, i, code.config, code.made.record.resources,
                          code.choices, limits_.exhaustive ? kNoLimit : per_code, failed_reduces_),
            per_code));
    }
    for (std::size_t p = 0; p < ranked_.size(); ++p)
      ranked_[p].insert(ranked_[p].end(), code.best[p].begin(), code.best[p].end());
  }
  for (auto& candidates : ranked_)
    std::ranges::stable_sort(candidates, {}, &Candidate::predicted_us);
}

std::int64_t Tuning::put_variant(const Candidate& candidate) {
  const std::string params = variant_params(candidate.launch);
  batch_.open();
  return store_.put(VariantRecord{.key = variant_key(parts_.space.kernel(), params),
                                  .kernel = parts_.space.kernel(),
                                  .params = params});
}

MeasurementRecord Tuning::row(std::int64_t variant, std::size_t problem, Round round,
                              std::size_t runner) const {
  MeasurementRecord m;
  m.variant_id = variant;
  m.problem_id = problem_ids_[problem];
  m.device_id = device_ids_[runner];
  m.toolchain_id = toolchain_id_;
  m.session_id = session_id_;
  m.evidence = parts_.bench == Bench::target ? Evidence::measured : Evidence::predicted;
  m.round = round;
  return m;
}

std::optional<MeasurementRecord> Tuning::known_row(std::int64_t variant, std::size_t problem,
                                                   Round round) {
  return store_.find_measurement(variant, problem_ids_[problem], device_ids_.front(), toolchain_id_,
                                 round);
}

bool Tuning::is_stale(const Candidate& candidate) const {
  // The template or the compiler changed: what rows say was found out with other code.
  return !codes_[candidate.code].made.known;
}

void Tuning::store_ranking() {
  std::size_t total = 0, done = 0;
  for (std::size_t p = 0; p < ranked_.size(); ++p)
    if (limits_.shard.has(p)) total += ranked_[p].size();
  progress_.begin("ranking", total);
  for (std::size_t p = 0; p < ranked_.size(); ++p) {
    if (!limits_.shard.has(p)) continue;
    for (const Candidate& candidate : ranked_[p]) {
      if (stopped()) return;
      const std::int64_t variant = put_variant(candidate);
      const auto before = known_row(variant, p, Round::search);
      if (!before || !same_time(before->median_us, candidate.predicted_us)) {
        link_codes(variant, candidate, p);
        MeasurementRecord m = row(variant, p, Round::search);
        m.verdict = Verdict::unverified;
        m.median_us = m.ci_low_us = m.ci_high_us = candidate.predicted_us;
        store_.put(m);
        ++report_.ranked;
      }
      batch_.tick();
      progress_.advance(++done, {});
    }
  }
}

void Tuning::link_codes(std::int64_t variant, const Candidate& candidate, std::size_t problem) {
  batch_.open();
  CodeObjectRecord decode = codes_[candidate.code].made.record;
  decode.variant_id = variant;
  store_.put(decode);
  const bool has_extra = parts_.problems[problem].extra_len > 0;
  if (!reduces(candidate.launch, has_extra)) return;
  CodeObjectRecord reduce = reduces_.at(reduce_id(candidate.launch.reduce)).made.record;
  reduce.variant_id = variant;
  store_.put(reduce);
}

void Tuning::count_codes() {
  for (const Code& code : codes_)
    if (code.there) ++report_.codes[code.made.record.verdict];
  for (const auto& [id, reduce] : reduces_)
    if (!reduce.made.record.key.empty()) ++report_.codes[reduce.made.record.verdict];
}

TuneReport tune(const TuneParts& parts, const TuneLimits& limits, const Session& session,
                Progress& progress, const std::function<bool()>& stop) {
  return Tuning(parts, limits, session, progress, stop).run();
}

}  // namespace mla
