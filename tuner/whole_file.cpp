#include "tuner/whole_file.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "db/error.hpp"

namespace mla {

void write_whole(const std::filesystem::path& path, std::string_view content) {
  const std::filesystem::path unfinished = path.string() + ".writing";
  std::ofstream file(unfinished, std::ios::binary | std::ios::trunc);
  file.write(content.data(), static_cast<std::streamsize>(content.size()));
  file.close();
  std::error_code failed;
  if (file) std::filesystem::rename(unfinished, path, failed);
  if (file && !failed) return;
  const std::string why = failed ? failed.message() : std::strerror(errno);
  std::filesystem::remove(unfinished, failed);
  throw Error(ErrorKind::system,
              fmt::format("cannot write {}: {}; free the disk, or name another place with --out",
                          path.string(), why));
}

}  // namespace mla
