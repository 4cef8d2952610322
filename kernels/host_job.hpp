#pragma once

#include <array>
#include <climits>
#include <cstdint>
#include <string>
#include <vector>

#include "db/records.hpp"
#include "kernels/host_memory.hpp"
#include "templates/sparse_mla_config.hpp"

// What device_host sends to mla-host-worker, and what comes back. Both are built from the same
// source.

namespace mla {

enum class Buffer : std::size_t {
  q,
  main_cache,
  main_indices,
  main_indptr,
  extra_cache,
  extra_indices,
  extra_indptr,
  sink,
  out,  // this and all that follow are written by kernels
  lse,
  workspace,
  arrivals,  // zeros, before and after
  count,
};
constexpr std::size_t kBufferCount = static_cast<std::size_t>(Buffer::count);

// Sent as its bytes; the buffers lie in the file that the worker inherits as kDataFd.
struct HostJob {
  std::array<Region, kBufferCount> buffers;
  DecodeArgs decode_args;  // complete but for its pointers, which are the worker's to set
  int partials;            // results a row that a reduce kernel merges
  Dim3 decode_grid;
  Dim3 reduce_grid;
  int decode_waves;
  int reduce_waves;
  int threads;
  int samples;
  std::array<char, PATH_MAX> decode;  // paths of shared objects
  std::array<char, PATH_MAX> reduce;  // empty: none follows
};
constexpr int kDataFd = 4;
constexpr const char* kEntryName = "entry";

// The worker answers twice: when the checked launch is done, and, after a message of the supervisor
// that its output has been read, when the timed launches are done. The first answer that is not ok
// is the last.
struct HostAnswer {
  Verdict verdict = Verdict::ok;
  std::string reason;
  std::vector<float> samples_us;
};
std::string encode(const HostAnswer& answer);
// Throws Error{internal} where `message` is not an encoded answer.
HostAnswer decode_answer(const std::string& message);

}  // namespace mla
