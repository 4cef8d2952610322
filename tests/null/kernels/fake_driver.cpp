#include "tests/null/kernels/fake_driver.hpp"

#include <algorithm>
#include <cstddef>

#ifdef FAKE_HIP
#define NAMED(hip, cuda) __asm__(hip)
#else
#define NAMED(hip, cuda) __asm__(cuda)
#endif
#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

constexpr int kDevices = 2;
constexpr int kInvalidContext = 201;
mla::FakeDriver driver;
#ifdef FAKE_HIP
thread_local int current = 0;
#else
thread_local int current = -1;
struct Context {
  int device;
} contexts[kDevices] = {{0}, {1}};
#endif
thread_local int capture_mode = 0;
}  // namespace

EXPORT mla::FakeDriver* fake_driver() { return &driver; }
EXPORT int* fake_current() { return &current; }

EXPORT int fake_init(unsigned) NAMED("hipInit", "cuInit");
int fake_init(unsigned) { return 0; }
EXPORT int fake_version(int* version) NAMED("hipRuntimeGetVersion", "cuDriverGetVersion");
int fake_version(int* version) {
#ifdef FAKE_HIP
  *version = 70253211;
#else
  *version = 13000;
#endif
  return 0;
}
EXPORT int fake_count(int* count) NAMED("hipGetDeviceCount", "cuDeviceGetCount");
int fake_count(int* count) {
  *count = kDevices;
  return 0;
}
EXPORT int fake_name(char* name, int size, int) NAMED("hipDeviceGetName", "cuDeviceGetName");
int fake_name(char* name, int size, int) {
  std::strncpy(name, "a fake", static_cast<std::size_t>(size));
  return 0;
}
EXPORT int fake_attribute(int* value, int attribute, int)
    NAMED("hipDeviceGetAttribute", "cuDeviceGetAttribute");
int fake_attribute(int* value, int attribute, int) {
  *value = attribute == 75 ? 9 : 0;
  return 0;
}
EXPORT int fake_memory(std::size_t* bytes, int) NAMED("hipDeviceTotalMem", "cuDeviceTotalMem_v2");
int fake_memory(std::size_t* bytes, int) {
  *bytes = 1 << 30;
  return 0;
}
EXPORT int fake_pci(char* id, int size, int) NAMED("hipDeviceGetPCIBusId", "cuDeviceGetPCIBusId");
int fake_pci(char* id, int size, int) {
  std::strncpy(id, "0000:00:00.0", static_cast<std::size_t>(size));
  return 0;
}

#ifdef FAKE_HIP
EXPORT int hipSetDevice(int device) {
  current = device;
  return 0;
}
EXPORT int hipGetDevice(int* device) {
  *device = current;
  return 0;
}
EXPORT int hipGetDevicePropertiesR0600(char* properties, int) {
  std::strcpy(properties + 1160, "gfx950:sramecc+:xnack-");
  return 0;
}
EXPORT const char* hipGetErrorString(int) { return "a fake error"; }
#else
EXPORT int cuDeviceGet(int* device, int ordinal) {
  *device = ordinal;
  return 0;
}
EXPORT int cuDevicePrimaryCtxRetain(Context** context, int device) {
  *context = &contexts[device];
  return 0;
}
EXPORT int cuCtxSetCurrent(Context* context) {
  current = context == nullptr ? -1 : context->device;
  return 0;
}
EXPORT int cuCtxGetCurrent(Context** context) {
  *context = current < 0 ? nullptr : &contexts[current];
  return 0;
}
EXPORT int cuGetErrorString(int, const char** text) {
  *text = "a fake error";
  return 0;
}
#endif

EXPORT int fake_exchange(int* mode)
    NAMED("hipThreadExchangeStreamCaptureMode", "cuThreadExchangeStreamCaptureMode");
int fake_exchange(int* mode) {
  std::swap(*mode, capture_mode);
  return 0;
}
EXPORT int fake_load(mla::FakeModule** module, const char* code)
    NAMED("hipModuleLoadData", "cuModuleLoadData");
int fake_load(mla::FakeModule** module, const char* code) {
  if (driver.fail_load != 0) return driver.fail_load;
  if (current < 0) return kInvalidContext;
  ++driver.loads;
  if (capture_mode != 2) ++driver.strict_loads;
  *module = new mla::FakeModule{code, current};
  return 0;
}
EXPORT int fake_unload(mla::FakeModule* module) NAMED("hipModuleUnload", "cuModuleUnload");
int fake_unload(mla::FakeModule* module) {
  ++driver.unloads;
  delete module;
  return 0;
}
EXPORT int fake_function(mla::FakeModule** function, mla::FakeModule* module, const char* name)
    NAMED("hipModuleGetFunction", "cuModuleGetFunction");
