#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernels/compare.hpp"
#include "kernels/device.hpp"

// What device_gpu sends to mla-gpu-worker, and what comes back. Both are built from the same
// source.

namespace mla {

enum class GpuTask : int {
  describe,  // the library's devices, as JSON
  open,      // parts: the naive reference's and the comparison's code objects
  run,       // parts: decode, reduce, a HostJob, the bytes of its buffers
  begin_timing,
  add_candidate,  // parts: decode, reduce
  sample,
  conditions,
};

// A ProblemRecord without its strings.
struct GpuProblem {
  int heads, tokens, main_len, extra_len, main_page, extra_page, main_format, extra_format;
  bool ragged, warm_cache;
};
GpuProblem gpu_problem(const ProblemRecord& problem);
ProblemRecord problem_record(const GpuProblem& problem);

struct GpuRequest {
  GpuTask task;
  int ordinal;             // open
  std::int64_t llc_bytes;  // open: of the last-level cache, at least
  Launch launch;           // run, add_candidate
  GpuProblem problem;      // begin_timing
  std::uint64_t seed;      // begin_timing
  int candidate;           // add_candidate, sample
  int count;               // sample
  Tolerance tolerance;     // add_candidate
};

struct GpuReply {
  Verdict verdict;
  bool lost;  // the device no longer answers this process
  double max_error;
  double cosine_gap;
};

// A header with any number of byte strings behind it.
//   run            parts: reason, the bytes from out's buffer on
//   sample         parts: reason, floats
//   others         parts: reason, and for describe and conditions JSON
template <class Header>
struct GpuMessage {
  Header header{};
  std::vector<std::string> parts;
};
std::string encode(const GpuMessage<GpuRequest>& message);
std::string encode(const GpuMessage<GpuReply>& message);
// Throw Error{internal} for bytes that are no such message.
GpuMessage<GpuRequest> decode_request(const std::string& bytes);
GpuMessage<GpuReply> decode_reply(const std::string& bytes);

}  // namespace mla
