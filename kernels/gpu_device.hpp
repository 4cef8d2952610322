#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "db/error.hpp"
#include "kernels/device.hpp"
#include "kernels/gpu_api.hpp"

// One GPU inside the worker: owned handles on gpu_api.hpp. Not thread-safe.

namespace mla {

// What the GPU refused or did not survive, as the verdict that it means for a variant.
class GpuError : public Error {
 public:
  GpuError(Verdict verdict, bool lost, const std::string& message)
      : Error(ErrorKind::device, message), verdict_(verdict), lost_(lost) {}
  Verdict verdict() const noexcept { return verdict_; }
  // The process can do nothing more with this device.
  bool lost() const noexcept { return lost_; }

 private:
  Verdict verdict_;
  bool lost_;
};

// One device with one stream, made current for the calling thread.
class Gpu {
 public:
  Gpu(GpuApi api, int ordinal);
  ~Gpu();
  Gpu(const Gpu&) = delete;
  Gpu& operator=(const Gpu&) = delete;

  const GpuApi& api() const noexcept { return api_; }
  hipStream_t stream() const noexcept { return stream_; }
  const Device& device() const noexcept { return device_; }
  int lanes() const noexcept { return lanes_; }
  std::int64_t l2_bytes() const noexcept { return l2_bytes_; }
  std::size_t free_bytes() const;

  // Throws GpuError unless `error` is success.
  void check(hipError_t error, const char* what) const;
  void synchronise() const { check(api_.hipStreamSynchronize(stream_), "running the kernel"); }

 private:
  GpuApi api_;
  hipStream_t stream_ = nullptr;
  Device device_;
  int lanes_ = 0;
  std::int64_t l2_bytes_ = 0;
};

// Device memory; may be empty. The Gpu must outlive it, as it must each of the following.
class GpuMemory {
 public:
  GpuMemory() = default;
  GpuMemory(const Gpu& gpu, std::size_t bytes);
  GpuMemory(GpuMemory&& other) noexcept { *this = std::move(other); }
  GpuMemory& operator=(GpuMemory&& other) noexcept;
  ~GpuMemory();

  template <class T = unsigned char>
  T* as(std::size_t byte = 0) const noexcept {
    return reinterpret_cast<T*>(static_cast<unsigned char*>(memory_) + byte);
  }
  std::size_t bytes() const noexcept { return bytes_; }

  // These two wait until the stream, the copy included, is done.
  void write(std::size_t at, const void* from, std::size_t bytes) const;
  void read(std::size_t at, void* to, std::size_t bytes) const;
  void copy_from(const GpuMemory& other, std::size_t to, std::size_t from, std::size_t bytes) const;
  void poison() const;  // 0xFF: NaN in each format

 private:
  const Gpu* gpu_ = nullptr;
  void* memory_ = nullptr;
  std::size_t bytes_ = 0;
};

// A loaded code object's function `entry`.
class GpuKernel {
 public:
  GpuKernel() = default;
  // `dynamic_lds` bytes are what every launch will ask for.
  GpuKernel(const Gpu& gpu, const std::string& code, int dynamic_lds);
  GpuKernel(GpuKernel&& other) noexcept { *this = std::move(other); }
  GpuKernel& operator=(GpuKernel&& other) noexcept;
  ~GpuKernel();

  // Asynchronous; `arguments` is the kernel's one struct. `waits`: for the kernel launched before,
  // itself, so that it may begin before that has ended.
  void launch(const Dim3& grid, int threads, const void* arguments, bool waits = false) const;
  explicit operator bool() const noexcept { return module_ != nullptr; }

 private:
  const Gpu* gpu_ = nullptr;
  hipModule_t module_ = nullptr;
  hipFunction_t function_ = nullptr;
  unsigned dynamic_lds_ = 0;
};

// What `record` launched on the stream, to be launched again as one.
class GpuGraph {
 public:
  GpuGraph() = default;
  template <class F>
  GpuGraph(const Gpu& gpu, F&& record) : gpu_(&gpu) {
    begin();
    record();
    end();
  }
  GpuGraph(GpuGraph&& other) noexcept { *this = std::move(other); }
  GpuGraph& operator=(GpuGraph&& other) noexcept;
  ~GpuGraph();

  void launch() const;

 private:
  void begin() const;
  void end();
  const Gpu* gpu_ = nullptr;
  hipGraphExec_t exec_ = nullptr;
};

class GpuEvent {
 public:
  explicit GpuEvent(const Gpu& gpu);
  GpuEvent(GpuEvent&& other) noexcept
      : gpu_(other.gpu_), event_(std::exchange(other.event_, nullptr)) {}
  GpuEvent& operator=(GpuEvent&&) = delete;
  ~GpuEvent();

  void record() const;
  // Microseconds from `earlier` to this; both have been reached.
  double since(const GpuEvent& earlier) const;

 private:
  const Gpu* gpu_;
  hipEvent_t event_ = nullptr;
};

}  // namespace mla
