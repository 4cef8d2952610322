#include "kernels/device_gpu.hpp"

#include <fmt/format.h>

#include <chrono>
#include <cstring>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <thread>
#include <utility>

#include "db/error.hpp"
#include "kernels/gpu_job.hpp"
#include "kernels/host_plan.hpp"
#include "kernels/process.hpp"

namespace mla {
namespace {

// Starting a driver and its context.
constexpr double kOpenSeconds = 60;
constexpr int kOpenAttempts = 3;

using Request = GpuMessage<GpuRequest>;
using Reply = GpuMessage<GpuReply>;

Request request_for(GpuTask task) {
  Request request;
  request.header.task = task;
  return request;
}

RunResult result_of(const Reply& reply) {
  RunResult result;
  result.verdict = reply.header.verdict;
  if (!reply.parts.empty()) result.reason = reply.parts.front();
  result.max_error = reply.header.max_error;
  result.cosine_gap = reply.header.cosine_gap;
  return result;
}

// The worker said nothing more: why? Ends it.
Reply explain_silence(ChildProcess& worker, IoStatus status, double seconds) {
  Reply reply;
  reply.header = {Verdict::timed_out, true, -1, -1};
  if (status == IoStatus::timed_out) {
    worker.kill();
    reply.parts = {fmt::format("no answer within {} s", seconds)};
    return reply;
  }
  const auto ended = worker.wait(deadline_in(5));
  const ExitStatus exit = ended ? *ended : worker.kill();
  std::string output = worker.output(4096);
  while (!output.empty() && output.back() == '\n') output.pop_back();
  reply.header.verdict = Verdict::crashed;
  reply.parts = {describe(exit) + (output.empty() ? "" : ": " + output)};
  return reply;
}

Reply exchange(ChildProcess& worker, const Request& request, double seconds) {
  const Deadline deadline = deadline_in(seconds);
  std::string message;
  IoStatus status = worker.send(encode(request), deadline);
  if (status == IoStatus::ok) status = worker.receive(message, deadline);
  if (status != IoStatus::ok) return explain_silence(worker, status, seconds);
  return decode_reply(message);
}

class GpuRunner final : public Runner {
 public:
  GpuRunner(GpuAddress gpu, CheckCode checks, std::int64_t llc_bytes)
      : gpu_(std::move(gpu)), checks_(std::move(checks)), llc_bytes_(llc_bytes) {}

  const Device& identity() const override { return gpu_.device; }
  RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                const ProblemData& data, double deadline_seconds) override;
  RunResult begin_timing(const ProblemRecord& problem, std::uint64_t seed,
                         double deadline_seconds) override;
  RunResult add_candidate(int candidate, const std::string& decode, const std::string& reduce,
                          const Launch& launch, const Tolerance& tolerance,
                          double deadline_seconds) override;
  RunResult sample(int candidate, int count, double deadline_seconds) override;
  std::string conditions() override;

 private:
  // What a new worker must be told again; `there` is whether this one has been told.
  struct Told {
    Request request;
    double seconds = 0;
    bool there = false;
  };

  void ensure_open();
  Reply ask(const Request& request, double seconds);
  void forget_worker();
  RunResult restore(Told& told);
  RunResult tell(Told& told);

