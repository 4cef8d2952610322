#include "tuner/folders.hpp"

#include <cstdlib>

#include "db/error.hpp"
#include "kernels/process.hpp"

namespace mla {

namespace fs = std::filesystem;

fs::path data_folder() {
  const char* data = std::getenv("XDG_DATA_HOME");
  if (data != nullptr && *data == '/') return fs::path(data) / "mla-tune";
  const char* home = std::getenv("HOME");
  if (home != nullptr && *home != '\0') return fs::path(home) / ".local/share/mla-tune";
  throw Error(ErrorKind::system,
              "there is no folder for results: neither XDG_DATA_HOME nor HOME is set; set one, or "
              "name the file with --db");
}

std::string companion_program(const std::string& name) {
  const fs::path beside = sibling_program(name);
  const fs::path above = beside.parent_path().parent_path() / name;
  std::error_code ignored;
  return (!fs::exists(beside, ignored) && fs::exists(above, ignored) ? above : beside).string();
}

fs::path default_database() { return data_folder() / "tuning.db"; }

}  // namespace mla
