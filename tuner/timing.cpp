#include "tuner/timing.hpp"

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <deque>
#include <exception>
#include <map>
#include <mutex>
#include <thread>
#include <utility>

namespace mla {
namespace {

constexpr std::uint64_t kFinalSeed = 0x5EED0F1A;  // added to the search's: inputs never seen there
constexpr std::size_t kPatience =
    4;  // so many times the finalists are checked before that is enough
constexpr auto kPoll = std::chrono::milliseconds(100);

class Task {
 public:
  Task(Runner& runner, const TimingTask& task, const TimingRules& rules, const CheckFinalist& check,
       const std::function<bool()>& stop, const std::function<void(TimingNews)>& tell)
      : runner_(runner), task_(task), rules_(rules), check_(check), stop_(stop), tell_(tell) {
    for (const TimingEntry& entry : task.entries) times_.push_back(entry.search_us);
  }

  // Whether it may go on.
  bool search();
  void final();
  std::string untimed() const { return untimed_; }

 private:
  void row(std::size_t entry, Round round, Sampled sampled) {
    TimingNews news;
    news.row = {entry, round, std::move(sampled)};
    tell_(std::move(news));
  }
  std::vector<std::size_t> by_time() const;
  std::vector<std::size_t> choose_finalists(std::map<std::size_t, CheckResult>& checks);
  bool sample(const std::vector<std::size_t>& entries, const SamplingRules& rules,
              std::uint64_t seed, double best_us,
              const std::function<void(std::size_t, Sampled)>& finished);

  Runner& runner_;
  const TimingTask& task_;
  const TimingRules& rules_;
  const CheckFinalist& check_;
  const std::function<bool()>& stop_;
  const std::function<void(TimingNews)>& tell_;
  std::vector<std::optional<double>> times_;  // of the search, by entry
  std::string untimed_;
};

bool Task::sample(const std::vector<std::size_t>& entries, const SamplingRules& rules,
                  std::uint64_t seed, double best_us,
                  const std::function<void(std::size_t, Sampled)>& finished) {
  std::vector<SamplingCandidate> candidates;
  for (const std::size_t entry : entries) candidates.push_back(task_.entries[entry].candidate);
  const SamplingResult result = sample_problem(
      runner_, task_.problem, seed, candidates, rules_.tolerance, rules, best_us, stop_,
      [&](std::size_t i, Sampled sampled) { finished(entries[i], std::move(sampled)); });
  if (result.verdict != Verdict::ok) untimed_ = result.reason;
  return result.verdict == Verdict::ok && !result.stopped;
}

bool Task::search() {
  std::vector<std::size_t> unknown;
  double best_us = 0;
  for (std::size_t i = 0; i < times_.size(); ++i) {
    if (times_[i]) {
      if (best_us == 0 || *times_[i] < best_us) best_us = *times_[i];
    } else if (!task_.entries[i].barred) {
      unknown.push_back(i);
    }
  }
  return sample(
      unknown, rules_.search, rules_.seed, best_us, [&](std::size_t entry, Sampled sampled) {
        if (sampled.verdict == Verdict::ok)
          times_[entry] = median_of({sampled.samples_us.begin(), sampled.samples_us.end()});
        row(entry, Round::search, std::move(sampled));
      });
}

std::vector<std::size_t> Task::by_time() const {
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < times_.size(); ++i)
    if (times_[i] && !task_.entries[i].barred) order.push_back(i);
  std::ranges::stable_sort(order, {}, [&](std::size_t i) { return *times_[i]; });
  return order;
}

std::vector<std::size_t> Task::choose_finalists(std::map<std::size_t, CheckResult>& checks) {
  std::vector<std::size_t> chosen;
  std::size_t looked_at = 0;
  for (const std::size_t i : by_time()) {
    if (chosen.size() == rules_.finalists || ++looked_at > kPatience * rules_.finalists) break;
    if (stop_()) return {};
    const TimingEntry& entry = task_.entries[i];
    CheckResult right;
    if (!entry.has_final) {
      if (entry.candidate.decode == nullptr) continue;
      right = check_(runner_, task_, entry);
      if (right.verdict != Verdict::ok) {
        Sampled failed;
        failed.verdict = right.verdict;
        failed.reason = right.reason;
        failed.max_error = right.max_error;
        failed.cosine_gap = right.cosine_gap;
        row(i, Round::final, std::move(failed));
        continue;
      }
    }
    chosen.push_back(i);
    checks[i] = right;
  }
  return chosen;
}

void Task::final() {
  std::map<std::size_t, CheckResult> checks;
  std::vector<std::size_t> finalists = choose_finalists(checks);
  if (std::ranges::all_of(finalists, [&](std::size_t i) { return task_.entries[i].has_final; }))
    return;
  std::erase_if(finalists,
                [&](std::size_t i) { return task_.entries[i].candidate.decode == nullptr; });
  sample(finalists, rules_.final, rules_.seed + kFinalSeed, 0,
         [&](std::size_t entry, Sampled sampled) {
           sampled.max_error = std::max(sampled.max_error, checks[entry].max_error);
           sampled.cosine_gap = std::max(sampled.cosine_gap, checks[entry].cosine_gap);
           row(entry, Round::final, std::move(sampled));
         });
}

// What threads of runners tell the calling one.
class News {
 public:
  void put(TimingNews news) {
    const std::lock_guard lock(mutex_);
    news_.push_back(std::move(news));
    changed_.notify_one();
  }
  void thread_ended(std::exception_ptr error) {
    const std::lock_guard lock(mutex_);
    if (error && !error_) error_ = std::move(error);
    ++ended_;
    changed_.notify_one();
  }
  // What came within a while, and whether `threads` have ended and nothing more will come.
  std::deque<TimingNews> next(std::size_t threads, bool& over) {
    std::unique_lock lock(mutex_);
    changed_.wait_for(lock, kPoll, [&] { return !news_.empty() || ended_ == threads; });
    over = ended_ == threads;
    return std::exchange(news_, {});
  }
  std::exception_ptr error() {
    const std::lock_guard lock(mutex_);
    return error_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<TimingNews> news_;
  std::size_t ended_ = 0;
  std::exception_ptr error_;
};

// Hands out each task once: first those that belong to the runner, then those that belong to none.
class Queue {
 public:
  explicit Queue(const std::vector<TimingTask>& tasks) : tasks_(tasks), taken_(tasks.size()) {}
  std::optional<std::size_t> next(std::size_t runner) {
    const std::lock_guard lock(mutex_);
    for (const bool own : {true, false}) {
      for (std::size_t i = 0; i < tasks_.size(); ++i) {
        const auto& its = tasks_[i].runner;
        if (taken_[i] || (own ? its != runner : its.has_value())) continue;
        taken_[i] = true;
        return i;
      }
    }
    return std::nullopt;
  }

