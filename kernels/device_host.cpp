#include "kernels/device_host.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "db/error.hpp"
#include "kernels/compare.hpp"
#include "kernels/host_plan.hpp"
#include "kernels/process.hpp"
#include "kernels/reference.hpp"

namespace mla {
namespace {

// Keys times heads that a problem's reference is computed for: a fraction of a second.
constexpr double kReferenceWork = 50e3;

class HostRunner final : public Runner {
 public:
  HostRunner(std::string worker, int threads)
      : worker_(std::move(worker)), threads_(threads), identity_(host_identity(threads)) {}

  const Device& identity() const override { return identity_; }
  RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                const ProblemData& data, double deadline_seconds) override {
    return work({decode, reduce, launch}, data, 0, deadline_seconds);
  }
  RunResult begin_timing(const ProblemRecord& problem, std::uint64_t seed, double) override;
  RunResult add_candidate(int candidate, const std::string& decode, const std::string& reduce,
                          const Launch& launch, const Tolerance& tolerance,
                          double deadline_seconds) override;
  RunResult sample(int candidate, int count, double deadline_seconds) override;
  std::string conditions() override;

 private:
  struct Candidate {
    std::string decode;
    std::string reduce;
    Launch launch;
  };
  // A checked launch, then `samples` timed ones.
  RunResult work(const Candidate& what, const ProblemData& data, int samples,
                 double deadline_seconds);

