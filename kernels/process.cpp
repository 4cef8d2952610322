#include "kernels/process.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>

#include "db/error.hpp"

namespace mla {
namespace {

constexpr int kFirstInheritedFd = 4;
constexpr std::size_t kLargestOutput = std::size_t{16} << 20;

[[noreturn]] void throw_errno(const std::string& what, int error) {
  throw Error(ErrorKind::system, fmt::format("{}: {}", what, std::strerror(error)));
}

// A copy of `fd` above `floor`, so that no dup2 in the child can overwrite one that is still to be
// placed.
FileDescriptor duplicate_above(int fd, int floor) {
  FileDescriptor copy(::fcntl(fd, F_DUPFD_CLOEXEC, floor));
  if (copy.get() < 0) throw_errno("cannot duplicate a file descriptor", errno);
  return copy;
}

// Collects what a child prints. Sealed, so that a child printing for ever fills no memory: its
// writes fail instead.
FileDescriptor make_output_file() {
  FileDescriptor file(::memfd_create("output", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (file.get() < 0 || ::ftruncate(file.get(), kLargestOutput) != 0 ||
      ::fcntl(file.get(), F_ADD_SEALS, F_SEAL_GROW | F_SEAL_SHRINK) != 0) {
    throw_errno("cannot make a file in memory for a child's output", errno);
  }
  return file;
}

std::vector<std::string> merged_environment(const std::vector<std::string>& extra) {
  std::vector<std::string> merged = extra;
  for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) {
    const std::string_view text(*entry);
    const std::string_view name = text.substr(0, text.find('='));
    const bool replaced = std::any_of(extra.begin(), extra.end(), [&](const std::string& given) {
      return std::string_view(given).substr(0, given.find('=')) == name;
    });
    if (!replaced) merged.emplace_back(text);
  }
  return merged;
}

std::vector<char*> pointers_to(std::vector<std::string>& strings) {
  std::vector<char*> pointers;
  for (std::string& text : strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

ExitStatus exit_status_from(int raw) {
  ExitStatus status;
  if (WIFSIGNALED(raw)) {
    status.signal = WTERMSIG(raw);
  } else {
    status.code = WEXITSTATUS(raw);
  }
  return status;
}

struct SpawnActions {
  posix_spawn_file_actions_t files;
  posix_spawnattr_t attributes;
  SpawnActions() {
    posix_spawn_file_actions_init(&files);
    posix_spawnattr_init(&attributes);
  }
  ~SpawnActions() {
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
  }
};

}  // namespace

std::string describe(ExitStatus status) {
  if (status.signal == 0) return fmt::format("exit code {}", status.code);
  const char* abbreviation = ::sigabbrev_np(status.signal);
  const char* description = ::sigdescr_np(status.signal);
  if (abbreviation == nullptr || description == nullptr) {
    return fmt::format("signal {}", status.signal);
  }
  return fmt::format("SIG{} ({})", abbreviation, description);
}

ChildProcess::ChildProcess(const std::vector<std::string>& argv,
                           const std::vector<std::string>& extra_env,
                           const std::vector<int>& inherit) {
  if (argv.empty()) throw Error(ErrorKind::internal, "no program to start");
  const int above = kFirstInheritedFd + static_cast<int>(inherit.size());

  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
    throw_errno("cannot make a socket pair", errno);
  }
  channel_.emplace(FileDescriptor(pair[0]));
  const FileDescriptor pair_end(pair[1]);
  const FileDescriptor child_end = duplicate_above(pair_end.get(), above);
  output_ = make_output_file();
  const FileDescriptor child_output = duplicate_above(output_.get(), above);
  std::vector<FileDescriptor> inherited;
  for (const int fd : inherit) inherited.push_back(duplicate_above(fd, above));

  SpawnActions actions;
  posix_spawn_file_actions_addopen(&actions.files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
  posix_spawn_file_actions_adddup2(&actions.files, child_output.get(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&actions.files, child_output.get(), STDERR_FILENO);
  posix_spawn_file_actions_adddup2(&actions.files, child_end.get(), kChannelDescriptor);
  for (std::size_t i = 0; i < inherited.size(); ++i) {
    posix_spawn_file_actions_adddup2(&actions.files, inherited[i].get(),
                                     kFirstInheritedFd + static_cast<int>(i));
  }
  posix_spawn_file_actions_addclosefrom_np(&actions.files, above);

  sigset_t none, defaults;
  sigemptyset(&none);
  sigemptyset(&defaults);
  for (const int signal : {SIGINT, SIGTERM, SIGPIPE, SIGHUP, SIGQUIT, SIGCHLD}) {
    sigaddset(&defaults, signal);
  }
  posix_spawnattr_setflags(&actions.attributes,
                           POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
  posix_spawnattr_setpgroup(&actions.attributes, 0);
  posix_spawnattr_setsigmask(&actions.attributes, &none);
  posix_spawnattr_setsigdefault(&actions.attributes, &defaults);

  std::vector<std::string> arguments = argv;
  std::vector<std::string> environment = merged_environment(extra_env);
  const int error = ::posix_spawnp(&pid_, argv[0].c_str(), &actions.files, &actions.attributes,
                                   pointers_to(arguments).data(), pointers_to(environment).data());
  if (error != 0) throw_errno(fmt::format("cannot start {}", argv[0]), error);
}

ChildProcess::~ChildProcess() { kill(); }

std::optional<ExitStatus> ChildProcess::wait(Deadline deadline) {
  auto pause = std::chrono::microseconds(200);
  while (!ended_) {
    int raw = 0;
    const pid_t reaped = ::waitpid(pid_, &raw, WNOHANG);
    if (reaped == pid_) {
      ended_ = exit_status_from(raw);
    } else if (reaped < 0 && errno != EINTR) {
      throw_errno("cannot wait for a child process", errno);
    } else if (std::chrono::steady_clock::now() >= deadline) {
      return std::nullopt;
    } else {
      std::this_thread::sleep_for(pause);
      pause = std::min(pause * 2, std::chrono::microseconds(10000));
    }
  }
  return ended_;
}

ExitStatus ChildProcess::kill() noexcept {
  if (ended_) return *ended_;
  // The group first: once its leader is reaped, its number may belong to somebody else.
  ::kill(-pid_, SIGKILL);
  int raw = 0;
  pid_t reaped;
  while ((reaped = ::waitpid(pid_, &raw, 0)) < 0 && errno == EINTR) {
  }
  ended_ = reaped == pid_ ? exit_status_from(raw) : ExitStatus{0, SIGKILL};
  return *ended_;
}

std::string ChildProcess::output(std::size_t limit) const {
  // The child shares this descriptor's offset, which therefore is how much it has written.
  const off_t written = ::lseek(output_.get(), 0, SEEK_CUR);
  if (written <= 0) return {};
  const auto size = std::min(limit, static_cast<std::size_t>(written));
  std::string text(size, '\0');
  const ssize_t got = ::pread(output_.get(), text.data(), size, written - static_cast<off_t>(size));
  text.resize(got < 0 ? 0 : static_cast<std::size_t>(got));
  return text;
}

CommandResult run_command(const std::vector<std::string>& argv, Deadline deadline,
                          const std::vector<std::string>& extra_env) {
  ChildProcess child(argv, extra_env);
  CommandResult result;
  result.status = child.wait(deadline);
  if (!result.status) child.kill();
  result.output = child.output();
  return result;
}

std::string sibling_program(const std::string& name) {
  std::error_code error;
  const auto self = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) throw Error(ErrorKind::system, "cannot find this program's folder: is /proc mounted?");
  return (self.parent_path() / name).string();
}

}  // namespace mla
