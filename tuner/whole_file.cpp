#include "tuner/whole_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "db/error.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& path, const std::string& why, const char* remedy) {
  throw Error(ErrorKind::system,
              fmt::format("cannot write {}: {}; {}", path.string(), why, remedy));
}

void write_bytes(const fs::path& to, std::string_view content, const fs::path& asked) {
  errno = 0;
  std::ofstream file(to, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  if (file) return;
  const std::string why = errno != 0 ? std::strerror(errno) : "the system does not say why";
  refuse(asked, why, "free the disk, or name another place");
}

// One file on its way: beside its place until it is put there.
class Staged {
 public:
  explicit Staged(const WholeFile& file) : file_(file) {
    std::error_code unknown;
    const fs::path folder = file.path.has_parent_path() ? file.path.parent_path() : ".";
    if (!fs::is_directory(folder, unknown))
      refuse(file.path, fmt::format("there is no folder {}", folder.string()),
             "make it, or name another place");
    const fs::file_status there = fs::status(file.path, unknown);
    if (fs::is_directory(there)) refuse(file.path, "it is a folder", "name a file in it");
    is_replaced_ = !fs::exists(there) || fs::is_regular_file(there);
    if (!is_replaced_) return;
    // A link stays one.
    place_ = fs::is_symlink(fs::symlink_status(file.path, unknown)) && fs::exists(there)
                 ? fs::canonical(file.path)
                 : file.path;
    unfinished_ = place_.string() + ".writing";
    try {
      write_bytes(unfinished_, file.content, file.path);
    } catch (const Error&) {
      discard();
      throw;
    }
  }
  Staged(Staged&& other) noexcept
      : file_(other.file_),
        place_(std::move(other.place_)),
        unfinished_(std::exchange(other.unfinished_, {})),
        is_replaced_(other.is_replaced_) {}
  Staged& operator=(Staged&&) = delete;
  ~Staged() { discard(); }

  void put_in_place() {
    if (!is_replaced_) return write_bytes(file_.path, file_.content, file_.path);
    std::error_code failed;
    fs::rename(unfinished_, place_, failed);
    if (failed) refuse(file_.path, failed.message(), "name another place");
    unfinished_.clear();
  }

 private:
  void discard() noexcept {
    std::error_code ignored;
    if (!unfinished_.empty()) fs::remove(unfinished_, ignored);
  }

  const WholeFile& file_;
  fs::path place_, unfinished_;
  bool is_replaced_ = true;
};

}  // namespace

void write_all(const std::vector<WholeFile>& files) {
  std::vector<Staged> staged;
  staged.reserve(files.size());
  for (const WholeFile& file : files) staged.emplace_back(file);
  for (Staged& one : staged) one.put_in_place();
}

void write_whole(const fs::path& path, std::string_view content) {
  write_all({{path, std::string(content)}});
}

}  // namespace mla
