// Ctrl-C and SIGTERM at the commands other than `tune`: the documented exit code, nothing half
// written, nobody left behind.

#include <gmock/gmock.h>

#include <thread>

#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tests/host/cli.hpp"

namespace mla::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class CliInterrupt : public CommandLineTest {
 protected:
  // A C++ compiler that leaves its process id in a file and hangs: `when` it is given one of these
  // words, a shell pattern.
  std::string hanging_compiler(const std::string& when) {
    const fs::path script = folder_ / "hangs";
    write(script, "#!/bin/sh\nfor word; do case \"$word\" in " + when + ") echo $$ > " +
                      began().string() + ".new; mv " + began().string() + ".new " +
                      began().string() + "; exec sleep 100;; esac; done\nexec c++ \"$@\"\n");
    fs::permissions(script, fs::perms::owner_all);
    return script;
  }
  fs::path began() const { return folder_ / "began"; }

  // Starts the command, waits until the compiler hangs, sends the signal, and expects an end.
  void expect_ends(const std::vector<std::string>& words, const std::string& compiler, int signal,
                   const char* message) {
    std::vector<std::string> argv = {MLA_TUNE_PROGRAM};
    argv.insert(argv.end(), words.begin(), words.end());
    std::vector<std::string> all = environment();
    all.push_back("CXX=" + compiler);
    ChildProcess process(argv, all);
    const Deadline deadline = deadline_in(60);
    while (!fs::exists(began()) && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    ASSERT_TRUE(fs::exists(began())) << "the compiler was not called: " << process.output();
    ::kill(process.pid(), signal);
    const std::optional<ExitStatus> ended = process.wait(deadline_in(10));
    ASSERT_TRUE(ended) << "it did not end";
    EXPECT_EQ(ended->signal, 0);
    EXPECT_EQ(ended->code, static_cast<int>(ErrorKind::interrupted)) << process.output();
    EXPECT_THAT(process.output(), HasSubstr(message));
  }
  bool compiler_ends() const {
    const pid_t compiler = std::atoi(contents(began()).c_str());
    const Deadline deadline = deadline_in(10);
    while (::kill(compiler, 0) == 0 && std::chrono::steady_clock::now() < deadline)
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    return ::kill(compiler, 0) != 0;
  }
  std::vector<std::string> files_in(const fs::path& folder) const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder)) names.push_back(entry.path());
    return names;
  }

  std::string params_ =
      variant_params(fallback_launch("host", {.heads = 16, .tokens = 1, .main_len = 1}));
};

TEST_F(CliInterrupt, EmitLeavesNothingHalfWritten) {
  const fs::path out = folder_ / "out";
  expect_ends({"emit", params_, "--arch", "host", "--out", out.string()},
              hanging_compiler("-shared"), SIGINT, "stopped as asked");
  EXPECT_THAT(files_in(out), IsEmpty());
  EXPECT_TRUE(compiler_ends());
}

TEST_F(CliInterrupt, VerifyStopsItsCompiler) {
  expect_ends({"verify", params_, "--arch", "gfx950"}, hanging_compiler("-shared"), SIGTERM,
              "stopped as asked");
  EXPECT_TRUE(compiler_ends());
}

TEST_F(CliInterrupt, CommandsThatOnlyReadEndAtOnce) {
  expect_ends({"doctor"}, hanging_compiler("--version"), SIGINT, "");
  ::kill(std::atoi(contents(began()).c_str()), SIGKILL);
}

}  // namespace
}  // namespace mla::test
