#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace mla {

struct ElfSection {
  std::string_view name;
  std::string_view bytes;  // empty for a section that occupies no file space
  std::uint64_t size = 0;
  std::uint64_t address = 0;
};

struct ElfSymbol {
  std::string_view name;
  std::uint64_t address = 0;  // a section offset in a relocatable or CUDA object
  std::uint64_t size = 0;
  std::size_t section = 0;  // index into ElfFile::sections
};

// A 64-bit little-endian ELF file taken apart; the views point into the bytes given, which must
// outlive them.
struct ElfFile {
  std::uint16_t machine = 0;  // EM_AMDGPU, EM_CUDA, EM_X86_64, ...
  std::uint32_t flags = 0;
  std::vector<ElfSection> sections;
  std::vector<ElfSymbol> symbols;  // in .symtab's order; entry 0 is the null symbol

  const ElfSection* section(std::string_view name) const;  // null: none
  const ElfSymbol* symbol(std::string_view name) const;    // null: none
  // The bytes a symbol covers; empty where they leave its section.
  std::string_view bytes(const ElfSymbol& symbol) const;
};

// Throws Error{toolchain} for bytes that are no such file: every offset is checked, a damaged file
// cannot be over-read.
ElfFile read_elf(std::string_view bytes);

// The payload of the first note of this owner and type in any note section; empty: none.
std::string_view elf_note(const ElfFile& file, std::string_view owner, std::uint32_t type);

}  // namespace mla
