#pragma once

#include <signal.h>

#include <deque>
#include <fstream>
#include <functional>
#include <map>
#include <set>
#include <stdexcept>
#include <string>

#include "kernels/fp8.hpp"
#include "kernels/reference.hpp"
#include "tests/null/tuner/elf_builder.hpp"
#include "tuner/hash.hpp"
#include "tuner/tune.hpp"

namespace mla {

// Compiles nothing: a source's code object follows from its text.
class FakeCompiler : public Compiler {
 public:
  explicit FakeCompiler(const std::string& compiler = "hiprtc",
                        const std::string& release = "7.2.4") {
    toolchain_.record = {.compiler = compiler, .release = release, .library = "x", .llvm = "22"};
    toolchain_.identity = compiler + release;
  }
  void submit(CompileJob job) override { waiting_.push_back(std::move(job)); }
  std::optional<CompileResult> next(Deadline) override {
    if (waiting_.empty()) return std::nullopt;
    const CompileJob job = waiting_.front();
    waiting_.pop_front();
    if (static_cast<int>(++compiled_[job.source]) > 1) ++repeated;
    order.push_back(job.source);
    if (++count == die_at) ::raise(SIGKILL);
    CompileResult result;
    result.tag = job.tag;
    result.key = compile_key(job, toolchain_);
    result.seconds = 1;
    result.verdict = verdict_of(job.source);
    if (result.verdict != Verdict::ok) {
      result.log = "error: it is a fake";
      return result;
    }
    AmdKernel kernel;
    kernel.vgpr_granules = 20;
    kernel.vgpr_spills = contains(spilling, job.source) ? 5 : 0;
    kernel.code = contains(alike, job.source) ? std::string(64, 'a') : content_key(job.source);
    result.code = kernel.build();
    result.mix = {{"v_mfma_f32_16x16x32_bf16", 96}, {"v_add_f32", 500}, {"ds_read_b128", 80}};
    return result;
  }
  std::size_t drop_waiting() override {
    const std::size_t dropped = waiting_.size();
    waiting_.clear();
    return dropped;
  }
  const FoundToolchain& toolchain() const override { return toolchain_; }

  // Lines of a source that decide its fate.
  std::string failing = "-", hanging = "-", crashing = "-", spilling = "-", alike = "-";
  int count = 0;
  int repeated = 0;
  std::vector<std::string> order;  // sources in the order in which they were compiled
  int die_at = -1;

 private:
  static bool contains(const std::string& line, const std::string& source) {
    return source.find(line) != std::string::npos && line != "-";
  }
  Verdict verdict_of(const std::string& source) const {
    if (contains(failing, source)) return Verdict::compile_failed;
    if (contains(hanging, source)) return Verdict::timed_out;
    if (contains(crashing, source)) return Verdict::crashed;
    return Verdict::ok;
  }
  FoundToolchain toolchain_;
  std::deque<CompileJob> waiting_;
  std::map<std::string, int> compiled_;
};

// Runs nothing: knows the right answer, and gives wrong ones where it is told to.
class FakeRunner : public Runner {
 public:
  explicit FakeRunner(const std::string& arch = "host", const std::string& pci_id = {}) {
    device_ = {.arch = arch, .name = "fake " + arch, .compute_units = 1, .pci_id = pci_id};
  }
  const Device& identity() const override { return device_; }

  RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                const ProblemData& data, double) override {
    ++count;
    RunResult result = launched(decode, reduce, launch, !data.extra.indptr.empty());
    if (result.verdict != Verdict::ok) return result;
    const Reference reference = compute_reference(data);
    for (const double value : reference.out)
      result.output.out.push_back(bf16_from_float(static_cast<float>(value)));
    for (const double value : reference.lse) result.output.lse.push_back(static_cast<float>(value));
    if (wrong_with_block_k == launch.config.block_k) result.output.out[5] ^= 0x4000;
    return result;
  }
  RunResult begin_timing(const ProblemRecord& problem, std::uint64_t, double) override {
    ++begun;
    if (on_begin) on_begin();
    problem_ = problem;
    added_.clear();
    return {};
  }
  RunResult add_candidate(int candidate, const std::string& decode, const std::string& reduce,
                          const Launch& launch, const Tolerance&, double) override {
    ++count;
    if (added_.contains(candidate)) throw std::logic_error("not a new candidate");
    RunResult result = launched(decode, reduce, launch, problem_.extra_len > 0);
    if (result.verdict != Verdict::ok) return result;
    result.max_error = result.cosine_gap = 1e-4;
    if (wrong_with_block_k == launch.config.block_k)
      return {.verdict = Verdict::wrong_result, .reason = "one wrong", .max_error = 1};
    added_[candidate] = launch;
    return result;
  }
  RunResult sample(int candidate, int samples, double) override {
    ++count;
    const Launch& launch = added_.at(candidate);
    const int splits = total_splits(launch.splits, problem_.extra_len > 0);
    RunResult result;
    for (int i = 0; i < samples; ++i)
      result.samples_us.push_back(static_cast<float>(launch.config.block_k * 10 + splits + i % 3));
    return result;
  }
  std::string conditions() override { return conditions_now; }

  int count = 0;
  int begun = 0;
  std::function<void()> on_begin;
  std::string conditions_now = "{}";
  int wrong_with_block_k = 0;
  int crash_with_block_k = 0;

 private:
  RunResult launched(const std::string& decode, const std::string& reduce, const Launch& launch,
                     bool has_extra) const {
    if (decode.empty() || (total_splits(launch.splits, has_extra) > 1 && reduce.empty()))
      return {Verdict::launch_failed, "a kernel is missing"};
    if (crash_with_block_k == launch.config.block_k) return {Verdict::crashed, "SIGSEGV"};
    return {};
  }
  Device device_;
  ProblemRecord problem_;
  std::map<int, Launch> added_;
};

class SilentProgress : public Progress {
 public:
  void begin(const std::string& phase, std::size_t) override { phases.push_back(phase); }
  void advance(std::size_t, const std::string&) override {}
  void say(const std::string&) override {}
  std::vector<std::string> phases;
};

}  // namespace mla
