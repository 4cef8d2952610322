#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "tuner/command_variant.hpp"
#include "tuner/commands.hpp"
#include "tuner/compile.hpp"
#include "tuner/interrupt.hpp"
#include "tuner/launch_json.hpp"
#include "tuner/shapes.hpp"
#include "tuner/source.hpp"
#include "tuner/tune_command.hpp"
#include "tuner/whole_file.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr double kPollSeconds = 0.1;
constexpr std::uint64_t kDecode = 1, kReduce = 2;

const char* extension(const std::string& arch) {
  if (arch.starts_with("gfx")) return ".co";
  return arch.starts_with("sm_") ? ".cubin" : ".so";
}

}  // namespace

CompiledVariant compile_variant(const NamedVariant& variant, const Arch& arch,
                                const VariantOptions& options) {
  const FoundToolchain toolchain = toolchain_for(arch.name, search_from_environment(options.rocm));
  const SourceHeaders headers = read_headers(templates_folder(options.templates));
  Cache cache(default_cache_folder());
  CompilePool pool(toolchain, &cache, 2);
  CompileJob job;
  job.tag = kDecode;
  job.arch = arch.name;
  job.source = decode_source(variant.launch.config);
  job.headers = headers;
  pool.submit(job);
  job.tag = kReduce;
  job.source = reduce_source(variant.launch.reduce);
  pool.submit(job);

  CompiledVariant compiled{.toolchain = toolchain.record, .decode = {}, .reduce = {}};
  const int lanes = arch.limits.lanes;
  while (pool.outstanding() > 0) {
    throw_if_interrupted();
    std::optional<CompileResult> result = pool.next(deadline_in(kPollSeconds));
    if (!result) continue;
    const bool decode = result->tag == kDecode;
    if (result->verdict != Verdict::ok)
      throw Error(ErrorKind::toolchain,
                  fmt::format("the {} kernel of variant {} does not compile for {} with {} {} "
                              "({}):\n{}",
                              decode ? "decode" : "reduce", variant.key, arch.name,
                              toolchain.record.compiler, toolchain.record.release,
                              name(result->verdict), result->log));
    CompiledKernel& kernel = decode ? compiled.decode : compiled.reduce;
    const int threads_per_workgroup =
        decode ? threads(variant.launch.config, lanes) : threads(variant.launch.reduce, lanes);
    kernel.code = std::move(result->code);
    kernel.resources =
        inspect(kernel.code, job.entry, arch.limits, threads_per_workgroup,
                decode ? dynamic_lds_bytes(arch.name, variant.launch.config) : 0, result->mix);
  }
  return compiled;
}

int emit_command(const VariantOptions& options, const fs::path& out) {
  const fs::path configs = configs_folder(options.configs);
  const Arch arch = load_arch(configs, options.arch);
  const NamedVariant variant = variant_of(options);
  const std::string refusal = refusal_on(variant, arch, configs);
  if (!refusal.empty())
    fmt::print(stderr, "warning: not a variant of the space for {}: {}\n", arch.name, refusal);

  std::error_code failed;
  fs::create_directories(out, failed);
  if (failed || ::access(out.c_str(), W_OK) != 0)
    throw Error(ErrorKind::system,
                fmt::format("cannot write into {}: {}; name another folder with --out",
                            out.string(), failed ? failed.message() : std::strerror(errno)));
  const CompiledVariant compiled = compile_variant(variant, arch, options);
  const EmittedKernel decode{std::string("decode") + extension(arch.name),
                             compiled.decode.resources};
  const EmittedKernel reduce{std::string("reduce") + extension(arch.name),
                             compiled.reduce.resources};
  const ProblemRecord example = make_problem(arch, 16, 8, 128, 64, 1024, 64);
  const auto json = launch_json(variant, arch.name, compiled.toolchain, example, decode, reduce);
  write_whole(out / decode.file, compiled.decode.code);
  write_whole(out / reduce.file, compiled.reduce.code);
  write_whole(out / "launch.json", json.dump(2) + "\n");
  fmt::print("variant {} for {}, {} {}\n", variant.key, arch.name, compiled.toolchain.compiler,
             compiled.toolchain.release);
  for (const EmittedKernel* kernel : {&decode, &reduce})
    fmt::print("  {}: {} VGPRs, {} bytes of LDS, {} bytes of code\n", (out / kernel->file).string(),
               kernel->resources.vgprs, kernel->resources.lds_bytes, kernel->resources.code_bytes);
  fmt::print("  {}\n", (out / "launch.json").string());
  return 0;
}

}  // namespace mla
