#include "tuner/cache.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>
#include <zstd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <filesystem>
#include <tuple>
#include <vector>

#include "db/error.hpp"
#include "kernels/process.hpp"

namespace mla {
namespace {

// ON DISK: an entry is this header, then `stored_size` bytes of one zstd frame. A change of layout
// takes a new version; entries of other versions are dropped like damaged ones. Byte order is the
// machine's: a cache is not carried around.
struct EntryHeader {
  char magic[8];
  std::uint32_t version;
  std::uint32_t reserved;
  std::uint64_t raw_size;
  std::uint64_t stored_size;
  std::uint64_t checksum_low;  // xxh3-128 of the key and then the raw content
  std::uint64_t checksum_high;
};
static_assert(sizeof(EntryHeader) == 48);

constexpr char kMagic[8] = {'m', 'l', 'a', 't', 'u', 'n', 'e', '\0'};
constexpr std::uint32_t kVersion = 1;
constexpr std::string_view kSuffix = ".entry";
constexpr std::string_view kUnfinished = ".writing-";
constexpr std::uint64_t kLargestEntry = std::uint64_t{1} << 30;
constexpr int kCompression = 3;
constexpr time_t kAbandonedSeconds = 3600;

[[noreturn]] void fail(const std::string& folder, const std::string& what, int error) {
  throw Error(
      ErrorKind::system,
      fmt::format("cache {}: {}: {}; free the disk or name another folder with XDG_CACHE_HOME",
                  folder, what, std::strerror(error)));
}

std::string file_name(const std::string& key) { return key + std::string(kSuffix); }

XXH128_hash_t checksum(const std::string& key, std::string_view content) {
  // Seeded by the key: an entry that was renamed or swapped is as damaged as one with a flipped
  // bit.
  return XXH3_128bits_withSeed(content.data(), content.size(), XXH3_64bits(key.data(), key.size()));
}

bool write_all(int fd, const void* data, std::size_t size) {
  const char* at = static_cast<const char*>(data);
  while (size > 0) {
    const ssize_t written = ::write(fd, at, size);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    at += written;
    size -= static_cast<std::size_t>(written);
  }
  return true;
}

bool read_all(int fd, void* data, std::size_t size) {
  char* at = static_cast<char*>(data);
  while (size > 0) {
    const ssize_t got = ::read(fd, at, size);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    at += got;
    size -= static_cast<std::size_t>(got);
  }
  return true;
}

std::optional<std::string> read_entry(int fd, const std::string& key) {
  struct stat status {};
  EntryHeader header{};
  if (::fstat(fd, &status) != 0 || !read_all(fd, &header, sizeof header)) return std::nullopt;
  const auto file_size = static_cast<std::uint64_t>(status.st_size);
  if (std::memcmp(header.magic, kMagic, sizeof kMagic) != 0 || header.version != kVersion ||
      header.reserved != 0 || header.stored_size != file_size - sizeof header ||
      header.raw_size > kLargestEntry) {
    return std::nullopt;
  }
  std::string stored(header.stored_size, '\0');
  if (!read_all(fd, stored.data(), stored.size())) return std::nullopt;
  std::string content(header.raw_size, '\0');
  const std::size_t size =
      ZSTD_decompress(content.data(), content.size(), stored.data(), stored.size());
  if (ZSTD_isError(size) || size != content.size()) return std::nullopt;
  const XXH128_hash_t sum = checksum(key, content);
  if (sum.low64 != header.checksum_low || sum.high64 != header.checksum_high) return std::nullopt;
  return content;
}

struct Entry {
  std::string name;
  timespec used{};
  std::uint64_t bytes = 0;
};

// Lists the finished entries; removes what a killed process left unfinished.
std::vector<Entry> list(int directory) {
  std::vector<Entry> entries;
  const int fd = ::openat(directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  DIR* stream = fd < 0 ? nullptr : ::fdopendir(fd);
  if (stream == nullptr) {
    if (fd >= 0) ::close(fd);
    return entries;
  }
  const time_t now = ::time(nullptr);
  while (const dirent* found = ::readdir(stream)) {
    const std::string_view name = found->d_name;
    const bool unfinished = name.starts_with(kUnfinished);
    struct stat status {};
    if ((!unfinished && !name.ends_with(kSuffix)) ||
        ::fstatat(directory, found->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0) {
      continue;
    }
    if (unfinished) {
      if (now - status.st_mtime > kAbandonedSeconds) ::unlinkat(directory, found->d_name, 0);
      continue;
    }
    entries.push_back(
        {std::string(name), status.st_mtim, static_cast<std::uint64_t>(status.st_size)});
  }
  ::closedir(stream);
  return entries;
}

std::uint64_t total(const std::vector<Entry>& entries) {
  std::uint64_t bytes = 0;
  for (const Entry& entry : entries) bytes += entry.bytes;
  return bytes;
}

}  // namespace

std::string default_cache_folder() {
  const char* xdg = std::getenv("XDG_CACHE_HOME");
  if (xdg != nullptr && xdg[0] == '/')
    return std::string(xdg) + "/mla-tune";  // relative values are to be ignored
  const char* home = std::getenv("HOME");
  if (home == nullptr || *home == '\0') {
    const passwd* user = ::getpwuid(::geteuid());
    home = user == nullptr ? nullptr : user->pw_dir;
  }
  if (home == nullptr)
    throw Error(ErrorKind::system, "no home folder for the cache: set XDG_CACHE_HOME");
  return std::string(home) + "/.cache/mla-tune";
}

Cache::Cache(std::string folder, std::uint64_t cap_bytes)
    : folder_(std::move(folder)), cap_bytes_(cap_bytes) {
  std::error_code ignored;
  std::filesystem::create_directories(std::filesystem::path(folder_).parent_path(), ignored);
  if (::mkdir(folder_.c_str(), 0700) != 0 && errno != EEXIST)
    fail(folder_, "cannot create the folder", errno);
  directory_ = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory_ < 0) fail(folder_, "cannot open the folder", errno);
  struct stat status {};
  std::string refusal;
  if (::fstat(directory_, &status) != 0) {
    refusal = "cannot be examined";
  } else if (status.st_uid != ::geteuid()) {
    refusal =
        fmt::format("belongs to user {}, not to user {} who runs this", status.st_uid, ::geteuid());
  } else if ((status.st_mode & 022) != 0) {
    refusal = fmt::format("may be written by other users (mode {:04o})", status.st_mode & 07777);
  } else if ((status.st_mode & 077) != 0 && ::fchmod(directory_, 0700) != 0) {
    refusal = "may be read by other users and its mode cannot be changed";
  }
  if (!refusal.empty()) {
    ::close(directory_);
    throw Error(
        ErrorKind::system,
        fmt::format(
            "cache folder {} {}, and code from it would be executed: remove it, `chmod 700` it if "
            "its contents are yours, or name another with XDG_CACHE_HOME",
            folder_, refusal));
  }
}

Cache::~Cache() { ::close(directory_); }

std::optional<std::string> Cache::find(const std::string& key) {
  const std::string name = file_name(key);
  const FileDescriptor file(::openat(directory_, name.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (file.get() < 0) return std::nullopt;
  std::optional<std::string> content = read_entry(file.get(), key);
  if (content) {
    ::futimens(file.get(), nullptr);  // the time of last use, for eviction
  } else {
    ::unlinkat(directory_, name.c_str(), 0);
  }
  return content;
}

void Cache::store(const std::string& key, std::string_view content) {
  if (content.size() > kLargestEntry) return;
  std::string stored(ZSTD_compressBound(content.size()), '\0');
  const std::size_t size =
      ZSTD_compress(stored.data(), stored.size(), content.data(), content.size(), kCompression);
  if (ZSTD_isError(size))
    throw Error(ErrorKind::system, fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  stored.resize(size);
  EntryHeader header{};
  std::memcpy(header.magic, kMagic, sizeof kMagic);
  header.version = kVersion;
  header.raw_size = content.size();
  header.stored_size = stored.size();
  const XXH128_hash_t sum = checksum(key, content);
  header.checksum_low = sum.low64;
  header.checksum_high = sum.high64;

  static std::atomic<unsigned> serial{0};
  const std::string unfinished = fmt::format("{}{}-{}", kUnfinished, ::getpid(), serial++);
  bool written = false;
  int error = 0;
  {
    const FileDescriptor file(::openat(directory_, unfinished.c_str(),
                                       O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC,
                                       0600));
    if (file.get() < 0) fail(folder_, "cannot write an entry", errno);
    written = write_all(file.get(), &header, sizeof header) &&
              write_all(file.get(), stored.data(), stored.size()) && ::fsync(file.get()) == 0;
    error = errno;
  }
  if (written &&
      ::renameat(directory_, unfinished.c_str(), directory_, file_name(key).c_str()) != 0) {
    written = false;
    error = errno;
  }
  if (!written) {
    ::unlinkat(directory_, unfinished.c_str(), 0);
    fail(folder_, "cannot write an entry", error);
  }

  const std::lock_guard lock(mutex_);
  if (bytes_) {
    *bytes_ += sizeof header + stored.size();
  } else {
    bytes_ = total(list(directory_));
  }
  if (*bytes_ > cap_bytes_) evict();
}

void Cache::evict() {
  std::vector<Entry> entries = list(directory_);
  std::ranges::sort(entries, [](const Entry& a, const Entry& b) {
    return std::tie(a.used.tv_sec, a.used.tv_nsec) < std::tie(b.used.tv_sec, b.used.tv_nsec);
  });
  std::uint64_t bytes = total(entries);
  // Down to nine tenths, so that a full cache does not list its folder at every store. The newest
  // entry stays.
  const std::uint64_t target = cap_bytes_ - cap_bytes_ / 10;
  for (std::size_t i = 0; i + 1 < entries.size() && bytes > target; ++i) {
    if (::unlinkat(directory_, entries[i].name.c_str(), 0) == 0 || errno == ENOENT)
      bytes -= entries[i].bytes;
  }
  bytes_ = bytes;
}

CacheUse Cache::use() const {
  const std::vector<Entry> entries = list(directory_);
  return {entries.size(), total(entries)};
}

}  // namespace mla
