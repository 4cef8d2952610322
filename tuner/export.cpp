#include "tuner/export.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "db/error.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tuner/source.hpp"
#include "tuner/toolchain.hpp"

namespace mla {
namespace {

constexpr double kPollSeconds = 0.1;
constexpr double kCompileSeconds = 300;
constexpr const char* kDecode = "sparse_mla_decode";
constexpr const char* kReduce = "sparse_mla_reduce";

// By number where there are numbers: 7.10 is newer than 7.2.
bool older(const std::string& a, const std::string& b) {
  const auto numbers = [](const std::string& release) {
    std::vector<int> all;
    for (std::size_t at = 0; at < release.size();) {
      const std::size_t dot = std::min(release.find('.', at), release.size());
      all.push_back(std::atoi(release.substr(at, dot - at).c_str()));
      at = dot + 1;
    }
    return all;
  };
  return numbers(a) < numbers(b);
}

struct Needed {
  CompileJob job;
  Compiler* compiler;
  const char* kernel;
};

class Collecting {
 public:
  Collecting(const ExportParts& parts, std::vector<std::string>& notes)
      : parts_(parts), notes_(notes) {}

  void add(const KnownWinner& known) {
    const Winner& winner = known.winner;
    Compiler& compiler = parts_.compiler(winner.arch, winner.rocm);
    const Launch launch = variant_launch(winner.params);
    BundleWinner row{
        winner, need(compiler, winner.arch, kDecode, decode_source(launch.config)), {}};
    if (may_reduce(launch))
      row.reduce_key = need(compiler, winner.arch, kReduce, reduce_source(launch.reduce));
    if (!was_tuned_with(winner, row.decode_key)) ++changed_;
    contents_.winners.push_back({std::move(row), known.origin});
  }

  void add_fallbacks(const std::string& arch, const std::string& release) {
    Compiler& compiler = parts_.compiler(arch, release);
    for (const Launch& launch : fallback_launches(arch)) {
      BundleFallback row{arch,
                         variant_params(launch),
                         need(compiler, arch, kDecode, decode_source(launch.config)),
                         {}};
      if (may_reduce(launch))
        row.reduce_key = need(compiler, arch, kReduce, reduce_source(launch.reduce));
      contents_.fallbacks.push_back(std::move(row));
    }
  }

  BundleContents finish() {
    std::map<Compiler*, std::vector<std::string>> by_compiler;
    for (const auto& [key, needed] : needed_) by_compiler[needed.compiler].push_back(key);
    parts_.progress.begin("code objects", needed_.size());
    for (const auto& [compiler, keys] : by_compiler) compile(*compiler, keys);
    if (changed_ > 0)
      notes_.push_back(fmt::format(
          "{} of {} winners were tuned with other code than this program makes: templates or "
          "compiler changed since. The code is right; to be sure of the times, tune again.",
          changed_, contents_.winners.size()));
    contents_.version = MLA_VERSION;
    return std::move(contents_);
  }

 private:
  std::string need(Compiler& compiler, const std::string& arch, const char* kernel,
                   std::string source) {
    CompileJob job;
    job.arch = arch;
    job.source = std::move(source);
    job.headers = parts_.headers;
    job.deadline_seconds = kCompileSeconds;
    std::string key = compile_key(job, compiler.toolchain());
    needed_.try_emplace(key, Needed{std::move(job), &compiler, kernel});
    return key;
  }

  bool was_tuned_with(const Winner& winner, const std::string& key) {
    auto [at, is_new] = tuned_.try_emplace(winner.variant);
    if (is_new)
      for (const VariantRecord& variant : parts_.store.variants(winner.variant))
        for (const CodeObjectRecord& code : parts_.store.code_objects(variant.id))
          at->second.insert(code.key);
    // Of an imported winner none is known.
    return at->second.empty() || at->second.contains(key);
  }

