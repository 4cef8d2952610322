#include "tuner/helper_rtc.hpp"

#include <dlfcn.h>
#include <link.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <regex>

#include "db/error.hpp"

namespace mla {
namespace {

using Handle = void*;
using CreateProgram = int(Handle*, const char*, const char*, int, const char* const*,
                          const char* const*);
using CompileProgram = int(Handle, int, const char* const*);
using GetSize = int(Handle, std::size_t*);
using GetBytes = int(Handle, char*);
using DestroyProgram = int(Handle*);

using ComgrInfo = struct { std::uint64_t handle; };
using ReadMemory = std::uint64_t(std::uint64_t, char*, std::uint64_t, void*);
using PrintInstruction = void(const char*, void*);
using PrintAddress = void(std::uint64_t, void*);
using CreateDisassembly = int(const char*, ReadMemory*, PrintInstruction*, PrintAddress*,
                              ComgrInfo*);
using DestroyDisassembly = int(ComgrInfo);
using DisassembleInstruction = int(ComgrInfo, std::uint64_t, void*, std::uint64_t*);

constexpr std::string_view kAmdIsa = "amdgcn-amd-amdhsa--";

template <class Signature>
Signature* as(void* address) {
  return reinterpret_cast<Signature*>(address);
}

struct Listing {
  std::string_view code;
  std::string text;
};

std::uint64_t read_code(std::uint64_t from, char* to, std::uint64_t size, void* user) {
  const std::string_view code = static_cast<Listing*>(user)->code;
  if (from >= code.size()) return 0;
  return code.copy(to, size, from);
}

void append_instruction(const char* instruction, void* user) {
  std::string& text = static_cast<Listing*>(user)->text;
  text += instruction;
  text += '\n';
}

// The GNU build ids of the loaded libraries that decide what is generated: two builds of one
// version differ here.
int collect_build_ids(dl_phdr_info* info, std::size_t, void* user) {
  const std::string name = std::filesystem::path(info->dlpi_name).filename().string();
  const bool decides =
      std::ranges::any_of(std::initializer_list<const char*>{"libhiprtc", "libamd_comgr", "libLLVM",
                                                             "libclang", "libnvrtc"},
                          [&](const char* part) { return name.find(part) != std::string::npos; });
  if (!decides) return 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_NOTE) continue;
    // The loader gives addresses as integers.
    const auto address = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    const char* at = reinterpret_cast<const char*>(address);  // NOLINT(performance-no-int-to-ptr)
    const char* end = at + info->dlpi_phdr[i].p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      const char* bytes = at + sizeof *note + (note->n_namesz + 3) / 4 * 4;
      if (note->n_type == NT_GNU_BUILD_ID && note->n_namesz == 4) {
        std::string& ids = *static_cast<std::string*>(user);
        ids += name + ' ';
        for (unsigned j = 0; j < note->n_descsz; ++j) {
          constexpr char kDigits[] = "0123456789abcdef";
          ids += kDigits[static_cast<unsigned char>(bytes[j]) >> 4];
          ids += kDigits[bytes[j] & 15];
        }
        ids += '\n';
      }
      at = bytes + (note->n_descsz + 3) / 4 * 4;
    }
  }
  return 0;
}

void* open_first(const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    if (void* found = ::dlopen(name.c_str(), RTLD_NOW)) return found;
  }
  return nullptr;
}

// Compilers name files in folders of their own making; a stored log should not depend on those.
std::string without_temporary_paths(const std::string& log) {
  static const std::regex folder(R"((/[^\s:'"]*)?/comgr-[^/\s]*/(input|include)/)");
  std::string text = std::regex_replace(log, folder, "");
  while (!text.empty() && (text.back() == '\0' || text.back() == '\n')) text.pop_back();
  return text;
}

}  // namespace

