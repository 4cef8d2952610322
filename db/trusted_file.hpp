#pragma once

#include <cstddef>
#include <filesystem>
#include <memory>
#include <string_view>

namespace mla {

// Private to db/: all bytes of a file whose content will be run.
struct FileBytes {
  std::unique_ptr<char[]> data;
  std::size_t size = 0;
  std::string_view view() const { return {data.get(), size}; }
};

// Opens the folder, in it the file, and asks both descriptors who owns them and who may write: what
// was examined is what is read. The file and its folder must belong to this user or to root and be
// writable by nobody else, and the file must be no link; folders above are not examined, since who
// can exchange them still has to bring a folder and a file of ours. allow_untrusted: any regular
// file. Throws Error{database} with the remedy.
FileBytes read_trusted(const std::filesystem::path& path, bool allow_untrusted);

}  // namespace mla
