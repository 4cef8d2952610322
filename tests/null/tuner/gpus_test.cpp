// Finding GPUs on a machine that may have none.

#include "tuner/gpus.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "tests/temporary_folder.hpp"
#include "tuner/toolchain_probe.hpp"

namespace mla {
namespace {

using ::testing::AllOf;
using ::testing::AnyOf;
using ::testing::Each;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// Nothing but what the test puts there.
ToolchainSearch nowhere(const TemporaryFolder& folder) {
  ToolchainSearch search;
  search.system_rocm = folder.path("opt/rocm");
  search.private_folder = folder.path("private");
  search.system_cuda = folder.path("cuda");
  search.loader_path = false;
  return search;
}

// Either release's libamdhip64 has every function, starts, and says that there is no device.
TEST(Gpus, EveryPrivateRocmResolvesAndSaysThatNoDeviceIsThere) {
  if (std::filesystem::exists("/dev/kfd")) GTEST_SKIP() << "an AMD GPU may be here";
#ifdef MLA_SANITIZED
  GTEST_SKIP() << "a sanitized worker cannot start under another C library";
#endif
  const TemporaryFolder folder;
  ToolchainSearch search = nowhere(folder);
  search.private_folder = search_from_environment().private_folder;
  std::size_t runtimes = 0;
  for (const RocmFolder& rocm : private_rocm(search))
    if (!newest_library(rocm.root, "libamdhip64").empty()) ++runtimes;
  if (runtimes == 0) GTEST_SKIP() << "no private ROCm; scripts/get_rocm.sh 7.2 gets one";
  const GpuList list = find_gpus("gfx950", search, MLA_GPU_WORKER);
  EXPECT_THAT(list.gpus, IsEmpty());
  EXPECT_THAT(list.unusable, SizeIs(runtimes));
  EXPECT_THAT(list.unusable, Each(AllOf(HasSubstr("libamdhip64.so"), HasSubstr("error 100"),
                                        HasSubstr("/dev/kfd"))));
}

TEST(Gpus, ALibraryThatCannotBeLoadedIsNoGpuAndSaysWhy) {
  const TemporaryFolder folder;
  const ToolchainSearch search = nowhere(folder);
  const std::string library = search.system_rocm + "/lib/libamdhip64.so.7";
  std::filesystem::create_directories(search.system_rocm + "/lib");
  std::filesystem::copy_file("/proc/self/exe", library);
  const GpuList list = find_gpus("gfx950", search, MLA_GPU_WORKER);
  EXPECT_THAT(list.gpus, IsEmpty());
  ASSERT_THAT(list.unusable, SizeIs(1));
  EXPECT_THAT(list.unusable[0], AllOf(HasSubstr(library), HasSubstr("install ROCm")));
}

TEST(Gpus, NoLibraryAtAllIsNoGpu) {
  const TemporaryFolder folder;
  const GpuList list = find_gpus("gfx950", nowhere(folder), MLA_GPU_WORKER);
  EXPECT_THAT(list.gpus, IsEmpty());
  EXPECT_THAT(list.unusable, IsEmpty());
}

TEST(Gpus, AGpuOfAnotherArchIsNotFound) {
  const TemporaryFolder folder;
  EXPECT_THAT(find_gpus("sm_17", nowhere(folder), MLA_GPU_WORKER).gpus, IsEmpty());
}

}  // namespace
}  // namespace mla
