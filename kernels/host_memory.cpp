#include "kernels/host_memory.hpp"

#include <fmt/format.h>
#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>

#include "db/error.hpp"

namespace mla {
namespace {

std::size_t page_bytes() {
  static const auto bytes = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
  return bytes;
}

struct NamedMemory {
  std::atomic<const char*> name;  // null: not yet in use
  std::uintptr_t begin;
  std::uintptr_t end;
};

// A signal handler has no other way to its data than static storage. Written before kernels run.
std::array<NamedMemory, 512> named_memory;
std::atomic<std::size_t> named_count{0};

// Only calls that are safe in a signal handler: fmt formats into the buffer it is given.
void explain(int signal, siginfo_t* info, void*) {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  const NamedMemory* nearest = nullptr;
  std::uintptr_t distance = 16 * page_bytes();  // farther away, it is no overrun
  for (std::size_t i = 0; i < std::min(named_count.load(), named_memory.size()); ++i) {
    const NamedMemory& memory = named_memory[i];
    if (memory.name.load() == nullptr) continue;
    const std::uintptr_t away = address < memory.begin  ? memory.begin - address
                                : address >= memory.end ? address - memory.end
                                                        : 0;
    if (away < distance) {
      distance = away;
      nearest = &memory;
    }
  }
  std::array<char, 256> text;
  char* end;
  if (nearest == nullptr) {
    end = fmt::format_to_n(text.data(), text.size(), "touched {:#x}, which belongs to no buffer\n",
                           address)
              .out;
  } else if (address < nearest->begin) {
    end = fmt::format_to_n(text.data(), text.size(), "touched {}, {} bytes before its start\n",
                           nearest->name.load(), distance)
              .out;
  } else if (address >= nearest->end) {
    end = fmt::format_to_n(text.data(), text.size(), "touched {}, {} bytes past its end\n",
                           nearest->name.load(), distance)
              .out;
  } else {
    end = fmt::format_to_n(text.data(), text.size(), "wrote to {}, which is read-only\n",
                           nearest->name.load())
              .out;
  }
  [[maybe_unused]] const ssize_t written =
      ::write(STDERR_FILENO, text.data(), static_cast<std::size_t>(end - text.data()));
  ::signal(signal, SIG_DFL);
}

}  // namespace

std::size_t Region::span() const noexcept {
  return (padded() + page_bytes() - 1) / page_bytes() * page_bytes();
}

Region place(std::int64_t& end, std::size_t bytes, std::size_t alignment) {
  const Region region{end, bytes, alignment};
  end += static_cast<std::int64_t>(region.span());
  return region;
}

GuardedMemory map_guarded(int fd, const Region& region, Access access, const char* name) {
  if (!region.present()) return {};
  const std::size_t guard = page_bytes();
  void* reserved = ::mmap(nullptr, region.span() + 2 * guard, PROT_NONE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  const GuardedMemory memory{static_cast<unsigned char*>(reserved) + guard, region};
  const int protection = access == Access::read_only ? PROT_READ : PROT_READ | PROT_WRITE;
  const int kind = fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
  if (reserved == MAP_FAILED ||
      (region.span() > 0 && ::mmap(memory.pages, region.span(), protection, kind | MAP_FIXED, fd,
                                   fd < 0 ? 0 : region.offset) == MAP_FAILED)) {
    throw Error(ErrorKind::system, fmt::format("cannot map {} bytes for {}: {}", region.span(),
                                               name, std::strerror(errno)));
  }
  name_memory(memory.data(), memory.data() + region.bytes, name);
  return memory;
}

bool GuardedMemory::slack_untouched() const noexcept {
  if (pages == nullptr) return true;
  const auto poison = [](unsigned char byte) { return byte == 0xFF; };
  return std::all_of(pages, data(), poison) &&
         std::all_of(data() + region.bytes, pages + region.span(), poison);
}

void name_memory(const void* begin, const void* end, const char* name) {
  const std::size_t i = named_count.fetch_add(1);
  if (i >= named_memory.size()) return;  // a fault there will be explained less well
  named_memory[i].begin = reinterpret_cast<std::uintptr_t>(begin);
  named_memory[i].end = reinterpret_cast<std::uintptr_t>(end);
  named_memory[i].name = name;
}

void explain_faults() {
  prepare_thread_for_faults();
  struct sigaction action = {};
  action.sa_sigaction = explain;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  ::sigaction(SIGSEGV, &action, nullptr);
  ::sigaction(SIGBUS, &action, nullptr);
}

void prepare_thread_for_faults() {
  constexpr std::size_t kBytes = 64 << 10;
  void* memory =
      ::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return;
  stack_t stack = {};
  stack.ss_sp = memory;
  stack.ss_size = kBytes;
  ::sigaltstack(&stack, nullptr);
}

}  // namespace mla
