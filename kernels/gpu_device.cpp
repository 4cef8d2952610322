#include "kernels/gpu_device.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "kernels/gpu_identity.hpp"

namespace mla {
namespace {

// Those after which a context answers nothing but the same error again; CUDA's numbers and HIP's
// are equal here.
bool is_fault(hipError_t error) {
  constexpr hipError_t kFaults[] = {4,   214, 700, 702, 710, 713, 714, 715,
                                    716, 717, 718, 719, 720, 721, 999};
  return std::ranges::find(kFaults, error) != std::end(kFaults);
}

}  // namespace

Gpu::Gpu(GpuApi api, int ordinal) : api_(std::move(api)) {
  check(api_.hipSetDevice(ordinal), "taking the device");
  check(api_.hipStreamCreateWithFlags(&stream_, kHipStreamNonBlocking), "making a stream");
  device_ = gpu_identity(api_, ordinal);
  lanes_ = api_.vendor == GpuVendor::nvidia ? 32 : 64;
  int bytes = 0;
  if (api_.hipDeviceGetAttribute(&bytes, kHipDeviceAttributeL2CacheSize, ordinal) == kHipSuccess) {
    l2_bytes_ = bytes;
  }
}

Gpu::~Gpu() {
  if (stream_ != nullptr) api_.hipStreamDestroy(stream_);
}

std::size_t Gpu::free_bytes() const {
  std::size_t free = 0, total = 0;
  check(api_.hipMemGetInfo(&free, &total), "asking for free memory");
  return free;
}

void Gpu::check(hipError_t error, const char* what) const {
  if (error == kHipSuccess) return;
  const bool fault = is_fault(error);
  throw GpuError(fault ? Verdict::crashed : Verdict::launch_failed, fault,
                 fmt::format("{}: {} (error {})", what, api_.hipGetErrorString(error), error));
}

GpuMemory::GpuMemory(const Gpu& gpu, std::size_t bytes) : gpu_(&gpu), bytes_(bytes) {
  if (bytes == 0) return;
  const hipError_t error = gpu.api().hipMalloc(&memory_, bytes);
  if (error == kHipErrorOutOfMemory) {
    throw GpuError(Verdict::launch_failed, false,
                   fmt::format("the device has no {:.1f} MB left: stop what else runs on it",
                               double(bytes) / 1e6));
  }
  gpu.check(error, "taking device memory");
}

GpuMemory& GpuMemory::operator=(GpuMemory&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(memory_, other.memory_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

GpuMemory::~GpuMemory() {
  if (memory_ != nullptr) gpu_->api().hipFree(memory_);
}

// On the stream, which does not wait for copies made outside of it: a copy from ordinary host
// memory returns before the device has the bytes.
void GpuMemory::write(std::size_t at, const void* from, std::size_t bytes) const {
  if (bytes == 0) return;
  gpu_->check(gpu_->api().hipMemcpyHtoDAsync(as<void>(at), from, bytes, gpu_->stream()),
              "copying to the device");
  gpu_->synchronise();
}

void GpuMemory::read(std::size_t at, void* to, std::size_t bytes) const {
  if (bytes == 0) return;
  gpu_->check(gpu_->api().hipMemcpyDtoHAsync(to, as<void>(at), bytes, gpu_->stream()),
              "copying from the device");
  gpu_->synchronise();
}

void GpuMemory::copy_from(const GpuMemory& other, std::size_t to, std::size_t from,
                          std::size_t bytes) const {
  if (bytes == 0) return;
  gpu_->check(
      gpu_->api().hipMemcpyDtoDAsync(as<void>(to), other.as<void>(from), bytes, gpu_->stream()),
      "copying on the device");
}

void GpuMemory::poison() const {
  if (bytes_ == 0) return;
  gpu_->check(gpu_->api().hipMemsetD8Async(memory_, 0xFF, bytes_, gpu_->stream()),
              "poisoning memory");
}

GpuKernel::GpuKernel(const Gpu& gpu, const std::string& code, int dynamic_lds)
    : gpu_(&gpu), dynamic_lds_(static_cast<unsigned>(dynamic_lds)) {
  const GpuApi& api = gpu.api();
  gpu.check(api.hipModuleLoadData(&module_, code.data()), "loading the code object");
  try {
    gpu.check(api.hipModuleGetFunction(&function_, module_, "entry"),
              "finding `entry` in the code object");
    gpu.check(allow_launches(api, function_, dynamic_lds),
              "asking for dynamic LDS and large clusters");
  } catch (...) {
    api.hipModuleUnload(module_);
    throw;
  }
}

GpuKernel& GpuKernel::operator=(GpuKernel&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(module_, other.module_);
  std::swap(function_, other.function_);
  std::swap(dynamic_lds_, other.dynamic_lds_);
  return *this;
}

GpuKernel::~GpuKernel() {
  if (module_ != nullptr) gpu_->api().hipModuleUnload(module_);
}

void GpuKernel::launch(const Dim3& grid, int threads, const void* arguments, bool waits) const {
  void* parameters[] = {const_cast<void*>(arguments)};
  const auto enqueue = waits ? gpu_->api().launch_overlapping : gpu_->api().hipModuleLaunchKernel;
  gpu_->check(enqueue(function_, grid.x, grid.y, grid.z, static_cast<unsigned>(threads), 1, 1,
                      dynamic_lds_, gpu_->stream(), parameters, nullptr),
              "launching the kernel");
}

void GpuGraph::begin() const {
  gpu_->check(gpu_->api().hipStreamBeginCapture(gpu_->stream(), kHipStreamCaptureModeThreadLocal),
              "capturing a graph");
}

void GpuGraph::end() {
  const GpuApi& api = gpu_->api();
  hipGraph_t graph = nullptr;
  gpu_->check(api.hipStreamEndCapture(gpu_->stream(), &graph), "capturing a graph");
  const hipError_t error = api.hipGraphInstantiate(&exec_, graph, nullptr, nullptr, 0);
  api.hipGraphDestroy(graph);
  gpu_->check(error, "instantiating a graph");
}

GpuGraph& GpuGraph::operator=(GpuGraph&& other) noexcept {
  std::swap(gpu_, other.gpu_);
  std::swap(exec_, other.exec_);
  return *this;
}

GpuGraph::~GpuGraph() {
  if (exec_ != nullptr) gpu_->api().hipGraphExecDestroy(exec_);
}

void GpuGraph::launch() const {
  gpu_->check(gpu_->api().hipGraphLaunch(exec_, gpu_->stream()), "launching a graph");
}

GpuEvent::GpuEvent(const Gpu& gpu) : gpu_(&gpu) {
  gpu.check(gpu.api().hipEventCreate(&event_), "making an event");
}

GpuEvent::~GpuEvent() {
  if (event_ != nullptr) gpu_->api().hipEventDestroy(event_);
}

void GpuEvent::record() const {
  gpu_->check(gpu_->api().hipEventRecord(event_, gpu_->stream()), "recording an event");
}

double GpuEvent::since(const GpuEvent& earlier) const {
  float ms = 0;
  gpu_->check(gpu_->api().hipEventElapsedTime(&ms, earlier.event_, event_), "reading events");
  return double{ms} * 1e3;
}

}  // namespace mla
