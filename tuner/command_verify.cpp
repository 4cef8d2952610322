#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <thread>

#include "db/error.hpp"
#include "kernels/compare.hpp"
#include "kernels/device_host.hpp"
#include "kernels/process.hpp"
#include "tuner/command_variant.hpp"
#include "tuner/commands.hpp"
#include "tuner/interrupt.hpp"
#include "tuner/measure.hpp"
#include "tuner/scratch_folder.hpp"
#include "tuner/shapes.hpp"
#include "tuner/space.hpp"
#include "tuner/tune_command.hpp"

namespace mla {
namespace {

constexpr double kRunSeconds = 120;

// What serving asks for, and what it might: no extra scope, heads and pages that divide nothing.
std::vector<CheckCase> cases_for(const Arch& arch, const Launch& launch, std::uint64_t seed) {
  std::vector<CheckCase> all;
  for (const ProblemRecord& problem :
       {make_problem(arch, 16, 8, 128, 64, 1024, 64), make_problem(arch, 16, 8, 128, 64, 0, 0),
        make_problem(arch, 37, 3, 128, 2, 512, 2), make_problem(arch, 5, 3, 128, 48, 512, 24)})
    std::ranges::move(check_cases(problem, launch, seed), std::back_inserter(all));
  return all;
}

std::string in_words(const ProblemRecord& p) {
  std::string text = fmt::format("{} heads, {} tokens, {} keys, page {}", p.num_heads, p.num_tokens,
                                 p.main_len, p.main_page);
  if (p.extra_len > 0) text += fmt::format(" + {} keys, page {}", p.extra_len, p.extra_page);
  return text + (p.lengths == "ragged" ? ", ragged" : "");
}

std::string write_object(const ScratchFolder& folder, const char* name, const std::string& code) {
  const std::string path = folder.path() + "/" + name;
  std::ofstream file(path, std::ios::binary);
  file.write(code.data(), static_cast<std::streamsize>(code.size()));
  file.close();
  if (!file) throw Error(ErrorKind::system, "cannot write " + path + ": free the disk");
  ::chmod(path.c_str(), 0700);
  return path;
}

double worst_lse(const Output& output, const Reference& reference) {
  double worst = 0;
  for (std::size_t i = 0; i < output.lse.size() && i < reference.lse.size(); ++i)
    if (std::isfinite(reference.lse[i]))
      worst = std::max(worst, std::abs(double{output.lse[i]} - reference.lse[i]));
  return worst;
}

}  // namespace

int verify_command(const VerifyOptions& options) {
  const std::filesystem::path configs = configs_folder(options.variant.configs);
  const Arch arch = load_arch(configs, options.variant.arch);
  const Space space = Space::load(configs, "sparse_mla_decode", arch);
  const NamedVariant variant = variant_of(options.variant);
  const CompiledVariant compiled =
      compile_variant(variant, load_arch(configs, "host"), options.variant);
  const ScratchFolder folder;
  const std::string decode = write_object(folder, "decode.so", compiled.decode.code);
  const std::string reduce = write_object(folder, "reduce.so", compiled.reduce.code);

  const int threads = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  const auto runner = make_host_runner(sibling_program("mla-host-worker"), threads);
  nlohmann::ordered_json results = nlohmann::ordered_json::array();
  bool all_right = true;
  if (!options.json)
    fmt::print("variant {} on {}, with {}'s formats\n", variant.key, runner->identity().name,
               arch.name);
  for (const CheckCase& trial : cases_for(arch, variant.launch, options.seed)) {
    throw_if_interrupted();
    const ProblemData data = make_inputs(trial.problem, trial.inputs);
    const bool split = reduces(variant.launch, trial.problem.extra_len > 0);
    const RunResult run =
        runner->run(decode, split ? reduce : std::string(), variant.launch, data, kRunSeconds);
    Verdict verdict = run.verdict;
    std::string reason = run.reason;
    Comparison comparison;
    double lse = 0;
    if (verdict == Verdict::ok) {
      const Reference reference = compute_reference(data, threads);
      comparison = compare(run.output, reference, space.tolerance());
      lse = worst_lse(run.output, reference);
      if (!comparison.ok) {
        verdict = Verdict::wrong_result;
        reason = comparison.reason;
      }
    }
    all_right = all_right && verdict == Verdict::ok;
    if (options.json) {
      results.push_back({{"problem", in_words(trial.problem)},
                         {"verdict", name(verdict)},
                         {"reason", reason},
                         {"max_error", comparison.max_error},
                         {"cosine_gap", comparison.cosine_gap},
                         {"max_lse_error", lse}});
    } else {
      fmt::print("  {:<60} {:<13} max error {:.2e}  cosine gap {:.2e}  LSE error {:.2e}{}\n",
                 in_words(trial.problem), name(verdict), comparison.max_error,
                 comparison.cosine_gap, lse, reason.empty() ? "" : "\n    " + reason);
    }
  }
  if (options.json)
    fmt::print("{}\n", nlohmann::ordered_json{{"variant", variant.key},
                                              {"arch", arch.name},
                                              {"device", runner->identity().name},
                                              {"ok", all_right},
                                              {"trials", results}}
                           .dump(2));
  return all_right ? 0 : static_cast<int>(ErrorKind::device);
}

}  // namespace mla
