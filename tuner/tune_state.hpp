#pragma once

// Private to tune*.cpp: one run of the loop.

#include <chrono>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>

#include "tuner/measure.hpp"
#include "tuner/scratch_folder.hpp"
#include "tuner/search.hpp"
#include "tuner/timing.hpp"
#include "tuner/tune.hpp"

namespace mla {

// Collects puts into transactions, so that hundreds of rows do not cost a synchronised write each.
class Batch {
 public:
  explicit Batch(Store& store) : store_(store) {}
  // Before every put.
  void open();
  // Commits what has been open for half a second. Call wherever time may pass.
  void tick();
  void commit();

 private:
  Store& store_;
  std::optional<Store::Transaction> transaction_;
  std::chrono::steady_clock::time_point opened_ = {};
};

// A kernel to compile. `key` is the code object's.
struct Unit {
  CompileJob job;
  std::string key;
};

// What became of a unit.
struct Made {
  CodeObjectRecord record;
  bool known = false;  // the database had it
};

// A decode kernel.
struct Code {
  Point point;
  Config config;
  Unit unit;
  Made made;
  bool there = false;  // made is filled in
  std::vector<LaunchChoice> choices;
  std::vector<std::vector<Candidate>> best;  // by problem; empty until ranked
};

struct Reduce {
  ReduceConfig config;
  Unit unit;
  Made made;
};

class Tuning {
 public:
  Tuning(const TuneParts& parts, const TuneLimits& limits, const Session& session,
         Progress& progress, const std::function<bool()>& stop);
  TuneReport run();

 private:
  // tune.cpp
  void rank();
  void store_ranking();
  void link_codes(std::int64_t variant, const Candidate& candidate, std::size_t problem);
  void count_codes();
  std::int64_t put_variant(const Candidate& candidate);
  MeasurementRecord row(std::int64_t variant, std::size_t problem, Round round,
                        std::size_t runner = 0) const;
  std::optional<MeasurementRecord> known_row(std::int64_t variant, std::size_t problem,
                                             Round round);
  bool is_stale(const Candidate& candidate) const;

  // tune_compile.cpp
  void compile_everything();
  void compile_codes();
  void compile_other_winners();  // tune_other_winners.cpp
  void show_compiled(const std::string& note);
  bool compile_points(const std::vector<Point>& points);
  void take_code(Code& code, const CompileResult& result);
  void compile_reduces();
  void store_reduce(Reduce& reduce);
  std::optional<CodeObjectRecord> known_code(const std::string& key);
  CodeObjectRecord examine(const CompileResult& result, std::string_view entry_template,
                           int threads, int dynamic_lds) const;
  Unit unit(const Compiler& compiler, const std::string& arch, std::string source) const;
  bool stopped();
  bool budget_is_spent();
  // Compiles the units, a few at a time, calling take(index, result) as results come. Ends early
  // once stopped or `enough`; false then.
  bool run_units(Compiler& compiler, const std::vector<Unit>& units,
                 const std::function<bool()>& enough,
                 const std::function<void(std::size_t, CompileResult&)>& take);

  // tune_objects.cpp
  struct Contender {
    std::size_t problem = 0;
    Candidate candidate = {};
    std::int64_t variant = 0;
  };
  // What Runner::run() takes, or why it cannot be had.
  struct Objects {
    std::string decode;
    std::string reduce;
    std::string missing;
  };
  bool needs_reduce(const Contender& contender) const;
  void keep_object(const std::string& key, const std::string& code);
  std::vector<Unit> bench_units(const Contender& contender) const;  // decode, then reduce if any
  // Compiles for the bench what the contenders need, calling ready() for each as soon as its
  // objects are there or known to be missing. False where it was stopped.
  bool with_objects(std::vector<Contender> contenders,
                    const std::function<void(const Contender&, const Objects&)>& ready);

  // tune_check.cpp
  void check_best();
  std::vector<Contender> next_contenders(std::vector<std::size_t>& places,
                                         std::vector<std::size_t>& right);
  // From any thread, one at a time for each runner.
  CheckResult check_once(Runner& runner, const ProblemRecord& problem, const Launch& launch,
                         const std::string& decode, const std::string& reduce);
  MeasurementRecord final_prediction(const Contender& contender, const Objects& objects);
  void note_failure(const Contender& contender, Verdict verdict, const std::string& reason);

  // tune_time.cpp
  // A problem on its way to the runners, and what its entries are here.
  struct Timing {
    std::size_t problem = 0;
    std::vector<Contender> contenders;
  };
  using Rows = std::map<std::int64_t, MeasurementRecord>;  // by variant
  bool counts(const MeasurementRecord& row, const Candidate& candidate) const;
  std::size_t runner_of(std::size_t problem, std::vector<Rows>& search);
  bool give_objects(Timing& timing, TimingTask& task);
  bool plan_problem(std::size_t problem, std::vector<Timing>& timings,
                    std::vector<TimingTask>& tasks);
  void measure_all();
  void take_row(const Timing& timing, std::size_t runner, const TimingNews::Row& row);
  void take_end(const Timing& timing, const TimingNews& news);
  void store_row(MeasurementRecord& m, const Contender& contender);

  // tune_conditions.cpp
  void note_start();
  void note_problem(std::size_t problem, std::size_t runner, const std::string& conditions);
  std::string conditions_at_end();

  const TuneParts& parts_;
  const TuneLimits& limits_;
  Progress& progress_;
  const std::function<bool()>& stop_;
  Store& store_;
  Batch batch_;
  PointReader reader_;
  std::vector<std::int64_t> device_ids_;  // of the runners, or of the model
  std::int64_t toolchain_id_ = 0;
  std::int64_t session_id_ = 0;
  nlohmann::ordered_json conditions_;
  std::map<std::pair<std::size_t, std::string>, int> throttled_;  // problems, by runner and reasons
  std::vector<std::int64_t> problem_ids_;
  TuneReport report_;
  double spent_seconds_ = 0;

  std::vector<Code> codes_;
  std::map<ReduceId, Reduce> reduces_;
  std::set<ReduceId> failed_reduces_;
  std::vector<std::vector<Candidate>> ranked_;  // by problem, fastest first

  ScratchFolder folder_;
  std::map<std::string, std::string> objects_;          // by key: what the runner takes
  std::map<std::string, std::string> missing_objects_;  // by key: why there is none
  std::mutex checks_mutex_;                             // runners' threads check finalists
  std::map<std::string, CheckResult> checks_;           // by check_class
};

}  // namespace mla