 private:
  std::mutex mutex_;
  const std::vector<TimingTask>& tasks_;
  std::vector<bool> taken_;
};

}  // namespace

void time_task(Runner& runner, const TimingTask& task, const TimingRules& rules,
               const CheckFinalist& check, const std::function<bool()>& stop,
               const std::function<void(TimingNews)>& tell) {
  Task work(runner, task, rules, check, stop, tell);
  if (work.search() && !stop()) work.final();
  TimingNews over;
  over.untimed = work.untimed();
  over.conditions = runner.conditions();
  tell(std::move(over));
}

void time_tasks(const std::vector<Runner*>& runners, const std::vector<TimingTask>& tasks,
                const TimingRules& rules, const CheckFinalist& check,
                const std::function<bool()>& stop, const std::function<void(TimingNews)>& take) {
  News news;
  Queue queue(tasks);
  std::atomic<bool> ending = false;
  const std::function<bool()> threads_stop = [&] { return ending.load(); };
  const auto work = [&](std::size_t runner) {
    std::exception_ptr error;
    try {
      for (;;) {
        const auto index = ending ? std::nullopt : queue.next(runner);
        if (!index) break;
        time_task(*runners[runner], tasks[*index], rules, check, threads_stop, [&](TimingNews one) {
          one.task = *index;
          one.runner = runner;
          news.put(std::move(one));
        });
      }
    } catch (...) {
      error = std::current_exception();
      ending = true;
    }
    news.thread_ended(std::move(error));
  };

  std::vector<std::jthread> threads;
  // Declared after the threads, so gone before they are joined: whatever is thrown here ends them.
  const struct EndThreads {
    std::atomic<bool>& ending;
    ~EndThreads() { ending = true; }
  } end_threads{ending};
  for (std::size_t i = 0; i < runners.size(); ++i) threads.emplace_back(work, i);
  for (bool over = false; !over;) {
    for (TimingNews& one : news.next(runners.size(), over)) take(std::move(one));
    if (stop()) ending = true;
  }
  if (news.error()) std::rethrow_exception(news.error());
}

}  // namespace mla