RuntimeCompiler::RuntimeCompiler(const std::string& kind, const std::string& library)
    : amd_(kind == "hiprtc") {
  library_ = ::dlopen(library.c_str(), RTLD_NOW);
  if (library_ == nullptr) throw Error(ErrorKind::toolchain, ::dlerror());
  link_map* map = nullptr;
  ::dlinfo(library_, RTLD_DI_LINKMAP, &map);
  path_ = std::filesystem::canonical(map->l_name).string();
  if (!amd_) return;
  const std::string folder = std::filesystem::path(path_).parent_path().string();
  comgr_ = open_first({folder + "/libamd_comgr.so.3", folder + "/libamd_comgr.so.2",
                       "libamd_comgr.so.3", "libamd_comgr.so.2"});
  if (comgr_ == nullptr) throw Error(ErrorKind::toolchain, ::dlerror());
}

void* RuntimeCompiler::symbol(void* library, const std::string& name) const {
  void* address = ::dlsym(library, name.c_str());
  if (address == nullptr) throw Error(ErrorKind::toolchain, path_ + " lacks " + name);
  return address;
}

RuntimeCompiler::Compiled RuntimeCompiler::compile(const std::string& source,
                                                   const std::vector<std::string>& options,
                                                   const std::vector<const char*>& names,
                                                   const std::vector<const char*>& texts) {
  const std::string prefix = amd_ ? "hiprtc" : "nvrtc";
  const auto read = [&](Handle program, const char* what) {
    std::size_t size = 0;
    std::string bytes;
    if (as<GetSize>(symbol(library_, prefix + "Get" + what + "Size"))(program, &size) != 0)
      return bytes;
    bytes.resize(size);
    if (as<GetBytes>(symbol(library_, prefix + "Get" + what))(program, bytes.data()) != 0)
      bytes.clear();
    return bytes;
  };
  std::vector<const char*> flags;
  for (const std::string& option : options) flags.push_back(option.c_str());
  Handle program = nullptr;
  Compiled result;
  const int created = as<CreateProgram>(symbol(library_, prefix + "CreateProgram"))(
      &program, source.c_str(), "variant.hip", static_cast<int>(names.size()), texts.data(),
      names.data());
  if (created != 0) {
    result.log = prefix + "CreateProgram answers " + std::to_string(created);
    return result;
  }
  const int compiled = as<CompileProgram>(symbol(library_, prefix + "CompileProgram"))(
      program, static_cast<int>(flags.size()), flags.data());
  result.log = without_temporary_paths(read(program, "ProgramLog"));
  if (compiled == 0) result.code = read(program, amd_ ? "Code" : "CUBIN");
  result.ok = !result.code.empty();
  if (!result.ok && result.log.empty()) {
    result.log =
        prefix + "CompileProgram answers " + std::to_string(compiled) + " and gives no reason";
  }
  as<DestroyProgram>(symbol(library_, prefix + "DestroyProgram"))(&program);
  return result;
}

Fields RuntimeCompiler::compile(const Fields& request) {
  const std::size_t count = std::stoul(request.at(3));
  std::vector<std::string> options;
  for (std::size_t i = 0; i < count; ++i) options.push_back(request.at(4 + i));
  std::vector<const char*> names;
  std::vector<const char*> texts;
  for (std::size_t i = 4 + count; i + 1 < request.size(); i += 2) {
    names.push_back(request[i].c_str());
    texts.push_back(request[i + 1].c_str());
  }
  Compiled result = compile(request.at(2), options, names, texts);
  if (!result.ok) return {"failed", std::move(result.log)};
  return {"ok", std::move(result.code), std::move(result.log)};
}