  GpuAddress gpu_;
  CheckCode checks_;
  std::int64_t llc_bytes_;
  std::optional<ChildProcess> worker_;
  std::optional<Told> timing_;
  std::map<int, Told> candidates_;
};

void GpuRunner::forget_worker() {
  worker_.reset();
  if (timing_) timing_->there = false;
  for (auto& [number, told] : candidates_) told.there = false;
}

void GpuRunner::ensure_open() {
  std::string why;
  for (int attempt = 0; !worker_ && attempt < kOpenAttempts; ++attempt) {
    // A device that a killed process held may need a moment.
    if (attempt > 0) std::this_thread::sleep_for(std::chrono::seconds(2));
    worker_.emplace(gpu_.command);
    Request open = request_for(GpuTask::open);
    open.header.ordinal = gpu_.ordinal;
    open.header.llc_bytes = llc_bytes_;
    open.parts = {checks_.naive, checks_.compare};
    const Reply reply = exchange(*worker_, open, kOpenSeconds);
    if (reply.header.verdict == Verdict::ok) return;
    why = reply.parts.empty() ? std::string() : reply.parts.front();
    worker_.reset();
  }
  if (worker_) return;
  throw Error(ErrorKind::device,
              fmt::format("{} ({}) cannot be used: {}; look at the driver's log (dmesg), and run "
                          "the same command again once the device answers",
                          gpu_.device.name, gpu_.device.pci_id, why));
}

Reply GpuRunner::ask(const Request& request, double seconds) {
  ensure_open();
  Reply reply = exchange(*worker_, request, seconds);
  if (reply.header.lost) forget_worker();
  return reply;
}

RunResult GpuRunner::tell(Told& told) {
  const Reply reply = ask(told.request, told.seconds);
  told.there = reply.header.verdict == Verdict::ok;
  return result_of(reply);
}

RunResult GpuRunner::restore(Told& told) { return told.there ? RunResult{} : tell(told); }

RunResult GpuRunner::run(const std::string& decode, const std::string& reduce, const Launch& launch,
                         const ProblemData& data, double deadline_seconds) {
  RunResult result;
  const bool has_extra = !data.extra.indptr.empty(), reduces = mla::reduces(launch, has_extra);
  const int splits = partials(launch, has_extra);
  if (splits < 1 || (reduces && reduce.empty())) {
    result.verdict = Verdict::launch_failed;
    result.reason = splits < 1 ? "no split takes any scope"
                               : fmt::format("{} splits, but no reduce kernel", splits);
    return result;
  }
  const HostPlan plan = make_host_plan({}, {}, launch, data, splits);
  const SharedFile file(plan.end);
  fill(file, plan);
  Request request = request_for(GpuTask::run);
  request.header.launch = launch;
  request.parts = {
      decode, reduces ? reduce : std::string(),
      std::string(reinterpret_cast<const char*>(&plan.job), sizeof plan.job),
      std::string(reinterpret_cast<const char*>(file.begin()), static_cast<std::size_t>(plan.end))};
  const Reply reply = ask(request, deadline_seconds);
  result = result_of(reply);
  if (result.verdict != Verdict::ok) return result;

  const Region& out = plan.region(Buffer::out);
  const std::string& written = reply.parts.at(1);
  std::memcpy(file.begin() + out.offset, written.data(), written.size());
  if (!slack_untouched(file, plan)) {
    result.verdict = Verdict::wrong_result;
    result.reason = "wrote outside out, lse, the workspace or arrivals";
  } else if (!arrivals_cleared(file, plan)) {
    result.verdict = Verdict::wrong_result;
    result.reason = "left arrivals that are not 0";
  } else if (!read_output(file, plan, result.output)) {
    result.verdict = Verdict::wrong_result;
    result.reason = "wrote between the rows of out or lse";
  }
  return result;
}

RunResult GpuRunner::begin_timing(const ProblemRecord& problem, std::uint64_t seed,
                                  double deadline_seconds) {
  validate(problem);
  candidates_.clear();
  timing_ = Told{};
  timing_->request = request_for(GpuTask::begin_timing);
  timing_->request.header.problem = gpu_problem(problem);
  timing_->request.header.seed = seed;
  timing_->seconds = deadline_seconds;
  return tell(*timing_);
}

RunResult GpuRunner::add_candidate(int candidate, const std::string& decode,
                                   const std::string& reduce, const Launch& launch,
                                   const Tolerance& tolerance, double deadline_seconds) {
  if (!timing_) throw Error(ErrorKind::internal, "add_candidate() before begin_timing()");
  if (RunResult ready = restore(*timing_); ready.verdict != Verdict::ok) return ready;
  Told told;
  told.request = request_for(GpuTask::add_candidate);
  told.request.header.candidate = candidate;
  told.request.header.launch = launch;
  told.request.header.tolerance = tolerance;
  told.request.parts = {decode, reduce};
  told.seconds = deadline_seconds;
  RunResult result = tell(told);
  if (result.verdict == Verdict::ok) candidates_.insert_or_assign(candidate, std::move(told));
  return result;
}

RunResult GpuRunner::sample(int candidate, int count, double deadline_seconds) {
  const auto found = candidates_.find(candidate);
  if (found == candidates_.end()) {
    throw Error(ErrorKind::internal, fmt::format("candidate {} was never added", candidate));
  }
  RunResult result = restore(*timing_);
  if (result.verdict == Verdict::ok) result = restore(found->second);
  if (result.verdict == Verdict::ok) {
    Request request = request_for(GpuTask::sample);
    request.header.candidate = candidate;
    request.header.count = count;
    const Reply reply = ask(request, deadline_seconds);
    result = result_of(reply);
    if (result.verdict == Verdict::ok) {
      const std::string& bytes = reply.parts.at(1);
      result.samples_us.resize(bytes.size() / sizeof(float));
      std::memcpy(result.samples_us.data(), bytes.data(), bytes.size());
    }
  }
  if (result.verdict != Verdict::ok) candidates_.erase(candidate);
  return result;
}

std::string GpuRunner::conditions() {
  const Reply reply = ask(request_for(GpuTask::conditions), kOpenSeconds);
  return reply.parts.size() == 2 ? reply.parts[1] : "{}";
}

}  // namespace

std::vector<GpuAddress> list_gpus(const std::vector<std::string>& command, std::string& why) {
  ChildProcess worker(command);
  const Reply reply = exchange(worker, request_for(GpuTask::describe), kOpenSeconds);
  std::vector<GpuAddress> all;
  if (reply.header.verdict != Verdict::ok) {
    why = reply.parts.empty() ? "it gives no reason" : reply.parts.front();
    return all;
  }
  for (const auto& gpu : nlohmann::json::parse(reply.parts.at(1))) {
    GpuAddress address{command, gpu.at("ordinal").get<int>(), {}};
    Device& d = address.device;
    d.arch = gpu.at("arch").get<std::string>();
    d.name = gpu.at("name").get<std::string>();
    d.compute_units = gpu.at("compute_units").get<int>();
    d.memory_bytes = gpu.at("memory_bytes").get<std::int64_t>();
    d.clock_mhz = gpu.at("clock_mhz").get<int>();
    d.pci_id = gpu.at("pci_id").get<std::string>();
    d.partition = gpu.at("partition").get<std::string>();
    d.driver = gpu.at("driver").get<std::string>();
    d.runtime = gpu.at("runtime").get<std::string>();
    all.push_back(std::move(address));
  }
  return all;
}

std::unique_ptr<Runner> make_gpu_runner(GpuAddress gpu, CheckCode checks, std::int64_t llc_bytes) {
  return std::make_unique<GpuRunner>(std::move(gpu), std::move(checks), llc_bytes);
}

}  // namespace mla
