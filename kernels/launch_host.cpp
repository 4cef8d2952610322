#include "kernels/launch_host.hpp"

#include <dlfcn.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <functional>
#include <memory>
#include <new>

#include "db/error.hpp"
#include "kernels/channel.hpp"
#include "kernels/host_fiber.hpp"
#include "kernels/host_meeting.hpp"
#include "templates/host_abi.hpp"

// Kernels find their wave through this symbol, the one besides the API that the library exports.
__attribute__((visibility("default"))) __thread const mla::host::Wave* mla_host_wave;

namespace mla {
namespace {

constexpr std::size_t kSharedAlignment = 256;

enum class Defect : int { none, barrier, verb, shared_memory, resources };

// One launch: the waves of one workgroup after the other, each wave on a fiber of its own.
class Workgroups {
 public:
  Workgroups(std::function<void()> wave, Dim3 grid, int waves);
  ~Workgroups();
  Workgroups(const Workgroups&) = delete;
  Workgroups& operator=(const Workgroups&) = delete;

  Defect run();

 private:
  enum class State { running, waiting, returned };
  struct Fellow {
    host::Wave wave{};
    State state = State::returned;
    HostMeetings::Wait wait;
    Workgroups* all = nullptr;
    std::unique_ptr<Fiber> fiber;
  };
  static Fellow& fellow(const host::Wave* self) { return *static_cast<Fellow*>(self->scheduler); }
  static unsigned char* shared_memory(const host::Wave* self, std::size_t bytes);
  static void barrier(const host::Wave* self);
  static void meet(const host::Wave* self, int place, int waves);
  static void arrive(const host::Wave* self, int place, int waves);
  static void fail(const host::Wave* self, const char* what);
  void give_up(Fellow& one, Defect defect);
  void run_one(Dim3 workgroup);

  std::function<void()> wave_;
  Dim3 grid_;
  std::vector<Fellow> fellows_;
  HostMeetings meetings_;
  std::vector<unsigned char> memory_;
  unsigned char* shared_ = nullptr;  // of this workgroup, once it has asked
  std::size_t shared_bytes_ = 0;
  Defect defect_ = Defect::none;
  bool stopping_ = false;
};

Workgroups::Workgroups(std::function<void()> wave, Dim3 grid, int waves)
    : wave_(std::move(wave)), grid_(grid), fellows_(static_cast<std::size_t>(waves)) {
  for (std::size_t i = 0; i < fellows_.size(); ++i) {
    Fellow& one = fellows_[i];
    one.all = this;
    one.wave.grid = grid;
    one.wave.index = static_cast<int>(i);
    one.wave.count = waves;
    one.wave.shared_memory = &Workgroups::shared_memory;
    one.wave.barrier = &Workgroups::barrier;
    one.wave.meet = &Workgroups::meet;
    one.wave.arrive = &Workgroups::arrive;
    one.wave.fail = &Workgroups::fail;
    one.wave.scheduler = &one;
    one.fiber = std::make_unique<Fiber>([this, &one] {
      while (!stopping_) {
        wave_();
        one.state = State::returned;
        one.fiber->yield();
      }
    });
  }
}

// A wave that gave up is in the middle of its kernel, whose frames must not be unwound: its stack
// stays as it is, for good.
Workgroups::~Workgroups() {
  stopping_ = true;
  for (Fellow& one : fellows_) {
    if (defect_ == Defect::none && one.fiber != nullptr) {
      one.fiber->resume();
    } else {
      static_cast<void>(one.fiber.release());
    }
  }
}

Defect Workgroups::run() {
  for (unsigned z = 0; z < grid_.z; ++z)
    for (unsigned y = 0; y < grid_.y; ++y)
      for (unsigned x = 0; x < grid_.x && defect_ == Defect::none; ++x) run_one({x, y, z});
  return defect_;
}

void Workgroups::run_one(Dim3 workgroup) {
  shared_ = nullptr;
  meetings_ = {};
  for (Fellow& one : fellows_) {
    one.wave.workgroup = workgroup;
    one.state = State::running;
    one.wait = {};
  }
  for (std::size_t returned = 0; returned < fellows_.size();) {
    returned = 0;
    bool any_went_on = false;
    for (Fellow& one : fellows_) {
      if (one.state != State::returned && meetings_.is_over(one.wait)) {
        one.state = State::running;
        mla_host_wave = &one.wave;
        one.fiber->resume();
        if (defect_ != Defect::none) return;
        any_went_on = true;
      }
      returned += one.state == State::returned;
    }
    if (!any_went_on) {
      defect_ = Defect::barrier;
      return;
    }
  }
}

unsigned char* Workgroups::shared_memory(const host::Wave* self, std::size_t bytes) {
  Workgroups& all = *fellow(self).all;
  if (all.shared_ == nullptr) {
    try {
      all.memory_.resize(bytes + kSharedAlignment);
    } catch (const std::bad_alloc&) {
      all.give_up(fellow(self), Defect::resources);
    }
    const auto at = reinterpret_cast<std::uintptr_t>(all.memory_.data());
    all.shared_ = all.memory_.data() + (kSharedAlignment - at % kSharedAlignment);
    all.shared_bytes_ = bytes;
    std::memset(all.shared_, 0xFF, bytes);
  }
  if (bytes != all.shared_bytes_) all.give_up(fellow(self), Defect::shared_memory);
  return all.shared_;
}

void Workgroups::barrier(const host::Wave* self) { meet(self, 0, self->count); }

void Workgroups::meet(const host::Wave* self, int place, int waves) {
  Fellow& one = fellow(self);
  one.wait = one.all->meetings_.arrive(place, waves);
  one.state = State::waiting;
  one.fiber->yield();
}

void Workgroups::arrive(const host::Wave* self, int place, int waves) {
  fellow(self).all->meetings_.arrive(place, waves);
}

void Workgroups::fail(const host::Wave* self, const char*) {
  fellow(self).all->give_up(fellow(self), Defect::verb);
}

void Workgroups::give_up(Fellow& one, Defect defect) {
  defect_ = defect;
  for (;;) one.fiber->yield();
}

template <class Args>
Defect run(const KernelLaunch& kernel) {
  const auto entry = reinterpret_cast<void (*)(Args)>(kernel.function);
  const Args& args = *static_cast<const Args*>(kernel.arguments);
  Workgroups all([entry, &args] { entry(args); }, kernel.grid, static_cast<int>(kernel.block));
  return all.run();
}

// A kernel's symbols are looked for in the program and what it was linked with; a library that was
// opened at run time, as Python does, is not among them until it is made so.
void make_own_symbols_global() {
  static const char here = 0;
  Dl_info info{};
  if (::dladdr(&here, &info) != 0 && info.dli_fname != nullptr)
    ::dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD | RTLD_GLOBAL);
}

// The loader takes a library for loaded whose path it has seen, and descriptors are used again.
std::string fresh_path(int fd) {
  for (std::string folder = "/proc/self/fd/";; folder += "./") {
    const std::string path = folder + std::to_string(fd);
    void* known = ::dlopen(path.c_str(), RTLD_NOW | RTLD_NOLOAD);
    if (known == nullptr) return path;
    ::dlclose(known);
  }
}

}  // namespace

