#include "kernels/device_host.hpp"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <utility>

#include "kernels/host_plan.hpp"
#include "kernels/process.hpp"

namespace mla {
namespace {

class HostRunner final : public Runner {
 public:
  HostRunner(std::string worker, int threads)
      : worker_(std::move(worker)), threads_(threads), identity_(host_identity(threads)) {}

  const Device& identity() const override { return identity_; }

  RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                const ProblemData& data, int samples, double deadline_seconds) override;

 private:
  std::string worker_;
  int threads_;
  Device identity_;
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

RunResult HostRunner::run(const std::string& decode, const std::string& reduce,
                          const Launch& launch, const ProblemData& data, int samples,
                          double deadline_seconds) {
  const int splits = total_splits(launch.splits, !data.extra.indptr.empty());
  if (splits < 1) return {Verdict::launch_failed, "no split takes any scope", {}, {}};
  if (splits > 1 && reduce.empty()) {
    return {Verdict::launch_failed, fmt::format("{} splits, but no reduce kernel", splits), {}, {}};
  }
  const Deadline deadline = deadline_in(deadline_seconds);

  HostPlan plan = make_host_plan(decode, reduce, launch, data, splits);
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
