#pragma once

#include <map>
#include <string>
#include <string_view>

#include "db/records.hpp"

namespace mla {

// What an arch gives to a workgroup (configs/archs/); the defaults are gfx950's. One description
// serves both vendors: a CU is an SM, a SIMD is an SM's scheduler, a wave is a warp, LDS is shared
// memory.
struct GpuLimits {
  int lanes = 64;  // per wave
  int simds_per_cu = 4;
  int registers_per_lane = 512;  // of one SIMD, shared by its waves; arch VGPRs and AGPRs together
  int register_granule = 8;
  int registers_per_wave = 512;  // the most that one wave may have
  int waves_per_simd = 8;
  int threads_per_workgroup = 1024;
  int lds_per_workgroup = 160 * 1024;  // bytes
  int lds_per_cu = 160 * 1024;
  int lds_granule = 1280;
  int lds_reserved = 0;  // bytes that the system takes from each workgroup's share
};

// How often each mnemonic occurs in a kernel's code: {"v_mfma_f32_16x16x32_bf16", 64}.
using InstructionMix = std::map<std::string, int, std::less<>>;

// Counts a listing of one instruction a line. Padding behind the end of the program (s_code_end) is
// not counted.
InstructionMix count_instructions(std::string_view listing);

// The machine code of one kernel, for a disassembler. Throws Error{toolchain} where the code object
// lacks it.
std::string_view kernel_code(std::string_view code_object, std::string_view entry);

// The identity of what would run: code, constants and metadata, without what differs between two
// compilations of the same kernel (file names, the compiler's own stamp). Equal identities need
// timing only once.
std::string code_identity(std::string_view code_object);

// What a code object says about the kernel `entry`, and what follows for a workgroup of `threads`
// threads with `dynamic_lds` bytes on top of its static LDS:
//   vgprs          registers per lane as allocated, AGPRs included (the unified file)
//   lds_bytes      static and dynamic
//   waves_per_simd how many of this kernel's waves a SIMD holds at once, rounded up; 0: not one
//   workgroup fits mfma .. salu   from `mix`; -1 where it is empty
// Knows AMDGPU code objects and CUDA cubins; spills are not recorded in a cubin and stay -1. A
// shared object for the host has only code_bytes. Throws Error{toolchain} for bytes that are none
// of these or lack the kernel.
Resources inspect(std::string_view code_object, std::string_view entry, const GpuLimits& limits,
                  int threads, int dynamic_lds, const InstructionMix& mix);

// Why a kernel that compiled must not be run or ranked: it spills, uses scratch, or breaks a limit;
// empty: it may.
std::string reason_to_reject(const Resources& resources, const GpuLimits& limits, int threads);

}  // namespace mla
