#include <algorithm>
#include <bit>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tuner/inspect.hpp"
#include "tuner/source.hpp"
#include "tuner/tune_state.hpp"

namespace mla {
namespace {

// How often to look for Ctrl-C and commit while a compiler works.
constexpr double kPollSeconds = 0.2;
// Half of the code objects a run may make, and no more than these, are a sample of the whole space;
// the others are neighbours of what the model likes best.
constexpr std::size_t kLargestSample = 160;
constexpr std::size_t kRound = 24;
// With none usable after so many the trouble is not theirs.
constexpr std::size_t kPatience = 48;
constexpr std::size_t kParents = 8;
constexpr std::size_t kLogBytes = 4000;

}  // namespace

bool Tuning::stopped() {
  batch_.tick();
  return stop_();
}

bool Tuning::budget_is_spent() {
  const bool spent =
      limits_.budget_seconds > 0 && spent_seconds_ >= limits_.budget_seconds * limits_.jobs;
  report_.out_of_budget = report_.out_of_budget || spent;
  return spent;
}

Unit Tuning::unit(const Compiler& compiler, const std::string& arch, std::string source) const {
  Unit unit;
  unit.job.arch = arch;
  unit.job.source = std::move(source);
  unit.job.headers = parts_.headers;
  unit.job.deadline_seconds = limits_.compile_seconds;
  unit.key = compile_key(unit.job, compiler.toolchain());
  return unit;
}

bool Tuning::run_units(Compiler& compiler, const std::vector<Unit>& units,
                       const std::function<bool()>& enough,
                       const std::function<void(std::size_t, CompileResult&)>& take) {
  const std::size_t at_once = 2 * static_cast<std::size_t>(std::max(1, limits_.jobs));
  const std::size_t begin = limits_.shard.begin(units.size());
  std::size_t submitted = 0, taken = 0;
  bool ended_early = false;
  for (;;) {
    if (!ended_early && (stopped() || enough())) {
      ended_early = true;
      submitted -= compiler.drop_waiting();
    }
    while (!ended_early && submitted < units.size() && submitted - taken < at_once) {
      const std::size_t place = (begin + submitted++) % units.size();
      CompileJob job = units[place].job;
      job.tag = place;
      compiler.submit(std::move(job));
    }
    if (taken == submitted) return !ended_early;
    std::optional<CompileResult> result = compiler.next(deadline_in(kPollSeconds));
    if (!result) continue;
    ++taken;
    take(static_cast<std::size_t>(result->tag), *result);
  }
}

// What the database knows of a code object, unless it is to be tried again.
std::optional<CodeObjectRecord> Tuning::known_code(const std::string& key) {
  auto known = store_.find_code_object(key);
  if (known && limits_.retry &&
      (known->verdict == Verdict::timed_out || known->verdict == Verdict::crashed))
    known.reset();
  return known;
}

CodeObjectRecord Tuning::examine(const CompileResult& result, std::string_view entry_template,
                                 int threads, int dynamic_lds) const {
  CodeObjectRecord record;
  record.key = result.key;
  record.toolchain_id = toolchain_id_;
  record.arch = parts_.arch.name;
  record.entry_template = entry_template;
  record.verdict = result.verdict;
  record.compile_seconds = result.seconds;
  if (result.verdict != Verdict::ok) {
    record.reason = result.log.substr(0, kLogBytes);
    if (record.reason.empty()) record.reason = "the compiler said nothing";
    return record;
  }
  try {
    const GpuLimits& limits = parts_.arch.limits;
    record.resources = inspect(result.code, "entry", limits, threads, dynamic_lds, result.mix);
    record.content = code_identity(result.code);
    record.reason = reason_to_reject(record.resources, limits, threads);
    if (!record.reason.empty()) record.verdict = Verdict::rejected;
  } catch (const Error& error) {
    record.verdict = Verdict::compile_failed;
    record.reason = error.what();
  }
  return record;
}

void Tuning::take_code(Code& code, const CompileResult& result) {
  code.made.record =
      examine(result, parts_.space.kernel(), threads(code.config, parts_.arch.limits.lanes),
              dynamic_lds_bytes(parts_.arch.name, code.config));
  code.there = true;
  spent_seconds_ += result.seconds;
  ++report_.compiled;
  // The code object is stored under a variant that will be ranked, or where it failed the first.
  Candidate first{0, {code.config, code.choices.front().splits, code.choices.front().reduce}, 0};
  if (code.made.record.verdict == Verdict::ok) {
    const auto best = best_launches(parts_.arch, parts_.problems.front(), 0, code.config,
                                    code.made.record.resources, code.choices, 1, failed_reduces_);
    if (!best.empty()) first = best.front();
    if (parts_.bench == Bench::target) keep_object(result.key, result.code);
  }
  code.made.record.variant_id = put_variant(first);
  store_.put(code.made.record);
}

void Tuning::show_compiled(const std::string& note) {
  const double seconds = spent_seconds_ / std::max(1, limits_.jobs);
  progress_.advance(limits_.code_objects == kNoLimit && !limits_.exhaustive
                        ? static_cast<std::size_t>(seconds)
                        : report_.known + report_.compiled,
                    note);
}

bool Tuning::compile_points(const std::vector<Point>& points) {
  std::vector<std::size_t> places;
  std::vector<Unit> units;
  bool complete = true;
  for (const Point& point : points) {
    if (stopped()) return false;
    Code code;
    code.point = point;
    code.config = reader_(point).config;
    code.unit = unit(parts_.compiler, parts_.arch.name, decode_source(code.config));
    code.choices = launch_choices(parts_.space, reader_, point);
    if (auto known = known_code(code.unit.key)) {
      code.made = {*known, true};
      code.there = true;
      spent_seconds_ += known->compile_seconds;
      ++report_.known;
      show_compiled({});
    } else if (budget_is_spent()) {
      // What the database knows is taken even then, so that the same command again sees the same.
      complete = false;
      continue;
    } else {
      places.push_back(codes_.size());
      units.push_back(code.unit);
    }
    codes_.push_back(std::move(code));
  }
  const bool all = run_units(
      parts_.compiler, units, [&] { return budget_is_spent(); },
      [&](std::size_t index, CompileResult& result) {
        Code& code = codes_[places[index]];
        take_code(code, result);
        show_compiled(std::string(name(code.made.record.verdict)));
      });
  return complete && all;
}

void Tuning::compile_everything() {
  const std::size_t count = std::min(limits_.code_objects, parts_.space.code_points().size());
  const auto points =
      spread(parts_.space, {}, count, limits_.seed, [](const Point&) { return true; });
  if (points.empty()) parts_.space.require_admissible(parts_.space.count());
  progress_.begin("compiling", points.size());
  compile_points(points);
}

void Tuning::compile_codes() {
  if (limits_.exhaustive) return compile_everything();
  int most_heads = 1;
  for (const ProblemRecord& problem : parts_.problems)
    most_heads = std::max(most_heads, problem.num_heads);
  // A workgroup with twice the heads that there are computes nothing but padding with half of them.
  const int block_h =
      static_cast<int>(std::bit_ceil(static_cast<unsigned>(std::max(16, most_heads))));
  const std::size_t limit = limits_.code_objects;
  const std::size_t sample =
      limit == kNoLimit ? kLargestSample : std::min(kLargestSample, (limit + 1) / 2);
  progress_.begin(limit == kNoLimit ? "compiling (seconds)" : "compiling",
                  limit == kNoLimit ? static_cast<std::size_t>(limits_.budget_seconds) : limit);
  // Rounds: what one has shown steers the next.
  for (bool more = true; more && codes_.size() < limit;) {
    Odds odds;
    std::vector<Point> tried;
    bool any = false;
    for (const Code& code : codes_) {
      const bool usable = code.made.record.verdict == Verdict::ok;
      any = any || usable;
      odds.add(code.point, usable);
      tried.push_back(code.point);
    }
    if (!any && codes_.size() >= kPatience) break;
    const auto promising = [&](const Point& point) {
      return reader_(point).config.block_h <= block_h && odds.promise(point);
    };
    std::size_t wanted = std::min(kRound, limit - codes_.size());
    std::vector<Point> next;
    if (codes_.size() >= sample) {
      rank();
      std::vector<Point> parents;
      for (const std::size_t code : best_codes(ranked_, codes_.size(), kParents))
        parents.push_back(codes_[code].point);
      next = neighbours(parts_.space, parents, {tried.begin(), tried.end()}, wanted,
                        limits_.seed + codes_.size(), promising);
    } else {
      wanted = std::min(wanted, sample - codes_.size());
    }
    if (next.empty())
      next = spread(parts_.space, tried, wanted, limits_.seed + codes_.size(), promising);
    if (next.empty()) {
      if (codes_.empty()) parts_.space.require_admissible(parts_.space.count());
      break;
    }
    more = compile_points(next);
  }
}

// Ranks with the reduce kernels that compile, which are known once they were tried.
void Tuning::compile_reduces() {
  for (bool changed = true; changed && !stopped();) {
    changed = false;
    rank();
    std::set<ReduceId> wanted;
    for (std::size_t p = 0; p < ranked_.size(); ++p)
      for (const Candidate& candidate : ranked_[p])
        if (reduces(candidate.launch, parts_.problems[p].extra_len > 0))
          wanted.insert(reduce_id(candidate.launch.reduce));
    std::vector<Unit> units;
    std::vector<ReduceId> ids;
    for (const ReduceId& id : wanted) {
      if (reduces_.contains(id)) continue;
      Reduce reduce;
      reduce.config = {id.first, id.second};
      reduce.unit = unit(parts_.compiler, parts_.arch.name, reduce_source(reduce.config));
      if (auto known = known_code(reduce.unit.key)) {
        reduce.made = {*known, true};
        ++report_.known;
      } else {
        units.push_back(reduce.unit);
        ids.push_back(id);
      }
      reduces_[id] = std::move(reduce);
    }
    progress_.begin("compiling reduce kernels", units.size());
    std::size_t done = 0;
    const bool all = run_units(
        parts_.compiler, units, [] { return false; },
        [&](std::size_t index, CompileResult& result) {
          Reduce& reduce = reduces_.at(ids[index]);
          reduce.made.record = examine(result, parts_.space.reduce(),
                                       threads(reduce.config, parts_.arch.limits.lanes), 0);
          ++report_.compiled;
          if (parts_.bench == Bench::target && reduce.made.record.verdict == Verdict::ok)
            keep_object(result.key, result.code);
          store_reduce(reduce);
          progress_.advance(++done, {});
        });
    if (!all) return ranked_.clear();
    for (const ReduceId& id : wanted) {
      if (reduces_.at(id).made.record.verdict == Verdict::ok) continue;
      if (failed_reduces_.insert(id).second) changed = true;
    }
    if (changed)
      for (Code& code : codes_) code.best.clear();
  }
}

// Under the first variant that wants it.
void Tuning::store_reduce(Reduce& reduce) {
  for (const auto& candidates : ranked_) {
    for (const Candidate& candidate : candidates) {
      if (reduce_id(candidate.launch.reduce) != reduce_id(reduce.config)) continue;
      reduce.made.record.variant_id = put_variant(candidate);
      store_.put(reduce.made.record);
      return;
    }
  }
}

}  // namespace mla
