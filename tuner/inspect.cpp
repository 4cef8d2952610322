#include "tuner/inspect.hpp"

#include <elf.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <nlohmann/json.hpp>
#include <vector>

#include "db/error.hpp"
#include "tuner/elf.hpp"
#include "tuner/hash.hpp"

namespace mla {
namespace {

constexpr std::uint16_t kMachineAmdgpu = 224;
constexpr std::uint16_t kMachineCuda = 190;
constexpr std::uint32_t kNoteAmdgpuMetadata = 32;

// Attributes of .nv.info whose payload is a symbol's index and a number.
enum class CudaInfo : std::uint8_t { frame_size = 0x11, register_count = 0x2f };
constexpr std::uint8_t kCudaInfoSized =
    4;  // the 16-bit field is the payload's length; otherwise it is the value

int round_up(int value, int granule) { return (value + granule - 1) / granule * granule; }

[[noreturn]] void no_kernel(std::string_view entry) {
  throw Error(ErrorKind::toolchain, fmt::format("the code object holds no kernel {}", entry));
}

template <class T>
T load(std::string_view bytes, std::size_t offset) {
  T value{};
  if (offset + sizeof value <= bytes.size()) {
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  }
  return value;
}

void read_amdgpu(const ElfFile& file, std::string_view entry, Resources& found) try {
  const std::string_view note = elf_note(file, "AMDGPU", kNoteAmdgpuMetadata);
  const auto metadata = nlohmann::json::from_msgpack(note.begin(), note.end(), true, false);
  if (!metadata.is_object() || !metadata.contains("amdhsa.kernels")) no_kernel(entry);
  for (const auto& kernel : metadata["amdhsa.kernels"]) {
    if (kernel.value(".name", "") != entry) continue;
    found.agprs = kernel.value(".agpr_count", 0);
    found.sgprs = kernel.value(".sgpr_count", -1);
    found.lds_bytes = kernel.value(".group_segment_fixed_size", 0);
    found.scratch_bytes = kernel.value(".private_segment_fixed_size", 0);
    found.vgpr_spills = kernel.value(".vgpr_spill_count", -1);
    found.sgpr_spills = kernel.value(".sgpr_spill_count", -1);
    const ElfSymbol* descriptor = file.symbol(kernel.value(".symbol", ""));
    const std::string_view bytes =
        descriptor == nullptr ? std::string_view() : file.bytes(*descriptor);
    if (bytes.size() != 64) no_kernel(entry);
    // What the hardware allocates stands in the descriptor: compute_pgm_rsrc1, in granules of 8.
    constexpr std::size_t kRsrc1 = 48;
    found.vgprs = static_cast<int>((load<std::uint32_t>(bytes, kRsrc1) & 63) + 1) * 8;
    return;
  }
  no_kernel(entry);
} catch (const nlohmann::json::exception&) {
  no_kernel(entry);  // a field of another type than the format gives it
}

void read_cuda(const ElfFile& file, std::string_view entry, Resources& found) {
  const ElfSection* info = file.section(".nv.info");
  if (info == nullptr) no_kernel(entry);
  for (std::size_t at = 0; at + 4 <= info->bytes.size();) {
    const auto attribute = load<std::uint8_t>(info->bytes, at + 1);
    const bool sized = load<std::uint8_t>(info->bytes, at) == kCudaInfoSized;
    const auto symbol = load<std::uint32_t>(info->bytes, at + 4);
    const auto value = static_cast<int>(load<std::uint32_t>(info->bytes, at + 8));
    if (sized && symbol < file.symbols.size() && file.symbols[symbol].name == entry) {
      if (attribute == static_cast<std::uint8_t>(CudaInfo::register_count)) found.vgprs = value;
      if (attribute == static_cast<std::uint8_t>(CudaInfo::frame_size)) found.scratch_bytes = value;
    }
    at += 4 + (sized ? load<std::uint16_t>(info->bytes, at + 2) : 0u);
  }
  if (found.vgprs < 0) no_kernel(entry);
  found.lds_bytes = 0;
  if (const ElfSection* shared = file.section(fmt::format(".nv.shared.{}", entry))) {
    // From sm_80 on the section also covers the kilobyte that the system keeps at the start of each
    // block's memory.
    constexpr std::uint64_t kReserved = 1024;
    const bool reserves =
        file.section(".nv.shared.reserved.0") != nullptr && shared->size >= kReserved;
    found.lds_bytes = static_cast<int>(shared->size - (reserves ? kReserved : 0));
  }
}

int waves_per_simd(const Resources& use, const GpuLimits& limits, int threads) {
  const int waves = (threads + limits.lanes - 1) / limits.lanes;
  const int registers = round_up(std::max(use.vgprs, 1), limits.register_granule);
  const int slots = std::min(limits.registers_per_lane / registers, limits.waves_per_simd);
  int workgroups = slots * limits.simds_per_cu / waves;
  // A workgroup's waves go round the SIMDs: with more waves than SIMDs, the fullest SIMD decides.
  if (waves > limits.simds_per_cu) {
    workgroups = slots / ((waves + limits.simds_per_cu - 1) / limits.simds_per_cu);
  }
  const int lds = round_up(use.lds_bytes + limits.lds_reserved, limits.lds_granule);
  if (lds > 0) workgroups = std::min(workgroups, limits.lds_per_cu / lds);
  return (workgroups * waves + limits.simds_per_cu - 1) / limits.simds_per_cu;
}

void count_mix(const InstructionMix& mix, Resources& found) {
  if (mix.empty()) return;
  found.mfma = found.lds = found.vmem = found.valu = found.salu = 0;
  for (const auto& [mnemonic, count] : mix) {
    const auto is = [&name = mnemonic](std::string_view prefix) {
      return name.starts_with(prefix);
    };
    if (is("v_mfma") || is("v_smfma")) {
      found.mfma += count;
    } else if (is("ds_")) {
      found.lds += count;
    } else if (is("global_") || is("buffer_") || is("flat_") || is("scratch_")) {
      found.vmem += count;
    } else if (is("v_")) {
      found.valu += count;
    } else if (is("s_")) {
      found.salu += count;
    }
  }
}

}  // namespace

InstructionMix count_instructions(std::string_view listing) {
  InstructionMix mix;
  while (!listing.empty()) {
    const std::string_view line = listing.substr(0, listing.find('\n'));
    listing.remove_prefix(std::min(listing.size(), line.size() + 1));
    const std::size_t start = line.find_first_not_of(" \t");
    if (start == std::string_view::npos) continue;
    const std::size_t end = line.find_first_of(" \t", start);
    const std::string_view mnemonic =
        line.substr(start, end == std::string_view::npos ? end : end - start);
    if (mnemonic != "s_code_end") ++mix[std::string(mnemonic)];
  }
  return mix;
}

std::string_view kernel_code(std::string_view code_object, std::string_view entry) {
  const ElfFile file = read_elf(code_object);
  const ElfSymbol* symbol = file.symbol(entry);
  const std::string_view code = symbol == nullptr ? std::string_view() : file.bytes(*symbol);
  if (code.empty()) no_kernel(entry);
  return code;
}

std::string code_identity(std::string_view code_object) {
  const ElfFile file = read_elf(code_object);
  if (file.machine != kMachineAmdgpu) return content_key(code_object);
  std::vector<std::string_view> parts;
  for (const std::string_view name : {".text", ".rodata", ".note"}) {
    const ElfSection* section = file.section(name);
    parts.push_back(section == nullptr ? std::string_view() : section->bytes);
  }
  return content_key(parts);
}

Resources inspect(std::string_view code_object, std::string_view entry, const GpuLimits& limits,
                  int threads, int dynamic_lds, const InstructionMix& mix) {
  const ElfFile file = read_elf(code_object);
  Resources found;
  if (file.machine == kMachineAmdgpu) {
    read_amdgpu(file, entry, found);
  } else if (file.machine == kMachineCuda) {
    read_cuda(file, entry, found);
  } else if (file.section(".text") != nullptr) {
    found.code_bytes = static_cast<int>(file.section(".text")->size);
    return found;
  } else {
    no_kernel(entry);
  }
  const ElfSymbol* code = file.symbol(entry);
  if (code == nullptr) no_kernel(entry);
  found.code_bytes = static_cast<int>(code->size);
  found.lds_bytes += dynamic_lds;
  found.waves_per_simd = waves_per_simd(found, limits, threads);
  count_mix(mix, found);
  return found;
}

std::string reason_to_reject(const Resources& use, const GpuLimits& limits, int threads) {
  std::vector<std::string> reasons;
  if (use.vgpr_spills > 0) reasons.push_back(fmt::format("spills {} VGPRs", use.vgpr_spills));
  if (use.sgpr_spills > 0) reasons.push_back(fmt::format("spills {} SGPRs", use.sgpr_spills));
  if (use.scratch_bytes > 0) {
    reasons.push_back(fmt::format("uses {} bytes of scratch memory per lane", use.scratch_bytes));
  }
  if (use.vgprs > limits.registers_per_wave) {
    reasons.push_back(
        fmt::format("{} registers, of {} per wave", use.vgprs, limits.registers_per_wave));
  }
  const int most_lds = limits.lds_per_workgroup - limits.lds_reserved;
  if (use.lds_bytes > most_lds) {
    reasons.push_back(fmt::format("{} bytes of LDS, of {} per workgroup", use.lds_bytes, most_lds));
  }
  if (threads > limits.threads_per_workgroup) {
    reasons.push_back(
        fmt::format("{} threads, of {} per workgroup", threads, limits.threads_per_workgroup));
  }
  if (reasons.empty() && use.waves_per_simd == 0) {
    reasons.push_back(fmt::format("no workgroup of {} threads with {} registers each fits a CU",
                                  threads, use.vgprs));
  }
  return fmt::format("{}", fmt::join(reasons, "; "));
}

}  // namespace mla