  void compile(Compiler& compiler, const std::vector<std::string>& keys) {
    const std::size_t at_once = 2 * static_cast<std::size_t>(std::max(1, parts_.jobs));
    std::size_t submitted = 0, taken = 0;
    while (taken < keys.size()) {
      if (parts_.stop()) {
        compiler.drop_waiting();
        throw Error(ErrorKind::interrupted, "stopped; nothing was written");
      }
      while (submitted < keys.size() && submitted - taken < at_once) {
        CompileJob job = needed_.at(keys[submitted]).job;
        job.tag = submitted++;
        compiler.submit(std::move(job));
      }
      std::optional<CompileResult> result = compiler.next(deadline_in(kPollSeconds));
      if (!result) continue;
      ++taken;
      take(keys[static_cast<std::size_t>(result->tag)], compiler.toolchain(), *result);
    }
  }

  void take(const std::string& key, const FoundToolchain& toolchain, CompileResult& result) {
    const Needed& needed = needed_.at(key);
    if (result.verdict != Verdict::ok)
      throw Error(
          ErrorKind::toolchain,
          fmt::format("a {} kernel for {} does not compile with {} {} ({}):\n{}\n{}", needed.kernel,
                      needed.job.arch, toolchain.record.compiler, toolchain.record.release,
                      name(result.verdict), result.log, needed.job.source));
    contents_.code_objects.push_back(
        {key, needed.job.arch, needed.kernel, toolchain.record, std::move(result.code)});
    parts_.progress.advance(++done_, result.cached ? "cached" : "compiled");
  }

  const ExportParts& parts_;
  std::vector<std::string>& notes_;
  BundleContents contents_;
  std::map<std::string, Needed> needed_;  // by key
  std::map<std::string, std::set<std::string>> tuned_;
  std::size_t changed_ = 0, done_ = 0;
};

}  // namespace

std::vector<KnownWinner> exported_winners(Store& store, const Selection& selection,
                                          std::vector<std::string>& notes) {
  std::vector<KnownWinner> winners;
  std::set<std::string> missing(selection.archs.begin(), selection.archs.end());
  for (const Winner& winner : store.winners()) {
    if (!selection.archs.empty() &&
        std::ranges::find(selection.archs, winner.arch) == selection.archs.end())
      continue;
    if (!selection.release.empty() && !release_matches(winner.rocm, selection.release)) continue;
    KnownWinner known{winner, store.origin(winner)};
    try {
      check_winner(known, fmt::format("winner {} for {}", winner.variant, winner.arch));
      if (!is_dispatch_arch(winner.arch))
        throw Error(ErrorKind::usage, fmt::format("there are no kernels for {}", winner.arch));
    } catch (const Error& error) {
      notes.push_back(fmt::format("passed over: {}", error.what()));
      continue;
    }
    missing.erase(winner.arch);
    winners.push_back(std::move(known));
  }
  const std::string of_release =
      selection.release.empty() ? "" : fmt::format(" compiled by release {}", selection.release);
  if (!missing.empty() || winners.empty())
    throw Error(ErrorKind::usage,
                fmt::format("no winners{}{} in this database that can be exported: `mla-tune tune` "
                            "finds them{}{}",
                            missing.empty() ? "" : fmt::format(" of {}", fmt::join(missing, ", ")),
                            of_release, notes.empty() ? "" : "\n", fmt::join(notes, "\n")));
  return winners;
}

BundleContents collect_bundle(const std::vector<KnownWinner>& winners, const ExportParts& parts,
                              std::vector<std::string>& notes) {
  Collecting collecting(parts, notes);
  std::map<std::string, std::string> newest;  // release, by arch
  for (const KnownWinner& known : winners) {
    collecting.add(known);
    std::string& release = newest[known.winner.arch];
    if (release.empty() || older(release, known.winner.rocm)) release = known.winner.rocm;
  }
  for (const auto& [arch, release] : newest) collecting.add_fallbacks(arch, release);
  BundleContents contents = collecting.finish();
  // Whatever order they were compiled in: equal contents are equal bytes.
  std::ranges::sort(contents.code_objects, {}, &BundleContents::Code::key);
  return contents;
}

}  // namespace mla