HostLaunchDevice::~HostLaunchDevice() {
  for (void* library : libraries_) ::dlclose(library);
}

void* HostLaunchDevice::load(const std::string& code, int) {
  const FileDescriptor file(::memfd_create("mla-kernel", MFD_CLOEXEC));
  for (std::size_t at = 0; at < code.size();) {
    const ssize_t written = ::write(file.get(), code.data() + at, code.size() - at);
    if (written <= 0)
      throw Error(ErrorKind::system, fmt::format("cannot hold a code object of {} bytes: {}",
                                                 code.size(), std::strerror(errno)));
    at += static_cast<std::size_t>(written);
  }
  make_own_symbols_global();
  libraries_.reserve(libraries_.size() + 1);
  void* library = ::dlopen(fresh_path(file.get()).c_str(), RTLD_NOW | RTLD_LOCAL);
  void* entry = library == nullptr ? nullptr : ::dlsym(library, "entry");
  if (library != nullptr) libraries_.push_back(library);
  if (entry == nullptr)
    throw Error(ErrorKind::device,
                fmt::format("a host code object cannot be loaded: {}", ::dlerror()));
  return entry;
}

int HostLaunchDevice::launch(const KernelLaunch* kernels, int count, void*) const noexcept {
  try {
    for (int i = 0; i < count; ++i) {
      const KernelLaunch& kernel = kernels[i];
      const Defect defect = kernel.reduces ? run<ReduceArgs>(kernel) : run<DecodeArgs>(kernel);
      if (defect != Defect::none) return static_cast<int>(defect);
    }
    return 0;
  } catch (...) {
    return static_cast<int>(Defect::resources);
  }
}

std::string HostLaunchDevice::explain(int error) const {
  switch (static_cast<Defect>(error)) {
    case Defect::barrier:
      return "some waves of a workgroup ended while others waited for them";
    case Defect::verb:
      return "the kernel broke a verb's precondition";
    case Defect::shared_memory:
      return "the kernel asked for shared memory of two sizes";
    case Defect::resources:
      return "there is no memory for the kernel's stacks or its shared memory";
    case Defect::none:
      break;
  }
  return "nothing is wrong";
}

}  // namespace mla
