#include "tuner/folders.hpp"

#include <cstdlib>

#include "db/error.hpp"

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

fs::path default_database() { return data_folder() / "tuning.db"; }

}  // namespace mla
