#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/compare.hpp"
#include "kernels/gpu_device.hpp"
#include "kernels/gpu_inputs.hpp"
#include "kernels/gpu_job.hpp"

namespace mla {

// The kernels that check others: see templates/sparse_mla_naive.hpp and sparse_mla_compare.hpp.
struct CheckKernels {
  GpuKernel naive;
  GpuKernel compare;
};

// One problem on the device, and the candidates that are timed on it. Functions throw GpuError for
// every verdict but ok and wrong_result.
class GpuTiming {
 public:
  // All three must outlive it.
  GpuTiming(const Gpu& gpu, const CheckKernels& checks, const GpuProblem& problem,
            std::uint64_t seed, std::int64_t llc_bytes);

  // As Runner::add_candidate() and sample().
  void add(int candidate, const std::string& decode, const std::string& reduce,
           const Launch& launch, const Tolerance& tolerance, GpuReply& reply, std::string& reason);
  std::vector<float> sample(int candidate, int count);

 private:
  struct Expected {
    std::size_t set = 0;
    GpuMemory out;
    GpuMemory lse;
  };
  struct Candidate {
    GpuKernel decode;
    GpuKernel reduce;
    Launch launch{};
    int partials = 1;
    bool reduces = false;
    float* workspace = nullptr;
    unsigned* arrivals = nullptr;
    double launch_us = 0;  // roughly
    GpuGraph graph;        // none while `launches` is 0
    int launches = 0;
    std::uint64_t used = 0;  // when the graph was last sampled: graphs take turns in memory
  };

  DecodeArgs arguments(const GpuInputs::Set& set) const;
  float* workspace(std::size_t bytes);
  unsigned* arrivals(std::size_t count);
  bool arrivals_cleared() const;
  void launch_once(const Candidate& candidate, const GpuInputs::Set& set) const;
  Comparison compare_with(const Expected& expected, const Tolerance& tolerance) const;
  void estimate(Candidate& candidate) const;
  void capture(Candidate& candidate) const;
  void drop_oldest_graph();

  const Gpu& gpu_;
  const CheckKernels& checks_;
  GpuProblem problem_;
  GpuInputs inputs_;
  GpuMemory out_;
  GpuMemory lse_;
  GpuMemory differences_;  // RowDifference
  std::vector<Expected> expected_;
  std::vector<GpuMemory> workspaces_;  // the last is the largest; graphs hold on to the others
  std::vector<GpuMemory> arrivals_;    // the same
  std::map<int, Candidate> candidates_;
  std::uint64_t samplings_ = 0;
};

}  // namespace mla
