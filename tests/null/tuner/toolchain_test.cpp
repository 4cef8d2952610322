#include "tuner/toolchain.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>

#include "db/error.hpp"
#include "kernels/process.hpp"
#include "tests/temporary_folder.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::HasSubstr;

// Machines made of folders, and a helper that believes what their libraries' files say.
class ToolchainTest : public ::testing::Test {
 protected:
  void SetUp() override {
    search_.helper = sibling_program("fake_helper");
    search_.system_rocm = folder_.path("opt/rocm");
    search_.system_cuda = folder_.path("usr/local/cuda");
    search_.private_folder = folder_.path("home/mla-tune");
    search_.loader_path = false;
  }

  std::string write(const std::string& name, const std::string& text) {
    const fs::path path = folder_.path(name);
    fs::create_directories(path.parent_path());
    std::ofstream(path) << text;
    return path.string();
  }
  std::string rocm(const std::string& root, const std::string& release, const std::string& archs,
                   const std::string& library = "lib/libhiprtc.so.7") {
    write(root + "/" + library, "archs " + archs);
    write(root + "/.info/version", release + "-93\n");
    return folder_.path(root);
  }
  std::string error_for(const std::string& arch) {
    try {
      toolchain_for(arch, search_);
    } catch (const Error& error) {
      EXPECT_EQ(error.kind(), ErrorKind::toolchain);
      return error.what();
    }
    return "";
  }

  TemporaryFolder folder_;
  ToolchainSearch search_;
};

TEST_F(ToolchainTest, PrefersTheSystemThenRocmPathThenThePrivateFolder) {
  rocm("home/mla-tune/rocm-6.4", "6.4.3", "gfx950");
  rocm("home/mla-tune/rocm-7.2", "7.2.4", "gfx950");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "7.2.4");
  search_.rocm_path = rocm("else/where", "7.1.0", "gfx950");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "7.1.0");
  rocm("opt/rocm-6.4.1", "6.4.1", "gfx950");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "6.4.1");
  rocm("opt/rocm", "7.0.2", "gfx950");
  const FoundToolchain found = toolchain_for("gfx950", search_);
  EXPECT_EQ(found.record.release, "7.0.2");
  EXPECT_EQ(found.record.compiler, "hiprtc");
  EXPECT_EQ(found.record.library, "libhiprtc.so.7");
  EXPECT_EQ(found.record.llvm, "22.1.8");
  EXPECT_EQ(found.origin, search_.system_rocm);
  EXPECT_EQ(find_rocm(search_).usable.size(), 5u);
}

TEST_F(ToolchainTest, TakesTheReleaseThatTheUserChose) {
  rocm("opt/rocm", "7.0.2", "gfx950");
  rocm("home/mla-tune/rocm-6.4", "6.4.3", "gfx950");
  search_.rocm = "6.4";
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "6.4.3");
  search_.rocm = "7.2";
  EXPECT_THAT(error_for("gfx950"), AllOf(HasSubstr("ROCm 7.2 is not on this machine"),
                                         HasSubstr("7.0.2"), HasSubstr("make tune ROCM=7.2")));
}

TEST_F(ToolchainTest, TakesAFolderThatTheUserNames) {
  rocm("opt/rocm", "7.0.2", "gfx950");
  search_.rocm = rocm("some/where", "9.9.9", "gfx950");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "9.9.9");
  search_.rocm = folder_.path("not/there");
  EXPECT_THAT(error_for("gfx950"), HasSubstr("not/there"));
}

TEST_F(ToolchainTest, PassesOverAReleaseThatDoesNotKnowTheArch) {
  rocm("opt/rocm", "5.7.1", "gfx90a gfx942");
  rocm("home/mla-tune/rocm-7.2", "7.2.4", "gfx942 gfx950");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "7.2.4");
  EXPECT_EQ(toolchain_for("gfx942", search_).record.release, "5.7.1");
}

TEST_F(ToolchainTest, SaysWhichReleaseKnowsTheArch) {
  rocm("opt/rocm", "5.7.1", "gfx90a");
  EXPECT_THAT(error_for("gfx950"),
              AllOf(HasSubstr("5.7.1"), HasSubstr("does not know gfx950"),
                    HasSubstr("ROCm 6.4 and newer do"), HasSubstr("make tune ROCM=7.2")));
  EXPECT_THAT(error_for("gfx9999"),
              AllOf(HasSubstr("does not know gfx9999"), HasSubstr("It knows: gfx90a")));
}

TEST_F(ToolchainTest, SaysHowToGetACompilerWhereThereIsNone) {
  EXPECT_THAT(error_for("gfx950"), AllOf(HasSubstr("no hipRTC found in " + search_.system_rocm),
                                         HasSubstr("make tune ROCM=7.2"), HasSubstr("ROCM_PATH"),
                                         HasSubstr("install ROCm")));
  EXPECT_THAT(error_for("sm_90"), AllOf(HasSubstr("no NVRTC found"), HasSubstr("CUDA_PATH")));
}

