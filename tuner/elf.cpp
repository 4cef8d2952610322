#include "tuner/elf.hpp"

#include <elf.h>

#include <cstring>

#include "db/error.hpp"

namespace mla {
namespace {

[[noreturn]] void damaged(const char* what) {
  throw Error(ErrorKind::toolchain,
              std::string("the compiler's output is not a usable ELF file: ") + what);
}

std::string_view slice(std::string_view bytes, std::uint64_t offset, std::uint64_t size,
                       const char* what) {
  if (offset > bytes.size() || size > bytes.size() - offset) damaged(what);
  return bytes.substr(offset, size);
}

template <class T>
T read_struct(std::string_view bytes, std::uint64_t offset, const char* what) {
  T value;
  std::memcpy(&value, slice(bytes, offset, sizeof value, what).data(), sizeof value);
  return value;
}

std::string_view text_at(std::string_view strings, std::uint64_t offset) {
  if (offset >= strings.size()) return {};
  const std::string_view rest = strings.substr(offset);
  return rest.substr(0, rest.find('\0'));
}

std::uint64_t padded(std::uint64_t size) { return (size + 3) / 4 * 4; }

}  // namespace

ElfFile read_elf(std::string_view bytes) {
  const auto header = read_struct<Elf64_Ehdr>(bytes, 0, "it is shorter than a header");
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0 || header.e_ident[EI_CLASS] != ELFCLASS64 ||
      header.e_ident[EI_DATA] != ELFDATA2LSB) {
    damaged("wrong magic");
  }
  ElfFile file;
  file.machine = header.e_machine;
  file.flags = header.e_flags;
  if (header.e_shnum > 0 && header.e_shentsize != sizeof(Elf64_Shdr)) damaged("section headers");
  std::vector<Elf64_Shdr> headers;
  for (std::uint64_t i = 0; i < header.e_shnum; ++i) {
    if (header.e_shoff > bytes.size()) damaged("section headers");
    headers.push_back(
        read_struct<Elf64_Shdr>(bytes, header.e_shoff + i * sizeof(Elf64_Shdr), "section headers"));
  }
  for (const Elf64_Shdr& at : headers) {
    const bool in_file = at.sh_type != SHT_NOBITS && at.sh_type != SHT_NULL;
    file.sections.push_back(
        {{},
         in_file ? slice(bytes, at.sh_offset, at.sh_size, "a section") : std::string_view(),
         at.sh_size,
         at.sh_addr});
  }
  if (header.e_shstrndx < file.sections.size()) {
    const std::string_view names = file.sections[header.e_shstrndx].bytes;
    for (std::size_t i = 0; i < headers.size(); ++i)
      file.sections[i].name = text_at(names, headers[i].sh_name);
  }
  for (std::size_t i = 0; i < headers.size(); ++i) {
    if (headers[i].sh_type != SHT_SYMTAB || headers[i].sh_link >= file.sections.size()) continue;
    const std::string_view strings = file.sections[headers[i].sh_link].bytes;
    const std::string_view table = file.sections[i].bytes;
    for (std::size_t at = 0; at + sizeof(Elf64_Sym) <= table.size(); at += sizeof(Elf64_Sym)) {
      const auto symbol = read_struct<Elf64_Sym>(table, at, "symbols");
      file.symbols.push_back(
          {text_at(strings, symbol.st_name), symbol.st_value, symbol.st_size, symbol.st_shndx});
    }
    break;
  }
  return file;
}

const ElfSection* ElfFile::section(std::string_view name) const {
  for (const ElfSection& at : sections) {
    if (at.name == name) return &at;
  }
  return nullptr;
}

const ElfSymbol* ElfFile::symbol(std::string_view name) const {
  for (const ElfSymbol& at : symbols) {
    if (at.name == name) return &at;
  }
  return nullptr;
}

std::string_view ElfFile::bytes(const ElfSymbol& symbol) const {
  if (symbol.section == 0 || symbol.section >= sections.size()) return {};
  const ElfSection& home = sections[symbol.section];
  if (symbol.address < home.address) return {};
  const std::uint64_t offset = symbol.address - home.address;
  if (offset > home.bytes.size() || symbol.size > home.bytes.size() - offset) return {};
  return home.bytes.substr(offset, symbol.size);
}

std::string_view elf_note(const ElfFile& file, std::string_view owner, std::uint32_t type) {
  for (const ElfSection& section : file.sections) {
    if (!section.name.starts_with(".note")) continue;
    std::string_view rest = section.bytes;
    while (rest.size() >= sizeof(Elf64_Nhdr)) {
      const auto header = read_struct<Elf64_Nhdr>(rest, 0, "a note");
      const std::uint64_t start = sizeof header + padded(header.n_namesz);
      const std::uint64_t end = start + padded(header.n_descsz);
      if (start + header.n_descsz > rest.size()) break;
      if (header.n_type == type &&
          text_at(rest.substr(sizeof header, header.n_namesz), 0) == owner) {
        return rest.substr(start, header.n_descsz);
      }
      rest = rest.substr(end < rest.size() ? end : rest.size());
    }
  }
  return {};
}

}  // namespace mla
