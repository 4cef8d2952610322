#pragma once

#include <cstddef>
#include <string>
#include <vector>

// The one seam for GPUs: what this project needs of a GPU runtime, under HIP's names and with HIP's
// meanings, filled at run time from AMD's libamdhip64 or from NVIDIA's libcuda. Building needs no
// SDK; a test compares these prototypes with HIP's headers where those are installed.

namespace mla {

// Handles and enumerations of HIP, by what they are to a caller.
using hipError_t = int;
using hipDevice_t = int;
using hipDeviceptr_t = void*;
using hipStream_t = struct hipStreamOpaque*;
using hipEvent_t = struct hipEventOpaque*;
using hipCtx_t = struct hipCtxOpaque*;
using hipModule_t = struct hipModuleOpaque*;
using hipFunction_t = struct hipFunctionOpaque*;
using hipGraph_t = struct hipGraphOpaque*;
using hipGraphExec_t = struct hipGraphExecOpaque*;
using hipGraphNode_t = struct hipGraphNodeOpaque*;

// Values of HIP's enumerations, those of hipError_t being CUDA's too.
constexpr hipError_t kHipSuccess = 0;
constexpr hipError_t kHipErrorOutOfMemory = 2;
constexpr hipError_t kHipErrorNoDevice = 100;
constexpr unsigned kHipStreamNonBlocking = 1;
constexpr int kHipStreamCaptureModeThreadLocal = 1;
constexpr int kHipStreamCaptureModeRelaxed = 2;
constexpr int kHipFuncAttributeMaxDynamicSharedMemorySize = 8;
constexpr int kCudaFuncAttributeNonPortableClusterSizeAllowed = 14;  // HIP has none like it
constexpr int kHipDeviceAttributeClockRate = 5;                      // kHz
constexpr int kHipDeviceAttributeL2CacheSize = 19;
constexpr int kHipDeviceAttributeComputeCapabilityMajor = 23;
constexpr int kHipDeviceAttributeComputeCapabilityMinor = 61;
constexpr int kHipDeviceAttributeMultiprocessorCount = 63;
// Of hipDeviceProp_tR0600, which has had this layout since ROCm 6.0.
constexpr std::size_t kHipPropertiesBytes = 1472;
constexpr std::size_t kHipPropertiesArchName = 1160;
constexpr std::size_t kHipArchNameBytes = 256;

enum class GpuVendor { amd, nvidia };

// Function pointers, each as HIP documents its namesake. Nothing here is thread-safe beyond that.
// With NVIDIA, hipSetDevice makes the device's primary context current, hipDeviceGetAttribute knows
// the attributes above and no others, and hipGetDevice and hipGetDevicePropertiesR0600 are null.
// With AMD, whose contexts are deprecated, hipCtxGetCurrent and hipCtxSetCurrent are null.
// launch_overlapping is not HIP's: as hipModuleLaunchKernel, but the kernel may begin before the
// one ahead of it on the stream has ended, for which it must wait itself (await_kernel_before() of
// the templates). Where there is no such launch, as with AMD, it is hipModuleLaunchKernel.
struct GpuApi {
  GpuVendor vendor = GpuVendor::amd;
  std::string library;  // as it was loaded

  hipError_t (*hipInit)(unsigned flags);
  hipError_t (*hipDriverGetVersion)(int* version);
  hipError_t (*hipRuntimeGetVersion)(int* version);
  hipError_t (*hipGetDeviceCount)(int* count);
  hipError_t (*hipSetDevice)(int device);
  hipError_t (*hipGetDevice)(int* device);
  hipError_t (*hipCtxGetCurrent)(hipCtx_t* context);
  hipError_t (*hipCtxSetCurrent)(hipCtx_t context);
  hipError_t (*hipDeviceGetName)(char* name, int size, hipDevice_t device);
  hipError_t (*hipDeviceGetAttribute)(int* value, int attribute, int device);
  hipError_t (*hipDeviceTotalMem)(std::size_t* bytes, hipDevice_t device);
  hipError_t (*hipDeviceGetPCIBusId)(char* id, int size, int device);
  hipError_t (*hipGetDevicePropertiesR0600)(void* properties, int device);
  hipError_t (*hipMemGetInfo)(std::size_t* free, std::size_t* total);
  const char* (*hipGetErrorString)(hipError_t error);

  hipError_t (*hipModuleLoadData)(hipModule_t* module, const void* image);
  hipError_t (*hipModuleUnload)(hipModule_t module);
  hipError_t (*hipModuleGetFunction)(hipFunction_t* function, hipModule_t module, const char* name);
  hipError_t (*hipFuncSetAttribute)(const void* function, int attribute, int value);
  hipError_t (*hipModuleLaunchKernel)(hipFunction_t function, unsigned grid_x, unsigned grid_y,
                                      unsigned grid_z, unsigned block_x, unsigned block_y,
                                      unsigned block_z, unsigned shared_bytes, hipStream_t stream,
                                      void** arguments, void** extra);

  hipError_t (*hipMalloc)(void** memory, std::size_t bytes);
  hipError_t (*hipFree)(void* memory);
  hipError_t (*hipMemcpyHtoDAsync)(hipDeviceptr_t to, const void* from, std::size_t bytes,
                                   hipStream_t stream);
  hipError_t (*hipMemcpyDtoHAsync)(void* to, hipDeviceptr_t from, std::size_t bytes,
                                   hipStream_t stream);
  hipError_t (*hipMemcpyDtoDAsync)(hipDeviceptr_t to, hipDeviceptr_t from, std::size_t bytes,
                                   hipStream_t stream);
  hipError_t (*hipMemsetD8Async)(hipDeviceptr_t to, unsigned char value, std::size_t count,
                                 hipStream_t stream);

