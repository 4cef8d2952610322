#pragma once

#include <atomic>
#include <cstring>
#include <mutex>
#include <string>
#include <vector>

#include "templates/sparse_mla_config.hpp"

// A driver without a GPU: two devices, modules that are whatever bytes they were given, launches
// that are written down. fake_driver.cpp is built twice, with CUDA's names and with HIP's, and what
// is under test opens it as it would the real one.

namespace mla {

struct FakeModule {
  std::string code;
  int device;
  int dynamic_lds = 0;
  int large_clusters = 0;
};

struct FakeLaunch {
  FakeModule* function;
  Dim3 grid;
  unsigned block;
  unsigned dynamic_lds;
  void* stream;
  int device;  // current then
  bool overlaps = false;
  DecodeArgs decode;
  ReduceArgs reduce;
};

struct FakeDriver {
  std::mutex mutex;
  std::vector<FakeLaunch> launches;
  std::atomic<int> loads = 0;
  std::atomic<int> unloads = 0;
  std::atomic<int> waits = 0;       // synchronisations and copies
  std::atomic<int> launched = 0;    // all of them
  std::atomic<bool> writes = true;  // launches down
  std::atomic<int> fail_launch = 0;
  std::atomic<int> fail_load = 0;
  std::atomic<int> strict_loads = 0;  // made where a capture would have refused them
};

// Exported by the library; current device of the calling thread, -1: none.
using FakeDriverOf = FakeDriver* (*)();
using FakeCurrent = int* (*)();

}  // namespace mla
