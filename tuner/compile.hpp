#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "db/records.hpp"
#include "kernels/process.hpp"
#include "tuner/cache.hpp"
#include "tuner/inspect.hpp"
#include "tuner/toolchain.hpp"

namespace mla {

struct SourceHeader {
  std::string name;  // as the source includes it: "sparse_mla_decode.hpp"
  std::string text;
};
using SourceHeaders = std::shared_ptr<const std::vector<SourceHeader>>;

// The *.hpp of a folder, sorted by name. Throws Error{usage} where the folder has none.
SourceHeaders read_headers(const std::string& folder);
// 12 hexadecimal digits that are others where a name or a text is.
std::string hash_of(const SourceHeaders& headers);

// The installed templates: beside this program, one folder up, or ../share/mla-tune of its folder;
// `chosen`, the user's word for it, goes first. Throws Error{usage} naming where it looked.
std::string templates_folder(const std::string& chosen = {});

// One translation unit to compile.
struct CompileJob {
  std::uint64_t tag = 0;  // the caller's; comes back with the result
  std::string arch;       // "gfx950", "sm_90a", "host"
  std::string source;
  SourceHeaders headers;             // handed over in memory
  std::vector<std::string> options;  // after arch_options()
  std::string entry = "entry";       // the kernel whose instructions are counted
  double deadline_seconds = 60;
};

// What every unit for an arch is compiled with: the target, C++20, optimisation.
std::vector<std::string> arch_options(std::string_view arch);

// CodeObjectRecord::key: source, headers, options and compiler.
std::string compile_key(const CompileJob& job, const FoundToolchain& toolchain);

struct CompileResult {
  std::uint64_t tag = 0;
  std::string key;
  Verdict verdict = Verdict::crashed;  // ok, compile_failed, timed_out, crashed
  std::string log;     // the compiler's words, warnings included; how the helper died where it did
  std::string code;    // ELF: AMDGPU code object, cubin or shared object; empty unless ok
  InstructionMix mix;  // empty where the compiler brings no disassembler
  double seconds = 0;  // that the compilation took, whenever that was
  bool cached = false;
};

// Helper processes around one compiler. submit() and next() may be called from any thread; results
// come in the order in which they finish. A helper that crashes or passes its job's deadline costs
// that job alone and is started again. Compilations that succeeded are kept in the cache and come
// from there; failures are the database's to remember.
class CompilePool {
 public:
  // workers 0: one per core. cache null: none is used. The cache must outlive the pool.
  CompilePool(FoundToolchain toolchain, Cache* cache, int workers = 0);
  // Kills what is still compiling; its results are lost.
  ~CompilePool();
  CompilePool(const CompilePool&) = delete;
  CompilePool& operator=(const CompilePool&) = delete;

  void submit(CompileJob job);
  // The next result; nullopt at the deadline, or when no job is outstanding.
  std::optional<CompileResult> next(Deadline deadline);
  std::optional<CompileResult> next();
  // Jobs submitted whose result has not been taken.
  std::size_t outstanding() const;
  // Drops the jobs that no helper has begun; how many.
  std::size_t drop_waiting();

  // Instructions of an AMDGPU code object's kernel, one a line. Starts a helper of its own; throws
  // Error{toolchain} where that fails.
  std::string disassemble(std::string_view code_object, const std::string& arch,
                          const std::string& entry);

  const FoundToolchain& toolchain() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace mla