int fake_function(mla::FakeModule** function, mla::FakeModule* module, const char* name) {
  *function = module;
  return std::strcmp(name, "entry") == 0 ? 0 : 500;
}
EXPORT int fake_set(mla::FakeModule* function, int, int value)
    NAMED("hipFuncSetAttribute", "cuFuncSetAttribute");
int fake_set(mla::FakeModule* function, int attribute, int value) {
  constexpr int kDynamicLds = 8, kLargeClusters = 14;
  if (attribute == kDynamicLds) function->dynamic_lds = value;
  if (attribute == kLargeClusters) function->large_clusters = value;
  return 0;
}
namespace {
int write_down(mla::FakeLaunch launch, void** arguments) {
  driver.launched.fetch_add(1, std::memory_order_relaxed);
  if (driver.fail_launch != 0) return driver.fail_launch;
  if (current != launch.function->device) return kInvalidContext;
  if (!driver.writes.load(std::memory_order_relaxed)) return 0;
  launch.device = current;
  if (launch.function->code.starts_with("decode")) {
    std::memcpy(&launch.decode, arguments[0], sizeof launch.decode);
  } else {
    std::memcpy(&launch.reduce, arguments[0], sizeof launch.reduce);
  }
  const std::lock_guard lock(driver.mutex);
  driver.launches.push_back(launch);
  return 0;
}
}  // namespace

EXPORT int fake_launch(mla::FakeModule* function, unsigned x, unsigned y, unsigned z,
                       unsigned block, unsigned, unsigned, unsigned lds, void* stream,
                       void** arguments, void**) NAMED("hipModuleLaunchKernel", "cuLaunchKernel");
int fake_launch(mla::FakeModule* function, unsigned x, unsigned y, unsigned z, unsigned block,
                unsigned, unsigned, unsigned lds, void* stream, void** arguments, void**) {
  return write_down({function, {x, y, z}, block, lds, stream, 0, false, {}, {}}, arguments);
}
#ifndef FAKE_HIP
namespace {
struct Attribute {
  int id;
  int value[17];  // a pad, then what it is
};
struct LaunchConfig {
  unsigned x, y, z, block_x, block_y, block_z, lds;
  void* stream;
  const Attribute* attributes;
  unsigned count;
};
}  // namespace
EXPORT int cuLaunchKernelEx(const LaunchConfig* c, mla::FakeModule* function, void** arguments,
                            void**) {
  constexpr int kOverlaps = 6;
  const bool overlaps =
      c->count == 1 && c->attributes->id == kOverlaps && c->attributes->value[1] == 1;
  return write_down(
      {function, {c->x, c->y, c->z}, c->block_x, c->lds, c->stream, 0, overlaps, {}, {}},
      arguments);
}
#endif

// Nothing that follows is to be called by what is under test.
#define UNUSED(name, hip, cuda)       \
  EXPORT int name() NAMED(hip, cuda); \
  int name() { return ++driver.waits; }
UNUSED(unused_0, "hipDriverGetVersion", "cuGetErrorName")
UNUSED(unused_1, "hipMemGetInfo", "cuMemGetInfo_v2")
UNUSED(unused_2, "hipMalloc", "cuMemAlloc_v2")
UNUSED(unused_3, "hipFree", "cuMemFree_v2")
UNUSED(unused_4, "hipMemcpyHtoDAsync", "cuMemcpyHtoDAsync_v2")
UNUSED(unused_5, "hipMemcpyDtoHAsync", "cuMemcpyDtoHAsync_v2")
UNUSED(unused_6, "hipMemcpyDtoDAsync", "cuMemcpyDtoDAsync_v2")
UNUSED(unused_7, "hipMemsetD8Async", "cuMemsetD8Async")
UNUSED(unused_8, "hipStreamCreateWithFlags", "cuStreamCreate")
UNUSED(unused_9, "hipStreamDestroy", "cuStreamDestroy_v2")
UNUSED(unused_10, "hipStreamSynchronize", "cuStreamSynchronize")
UNUSED(unused_11, "hipStreamBeginCapture", "cuStreamBeginCapture_v2")
UNUSED(unused_12, "hipStreamEndCapture", "cuStreamEndCapture")
UNUSED(unused_13, "hipGraphInstantiate", "cuGraphInstantiateWithFlags")
UNUSED(unused_14, "hipGraphLaunch", "cuGraphLaunch")
UNUSED(unused_15, "hipGraphDestroy", "cuGraphDestroy")
UNUSED(unused_16, "hipGraphExecDestroy", "cuGraphExecDestroy")
UNUSED(unused_17, "hipEventCreate", "cuEventCreate")
UNUSED(unused_18, "hipEventRecord", "cuEventRecord")
UNUSED(unused_19, "hipEventSynchronize", "cuEventSynchronize")
UNUSED(unused_20, "hipEventElapsedTime", "cuEventElapsedTime")
UNUSED(unused_21, "hipEventDestroy", "cuEventDestroy_v2")
