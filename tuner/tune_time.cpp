#include <fmt/format.h>

#include <algorithm>

#include "kernels/params.hpp"
#include "tuner/tune_state.hpp"

namespace mla {
namespace {

// How much of the ranking has its objects at hand where nothing but a final round is missing.
constexpr std::size_t kReserves = 4;
const std::string kNoKernel;

SamplingRules final_rules(const SamplingRules& search) {
  SamplingRules rules = search;
  rules.prune = false;
  rules.interval = search.interval / 2;
  rules.fewest = 2 * search.fewest;
  rules.most = 3 * search.most;
  rules.seconds = 2 * search.seconds;
  return rules;
}

}  // namespace

// Whether a known row spares the trial.
bool Tuning::counts(const MeasurementRecord& row, const Candidate& candidate) const {
  return !is_stale(candidate) && !(limits_.retry && row.verdict != Verdict::ok);
}

// The runner that knows most of a problem, and what it and its like know; runners.size(): none
// does.
std::size_t Tuning::runner_of(std::size_t problem, std::vector<Rows>& rounds) {
  std::size_t best = parts_.runners.size(), most = 0;
  for (std::size_t runner = 0; runner < parts_.runners.size(); ++runner) {
    std::vector<Rows> its(2);
    for (const Round round : {Round::search, Round::final})
      for (MeasurementRecord& m :
           store_.measurements(problem_ids_[problem], device_ids_[runner], toolchain_id_, round))
        its[round == Round::final].emplace(m.variant_id, std::move(m));
    if (its[0].size() <= most) continue;
    most = its[0].size();
    best = runner;
    rounds = std::move(its);
  }
  return best;
}

// Compiles what the entries need, or takes it from the cache. False where it was stopped.
bool Tuning::give_objects(Timing& timing, TimingTask& task) {
  std::vector<std::size_t> unknown, known;
  for (std::size_t i = 0; i < task.entries.size(); ++i) {
    const TimingEntry& entry = task.entries[i];
    if (!entry.barred) (entry.search_us ? known : unknown).push_back(i);
  }
  std::ranges::stable_sort(known, {}, [&](std::size_t i) { return *task.entries[i].search_us; });
  const std::size_t finalists = std::min(known.size(), limits_.finalists);
  bool final_known = unknown.empty();
  for (std::size_t i = 0; i < finalists; ++i)
    final_known = final_known && task.entries[known[i]].has_final;
  if (final_known) return true;

  known.resize(std::min(known.size(), kReserves * limits_.finalists));
  unknown.insert(unknown.end(), known.begin(), known.end());
  std::vector<Contender> wanted;
  std::map<std::int64_t, std::size_t> places;
  for (const std::size_t i : unknown) {
    wanted.push_back(timing.contenders[i]);
    places[timing.contenders[i].variant] = i;
  }
  return with_objects(wanted, [&](const Contender& contender, const Objects& objects) {
    TimingEntry& entry = task.entries[places.at(contender.variant)];
    if (objects.missing.empty()) {
      const std::vector<Unit> units = bench_units(contender);
      entry.candidate.decode = &objects_.at(units[0].key);
      entry.candidate.reduce = units.size() > 1 ? &objects_.at(units[1].key) : &kNoKernel;
      return;
    }
    entry.barred = true;
    MeasurementRecord m = row(contender.variant, contender.problem, Round::search);
    m.verdict = Verdict::compile_failed;
    m.reason = objects.missing;
    store_row(m, contender);
  });
}

bool Tuning::plan_problem(std::size_t problem, std::vector<Timing>& timings,
                          std::vector<TimingTask>& tasks) {
  Timing timing{problem, {}};
  TimingTask task{parts_.problems[problem], {}, {}};
  std::vector<Rows> rounds(2);
  const std::size_t runner = runner_of(problem, rounds);
  if (runner < parts_.runners.size()) task.runner = runner;
  for (const Candidate& candidate : ranked_[problem]) {
    const Contender contender{problem, candidate, put_variant(candidate)};
    TimingEntry entry;
    entry.candidate.launch = candidate.launch;
    const auto search = rounds[0].find(contender.variant);
    if (search != rounds[0].end() && counts(search->second, candidate)) {
      if (is_failure(search->second.verdict))
        entry.barred = true;
      else
        entry.search_us = search->second.median_us;
    }
    const auto final = rounds[1].find(contender.variant);
    if (final != rounds[1].end() && counts(final->second, candidate)) {
      entry.has_final = final->second.verdict == Verdict::ok;
      entry.barred = entry.barred || is_failure(final->second.verdict);
    }
    timing.contenders.push_back(contender);
    task.entries.push_back(entry);
  }
  if (!give_objects(timing, task)) return false;
  // A problem of which everything is known costs nothing, not even a look at the device.
  const auto has_object = [](const TimingEntry& entry) {
    return entry.candidate.decode != nullptr;
  };
  if (std::ranges::none_of(task.entries, has_object)) return true;
  timings.push_back(std::move(timing));
  tasks.push_back(std::move(task));
  return true;
}

void Tuning::store_row(MeasurementRecord& m, const Contender& contender) {
  if (m.verdict == Verdict::ok) {
    const Summary summary = summarise(m.samples_us);
    m.median_us = summary.median_us;
    m.mad_us = summary.mad_us;
    m.ci_low_us = summary.ci_low_us;
    m.ci_high_us = summary.ci_high_us;
  } else {
    note_failure(contender, m.verdict, m.reason);
  }
  link_codes(contender.variant, contender.candidate, contender.problem);
  store_.put(m);
  batch_.tick();
}

void Tuning::take_row(const Timing& timing, std::size_t runner, const TimingNews::Row& news) {
  const Contender& contender = timing.contenders[news.entry];
  MeasurementRecord m = row(contender.variant, timing.problem, news.round, runner);
  m.verdict = news.sampled.verdict;
  m.reason = news.sampled.reason;
  m.max_error = news.sampled.max_error;
  m.cosine_gap = news.sampled.cosine_gap;
  m.samples_us = news.sampled.samples_us;
  store_row(m, contender);
  if (news.round == Round::search) {
    ++report_.ranked;
    if (m.max_error >= 0) ++report_.checked;
  } else if (m.verdict == Verdict::ok) {
    ++report_.wins;
  }
}

void Tuning::take_end(const Timing& timing, const TimingNews& news) {
  note_problem(timing.problem, news.runner, news.conditions);
  if (news.untimed.empty()) return;
  const ProblemRecord& p = parts_.problems[timing.problem];
  report_.notes.push_back(fmt::format("{} cannot time {} heads, {} tokens, {}+{} keys: {}",
                                      parts_.runners[news.runner]->identity().name, p.num_heads,
                                      p.num_tokens, p.main_len, p.extra_len, news.untimed));
}

void Tuning::measure_all() {
  std::vector<Timing> timings;
  std::vector<TimingTask> tasks;
  for (std::size_t p = 0; p < ranked_.size(); ++p)
    if (limits_.shard.has(p) && !plan_problem(p, timings, tasks)) return;
  batch_.commit();

  TimingRules rules;
  rules.search.seconds = limits_.timing_seconds;
  rules.search.deadline_seconds = limits_.run_seconds;
  rules.final = final_rules(rules.search);
  rules.finalists = limits_.finalists;
  rules.seed = limits_.seed;
  rules.tolerance = parts_.space.tolerance();
  std::size_t total = 0, done = 0;
  for (const TimingTask& task : tasks)
    for (const TimingEntry& entry : task.entries) total += !entry.search_us && !entry.barred;
  progress_.begin("measuring", total);
  time_tasks(
      parts_.runners, tasks, rules,
      [&](Runner& runner, const TimingTask& task, const TimingEntry& entry) {
        return check_once(runner, task.problem, entry.candidate.launch, *entry.candidate.decode,
                          *entry.candidate.reduce);
      },
      [&] { return stopped(); },
      [&](TimingNews news) {
        const Timing& timing = timings[news.task];
        if (!news.row) return take_end(timing, news);
        take_row(timing, news.runner, *news.row);
        if (news.row->round == Round::search) progress_.advance(++done, {});
      });
}

}  // namespace mla
