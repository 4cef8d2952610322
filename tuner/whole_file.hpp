#pragma once

#include <filesystem>
#include <string_view>

namespace mla {

// Writes what --out asked for: the whole of it, or nothing. Throws Error{system}.
void write_whole(const std::filesystem::path& path, std::string_view content);

}  // namespace mla