  std::string worker_;
  int threads_;
  Device identity_;
  std::optional<ProblemData> data_;  // of begin_timing()
  Reference reference_;              // of every `every_`-th token of it
  int every_ = 1;
  std::map<int, Candidate> candidates_;
};

// The worker said nothing more: why?
RunResult explain_silence(ChildProcess& worker, IoStatus status, double deadline_seconds) {
  RunResult result;
  if (status == IoStatus::timed_out) {
    worker.kill();
    result.verdict = Verdict::timed_out;
    result.reason = fmt::format("no answer within {} s", deadline_seconds);
    return result;
  }
  const auto ended = worker.wait(deadline_in(5));
  const ExitStatus exit = ended ? *ended : worker.kill();
  std::string output = worker.output(4096);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  result.verdict = Verdict::crashed;
  result.reason = describe(exit) + (output.empty() ? "" : ": " + output);
  return result;
}

RunResult HostRunner::work(const Candidate& what, const ProblemData& data, int samples,
                           double deadline_seconds) {
  const int splits = partials(what.launch, !data.extra.indptr.empty());
  if (splits < 1) return {Verdict::launch_failed, "no split takes any scope"};
  if (reduces(what.launch, !data.extra.indptr.empty()) && what.reduce.empty()) {
    return {Verdict::launch_failed, fmt::format("{} splits, but no reduce kernel", splits)};
  }
  const Deadline deadline = deadline_in(deadline_seconds);

  HostPlan plan = make_host_plan(what.decode, what.reduce, what.launch, data, splits);
  plan.job.threads = threads_;
  plan.job.samples = samples;
  const SharedFile file(plan.end);
  fill(file, plan);

  ChildProcess worker({worker_}, {}, {file.fd()});
  RunResult result;
  std::string message(reinterpret_cast<const char*>(&plan.job), sizeof plan.job);
  IoStatus status = worker.send(message, deadline);
  if (status == IoStatus::ok) status = worker.receive(message, deadline);
  if (status != IoStatus::ok) return explain_silence(worker, status, deadline_seconds);
  const HostAnswer checked = decode_answer(message);
  result.verdict = checked.verdict;
  result.reason = checked.reason;
  if (checked.verdict != Verdict::ok) return result;
  if (!read_output(file, plan, result.output)) {
    result.verdict = Verdict::wrong_result;
    result.reason = "wrote between the rows of out or lse";
    return result;
  }
  if (!arrivals_cleared(file, plan)) {
    result.verdict = Verdict::wrong_result;
    result.reason = "left arrivals that are not 0";
    return result;
  }
  if (samples == 0) return result;

  status = worker.send("time it", deadline);
  if (status == IoStatus::ok) status = worker.receive(message, deadline);
  if (status != IoStatus::ok) return explain_silence(worker, status, deadline_seconds);
  HostAnswer timed = decode_answer(message);
  result.verdict = timed.verdict;
  result.reason = timed.reason;
  result.samples_us = std::move(timed.samples_us);
  return result;
}

RunResult HostRunner::begin_timing(const ProblemRecord& problem, std::uint64_t seed, double) {
  candidates_.clear();
  InputOptions inputs;
  inputs.seed = seed;
  data_ = make_inputs(problem, inputs);
  const double work =
      double(problem.num_heads) * problem.num_tokens * (problem.main_len + problem.extra_len);
  every_ = std::max(1, static_cast<int>(work / kReferenceWork));
  reference_ = compute_reference(*data_, threads_, every_);
  return {};
}

RunResult HostRunner::add_candidate(int candidate, const std::string& decode,
                                    const std::string& reduce, const Launch& launch,
                                    const Tolerance& tolerance, double deadline_seconds) {
  if (!data_ || candidates_.contains(candidate))
    throw Error(ErrorKind::internal, fmt::format("candidate {} is not new", candidate));
  const Candidate added{decode, reduce, launch};
  RunResult result = work(added, *data_, 0, deadline_seconds);
  if (result.verdict != Verdict::ok) return result;

  Output& output = result.output;
  const auto heads = static_cast<std::size_t>(data_->heads);
  const auto keep = [&](auto& values, std::size_t row) {
    for (std::size_t t = 0; t < static_cast<std::size_t>(reference_.tokens); ++t)
      std::copy_n(
          values.begin() + static_cast<std::ptrdiff_t>(t * static_cast<std::size_t>(every_) * row),
          row, values.begin() + static_cast<std::ptrdiff_t>(t * row));
    values.resize(static_cast<std::size_t>(reference_.tokens) * row);
  };
  keep(output.out, heads * kHeadDim);
  keep(output.lse, heads);
  const Comparison seen = compare(output, reference_, tolerance);
  result.output = {};
  result.max_error = seen.max_error;
  result.cosine_gap = seen.cosine_gap;
  if (!seen.ok) {
    result.verdict = Verdict::wrong_result;
    result.reason = seen.reason;
    if (every_ > 1) result.reason += fmt::format(" (one token of {} was compared)", every_);
    return result;
  }
  candidates_[candidate] = added;
  return result;
}

RunResult HostRunner::sample(int candidate, int count, double deadline_seconds) {
  const auto at = candidates_.find(candidate);
  if (at == candidates_.end())
    throw Error(ErrorKind::internal, fmt::format("there is no candidate {}", candidate));
  RunResult result = work(at->second, *data_, count, deadline_seconds);
  result.output = {};
  if (result.verdict != Verdict::ok) candidates_.erase(at);
  return result;
}

std::string HostRunner::conditions() {
  double load[3] = {0, 0, 0};
  nlohmann::json json = {{"threads", threads_}};
  if (::getloadavg(load, 3) == 3) json["load"] = {load[0], load[1], load[2]};
  const auto read = [&](const char* file, const char* key) {
    std::string value;
    std::ifstream(std::string("/sys/devices/system/cpu/cpu0/cpufreq/") + file) >> value;
    if (!value.empty()) json[key] = value;
  };
  read("scaling_governor", "governor");
  read("scaling_cur_freq", "clock_khz");
  return json.dump();
}

}  // namespace

std::unique_ptr<Runner> make_host_runner(const std::string& worker, int threads) {
  return std::make_unique<HostRunner>(worker, std::max(threads, 1));
}

Device host_identity(int threads) {
  Device device;
  device.arch = "host";
  device.name = "unknown CPU";
  device.compute_units = threads;
  device.memory_bytes = std::int64_t{::sysconf(_SC_PHYS_PAGES)} * ::sysconf(_SC_PAGESIZE);
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    const auto colon = line.find(": ");
    if (line.starts_with("model name") && colon != std::string::npos) {
      device.name = line.substr(colon + 2);
      break;
    }
  }
  utsname system{};
  if (::uname(&system) == 0) device.driver = fmt::format("{} {}", system.sysname, system.release);
  return device;
}

}  // namespace mla
