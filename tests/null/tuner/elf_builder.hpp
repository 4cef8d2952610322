#pragma once

#include <elf.h>

#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace mla {

// Makes small ELF files for tests: sections in order, then one symbol table.
class ElfBuilder {
 public:
  explicit ElfBuilder(std::uint16_t machine) : machine_(machine) { add("", "", SHT_NULL); }

  // The new section's index. `size`: of a section without bytes in the file.
  std::uint16_t add(const std::string& name, const std::string& bytes,
                    std::uint32_t type = SHT_PROGBITS, std::uint64_t size = 0) {
    sections_.push_back({name, bytes, type, bytes.empty() ? size : bytes.size()});
    return static_cast<std::uint16_t>(sections_.size() - 1);
  }

  // The new symbol's index in the table.
  std::uint32_t symbol(const std::string& name, std::uint16_t section, std::uint64_t size) {
    Elf64_Sym made{};
    made.st_name = static_cast<std::uint32_t>(strings_.size());
    made.st_shndx = section;
    made.st_size = size;
    strings_ += name + '\0';
    symbols_.push_back(made);
    return static_cast<std::uint32_t>(symbols_.size());  // entry 0 is the null symbol
  }

  std::string build() const {
    std::vector<Part> parts = sections_;
    std::string table(sizeof(Elf64_Sym), '\0');
    for (const Elf64_Sym& at : symbols_) table += bytes_of(at);
    parts.push_back({".strtab", strings_, SHT_STRTAB, strings_.size()});
    parts.push_back({".symtab", table, SHT_SYMTAB, table.size()});
    std::string names(1, '\0');
    std::string body;
    std::string headers;
    for (std::size_t i = 0; i <= parts.size(); ++i) {
      const Part part = i < parts.size()
                            ? parts[i]
                            : Part{".shstrtab", names + ".shstrtab" + '\0', SHT_STRTAB, 0};
      Elf64_Shdr header{};
      header.sh_name = static_cast<std::uint32_t>(names.size());
      header.sh_type = part.type;
      header.sh_offset = sizeof(Elf64_Ehdr) + body.size();
      header.sh_size = part.bytes.empty() ? part.size : part.bytes.size();
      header.sh_link = part.type == SHT_SYMTAB ? static_cast<std::uint32_t>(i - 1) : 0;
      names += part.name + '\0';
      body += part.bytes;
      headers += bytes_of(header);
    }
    Elf64_Ehdr file{};
    std::memcpy(file.e_ident, ELFMAG, SELFMAG);
    file.e_ident[EI_CLASS] = ELFCLASS64;
    file.e_ident[EI_DATA] = ELFDATA2LSB;
    file.e_machine = machine_;
    file.e_shoff = sizeof file + body.size();
    file.e_shentsize = sizeof(Elf64_Shdr);
    file.e_shnum = static_cast<std::uint16_t>(parts.size() + 1);
    file.e_shstrndx = static_cast<std::uint16_t>(parts.size());
    return bytes_of(file) + body + headers;
  }

 private:
  struct Part {
    std::string name;
    std::string bytes;
    std::uint32_t type = SHT_PROGBITS;
    std::uint64_t size = 0;
  };
  template <class T>
  static std::string bytes_of(const T& value) {
    return {reinterpret_cast<const char*>(&value), sizeof value};
  }

  std::uint16_t machine_;
  std::vector<Part> sections_;
  std::string strings_ = std::string(1, '\0');
  std::vector<Elf64_Sym> symbols_;
};

// An AMDGPU code object with one kernel, "entry".
struct AmdKernel {
  int vgpr_granules = 1;  // of 8
  int agprs = 0;
  int sgprs = 16;
  int lds = 0;
  int scratch = 0;
  int vgpr_spills = 0;
  int sgpr_spills = 0;
  std::string code = std::string(64, 'c');

  std::string build() const {
    const nlohmann::json kernel{{".name", "entry"},
                                {".symbol", "entry.kd"},
                                {".vgpr_count", vgpr_granules * 8},
                                {".agpr_count", agprs},
                                {".sgpr_count", sgprs},
                                {".group_segment_fixed_size", lds},
                                {".private_segment_fixed_size", scratch},
                                {".vgpr_spill_count", vgpr_spills},
                                {".sgpr_spill_count", sgpr_spills}};
    const auto packed =
        nlohmann::json::to_msgpack({{"amdhsa.kernels", nlohmann::json::array({kernel})}});
    std::string metadata(packed.begin(), packed.end());
    const Elf64_Nhdr note{7, static_cast<std::uint32_t>(metadata.size()), 32};
    std::string bytes(reinterpret_cast<const char*>(&note), sizeof note);
    bytes += std::string("AMDGPU\0\0", 8) + metadata;
    std::string descriptor(64, '\0');
    descriptor[48] = static_cast<char>(vgpr_granules - 1);
    ElfBuilder elf(224);
    elf.add(".note", bytes, SHT_NOTE);
    const auto rodata = elf.add(".rodata", descriptor);
    const auto text = elf.add(".text", code + std::string(32, 'p'));
    elf.symbol("entry", text, code.size());
    elf.symbol("entry.kd", rodata, descriptor.size());
    return elf.build();
  }
};

}  // namespace mla
