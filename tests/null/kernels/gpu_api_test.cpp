// The table of entry points: its prototypes against HIP's own where those are here, and what is
// said where no driver is.

#include "kernels/gpu_api.hpp"

#include <gmock/gmock.h>

#include <type_traits>

#include "db/error.hpp"

#if __has_include(<hip/hip_runtime_api.h>)
#define __HIP_PLATFORM_AMD__
#include <hip/hip_runtime_api.h>
#define MLA_HIP_HEADERS 1
#endif

namespace mla {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

std::string message_of(GpuVendor vendor, const char* library) {
  try {
    load_gpu_api(vendor, library);
  } catch (const Error& error) {
    EXPECT_EQ(error.kind(), ErrorKind::device);
    return error.what();
  }
  return "loaded";
}

TEST(GpuApi, AMissingLibraryIsNamedWithItsRemedy) {
  EXPECT_THAT(message_of(GpuVendor::amd, "libamdhip64.so.99"),
              AllOf(HasSubstr("libamdhip64.so.99"), HasSubstr("ROCM_PATH")));
  EXPECT_THAT(message_of(GpuVendor::nvidia, "libcuda.so.99"),
              AllOf(HasSubstr("libcuda.so.99"), HasSubstr("install the driver")));
}

TEST(GpuApi, ALibraryThatIsAnotherIsRefusedByWhatItLacks) {
  EXPECT_THAT(message_of(GpuVendor::amd, "libm.so.6"), HasSubstr("libm.so.6 lacks hipInit"));
  EXPECT_THAT(message_of(GpuVendor::nvidia, "libm.so.6"), HasSubstr("libm.so.6 lacks cuDeviceGet"));
}

TEST(GpuApi, ListsEveryFunctionOnce) {
  GpuApi api{};
  std::size_t count = 0;
  for_each_gpu_function(api, [&](const char*, auto&) { ++count; });
  // The vendor and the library's name come before the functions, and one behind them is not HIP's.
  EXPECT_EQ(sizeof(GpuApi), 8 + sizeof(std::string) + (count + 1) * sizeof(void*));
}

#ifdef MLA_HIP_HEADERS
// How the machine passes a value: pointers are alike, and so are integers and enumerations of one
// size.
template <class T>
constexpr int passed_as() {
  if constexpr (std::is_pointer_v<T>) return 100;
  if constexpr (std::is_floating_point_v<T>) return 200 + static_cast<int>(sizeof(T));
  return static_cast<int>(sizeof(T));
}
template <class A, class B>
struct SameShape : std::false_type {};
template <class R, class... P, class S, class... Q>
requires(sizeof...(P) == sizeof...(Q)) struct SameShape<R (*)(P...), S (*)(Q...)>
    : std::bool_constant<passed_as<R>() == passed_as<S>() &&
                         ((passed_as<P>() == passed_as<Q>()) && ...)> {
};

// HIP declares some of its functions twice, with C++'s default arguments and as templates.
#define MLA_SAME(function, ...) \
  static_assert(SameShape<decltype(GpuApi::function), __VA_ARGS__>::value, #function)
#define MLA_SAME_AS_DECLARED(function) MLA_SAME(function, decltype(&::function))
MLA_SAME_AS_DECLARED(hipInit);
MLA_SAME_AS_DECLARED(hipDriverGetVersion);
MLA_SAME_AS_DECLARED(hipRuntimeGetVersion);
MLA_SAME_AS_DECLARED(hipGetDeviceCount);
MLA_SAME_AS_DECLARED(hipSetDevice);
MLA_SAME_AS_DECLARED(hipGetDevice);
MLA_SAME_AS_DECLARED(hipDeviceGetName);
MLA_SAME_AS_DECLARED(hipDeviceGetAttribute);
MLA_SAME_AS_DECLARED(hipDeviceTotalMem);
MLA_SAME_AS_DECLARED(hipDeviceGetPCIBusId);
MLA_SAME_AS_DECLARED(hipGetDevicePropertiesR0600);
MLA_SAME_AS_DECLARED(hipMemGetInfo);
MLA_SAME_AS_DECLARED(hipGetErrorString);
MLA_SAME_AS_DECLARED(hipModuleLoadData);
MLA_SAME_AS_DECLARED(hipModuleUnload);
MLA_SAME_AS_DECLARED(hipModuleGetFunction);
MLA_SAME(hipFuncSetAttribute, ::hipError_t (*)(const void*, ::hipFuncAttribute, int));
MLA_SAME_AS_DECLARED(hipModuleLaunchKernel);
MLA_SAME(hipMalloc, ::hipError_t (*)(void**, std::size_t));
MLA_SAME_AS_DECLARED(hipFree);
MLA_SAME_AS_DECLARED(hipMemcpyHtoDAsync);
MLA_SAME_AS_DECLARED(hipMemcpyDtoHAsync);
MLA_SAME_AS_DECLARED(hipMemcpyDtoDAsync);
MLA_SAME_AS_DECLARED(hipMemsetD8Async);
MLA_SAME_AS_DECLARED(hipStreamCreateWithFlags);
MLA_SAME_AS_DECLARED(hipStreamDestroy);
MLA_SAME_AS_DECLARED(hipStreamSynchronize);
MLA_SAME_AS_DECLARED(hipStreamBeginCapture);
MLA_SAME_AS_DECLARED(hipStreamEndCapture);
MLA_SAME(hipThreadExchangeStreamCaptureMode, ::hipError_t (*)(::hipStreamCaptureMode*));
MLA_SAME_AS_DECLARED(hipGraphInstantiate);
MLA_SAME_AS_DECLARED(hipGraphLaunch);
MLA_SAME_AS_DECLARED(hipGraphDestroy);
MLA_SAME_AS_DECLARED(hipGraphExecDestroy);
MLA_SAME_AS_DECLARED(hipEventCreate);
MLA_SAME_AS_DECLARED(hipEventRecord);
MLA_SAME_AS_DECLARED(hipEventSynchronize);
MLA_SAME_AS_DECLARED(hipEventElapsedTime);
MLA_SAME_AS_DECLARED(hipEventDestroy);

static_assert(kHipSuccess == static_cast<int>(::hipSuccess));
static_assert(kHipErrorOutOfMemory == static_cast<int>(::hipErrorOutOfMemory));
static_assert(kHipErrorNoDevice == static_cast<int>(::hipErrorNoDevice));
static_assert(kHipStreamNonBlocking == hipStreamNonBlocking);
static_assert(kHipStreamCaptureModeThreadLocal == ::hipStreamCaptureModeThreadLocal);
static_assert(kHipStreamCaptureModeRelaxed == ::hipStreamCaptureModeRelaxed);
static_assert(kHipFuncAttributeMaxDynamicSharedMemorySize ==
              ::hipFuncAttributeMaxDynamicSharedMemorySize);
static_assert(kHipDeviceAttributeClockRate == ::hipDeviceAttributeClockRate);
static_assert(kHipDeviceAttributeL2CacheSize == ::hipDeviceAttributeL2CacheSize);
static_assert(kHipDeviceAttributeComputeCapabilityMajor ==
              ::hipDeviceAttributeComputeCapabilityMajor);
static_assert(kHipDeviceAttributeComputeCapabilityMinor ==
              ::hipDeviceAttributeComputeCapabilityMinor);
static_assert(kHipDeviceAttributeMultiprocessorCount == ::hipDeviceAttributeMultiprocessorCount);
static_assert(kHipPropertiesBytes == sizeof(::hipDeviceProp_tR0600));
static_assert(kHipPropertiesArchName == offsetof(::hipDeviceProp_tR0600, gcnArchName));
#endif

// The static_asserts above hold where this is built with the headers; here it shows which it was.
TEST(GpuApi, HasThePrototypesOfHipsHeaders) {
#ifndef MLA_HIP_HEADERS
  GTEST_SKIP() << "HIP's headers are not here; scripts/get_rocm.sh 7.2 gets them";
#endif
}

}  // namespace
}  // namespace mla
