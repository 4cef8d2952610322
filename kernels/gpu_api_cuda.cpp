#include "kernels/gpu_api_cuda.hpp"

#include <dlfcn.h>

#include "db/error.hpp"

// Where CUDA's driver API has the same arguments under another name, its function serves as it is;
// the others get an adapter. What adapters call is in a table that is filled once: a function
// pointer carries no state, and the driver is loaded once a process at most.

namespace mla {
namespace {

using CuResult = int;
using CuContext = hipCtx_t;

// CUlaunchConfig and its attributes, of which there is one.
struct LaunchAttribute {
  int id;
  char pad[4];
  long long value[8];
};
struct LaunchConfig {
  unsigned grid[3], block[3], shared_bytes;
  hipStream_t stream;
  LaunchAttribute* attributes;
  unsigned count;
};
constexpr int kProgrammaticStreamSerialization = 6;
// Since when such launches can be captured.
constexpr int kOverlappingDriver = 12030;

struct Driver {
  CuResult (*device_get)(int* device, int ordinal);
  CuResult (*device_attribute)(int* value, int attribute, int device);
  CuResult (*retain_primary)(CuContext* context, int device);
  CuResult (*set_current)(CuContext context);
  CuResult (*error_name)(CuResult error, const char** text);
  CuResult (*error_string)(CuResult error, const char** text);
  CuResult (*event_create)(hipEvent_t* event, unsigned flags);
  CuResult (*graph_instantiate)(hipGraphExec_t* exec, hipGraph_t graph, unsigned long long flags);
  CuResult (*launch_with)(const LaunchConfig* config, hipFunction_t function, void** arguments,
                          void** extra);
};

Driver& driver() {
  static Driver table{};
  return table;
}

hipError_t set_device(int ordinal) {
  int device = 0;
  CuContext context = nullptr;
  CuResult result = driver().device_get(&device, ordinal);
  if (result == kHipSuccess) result = driver().retain_primary(&context, device);
  return result == kHipSuccess ? driver().set_current(context) : result;
}

// HIP numbers the attributes of both vendors its own way.
hipError_t device_attribute(int* value, int attribute, int ordinal) {
  constexpr struct {
    int hip, cuda;
  } kSame[] = {{kHipDeviceAttributeClockRate, 13},
               {kHipDeviceAttributeL2CacheSize, 38},
               {kHipDeviceAttributeComputeCapabilityMajor, 75},
               {kHipDeviceAttributeComputeCapabilityMinor, 76},
               {kHipDeviceAttributeMultiprocessorCount, 16}};
  constexpr hipError_t kInvalidValue = 1;
  int device = 0;
  const CuResult found = driver().device_get(&device, ordinal);
  if (found != kHipSuccess) return found;
  for (const auto& same : kSame) {
    if (same.hip == attribute) return driver().device_attribute(value, same.cuda, device);
  }
  return kInvalidValue;
}

const char* error_string(hipError_t error) {
  const char* text = nullptr;
  if (driver().error_string(error, &text) == kHipSuccess && text != nullptr) return text;
  if (driver().error_name(error, &text) == kHipSuccess && text != nullptr) return text;
  return "an error that the driver does not know";
}

hipError_t event_create(hipEvent_t* event) { return driver().event_create(event, 0); }

hipError_t graph_instantiate(hipGraphExec_t* exec, hipGraph_t graph, hipGraphNode_t*, char*,
                             std::size_t) {
  return driver().graph_instantiate(exec, graph, 0);
}

hipError_t launch_overlapping(hipFunction_t function, unsigned grid_x, unsigned grid_y,
                              unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
                              unsigned shared_bytes, hipStream_t stream, void** arguments,
                              void** extra) {
  LaunchAttribute overlaps{kProgrammaticStreamSerialization, {}, {}};
  overlaps.value[0] = 1;
  const LaunchConfig config{
      {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared_bytes, stream, &overlaps, 1};
  return driver().launch_with(&config, function, arguments, extra);
}

}  // namespace

void fill_from_cuda(GpuApi& api, void* library) {
  const auto take = [&](auto& pointer, const char* name) {
    void* address = ::dlsym(library, name);
    if (address == nullptr) {
      throw Error(ErrorKind::device, api.library + " lacks " + name +
                                         ": the driver is older than CUDA 12; install a newer one");
    }
    pointer = reinterpret_cast<std::remove_reference_t<decltype(pointer)>>(address);
  };
  take(driver().device_get, "cuDeviceGet");
  take(driver().device_attribute, "cuDeviceGetAttribute");
  take(driver().retain_primary, "cuDevicePrimaryCtxRetain");
  take(driver().set_current, "cuCtxSetCurrent");
  take(driver().error_name, "cuGetErrorName");
  take(driver().error_string, "cuGetErrorString");
  take(driver().event_create, "cuEventCreate");
  take(driver().graph_instantiate, "cuGraphInstantiateWithFlags");

  take(api.hipInit, "cuInit");
  take(api.hipDriverGetVersion, "cuDriverGetVersion");
  take(api.hipRuntimeGetVersion, "cuDriverGetVersion");
  take(api.hipGetDeviceCount, "cuDeviceGetCount");
  api.hipSetDevice = set_device;
  take(api.hipCtxGetCurrent, "cuCtxGetCurrent");
  take(api.hipCtxSetCurrent, "cuCtxSetCurrent");
  take(api.hipDeviceGetName, "cuDeviceGetName");
  api.hipDeviceGetAttribute = device_attribute;
  take(api.hipDeviceTotalMem, "cuDeviceTotalMem_v2");
  take(api.hipDeviceGetPCIBusId, "cuDeviceGetPCIBusId");
  take(api.hipMemGetInfo, "cuMemGetInfo_v2");
  api.hipGetErrorString = error_string;

  take(api.hipModuleLoadData, "cuModuleLoadData");
  take(api.hipModuleUnload, "cuModuleUnload");
  take(api.hipModuleGetFunction, "cuModuleGetFunction");
  take(api.hipFuncSetAttribute, "cuFuncSetAttribute");
  take(api.hipModuleLaunchKernel, "cuLaunchKernel");
  take(driver().launch_with, "cuLaunchKernelEx");
  int version = 0;
  const bool overlaps =
      api.hipDriverGetVersion(&version) == kHipSuccess && version >= kOverlappingDriver;
  api.launch_overlapping = overlaps ? launch_overlapping : api.hipModuleLaunchKernel;

  take(api.hipMalloc, "cuMemAlloc_v2");
  take(api.hipFree, "cuMemFree_v2");
  take(api.hipMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2");
  take(api.hipMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2");
  take(api.hipMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2");
  take(api.hipMemsetD8Async, "cuMemsetD8Async");

  take(api.hipStreamCreateWithFlags, "cuStreamCreate");
  take(api.hipStreamDestroy, "cuStreamDestroy_v2");
  take(api.hipStreamSynchronize, "cuStreamSynchronize");
  take(api.hipStreamBeginCapture, "cuStreamBeginCapture_v2");
  take(api.hipStreamEndCapture, "cuStreamEndCapture");
  take(api.hipThreadExchangeStreamCaptureMode, "cuThreadExchangeStreamCaptureMode");
  api.hipGraphInstantiate = graph_instantiate;
  take(api.hipGraphLaunch, "cuGraphLaunch");
  take(api.hipGraphDestroy, "cuGraphDestroy");
  take(api.hipGraphExecDestroy, "cuGraphExecDestroy");
  api.hipEventCreate = event_create;
  take(api.hipEventRecord, "cuEventRecord");
  take(api.hipEventSynchronize, "cuEventSynchronize");
  take(api.hipEventElapsedTime, "cuEventElapsedTime");
  take(api.hipEventDestroy, "cuEventDestroy_v2");
}

}  // namespace mla
