#pragma once

#include <cstddef>
#include <cstdint>

// Memory for kernels on the host: each buffer ends at a page that cannot be touched, so that
// reading or writing past the end is caught where it happens, as a GPU's unmapped pages would catch
// it, only always.

namespace mla {

// Where a buffer of `bytes` bytes lies in a file that both processes map: in whole pages from
// `offset`, its end as close to the end of the last page as `alignment` allows. What is left of the
// pages is slack.
struct Region {
  std::int64_t offset = -1;  // of its first page; -1: the buffer is absent
  std::size_t bytes = 0;
  std::size_t alignment = 1;

  bool present() const noexcept { return offset >= 0; }
  std::size_t padded() const noexcept { return (bytes + alignment - 1) / alignment * alignment; }
  std::size_t span() const noexcept;  // of its pages
  std::size_t front() const noexcept { return span() - padded(); }
};

// Room for a buffer behind what lies in the file so far; `end` grows by its pages.
Region place(std::int64_t& end, std::size_t bytes, std::size_t alignment);

// A region mapped between two pages that cannot be touched.
struct GuardedMemory {
  unsigned char* pages = nullptr;
  Region region;

  unsigned char* data() const noexcept {
    return pages == nullptr ? nullptr : pages + region.front();
  }
  // Whether the slack before and behind the data still is 0xFF.
  bool slack_untouched() const noexcept;
};

// Maps `region` of the file `fd`, or fresh memory where fd is -1, for the rest of the process's
// life, and names it. An absent region gives no memory. Throws Error{system}.
enum class Access { read_only, read_write };
GuardedMemory map_guarded(int fd, const Region& region, Access access, const char* name);

// Lets a fault in or around [begin, end) be explained by `name`, which must live as long as the
// process.
void name_memory(const void* begin, const void* end, const char* name);

// From now on a SIGSEGV or SIGBUS first says on standard error which named memory was missed, and
// by how much, then ends the process as ever. For a process that exists to run kernels.
void explain_faults();

// Gives the calling thread the alternate stack that an explanation needs when a fiber's stack has
// overflowed. Never taken back: for threads that live as long as the process.
void prepare_thread_for_faults();

}  // namespace mla
