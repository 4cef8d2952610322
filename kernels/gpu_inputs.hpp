#pragma once

#include <cstdint>
#include <vector>

#include "kernels/gpu_device.hpp"
#include "kernels/gpu_job.hpp"
#include "templates/sparse_mla_check_config.hpp"

namespace mla {

// Inputs of one problem on the device, to be timed on.
//
// There are as many sets as it takes for the last-level cache to have been filled twice before
// anything is read again; of a warm_cache problem there is one. Each set has queries and index
// lists of its own. The slots that the lists name are in random order all over one pool of pages
// for each scope, which is ten times the cache or as large as the lists need: each row is named
// once before any is named again. The pool holds a few thousand quantised rows, over and over.
class GpuInputs {
 public:
  struct Set {
    const void* q = nullptr;
    const int* main_indices = nullptr;
    const int* extra_indices = nullptr;
  };

  // Throws GpuError where the device lacks the memory. `gpu` must outlive it.
  GpuInputs(const Gpu& gpu, const GpuProblem& problem, std::uint64_t seed, std::int64_t llc_bytes);

  const std::vector<Set>& sets() const noexcept { return sets_; }
  // Dense strides; lacks out, lse, workspace and splits.
  DecodeArgs arguments(const Set& set) const;

 private:
  struct Scope {
    GpuMemory pool;
    GpuMemory indices;  // of all sets, one after another
    GpuMemory indptr;
    std::size_t entries = 0;  // of one set
  };
  void fill_scope(Scope& scope, CacheScope& args, const ScopeData& rows, int nominal, bool ragged,
                  std::uint64_t seed);
  void fill_queries(const ProblemData& data);

  const Gpu& gpu_;
  std::int64_t llc_bytes_;
  bool warm_;
  DecodeArgs base_{};
  Scope main_;
  Scope extra_;
  GpuMemory q_;
  GpuMemory sink_;
  std::vector<Set> sets_;
};

}  // namespace mla
