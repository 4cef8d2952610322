#include "kernels/channel.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdint>
#include <thread>

#include "db/error.hpp"

namespace mla {
namespace {

constexpr std::uint64_t kLargestMessage = std::uint64_t{1} << 30;

int milliseconds_until(Deadline deadline) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
  return static_cast<int>(std::clamp<std::int64_t>(left.count(), 0, INT_MAX));
}

}  // namespace

Deadline deadline_in(double seconds) {
  // A year stands for "never": a duration that the clock can add without overflow.
  const std::chrono::duration<double> span(std::clamp(seconds, 0.0, 365.0 * 86400));
  return std::chrono::steady_clock::now() +
         std::chrono::duration_cast<std::chrono::steady_clock::duration>(span);
}

FileDescriptor& FileDescriptor::operator=(FileDescriptor&& other) noexcept {
  if (this != &other) {
    reset();
    fd_ = std::exchange(other.fd_, -1);
  }
  return *this;
}

void FileDescriptor::reset() noexcept {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Channel::Channel(FileDescriptor socket) : socket_(std::move(socket)) {
  ::fcntl(socket_.get(), F_SETFD, FD_CLOEXEC);
}

Channel Channel::to_parent() {
  int type = 0;
  socklen_t size = sizeof type;
  if (::getsockopt(kChannelDescriptor, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
      type != SOCK_STREAM) {
    throw Error(ErrorKind::usage, "this program is started by mla-tune, not by hand");
  }
  return Channel(FileDescriptor(kChannelDescriptor));
}

IoStatus Channel::transfer(char* data, std::size_t size, bool sending, Deadline deadline) {
  while (size > 0) {
    const ssize_t moved = sending ? ::send(socket_.get(), data, size, MSG_NOSIGNAL | MSG_DONTWAIT)
                                  : ::recv(socket_.get(), data, size, MSG_DONTWAIT);
    if (moved > 0) {
      data += moved;
      size -= static_cast<std::size_t>(moved);
      continue;
    }
    if (moved == 0) return IoStatus::closed;
    if (errno == EINTR) continue;
    if (errno != EAGAIN && errno != EWOULDBLOCK) return IoStatus::closed;
    pollfd waiting{socket_.get(), static_cast<short>(sending ? POLLOUT : POLLIN), 0};
    if (::poll(&waiting, 1, milliseconds_until(deadline)) == 0) return IoStatus::timed_out;
  }
  return IoStatus::ok;
}

IoStatus Channel::send(std::string_view message, Deadline deadline) {
  std::uint64_t size = message.size();
  if (size > kLargestMessage) throw Error(ErrorKind::internal, "a message above 1 GiB");
  const IoStatus head = transfer(reinterpret_cast<char*>(&size), sizeof size, true, deadline);
  if (head != IoStatus::ok) return head;
  return transfer(const_cast<char*>(message.data()), message.size(), true, deadline);
}

IoStatus Channel::receive(std::string& message, Deadline deadline) {
  std::uint64_t size = 0;
  const IoStatus head = transfer(reinterpret_cast<char*>(&size), sizeof size, false, deadline);
  if (head != IoStatus::ok) return head;
  if (size > kLargestMessage) return IoStatus::closed;
  message.resize(size);
  return transfer(message.data(), message.size(), false, deadline);
}

void end_with_parent(const Channel& channel) {
  std::thread([fd = channel.fd()] {
    pollfd waiting{fd, POLLRDHUP, 0};
    while (::poll(&waiting, 1, -1) < 0 && errno == EINTR) {
    }
    ::_exit(1);
  }).detach();
}

}  // namespace mla
