#pragma once

#include <sys/types.h>

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

// Child processes that do the dangerous work (compilers, kernels) and talk in whole messages.

namespace mla {

using Deadline = std::chrono::steady_clock::time_point;

// The moment `seconds` from now.
Deadline deadline_in(double seconds);

// An owned file descriptor, closed with its owner; -1: none.
class FileDescriptor {
 public:
  explicit FileDescriptor(int fd = -1) noexcept : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&& other) noexcept;
  ~FileDescriptor() { reset(); }
  int get() const noexcept { return fd_; }
  void reset() noexcept;

 private:
  int fd_;
};

// What became of sending or receiving a message. `closed`: the other end is gone, or sent what is
// no message.
enum class IoStatus { ok, timed_out, closed };

// One end of a connection that carries whole messages, both ways: 8 bytes of length, then the
// bytes. Never raises SIGPIPE. Not thread-safe. After anything but ok the stream may be torn: give
// the connection up.
class Channel {
 public:
  // Takes a connected stream socket and marks it close-on-exec.
  explicit Channel(FileDescriptor socket);
  // The child's end of the ChildProcess that started this program. Throws Error{usage} where nobody
  // did so.
  static Channel to_parent();

  IoStatus send(std::string_view message, Deadline deadline);
  IoStatus receive(std::string& message, Deadline deadline);
  int fd() const noexcept { return socket_.get(); }

 private:
  IoStatus transfer(char* data, std::size_t size, bool sending, Deadline deadline);
  FileDescriptor socket_;
};

// Ends this process, from a thread of its own, once `channel`'s other end is gone: a worker stuck
// in a kernel or a compiler does not outlive a killed parent.
void end_with_parent(const Channel& channel);

// How a process ended.
struct ExitStatus {
  int code = 0;    // of exit(), where no signal ended it
  int signal = 0;  // that ended it; 0: none
  bool success() const noexcept { return code == 0 && signal == 0; }
};

// "exit code 3", "SIGSEGV (Segmentation fault)".
std::string describe(ExitStatus status);

// A running program with a Channel to it (its descriptor 3). Its standard input is empty; what it
// writes to standard output and standard error is collected in memory. It inherits no other
// descriptors than those asked for, and leads its own process group: Ctrl-C on the terminal does
// not reach it, kill() reaches its children too. Not thread-safe; the destructor kills and reaps.
class ChildProcess {
 public:
  // argv[0] is searched in PATH. `extra_env`: "NAME=value" added to, or replacing parts of, this
  // process's environment. `inherit`: descriptors that the child gets as 4, 5, ... Throws
  // Error{system} where the program cannot be started.
  explicit ChildProcess(const std::vector<std::string>& argv,
                        const std::vector<std::string>& extra_env = {},
                        const std::vector<int>& inherit = {});
  ~ChildProcess();
  ChildProcess(const ChildProcess&) = delete;
  ChildProcess& operator=(const ChildProcess&) = delete;

  IoStatus send(std::string_view message, Deadline deadline) {
    return channel_->send(message, deadline);
  }
  IoStatus receive(std::string& message, Deadline deadline) {
    return channel_->receive(message, deadline);
  }

  // Waits until the program ends; nullopt where it still runs at the deadline.
  std::optional<ExitStatus> wait(Deadline deadline);
  // SIGKILL for the process and its children, and reaps it. Harmless when it has ended.
  ExitStatus kill() noexcept;

  // What it wrote to standard output and standard error so far; only the last `limit` bytes.
  std::string output(std::size_t limit = 1 << 20) const;
  pid_t pid() const noexcept { return pid_; }

 private:
  pid_t pid_ = -1;
  std::optional<ExitStatus> ended_;
  FileDescriptor output_;
  std::optional<Channel> channel_;
};

// What running a command to its end came to. status is empty where the deadline came first and it
// was killed.
struct CommandResult {
  std::optional<ExitStatus> status;
  std::string output;
  bool success() const noexcept { return status && status->success(); }
};

// Runs a command to its end. Throws Error{system} where it cannot be started.
CommandResult run_command(const std::vector<std::string>& argv, Deadline deadline,
                          const std::vector<std::string>& extra_env = {});

// The program `name` in the folder that this program was started from.
std::string sibling_program(const std::string& name);

}  // namespace mla
