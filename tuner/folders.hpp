#pragma once

#include <filesystem>
#include <string>

namespace mla {

// ${XDG_DATA_HOME}/mla-tune, else ~/.local/share/mla-tune. Throws Error{system} where neither is
// known.
std::filesystem::path data_folder();

// Where results go unless the user says otherwise: tuning.db in data_folder().
std::filesystem::path default_database();

// A program that belongs to this one: beside it, or one folder up, as tests are built.
std::string companion_program(const std::string& name);

}  // namespace mla
