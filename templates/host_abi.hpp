#pragma once

// How a kernel compiled by the system's C++ compiler meets whoever runs it
// (kernels/host_executor.cpp).
//
// A kernel is a shared object with the symbol `entry`, a function of C linkage that takes its
// arguments struct by value and runs ONE wave of ONE workgroup. The runner calls it once per wave,
// each wave on a fiber of its own (8 MiB of stack); all waves of a workgroup share a thread,
// workgroups may run on several. `mla_host_wave` says which wave is running. It is set before every
// entry and after every meeting and never changes in between, so a wave may read it once and keep
// the pointer for its whole life.

#include <cstddef>

#include "sparse_mla_meetings.hpp"

namespace mla::host {

// Places at which waves can meet: one is for all of them, the others for some: the multipliers,
// those who work on tiles, with LoadPath::bulk two at each buffer, where its rows are there and
// where they have been read, and those of Meeting.
constexpr int kMultipliersPlace = 1, kTilePlace = 2, kFirstBufferPlace = 3, kMostBuffers = 20;
constexpr int kFirstMeetingPlace = kFirstBufferPlace + 2 * kMostBuffers;
constexpr int kMeetingPlaces = kFirstMeetingPlace + kMeetings;

// What hardware registers and LDS are on a GPU.
struct Wave {
  Dim3 workgroup;  // index in the grid
  Dim3 grid;       // workgroups in each dimension
  int index;       // of this wave in its workgroup
  int count;       // waves of the workgroup

  // The workgroup's shared memory, `bytes` bytes aligned to 256: the same pointer for every wave
  // and every call in a workgroup, all of which must ask for the same size. It holds NaN (0xFF)
  // when a workgroup starts. Touching memory past its end is detected.
  unsigned char* (*shared_memory)(const Wave* self, std::size_t bytes);

  // Returns when every wave of the workgroup has called it: meet(self, 0, count).
  void (*barrier)(const Wave* self);

  // Reports a defect of the kernel (a violated precondition of a verb) and does not return.
  void (*fail)(const Wave* self, const char* what);

  void* scheduler;  // the runner's

  // Returns when `waves` waves of the workgroup have called it for this place. A workgroup whose
  // waves wait for what cannot come any more is reported as a defect.
  void (*meet)(const Wave* self, int place, int waves);

  // The same for who has nothing to wait for: counts as having called it, and returns at once.
  void (*arrive)(const Wave* self, int place, int waves);
};

}  // namespace mla::host

// The wave that runs on this thread. Defined by the program that loads the kernel.
extern "C" __thread const mla::host::Wave* mla_host_wave;
