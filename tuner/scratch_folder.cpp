#include "tuner/scratch_folder.hpp"

#include <fmt/format.h>
#include <stdlib.h>

#include <cerrno>
#include <cstring>
#include <filesystem>

#include "db/error.hpp"

namespace mla {

ScratchFolder::ScratchFolder() {
  std::error_code error;
  std::filesystem::path base = std::filesystem::temp_directory_path(error);
  if (error) base = "/tmp";
  path_ = (base / "mla-tune-XXXXXX").string();
  if (::mkdtemp(path_.data()) == nullptr) {
    throw Error(ErrorKind::system,
                fmt::format("cannot make a folder in {}: {}; set TMPDIR to one that can be written",
                            base.string(), std::strerror(errno)));
  }
}

ScratchFolder::~ScratchFolder() {
  std::error_code ignored;
  std::filesystem::remove_all(path_, ignored);
}

}  // namespace mla
