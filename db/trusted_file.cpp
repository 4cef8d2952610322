#include "db/trusted_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>

#include "db/error.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr off_t kLargest = off_t{1} << 30;
constexpr const char* kAllow =
    "or allow untrusted files explicitly, if you know better where it comes from";

class Descriptor {
 public:
  explicit Descriptor(int number) : number_(number) {}
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;
  ~Descriptor() {
    if (number_ >= 0) ::close(number_);
  }
  int get() const { return number_; }

 private:
  int number_;
};

[[noreturn]] void refuse(const fs::path& path, const std::string& why) {
  throw Error(ErrorKind::database, fmt::format("{} {}", path.string(), why));
}

[[noreturn]] void refuse_open(const fs::path& path, int error) {
  if (error == ENOENT || error == ENOTDIR)
    refuse(path, "does not exist: name the file that `mla-tune export` wrote");
  refuse(path, fmt::format("cannot be opened: {}", std::strerror(error)));
}

// `what` is the file or its folder, as the message calls it.
void check_owner(const fs::path& path, const std::string& what, int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) refuse_open(path, errno);
  if (status.st_uid != 0 && status.st_uid != ::geteuid())
    refuse(path, fmt::format("is refused, because code from it would be run: {} belongs to user "
                             "{}, neither to root nor to user {} who runs this. Copy it to a place "
                             "of your own, {}.",
                             what, status.st_uid, ::geteuid(), kAllow));
  if ((status.st_mode & 022) != 0)
    refuse(path, fmt::format("is refused, because code from it would be run: {} may be written by "
                             "others (mode {:04o}). chmod go-w it if its content is yours, {}.",
                             what, status.st_mode & 07777, kAllow));
}

// Of a large buffer; its small pages would take longer to come, one fault each, than its bytes.
void prefer_large_pages(char* data, std::size_t size) {
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto address = reinterpret_cast<std::uintptr_t>(data);
  const std::size_t to_page = (page - address % page) % page;
  if (to_page < size) ::madvise(data + to_page, size - to_page, MADV_HUGEPAGE);
}

}  // namespace

FileBytes read_trusted(const fs::path& path, bool allow_untrusted) {
  const fs::path parent = path.has_parent_path() ? path.parent_path() : fs::path(".");
  const Descriptor folder(::open(parent.c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() < 0) refuse_open(path, errno);
  // Non-blocking: of a pipe we would wait for a writer.
  const int link = allow_untrusted ? 0 : O_NOFOLLOW;
  const Descriptor file(::openat(folder.get(), path.filename().c_str(),
                                 O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY | link));
  if (file.get() < 0) {
    if (errno == ELOOP)
      refuse(path, fmt::format("is a link, and whoever may change it chooses the code that is run: "
                               "name the file itself, {}",
                               kAllow));
    refuse_open(path, errno);
  }
  struct stat status {};
  if (::fstat(file.get(), &status) != 0) refuse_open(path, errno);
  if (!S_ISREG(status.st_mode))
    refuse(path, "is not a file: name the file that `mla-tune export` wrote");
  if (!allow_untrusted) {
    check_owner(path, "the file", file.get());
    check_owner(path, fmt::format("its folder {}", parent.string()), folder.get());
  }
  if (status.st_size > kLargest) refuse(path, "is larger than 1 GiB: that is no bundle");

  FileBytes bytes;
  bytes.size = static_cast<std::size_t>(status.st_size);
  bytes.data = std::make_unique_for_overwrite<char[]>(bytes.size + 1);
  prefer_large_pages(bytes.data.get(), bytes.size);
  std::size_t filled = 0;
  // One byte more than it had: a file that grows meanwhile is noticed as well.
  while (filled <= bytes.size) {
    const ssize_t got = ::read(file.get(), bytes.data.get() + filled, bytes.size + 1 - filled);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) refuse(path, fmt::format("cannot be read: {}", std::strerror(errno)));
    if (got == 0) break;
    filled += static_cast<std::size_t>(got);
  }
  if (filled != bytes.size)
    refuse(path, "changed while it was read: replace bundles by renaming, and open it again");
  return bytes;
}

}  // namespace mla
