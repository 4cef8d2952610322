#include "kernels/host_executor.hpp"

#include <fmt/format.h>

#include <cstdlib>
#include <cstring>
#include <utility>

__thread const mla::host::Wave* mla_host_wave;

namespace mla {
namespace {

constexpr std::size_t kSharedAlignment = 256;
constexpr std::size_t kMostSharedBytes = std::size_t{1} << 20;

}  // namespace

WorkgroupRunner::WorkgroupRunner(int most_waves, ReportDefect report)
    : report_(std::move(report)), waves_(static_cast<std::size_t>(most_waves)) {
  prepare_thread_for_faults();
  shared_.reserve(8);  // current_shared_ points into it
  for (WaveFiber& w : waves_) {
    w.runner = this;
    w.wave.scheduler = &w;
    w.wave.shared_memory = &WorkgroupRunner::shared_memory;
    w.wave.barrier = &WorkgroupRunner::barrier;
    w.wave.meet = &WorkgroupRunner::meet;
    w.wave.arrive = &WorkgroupRunner::arrive;
    w.wave.fail = &WorkgroupRunner::fail;
    // The fiber lives as long as its runner, so that stacks stay mapped, and warm when it comes to
    // timing.
    w.fiber = std::make_unique<Fiber>([this, &w] {
      while (!stopping_) {
        launch_->wave();
        w.state = State::returned;
        w.fiber->yield();
      }
    });
  }
}

WorkgroupRunner::~WorkgroupRunner() {
  stopping_ = true;
  for (WaveFiber& w : waves_) w.fiber->resume();
}

void WorkgroupRunner::run(const HostLaunch& launch, Dim3 workgroup, bool poison) {
  launch_ = &launch;
  workgroup_ = workgroup;
  poison_ = poison;
  current_shared_ = nullptr;
  const auto count = static_cast<std::size_t>(launch.waves);
  for (std::size_t i = 0; i < count; ++i) {
    host::Wave& wave = waves_[i].wave;
    wave.workgroup = workgroup;
    wave.grid = launch.grid;
    wave.index = static_cast<int>(i);
    wave.count = launch.waves;
    waves_[i].state = State::running;
    waves_[i].wait = {};
  }
  meetings_ = {};
  for (std::size_t returned = 0; returned < count;) {
    returned = 0;
    bool any_went_on = false;
    for (std::size_t i = 0; i < count; ++i) {
      WaveFiber& w = waves_[i];
      if (w.state != State::returned && meetings_.is_over(w.wait)) {
        w.state = State::running;
        mla_host_wave = &w.wave;
        w.fiber->resume();
        any_went_on = true;
      }
      returned += w.state == State::returned;
    }
    if (!any_went_on) {
      std::string which;
      for (std::size_t i = 0; i < count; ++i) {
        if (waves_[i].state == State::waiting) which += fmt::format(" {}", i);
      }
      defect(fmt::format("barrier mismatch: {} of {} waves returned while others wait (wave{})",
                         returned, count, which));
    }
  }
  if (current_shared_ != nullptr && !current_shared_->slack_untouched()) {
    defect(fmt::format("wrote past the {} bytes of shared memory", current_shared_->region.bytes));
  }
}

unsigned char* WorkgroupRunner::shared_memory_of(std::size_t bytes) {
  if (current_shared_ != nullptr) {
    if (current_shared_->region.bytes != bytes) {
      defect(fmt::format("asked for {} bytes of shared memory, then for {}",
                         current_shared_->region.bytes, bytes));
    }
    return current_shared_->data();
  }
  for (const GuardedMemory& known : shared_) {
    if (known.region.bytes == bytes) current_shared_ = &known;
  }
  if (current_shared_ == nullptr) {
    if (bytes > kMostSharedBytes || shared_.size() == shared_.capacity()) {
      defect(fmt::format("asked for {} bytes of shared memory; {} is the most, in at most {} sizes",
                         bytes, kMostSharedBytes, shared_.capacity()));
    }
    const Region region{0, bytes, kSharedAlignment};
    shared_.push_back(map_guarded(-1, region, Access::read_write, "shared memory"));
    current_shared_ = &shared_.back();
    std::memset(current_shared_->pages, 0xFF, region.span());
  } else if (poison_) {
    std::memset(current_shared_->pages, 0xFF, current_shared_->region.span());
  }
  return current_shared_->data();
}

void WorkgroupRunner::defect(const std::string& what) const {
  report_(
      fmt::format("workgroup ({}, {}, {}): {}", workgroup_.x, workgroup_.y, workgroup_.z, what));
  std::abort();
}

unsigned char* WorkgroupRunner::shared_memory(const host::Wave* self, std::size_t bytes) {
  return static_cast<WaveFiber*>(self->scheduler)->runner->shared_memory_of(bytes);
}

void WorkgroupRunner::barrier(const host::Wave* self) { meet(self, 0, self->count); }

void WorkgroupRunner::meet(const host::Wave* self, int place, int waves) {
  auto& w = *static_cast<WaveFiber*>(self->scheduler);
  w.wait = w.runner->meetings_.arrive(place, waves);
  w.state = State::waiting;
  w.fiber->yield();
}

void WorkgroupRunner::arrive(const host::Wave* self, int place, int waves) {
  static_cast<WaveFiber*>(self->scheduler)->runner->meetings_.arrive(place, waves);
}

void WorkgroupRunner::fail(const host::Wave* self, const char* what) {
  static_cast<WaveFiber*>(self->scheduler)
      ->runner->defect(fmt::format("wave {}: {}", self->index, what));
}

HostExecutor::HostExecutor(int threads, int most_waves, const ReportDefect& report)
    : start_(threads), finish_(threads), own_(most_waves, report) {
  for (int i = 1; i < threads; ++i) {
    others_.emplace_back([this, most_waves, report] {
      WorkgroupRunner runner(most_waves, report);
      for (;;) {
        start_.arrive_and_wait();
        if (launch_ == nullptr) return;
        share(runner);
        finish_.arrive_and_wait();
      }
    });
  }
}

HostExecutor::~HostExecutor() {
  launch_ = nullptr;
  start_.arrive_and_wait();
}

void HostExecutor::run(const HostLaunch& launch, bool poison) {
  launch_ = &launch;
  poison_ = poison;
  next_ = 0;
  start_.arrive_and_wait();
  share(own_);
  finish_.arrive_and_wait();
}

void HostExecutor::share(WorkgroupRunner& runner) {
  const Dim3 grid = launch_->grid;
  const unsigned count = grid.x * grid.y * grid.z;
  for (unsigned i; (i = next_.fetch_add(1)) < count;) {
    runner.run(*launch_, {i % grid.x, i / grid.x % grid.y, i / grid.x / grid.y}, poison_);
  }
}

}  // namespace mla
