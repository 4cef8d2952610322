#include "kernels/launch_gpu.hpp"

#include <fmt/format.h>

#include "db/error.hpp"
#include "kernels/gpu_identity.hpp"

namespace mla {
namespace {

// CUDA counts 13000 for 13.0, HIP 70253211 for 7.2.
std::string running_release(const GpuApi& api) {
  int version = 0;
  if (api.hipRuntimeGetVersion(&version) != kHipSuccess) return {};
  return api.vendor == GpuVendor::nvidia
             ? fmt::format("{}.{}", version / 1000, version % 1000 / 10)
             : fmt::format("{}.{}", version / 10'000'000, version / 100'000 % 100);
}

// Loading may take memory, which a capture elsewhere in the process would refuse.
class RelaxedCapture {
 public:
  explicit RelaxedCapture(const GpuApi& api) : api_(api) {
    api_.hipThreadExchangeStreamCaptureMode(&mode_);
  }
  ~RelaxedCapture() { api_.hipThreadExchangeStreamCaptureMode(&mode_); }
  RelaxedCapture(const RelaxedCapture&) = delete;
  RelaxedCapture& operator=(const RelaxedCapture&) = delete;

 private:
  const GpuApi& api_;
  int mode_ = kHipStreamCaptureModeRelaxed;
};

}  // namespace

// Makes the device the thread's current one, and puts back what was.
class GpuLaunchDevice::Current {
 public:
  explicit Current(const GpuLaunchDevice& device) noexcept : device_(device) {
    const GpuApi& api = device.api_;
    if (api.vendor == GpuVendor::nvidia) {
      error_ = api.hipCtxGetCurrent(&context_);
      if (error_ == kHipSuccess && context_ != device.context_) {
        error_ = api.hipCtxSetCurrent(device.context_);
        changed_ = error_ == kHipSuccess;
      }
    } else {
      error_ = api.hipGetDevice(&ordinal_);
      if (error_ == kHipSuccess && ordinal_ != device.ordinal_) {
        error_ = api.hipSetDevice(device.ordinal_);
        changed_ = error_ == kHipSuccess;
      }
    }
  }
  ~Current() {
    if (!changed_) return;
    if (device_.api_.vendor == GpuVendor::nvidia) {
      device_.api_.hipCtxSetCurrent(context_);
    } else {
      device_.api_.hipSetDevice(ordinal_);
    }
  }
  Current(const Current&) = delete;
  Current& operator=(const Current&) = delete;
  hipError_t error() const noexcept { return error_; }

 private:
  const GpuLaunchDevice& device_;
  hipError_t error_ = kHipSuccess;
  bool changed_ = false;
  hipCtx_t context_ = nullptr;
  int ordinal_ = 0;
};

GpuLaunchDevice::GpuLaunchDevice(const GpuApi& api, int ordinal) : api_(api), ordinal_(ordinal) {
  check(api_.hipInit(0), "the driver does not start");
  int count = 0;
  check(api_.hipGetDeviceCount(&count), "counting devices");
  if (ordinal < 0 || ordinal >= count)
    throw Error(ErrorKind::device,
                fmt::format("{} knows no device {}: it has {}; give an ordinal below that",
                            api_.library, ordinal, count));
  if (api_.vendor == GpuVendor::nvidia) {
    hipCtx_t before = nullptr;
    check(api_.hipCtxGetCurrent(&before), "asking for the current context");
    check(api_.hipSetDevice(ordinal), "taking the device");
    const hipError_t found = api_.hipCtxGetCurrent(&context_);
    api_.hipCtxSetCurrent(before);
    check(found, "asking for the primary context");
  }
  const Device device = gpu_identity(api_, ordinal);
  arch_ = device.arch;
  name_ = device.name;
  release_ = running_release(api_);
}

GpuLaunchDevice::~GpuLaunchDevice() {
  const Current current(*this);
  for (const hipModule_t module : modules_) api_.hipModuleUnload(module);
}

void* GpuLaunchDevice::load(const std::string& code, int dynamic_lds) {
  const Current current(*this);
  check(current.error(), "making the device current");
  const RelaxedCapture relaxed(api_);
  modules_.reserve(modules_.size() + 1);
  hipModule_t module = nullptr;
  check(api_.hipModuleLoadData(&module, code.data()), "loading a code object");
  modules_.push_back(module);
  hipFunction_t function = nullptr;
  check(api_.hipModuleGetFunction(&function, module, "entry"), "finding `entry` in a code object");
  check(allow_launches(api_, function, dynamic_lds), "asking for dynamic LDS and large clusters");
  return function;
}

int GpuLaunchDevice::launch(const KernelLaunch* kernels, int count, void* stream) const noexcept {
  const Current current(*this);
  hipError_t error = current.error();
  for (int i = 0; i < count && error == kHipSuccess; ++i) {
    const KernelLaunch& k = kernels[i];
    void* parameters[] = {k.arguments};
    const auto enqueue = k.waits ? api_.launch_overlapping : api_.hipModuleLaunchKernel;
    error = enqueue(static_cast<hipFunction_t>(k.function), k.grid.x, k.grid.y, k.grid.z, k.block,
                    1, 1, k.dynamic_lds, static_cast<hipStream_t>(stream), parameters, nullptr);
  }
  return error;
}

std::string GpuLaunchDevice::explain(int error) const {
  return fmt::format("{} (error {})", api_.hipGetErrorString(error), error);
}

void GpuLaunchDevice::check(hipError_t error, const char* what) const {
  if (error != kHipSuccess)
    throw Error(ErrorKind::device, fmt::format("{}: {}: {}", api_.library, what, explain(error)));
}

}  // namespace mla
