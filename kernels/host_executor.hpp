#pragma once

#include <atomic>
#include <barrier>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "kernels/host_fiber.hpp"
#include "kernels/host_meeting.hpp"
#include "kernels/host_memory.hpp"
#include "templates/host_abi.hpp"

namespace mla {

// What one launch executes: `wave` runs one wave of one workgroup (it calls a kernel's entry).
struct HostLaunch {
  std::function<void()> wave;
  Dim3 grid;
  int waves;
};

// Told what a kernel did wrong; must not return. Called on any thread and any stack.
using ReportDefect = std::function<void(const std::string&)>;

// Runs the workgroups of launches one after the other, on the thread it was made on: each wave on a
// fiber, a barrier as a switch to the next wave. Reports a barrier that some waves reached and
// others did not, and writing past the end of shared memory where the guard page cannot see it.
class WorkgroupRunner {
 public:
  WorkgroupRunner(int most_waves, ReportDefect report);
  ~WorkgroupRunner();

  // `poison`: fill shared memory with NaN first.
  void run(const HostLaunch& launch, Dim3 workgroup, bool poison);

 private:
  enum class State { idle, running, waiting, returned };
  struct WaveFiber {
    host::Wave wave{};
    State state = State::idle;
    HostMeetings::Wait wait;
    WorkgroupRunner* runner = nullptr;
    std::unique_ptr<Fiber> fiber;
  };
  static unsigned char* shared_memory(const host::Wave* self, std::size_t bytes);
  static void barrier(const host::Wave* self);
  static void meet(const host::Wave* self, int place, int waves);
  static void arrive(const host::Wave* self, int place, int waves);
  static void fail(const host::Wave* self, const char* what);
  unsigned char* shared_memory_of(std::size_t bytes);
  [[noreturn]] void defect(const std::string& what) const;

  ReportDefect report_;
  std::vector<WaveFiber> waves_;
  HostMeetings meetings_;
  std::vector<GuardedMemory> shared_;  // one a size seen
  const GuardedMemory* current_shared_ = nullptr;
  const HostLaunch* launch_ = nullptr;
  Dim3 workgroup_{};
  bool poison_ = false;
  bool stopping_ = false;
};

// Runs launches, their workgroups shared out to `threads` threads, of which the caller's is one.
class HostExecutor {
 public:
  HostExecutor(int threads, int most_waves, const ReportDefect& report);
  ~HostExecutor();
  // Returns when the whole grid has run.
  void run(const HostLaunch& launch, bool poison);

 private:
  void share(WorkgroupRunner& runner);

  const HostLaunch* launch_ = nullptr;  // null: the threads end
  bool poison_ = false;
  std::atomic<unsigned> next_{0};
  std::barrier<> start_;
  std::barrier<> finish_;
  WorkgroupRunner own_;
  std::vector<std::jthread> others_;
};

}  // namespace mla
