#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace mla {

// Writes what the user asked for: the whole of it, or nothing. What is not a regular file (a pipe,
// /dev/stdout) is written as it is, not replaced. Throws Error{system}.
void write_whole(const std::filesystem::path& path, std::string_view content);

struct WholeFile {
  std::filesystem::path path;
  std::string content;
};

// The same of several: none is put in place before all of them are on the disk. Of different paths.
void write_all(const std::vector<WholeFile>& files);

}  // namespace mla
