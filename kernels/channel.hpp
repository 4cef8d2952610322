#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

// Whole messages between a supervisor and its child processes.

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

// Where a child finds its end.
constexpr int kChannelDescriptor = 3;

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

}  // namespace mla
