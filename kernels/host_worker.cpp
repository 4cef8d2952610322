// mla-host-worker: runs one variant on the CPU, because kernels may crash, hang or scribble.
// Started by device_host.

#include <dlfcn.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <mutex>
#include <type_traits>

#include "db/error.hpp"
#include "kernels/host_executor.hpp"
#include "kernels/host_job.hpp"
#include "kernels/launch_arguments.hpp"
#include "kernels/process.hpp"

namespace mla {
namespace {

constexpr double kSendSeconds = 30;
constexpr std::array<const char*, kBufferCount> kBufferNames = {
    "q",
    "the main cache",
    "main indices",
    "main indptr",
    "the extra cache",
    "extra indices",
    "extra indptr",
    "sink",
    "out",
    "lse",
    "the workspace",
    "arrivals",
};

void answer(Channel& channel, const HostAnswer& what) {
  if (channel.send(encode(what), deadline_in(kSendSeconds)) != IoStatus::ok) ::_exit(1);
}

// Ends the process: after a defect there is no sane state to go back to.
[[noreturn]] void give_up(Channel& channel, Verdict verdict, const std::string& reason) {
  static std::mutex once;  // never unlocked: of several threads that fail, the first one reports
  once.lock();
  answer(channel, {verdict, reason, {}});
  ::_exit(0);
}

template <class Args>
using Entry = void (*)(Args);

template <class Args>
Entry<Args> load(Channel& channel, const char* path) {
  void* library = ::dlopen(path, RTLD_NOW | RTLD_LOCAL);
  void* symbol = library == nullptr ? nullptr : ::dlsym(library, kEntryName);
  if (symbol == nullptr) give_up(channel, Verdict::launch_failed, ::dlerror());
  return reinterpret_cast<Entry<Args>>(symbol);
}

using Buffers = std::array<GuardedMemory, kBufferCount>;

template <class T>
T* pointer(const Buffers& buffers, Buffer which) {
  return reinterpret_cast<T*>(buffers[static_cast<std::size_t>(which)].data());
}

void set_pointers(HostJob& job, const Buffers& buffers) {
  DecodeArgs& decode = job.decode_args;
  decode.q = pointer<void>(buffers, Buffer::q);
  decode.main.cache = pointer<unsigned char>(buffers, Buffer::main_cache);
  decode.main.indices = pointer<int>(buffers, Buffer::main_indices);
  decode.main.indptr = pointer<int>(buffers, Buffer::main_indptr);
  decode.extra.cache = pointer<unsigned char>(buffers, Buffer::extra_cache);
  decode.extra.indices = pointer<int>(buffers, Buffer::extra_indices);
  decode.extra.indptr = pointer<int>(buffers, Buffer::extra_indptr);
  decode.sink = pointer<float>(buffers, Buffer::sink);
  decode.out = pointer<void>(buffers, Buffer::out);
  decode.lse = pointer<float>(buffers, Buffer::lse);
  decode.workspace = pointer<float>(buffers, Buffer::workspace);
  decode.arrivals = pointer<unsigned>(buffers, Buffer::arrivals);
}

HostJob receive_job(Channel& channel) {
  static_assert(std::is_trivially_copyable_v<HostJob>);
  std::string message;
  if (channel.receive(message, deadline_in(kSendSeconds)) != IoStatus::ok) ::_exit(1);
  HostJob job;
  if (message.size() != sizeof job) {
    throw Error(ErrorKind::usage,
                "mla-host-worker and the program that started it are of different "
                "versions; build both");
  }
  std::memcpy(&job, message.data(), sizeof job);
  return job;
}

void work(Channel& channel) {
  HostJob job = receive_job(channel);
  Buffers buffers;
  for (std::size_t i = 0; i < kBufferCount; ++i) {
    const bool written = i >= static_cast<std::size_t>(Buffer::out);
    buffers[i] = map_guarded(kDataFd, job.buffers[i],
                             written ? Access::read_write : Access::read_only, kBufferNames[i]);
  }
  set_pointers(job, buffers);

  const auto decode_entry = load<DecodeArgs>(channel, job.decode.data());
  const HostLaunch decode{[&] { decode_entry(job.decode_args); }, job.decode_grid,
                          job.decode_waves};
  const bool reduces = job.reduce[0] != '\0';
  const auto reduce_entry = reduces ? load<ReduceArgs>(channel, job.reduce.data()) : nullptr;
  const ReduceArgs merging = reduce_arguments(job.decode_args, job.partials);
  const HostLaunch reduce{[&] { reduce_entry(merging); }, job.reduce_grid, job.reduce_waves};

  HostExecutor executor(job.threads, std::max(job.decode_waves, job.reduce_waves),
                        [&](const std::string& what) { give_up(channel, Verdict::crashed, what); });
  const auto launch = [&](bool poison) {
    executor.run(decode, poison);
    if (reduces) executor.run(reduce, poison);
  };

  launch(true);
  for (std::size_t i = 0; i < kBufferCount; ++i) {
    if (job.buffers[i].present() && !buffers[i].slack_untouched()) {
      give_up(channel, Verdict::wrong_result,
              std::string("wrote outside ") + kBufferNames[i] + ", within its pages");
    }
  }
  answer(channel, {});
  if (job.samples == 0) return;

  std::string go_on;
  if (channel.receive(go_on, deadline_in(kSendSeconds)) != IoStatus::ok) ::_exit(1);
  HostAnswer timed;
  for (int i = 0; i < job.samples; ++i) {
    const auto before = std::chrono::steady_clock::now();
    launch(false);
    const std::chrono::duration<float, std::micro> took = std::chrono::steady_clock::now() - before;
    timed.samples_us.push_back(took.count());
  }
  answer(channel, timed);
}

}  // namespace
}  // namespace mla

int main() {
  try {
    mla::Channel channel = mla::Channel::to_parent();
    mla::end_with_parent(channel);
    mla::explain_faults();
    mla::work(channel);
    return 0;
  } catch (const mla::Error& error) {
    std::fprintf(stderr, "mla-host-worker: %s\n", error.what());
    return static_cast<int>(error.kind());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "mla-host-worker: %s\n", error.what());
    return static_cast<int>(mla::ErrorKind::internal);
  }
}
