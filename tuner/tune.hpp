#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "db/store.hpp"
#include "kernels/device.hpp"
#include "tuner/arch.hpp"
#include "tuner/compile.hpp"
#include "tuner/progress.hpp"
#include "tuner/shard.hpp"
#include "tuner/space.hpp"

namespace mla {

// What tuning needs of a CompilePool.
class Compiler {
 public:
  virtual ~Compiler() = default;
  virtual void submit(CompileJob job) = 0;
  // As CompilePool::next().
  virtual std::optional<CompileResult> next(Deadline deadline) = 0;
  virtual std::size_t drop_waiting() = 0;
  virtual const FoundToolchain& toolchain() const = 0;
};

// The cache must outlive it; may be null.
std::unique_ptr<Compiler> make_pool_compiler(FoundToolchain toolchain, Cache* cache, int workers);

// Where variants are executed.
enum class Bench {
  none,    // nowhere: they are compiled and ranked
  host,    // on the host device, compiled once more for it: right or wrong, but no time
  target,  // on the arch itself: times count as measured
};

// What a run works with; all of it outlives the run.
struct TuneParts {
  const Arch& arch;
  const Space& space;
  std::vector<ProblemRecord> problems;  // not empty
  SourceHeaders headers;
  Store& store;
  Compiler& compiler;  // for arch
  Bench bench = Bench::none;
  std::vector<Runner*> runners = {};  // one a device, all of one arch; none for Bench::none
  Compiler* host_compiler = nullptr;  // for Bench::host
  bool objects_are_files = false;     // the runner takes paths of code objects, not their bytes
};

constexpr std::size_t kNoLimit = static_cast<std::size_t>(-1);

struct TuneLimits {
  std::size_t code_objects = 260;  // of the decode kernel; kNoLimit with a budget alone
  double budget_seconds = 0;       // see TuneOptions; 0: no limit
  int jobs = 1;                    // helpers that share the budget
  std::size_t verify = 16;         // Bench::host: the best so many of each problem are checked
  std::size_t finalists = 5;       // Bench::target: the best so many are timed again
  std::uint64_t seed = 1;
  double compile_seconds = 60;  // deadline of one compilation
  double run_seconds = 120;     // deadline of one check or timing
  double timing_seconds = 1;    // that sampling one variant may take, after its third sample
  // Every code object, or code_objects spread over the space, without regard to what is likely to
  // be fast or usable; and `launches` of each for each problem.
  bool exhaustive = false;
  // Ways to launch a code object that are ranked for each problem; 0: 2 where they are timed, else
  // 1. The likely fastest; if exhaustive half of them, the others spread over what is left.
  std::size_t launches = 0;
  // Compiled is for all problems, and ranked, checked and timed are the shard's alone.
  Shard shard = {};
  bool retry = false;  // what failed by executing, or hung or crashed a compiler, again
};

// What a run came to.
struct TuneReport {
  struct Failure {
    std::string params;
    Verdict verdict = Verdict::ok;
    std::string reason;
  };
  std::size_t compiled = 0;               // code objects this run compiled or took from the cache
  std::size_t known = 0;                  // that the database knew
  std::map<Verdict, int> codes;           // all of them by verdict, the reduce kernels' included
  std::size_t ranked = 0;                 // new rows: predictions or timings of the search
  std::size_t checked = 0;                // variants executed and compared with the reference
  std::size_t wins = 0;                   // new rows of the final round that are ok
  std::vector<Failure> failures;          // found by executing
  std::vector<std::string> notes;         // what a reader of the times should know
  std::map<std::string, double> seconds;  // by phase
  bool interrupted = false;
  bool out_of_budget = false;
};

// The loop: compile a sample, then the neighbourhoods of the best, then what the database has as a
// winner of this arch with another release; rank every code object for
// every problem, check what could win, and give the winners their final round. Every result is
// stored as it comes (within a second); what the database knows under the same key is not repeated,
// so that a run killed at any point is resumed by the next. `stop` is asked often, from this
// thread; once true the run ends early and `interrupted` says so.
//
// Throws Error{database} where results cannot be stored, Error{usage} where the space admits
// nothing, Error{system} where no worker starts.
TuneReport tune(const TuneParts& parts, const TuneLimits& limits, const Session& session,
                Progress& progress, const std::function<bool()>& stop);

}  // namespace mla
