#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "tuner/measure.hpp"
#include "tuner/sampling.hpp"

// Problems timed on one device or on several side by side. Knows nothing of a store: what there is
// to know goes in, and rows come out.

namespace mla {

// A variant for a problem, and what is known of it there.
struct TimingEntry {
  SamplingCandidate candidate;      // without objects where neither round needs them
  std::optional<double> search_us;  // nothing: to be measured
  bool has_final = false;           // and is right and timed in the final round
  bool barred = false;              // failed in one of the rounds
};

struct TimingTask {
  ProblemRecord problem;
  std::vector<TimingEntry> entries;  // the likely fastest first
  // Which of the runners has it, for what is known of it was found out there.
  std::optional<std::size_t> runner;
};

struct TimingRules {
  SamplingRules search;
  SamplingRules final;
  std::size_t finalists = 5;
  std::uint64_t seed = 1;  // of inputs and turns; the final round has inputs of its own
  Tolerance tolerance;
};

// Whether a finalist is right on small inputs with every kind of trouble. Called from the threads
// of the runners, several at once.
using CheckFinalist =
    std::function<CheckResult(Runner& runner, const TimingTask& task, const TimingEntry& entry)>;

// What a task came to, piece by piece.
struct TimingNews {
  std::size_t task = 0;
  std::size_t runner = 0;
  // A row of one entry; `round` says which.
  struct Row {
    std::size_t entry = 0;
    Round round = Round::search;
    Sampled sampled = {};
  };
  std::optional<Row> row = {};  // nothing: the task is over
  std::string untimed = {};     // the reason why the device could not time the problem
  std::string conditions = {};  // of the device, at the task's end
};

// One task on one runner: samples what is unknown, checks the best, and times them again,
// interleaved and on fresh inputs, unless all of them have a final row. An entry that fails its
// check gets a failed row of the final round, and the next best takes its place.
void time_task(Runner& runner, const TimingTask& task, const TimingRules& rules,
               const CheckFinalist& check, const std::function<bool()>& stop,
               const std::function<void(TimingNews)>& tell);

// All tasks on all runners, a thread for each runner; `take` and `stop` are called in this thread
// alone, news of one task in their order. Returns when every thread has ended. What a runner or
// `take` throws ends all of them after the call they are in, and is thrown again here; news that
// came before it are still taken.
void time_tasks(const std::vector<Runner*>& runners, const std::vector<TimingTask>& tasks,
                const TimingRules& rules, const CheckFinalist& check,
                const std::function<bool()>& stop, const std::function<void(TimingNews)>& take);

}  // namespace mla
