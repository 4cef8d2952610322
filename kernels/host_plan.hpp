#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <vector>

#include "kernels/channel.hpp"
#include "kernels/device.hpp"
#include "kernels/host_job.hpp"

// How one run's inputs and outputs lie in the memory that a device shares with its worker, or hands
// over to it.

namespace mla {

// A file in memory, mapped, that a worker can map too.
class SharedFile {
 public:
  // Throws Error{system}.
  explicit SharedFile(std::int64_t bytes);
  ~SharedFile();
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  int fd() const noexcept { return file_.get(); }
  unsigned char* begin() const noexcept { return memory_; }
  unsigned char* data(const Region& region) const noexcept {
    return memory_ + region.offset + region.front();
  }
  // Fills a region, its slack with 0xFF.
  void write(const Region& region, const void* from) const noexcept;
  // Fills a region's pages with 0xFF: NaN in each format.
  void poison(const Region& region) const noexcept;

 private:
  FileDescriptor file_;
  std::size_t bytes_;
  unsigned char* memory_ = nullptr;
};

// A job and where its inputs come from. Points into the ProblemData it was made for.
struct HostPlan {
  HostJob job{};                                    // lacks threads and samples
  std::array<const void*, kBufferCount> sources{};  // null: to be poisoned
  std::vector<std::uint16_t> q;                     // with gaps between its rows
  std::vector<unsigned> arrivals;                   // zeros, as many as the kernel needs
  std::int64_t end = 0;                             // bytes of shared memory

  const Region& region(Buffer buffer) const {
    return job.buffers[static_cast<std::size_t>(buffer)];
  }
};

// q, out and lse get gaps between their rows. `reduce` is used where reduces() says so. Throws
// Error{usage} where the data contradicts itself.
HostPlan make_host_plan(const std::string& decode, const std::string& reduce, const Launch& launch,
                        const ProblemData& data, int splits);

// Writes the inputs and poisons the outputs.
void fill(const SharedFile& file, const HostPlan& plan);

// Whether what lies before and behind the buffers that kernels write still is 0xFF.
bool slack_untouched(const SharedFile& file, const HostPlan& plan);

// Whether DecodeArgs::arrivals are zeros, as the next launch needs them.
bool arrivals_cleared(const SharedFile& file, const HostPlan& plan);

// Takes out and lse out of their rows; false where a gap between rows was written to.
bool read_output(const SharedFile& file, const HostPlan& plan, Output& output);

}  // namespace mla
