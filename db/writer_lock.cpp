#include "db/writer_lock.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <utility>

#include "db/error.hpp"

namespace mla {

WriterLock::WriterLock(const std::filesystem::path& database) {
  // Canonical, so that two names for one database are one lock.
  const std::string name = std::filesystem::weakly_canonical(database).string() + ".lock";
  file_ = ::open(name.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (file_ < 0) {
    throw Error(
        ErrorKind::database,
        fmt::format(
            "{} cannot be written: {}: {}. Give yourself write permission on its folder, or name a "
            "file elsewhere.",
            database.string(), name, std::strerror(errno)));
  }
  struct flock lock {};
  lock.l_type = F_WRLCK;
  lock.l_whence = SEEK_SET;
  if (::fcntl(file_, F_SETLK, &lock) == 0) return;
  const int reason = errno;
  const bool held = reason == EAGAIN || reason == EACCES;
  const bool known =
      held && ::fcntl(file_, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK && lock.l_pid > 0;
  ::close(file_);
  if (!held) {
    throw Error(ErrorKind::database,
                fmt::format("{} cannot be locked: {}. Put the database on a local file system.",
                            name, std::strerror(reason)));
  }
  throw Error(
      ErrorKind::database,
      fmt::format("{} is in use: {} is writing to it, and there is one writer at a time. Wait for "
                  "it or end it, or name another file; reading is possible meanwhile.",
                  database.string(),
                  known ? fmt::format("process {}", lock.l_pid) : std::string("another mla-tune")));
}

WriterLock::WriterLock(WriterLock&& other) noexcept : file_(std::exchange(other.file_, -1)) {}

WriterLock& WriterLock::operator=(WriterLock&& other) noexcept {
  std::swap(file_, other.file_);
  return *this;
}

WriterLock::~WriterLock() {
  if (file_ >= 0) ::close(file_);
}

}  // namespace mla