Fields RuntimeCompiler::disassemble(const Fields& request) {
  if (comgr_ == nullptr) return {"failed", "no disassembler for this compiler"};
  Listing listing{request.at(2), {}};
  ComgrInfo info{};
  const std::string isa = std::string(kAmdIsa) + request.at(1);
  const auto ignore_address = [](std::uint64_t, void*) {};
  if (as<CreateDisassembly>(symbol(comgr_, "amd_comgr_create_disassembly_info"))(
          isa.c_str(), read_code, append_instruction, ignore_address, &info) != 0) {
    return {"failed", "the code object manager does not know " + isa};
  }
  const auto step = as<DisassembleInstruction>(symbol(comgr_, "amd_comgr_disassemble_instruction"));
  for (std::uint64_t at = 0; at < listing.code.size();) {
    std::uint64_t size = 0;
    if (step(info, at, &listing, &size) != 0) listing.text += ".long\n";
    at += std::max<std::uint64_t>(size, 4);
  }
  as<DestroyDisassembly>(symbol(comgr_, "amd_comgr_destroy_disassembly_info"))(info);
  return {"ok", std::move(listing.text)};
}

std::vector<std::string> RuntimeCompiler::archs() const {
  std::vector<std::string> names;
  if (amd_) {
    std::size_t count = 0;
    as<int(std::size_t*)>(symbol(comgr_, "amd_comgr_get_isa_count"))(&count);
    for (std::size_t i = 0; i < count; ++i) {
      const char* isa = nullptr;
      as<int(std::size_t, const char**)>(symbol(comgr_, "amd_comgr_get_isa_name"))(i, &isa);
      if (std::string_view(isa).starts_with(kAmdIsa)) names.emplace_back(isa + kAmdIsa.size());
    }
    return names;
  }
  int count = 0;
  as<int(int*)>(symbol(library_, "nvrtcGetNumSupportedArchs"))(&count);
  std::vector<int> numbers(static_cast<std::size_t>(count));
  as<int(int*)>(symbol(library_, "nvrtcGetSupportedArchs"))(numbers.data());
  for (const int number : numbers) names.push_back("sm_" + std::to_string(number));
  return names;
}

std::string RuntimeCompiler::runtime_version() const {
  if (!amd_) {
    int major = 0;
    int minor = 0;
    as<int(int*, int*)>(symbol(library_, "nvrtcVersion"))(&major, &minor);
    return std::to_string(major) + "." + std::to_string(minor);
  }
  // hiprtcVersion answers 9.0 in every release; the HIP runtime of the same folder knows better.
  const std::filesystem::path folder = std::filesystem::path(path_).parent_path();
  void* runtime = nullptr;
  for (int major = 9; major >= 5 && runtime == nullptr; --major) {
    runtime = ::dlopen((folder / ("libamdhip64.so." + std::to_string(major))).c_str(), RTLD_NOW);
  }
  int version = 0;
  void* address = runtime == nullptr ? nullptr : ::dlsym(runtime, "hipRuntimeGetVersion");
  if (address == nullptr || as<int(int*)>(address)(&version) != 0 || version == 0) return {};
  return std::to_string(version / 10'000'000) + "." + std::to_string(version / 100'000 % 100) +
         "." + std::to_string(version % 100'000);
}

std::string RuntimeCompiler::llvm_version() {
  if (!amd_) return {};
  if (void* address = ::dlsym(comgr_, "LLVMGetVersion")) {
    unsigned major = 0;
    unsigned minor = 0;
    unsigned patch = 0;
    as<void(unsigned*, unsigned*, unsigned*)>(address)(&major, &minor, &patch);
    return std::to_string(major) + "." + std::to_string(minor) + "." + std::to_string(patch);
  }
  // AMD's own builds keep LLVM's symbols to themselves; the compiler signs what it makes.
  const Compiled probe =
      compile("extern \"C\" __global__ void entry() {}", {"--offload-arch=gfx90a"}, {}, {});
  std::smatch match;
  static const std::regex signature(R"(clang version ([0-9][^ ]*))");
  return std::regex_search(probe.code, match, signature) ? match[1].str() : std::string();
}

Fields RuntimeCompiler::describe() {
  std::string known;
  for (const std::string& arch : archs()) known += arch + '\n';
  std::string llvm = llvm_version();
  std::string version = runtime_version();
  std::string ids;
  ::dl_iterate_phdr(collect_build_ids, &ids);
  return {"ok", path_, std::move(version), std::move(llvm), std::move(known), std::move(ids)};
}

}  // namespace mla