TEST_F(ToolchainTest, SaysWhyALibraryIsNotUsable) {
  write("opt/rocm/lib/libhiprtc.so.7", "broken version `GLIBC_2.38' not found");
  EXPECT_THAT(error_for("gfx950"),
              AllOf(HasSubstr("not usable"), HasSubstr("libhiprtc.so.7"), HasSubstr("GLIBC_2.38")));
  rocm("home/mla-tune/rocm-7.2", "7.2.4", "gfx950");
  EXPECT_EQ(error_for("gfx950"), "") << "another one works";
}

TEST_F(ToolchainTest, ReadsTheReleaseOfAPrivateFolderFromItsPackages) {
  write("home/mla-tune/rocm-7.2/usr/lib/x86_64-linux-gnu/libhiprtc.so.7", "archs gfx950");
  write("home/mla-tune/rocm-7.2/packages.txt",
        "libc6_2.43-7_amd64.deb\nlibhiprtc7_7.2.4-1~exp2_amd64.deb\n");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "7.2.4");
}

TEST_F(ToolchainTest, FallsBackToTheRuntimesVersionForTheRelease) {
  write("opt/rocm/lib/libhiprtc.so.7", "archs gfx950");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.release, "7.2.53211");
}

TEST_F(ToolchainTest, StartsThePrivateFoldersHelperWithItsOwnLoader) {
  const std::string library =
      write("home/mla-tune/rocm-7.2/usr/lib/x86_64-linux-gnu/libhiprtc.so.7", "archs gfx950");
  const std::string loader = folder_.path("home/mla-tune/rocm-7.2/usr/lib64/ld-linux-x86-64.so.2");
  fs::create_directories(fs::path(loader).parent_path());
  std::error_code error;
  fs::copy_file("/lib64/ld-linux-x86-64.so.2", loader, error);
  if (error) GTEST_SKIP() << "this machine's loader is elsewhere";
  const FoundToolchain found = toolchain_for("gfx950", search_);
  EXPECT_EQ(found.command, (std::vector<std::string>{loader, "--library-path",
                                                     fs::path(library).parent_path().string(),
                                                     search_.helper, "hiprtc", library}));
}

TEST_F(ToolchainTest, IgnoresWhatAnInterruptedDownloadLeft) {
  rocm("home/mla-tune/rocm-7.2.partial", "7.2.4", "gfx950");
  EXPECT_TRUE(find_rocm(search_).usable.empty());
}

TEST_F(ToolchainTest, TakesTheNewestLibraryOfAFolder) {
  rocm("opt/rocm", "7.0.2", "gfx90a", "lib/libhiprtc.so.6");
  rocm("opt/rocm", "7.0.2", "gfx950", "lib/libhiprtc.so.10");
  EXPECT_EQ(toolchain_for("gfx950", search_).record.library, "libhiprtc.so.10");
}

TEST_F(ToolchainTest, FindsNvrtcForAnArchWithItsSuffix) {
  write("usr/local/cuda/lib64/libnvrtc.so.13", "archs sm_90 sm_100");
  EXPECT_EQ(toolchain_for("sm_90a", search_).record.compiler, "nvrtc");
  EXPECT_THAT(error_for("sm_20"), HasSubstr("does not know sm_20"));
}

TEST_F(ToolchainTest, NamesTheHelperThatIsMissing) {
  search_.helper = folder_.path("mla-compile-helper");
  EXPECT_THAT(error_for("gfx950"),
              AllOf(HasSubstr("mla-compile-helper is missing"), HasSubstr("make")));
}

TEST_F(ToolchainTest, FindsTheSystemsCompiler) {
  const FoundToolchain found = toolchain_for("host", search_);
  EXPECT_EQ(found.record.compiler, "c++");
  EXPECT_NE(found.record.release, "");
  search_.cxx = "no-such-compiler";
  EXPECT_THAT(error_for("host"), AllOf(HasSubstr("no-such-compiler"), HasSubstr("g++")));
}

TEST_F(ToolchainTest, RefusesAnArchOfNoKnownKind) {
  EXPECT_THROW(toolchain_for("riscv", search_), Error);
}

TEST(ReleaseMatches, ComparesWholeNumbers) {
  EXPECT_TRUE(release_matches("7.2.4", "7.2"));
  EXPECT_TRUE(release_matches("7.2.4", "7"));
  EXPECT_TRUE(release_matches("7.2", "7.2"));
  EXPECT_FALSE(release_matches("7.20.1", "7.2"));
  EXPECT_FALSE(release_matches("6.4.3", "7.2"));
  EXPECT_FALSE(release_matches("7.2", "7.2.4"));
}

}  // namespace
}  // namespace mla
