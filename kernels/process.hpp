#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/channel.hpp"

// Child processes that do the dangerous work (compilers, kernels) and talk in whole messages.

namespace mla {

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
