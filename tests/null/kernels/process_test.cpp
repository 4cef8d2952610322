#include "kernels/process.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "db/error.hpp"

namespace mla {
namespace {

using testing::HasSubstr;

std::pair<Channel, Channel> connected() {
  int pair[2];
  EXPECT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  return {Channel(FileDescriptor(pair[0])), Channel(FileDescriptor(pair[1]))};
}

TEST(Process, ReportsTheExitCodeAndCollectsBothOutputs) {
  const auto result = run_command({"sh", "-c", "echo out; echo err >&2; exit 3"}, deadline_in(20));
  ASSERT_TRUE(result.status);
  EXPECT_EQ(3, result.status->code);
  EXPECT_EQ("exit code 3", describe(*result.status));
  EXPECT_EQ("out\nerr\n", result.output);
  EXPECT_FALSE(result.success());
}

TEST(Process, NamesTheSignalThatEndedTheChild) {
  const auto result = run_command({"sh", "-c", "kill -SEGV $$"}, deadline_in(20));
  ASSERT_TRUE(result.status);
  EXPECT_EQ("SIGSEGV (Segmentation fault)", describe(*result.status));
}

TEST(Process, KillsTheChildAndItsChildrenAtTheDeadline) {
  const auto before = std::chrono::steady_clock::now();
  const auto result = run_command({"sh", "-c", "sleep 60 & echo $!; wait"}, deadline_in(0.3));
  EXPECT_FALSE(result.status);
  EXPECT_LT(std::chrono::steady_clock::now() - before, std::chrono::seconds(10));
  const int grandchild = std::atoi(result.output.c_str());
  ASSERT_GT(grandchild, 0);
  // A killed orphan stays visible until init reaps it; then its state is Z.
  for (int tries = 0; tries < 500; ++tries) {
    std::ifstream stat("/proc/" + std::to_string(grandchild) + "/stat");
    std::string line;
    if (!std::getline(stat, line) || line.find(") Z") != std::string::npos) return;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  FAIL() << "the grandchild still runs";
}

TEST(Process, SaysWhichProgramCouldNotBeStarted) {
  try {
    ChildProcess child({"/no/such/program"});
    FAIL() << "started";
  } catch (const Error& error) {
    EXPECT_EQ(ErrorKind::system, error.kind());
    EXPECT_THAT(error.what(), HasSubstr("/no/such/program"));
    EXPECT_THAT(error.what(), HasSubstr("No such file"));
  }
}

TEST(Process, GivesTheChildItsEnvironmentAndReplacesWhatIsGivenTwice) {
  ::setenv("MLA_PROCESS_TEST", "old", 1);
  const auto result = run_command({"sh", "-c", "echo $MLA_PROCESS_TEST $MLA_OTHER"},
                                  deadline_in(20), {"MLA_PROCESS_TEST=new", "MLA_OTHER=x"});
  EXPECT_EQ("new x\n", result.output);
}

TEST(Process, PassesOnlyTheDescriptorsAskedFor) {
  const FileDescriptor leaked(::open("/dev/null", O_RDONLY));  // deliberately not close-on-exec
  const FileDescriptor wanted(::memfd_create("wanted", 0));
  ASSERT_EQ(5, ::write(wanted.get(), "hello", 5));
  ASSERT_EQ(0, ::lseek(wanted.get(), 0, SEEK_SET));
  ChildProcess child({"sh", "-c",
                      "cat <&4; for i in 5 6 7 8 9; do test -e /proc/self/fd/$i && "
                      "echo leak $i; done"},
                     {}, {wanted.get()});
  ASSERT_TRUE(child.wait(deadline_in(20)));
  EXPECT_EQ("hello", child.output());
}

TEST(Process, SurvivesSendingToADeadChild) {
  ChildProcess child({"true"});
  ASSERT_TRUE(child.wait(deadline_in(20)));
  EXPECT_EQ(IoStatus::closed, child.send("hello", deadline_in(5)));
  std::string message;
  EXPECT_EQ(IoStatus::closed, child.receive(message, deadline_in(5)));
}

TEST(Process, KeepsTheEndOfLongOutputAndStopsAChildThatPrintsForEver) {
  const auto result = run_command({"sh", "-c", "yes | head -c 3000000; echo end"}, deadline_in(20));
  ASSERT_EQ(std::size_t{1} << 20, result.output.size());
  EXPECT_THAT(result.output.substr(result.output.size() - 6), HasSubstr("end"));
  const auto endless = run_command({"yes"}, deadline_in(60));
  ASSERT_TRUE(endless.status);
  EXPECT_FALSE(endless.success());
}

TEST(Channel, CarriesEmptyAndLargeMessagesInOrder) {
  auto [left, right] = connected();
  const std::string large(5'000'000, 'x');
  std::thread sender([&left = left, &large] {
    EXPECT_EQ(IoStatus::ok, left.send("", deadline_in(20)));
    EXPECT_EQ(IoStatus::ok, left.send(large, deadline_in(20)));
  });
  std::string message = "old";
  EXPECT_EQ(IoStatus::ok, right.receive(message, deadline_in(20)));
  EXPECT_EQ("", message);
  EXPECT_EQ(IoStatus::ok, right.receive(message, deadline_in(20)));
  EXPECT_TRUE(message == large);
  sender.join();
}

TEST(Channel, ComesBackAtTheDeadline) {
  auto [left, right] = connected();
  std::string message;
  EXPECT_EQ(IoStatus::timed_out, right.receive(message, deadline_in(0.02)));
  EXPECT_EQ(IoStatus::timed_out, left.send(std::string(50'000'000, 'x'), deadline_in(0.02)));
}

TEST(Channel, CallsATornOrAbsurdMessageClosed) {
  auto [left, right] = connected();
  const unsigned char absurd[8] = {255, 255, 255, 255, 255, 255, 255, 255};
  ASSERT_EQ(8, ::write(left.fd(), absurd, 8));
  std::string message;
  EXPECT_EQ(IoStatus::closed, right.receive(message, deadline_in(5)));

  int pair[2];
  ASSERT_EQ(0, ::socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  const std::uint64_t size = 100;
  ASSERT_EQ(8, ::write(pair[0], &size, 8));
  ::close(pair[0]);
  Channel torn{FileDescriptor(pair[1])};
  EXPECT_EQ(IoStatus::closed, torn.receive(message, deadline_in(5)));
}

TEST(Channel, RefusesToServeAProgramStartedByHand) {
  ASSERT_EXIT(
      {
        ::close(3);
        try {
          Channel::to_parent();
        } catch (const Error&) {
          std::_Exit(7);
        }
        std::_Exit(0);
      },
      testing::ExitedWithCode(7), "");
}

}  // namespace
}  // namespace mla
