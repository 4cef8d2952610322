#pragma once

#include <filesystem>
#include <string_view>

#include "db/bundle_write.hpp"

namespace mla {

// Writes C++ source into `folder` (created), for projects that compile all kernels ahead of time:
// mla_bundle.cpp has the bytes of the bundle and a table of its winners to read, mla_bundle.h
// declares them and mla_open_bundle(), which gives them to the dispatcher's mla_open_memory(), and
// CMakeLists.txt makes the library mla_bundle of them, to be added with add_subdirectory(). One
// reader serves both forms, checks included. Throws Error{system}.
void embed_bundle(const std::filesystem::path& folder, const BundleContents& contents,
                  std::string_view bytes);

}  // namespace mla
