#pragma once

#include <string>

namespace mla {

// A folder of this process's own under TMPDIR, mode 0700, removed with its content at the end.
// Throws Error{system}, naming TMPDIR, where it cannot be made.
class ScratchFolder {
 public:
  ScratchFolder();
  ~ScratchFolder();
  ScratchFolder(const ScratchFolder&) = delete;
  ScratchFolder& operator=(const ScratchFolder&) = delete;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

}  // namespace mla