  hipError_t (*hipStreamCreateWithFlags)(hipStream_t* stream, unsigned flags);
  hipError_t (*hipStreamDestroy)(hipStream_t stream);
  hipError_t (*hipStreamSynchronize)(hipStream_t stream);
  hipError_t (*hipStreamBeginCapture)(hipStream_t stream, int mode);
  hipError_t (*hipStreamEndCapture)(hipStream_t stream, hipGraph_t* graph);
  hipError_t (*hipThreadExchangeStreamCaptureMode)(int* mode);
  hipError_t (*hipGraphInstantiate)(hipGraphExec_t* exec, hipGraph_t graph, hipGraphNode_t* node,
                                    char* log, std::size_t log_bytes);
  hipError_t (*hipGraphLaunch)(hipGraphExec_t exec, hipStream_t stream);
  hipError_t (*hipGraphDestroy)(hipGraph_t graph);
  hipError_t (*hipGraphExecDestroy)(hipGraphExec_t exec);
  hipError_t (*hipEventCreate)(hipEvent_t* event);
  hipError_t (*hipEventRecord)(hipEvent_t event, hipStream_t stream);
  hipError_t (*hipEventSynchronize)(hipEvent_t event);
  hipError_t (*hipEventElapsedTime)(float* ms, hipEvent_t start, hipEvent_t stop);
  hipError_t (*hipEventDestroy)(hipEvent_t event);

  // Not HIP's.
  decltype(hipModuleLaunchKernel) launch_overlapping;
};

// Calls f(name, pointer) for each function, in the order of declaration.
template <class Api, class F>
void for_each_gpu_function(Api& api, F&& f) {
#define MLA_GPU_FUNCTION(name) f(#name, api.name)
  MLA_GPU_FUNCTION(hipInit);
  MLA_GPU_FUNCTION(hipDriverGetVersion);
  MLA_GPU_FUNCTION(hipRuntimeGetVersion);
  MLA_GPU_FUNCTION(hipGetDeviceCount);
  MLA_GPU_FUNCTION(hipSetDevice);
  MLA_GPU_FUNCTION(hipGetDevice);
  MLA_GPU_FUNCTION(hipCtxGetCurrent);
  MLA_GPU_FUNCTION(hipCtxSetCurrent);
  MLA_GPU_FUNCTION(hipDeviceGetName);
  MLA_GPU_FUNCTION(hipDeviceGetAttribute);
  MLA_GPU_FUNCTION(hipDeviceTotalMem);
  MLA_GPU_FUNCTION(hipDeviceGetPCIBusId);
  MLA_GPU_FUNCTION(hipGetDevicePropertiesR0600);
  MLA_GPU_FUNCTION(hipMemGetInfo);
  MLA_GPU_FUNCTION(hipGetErrorString);
  MLA_GPU_FUNCTION(hipModuleLoadData);
  MLA_GPU_FUNCTION(hipModuleUnload);
  MLA_GPU_FUNCTION(hipModuleGetFunction);
  MLA_GPU_FUNCTION(hipFuncSetAttribute);
  MLA_GPU_FUNCTION(hipModuleLaunchKernel);
  MLA_GPU_FUNCTION(hipMalloc);
  MLA_GPU_FUNCTION(hipFree);
  MLA_GPU_FUNCTION(hipMemcpyHtoDAsync);
  MLA_GPU_FUNCTION(hipMemcpyDtoHAsync);
  MLA_GPU_FUNCTION(hipMemcpyDtoDAsync);
  MLA_GPU_FUNCTION(hipMemsetD8Async);
  MLA_GPU_FUNCTION(hipStreamCreateWithFlags);
  MLA_GPU_FUNCTION(hipStreamDestroy);
  MLA_GPU_FUNCTION(hipStreamSynchronize);
  MLA_GPU_FUNCTION(hipStreamBeginCapture);
  MLA_GPU_FUNCTION(hipStreamEndCapture);
  MLA_GPU_FUNCTION(hipThreadExchangeStreamCaptureMode);
  MLA_GPU_FUNCTION(hipGraphInstantiate);
  MLA_GPU_FUNCTION(hipGraphLaunch);
  MLA_GPU_FUNCTION(hipGraphDestroy);
  MLA_GPU_FUNCTION(hipGraphExecDestroy);
  MLA_GPU_FUNCTION(hipEventCreate);
  MLA_GPU_FUNCTION(hipEventRecord);
  MLA_GPU_FUNCTION(hipEventSynchronize);
  MLA_GPU_FUNCTION(hipEventElapsedTime);
  MLA_GPU_FUNCTION(hipEventDestroy);
#undef MLA_GPU_FUNCTION
}

// Allows a loaded function what its launches may ask for: `dynamic_lds` bytes, and with NVIDIA
// clusters of more workgroups than every GPU takes.
hipError_t allow_launches(const GpuApi& api, hipFunction_t function, int dynamic_lds);

// Loads `library`, a path or a name for the loader, for the rest of the process's life. Throws
// Error{device} where it cannot be loaded or lacks a function, with the remedy. Initialises
// nothing.
GpuApi load_gpu_api(GpuVendor vendor, const std::string& library);

}  // namespace mla
