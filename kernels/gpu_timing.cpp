#include "kernels/gpu_timing.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "kernels/dispatch.hpp"
#include "kernels/launch_arguments.hpp"
#include "templates/sparse_mla_check_config.hpp"

namespace mla {
namespace {

// A replay of the graph takes this long at least, so that neither the resolution of events (half a
// microsecond) nor its own launch is seen in the mean of its launches.
constexpr double kReplayMicroseconds = 1500;
constexpr int kMostLaunches = 4096;
constexpr int kTrialLaunches = 8;
constexpr double kWarmUpMicroseconds = 3000;
// Thousands of launches each; one that was dropped is captured again when it is wanted.
constexpr std::ptrdiff_t kMostGraphs = 64;
// As many input sets as this are compared with the reference: all where there are few.
constexpr std::size_t kComparedSets = 3;

}  // namespace

DecodeArgs GpuTiming::arguments(const GpuInputs::Set& set) const {
  DecodeArgs args = inputs_.arguments(set);
  args.out = out_.as<void>();
  args.lse = lse_.as<float>();
  return args;
}

GpuTiming::GpuTiming(const Gpu& gpu, const CheckKernels& checks, const GpuProblem& problem,
                     std::uint64_t seed, std::int64_t llc_bytes)
    : gpu_(gpu), checks_(checks), problem_(problem), inputs_(gpu, problem, seed, llc_bytes) {
  const auto rows =
      static_cast<std::size_t>(problem.tokens) * static_cast<std::size_t>(problem.heads);
  const std::size_t out_bytes = rows * kHeadDim * 2, lse_bytes = rows * sizeof(float);
  out_ = GpuMemory(gpu, out_bytes);
  lse_ = GpuMemory(gpu, lse_bytes);
  differences_ = GpuMemory(gpu, rows * sizeof(RowDifference));
  const std::size_t sets = inputs_.sets().size(), compared = std::min(sets, kComparedSets);
  for (std::size_t i = 0; i < compared; ++i) {
    Expected& one = expected_.emplace_back();
    one.set = compared == 1 ? 0 : i * (sets - 1) / (compared - 1);
    one.out = GpuMemory(gpu, out_bytes);
    one.lse = GpuMemory(gpu, lse_bytes);
    DecodeArgs args = arguments(inputs_.sets()[one.set]);
    args.out = one.out.as<void>();
    args.lse = one.lse.as<float>();
    checks.naive.launch(
        {static_cast<unsigned>(problem.tokens), static_cast<unsigned>(problem.heads), 1},
        threads(kCheckGeometry, gpu.lanes()), &args);
  }
  gpu.synchronise();
}

// Contents from earlier candidates stay: a kernel must not need a clean workspace.
float* GpuTiming::workspace(std::size_t bytes) {
  if (workspaces_.empty() || workspaces_.back().bytes() < bytes) {
    const std::size_t twice = workspaces_.empty() ? 0 : 2 * workspaces_.back().bytes();
    const bool roomy = gpu_.free_bytes() / 4 > twice;
    workspaces_.emplace_back(gpu_, std::max(bytes, roomy ? twice : 0));
    workspaces_.back().poison();
  }
  return workspaces_.back().as<float>();
}

// Zeros that the candidates share: each leaves them so.
unsigned* GpuTiming::arrivals(std::size_t count) {
  const std::size_t bytes = count * sizeof(unsigned);
  if (arrivals_.empty() || arrivals_.back().bytes() < bytes) arrivals_.emplace_back(gpu_, bytes);
  // Also where they were before: a candidate that is wrong may have left anything.
  const std::vector<unsigned> zeros(arrivals_.back().bytes() / sizeof(unsigned));
  arrivals_.back().write(0, zeros.data(), arrivals_.back().bytes());
  return arrivals_.back().as<unsigned>();
}

bool GpuTiming::arrivals_cleared() const {
  if (arrivals_.empty()) return true;
  std::vector<unsigned> seen(arrivals_.back().bytes() / sizeof(unsigned));
  arrivals_.back().read(0, seen.data(), arrivals_.back().bytes());
  return std::ranges::all_of(seen, [](unsigned count) { return count == 0; });
}

void GpuTiming::launch_once(const Candidate& candidate, const GpuInputs::Set& set) const {
  const bool has_extra = problem_.extra_len > 0;
  const Launch& launch = candidate.launch;
  DecodeArgs decode = arguments(set);
  decode.workspace = candidate.workspace;
  set_splits(decode, launch.splits);
  decode.arrivals = candidate.arrivals;
  candidate.decode.launch(
      decode_grid(launch.config, launch.splits, problem_.tokens, problem_.heads, has_extra),
      threads(launch.config, gpu_.lanes()), &decode);
  if (!candidate.reduces) return;
  const ReduceArgs reduce = reduce_arguments(decode, candidate.partials);
  candidate.reduce.launch(reduce_grid(launch.reduce, problem_.tokens, problem_.heads),
                          threads(launch.reduce, gpu_.lanes()), &reduce, true);
}

Comparison GpuTiming::compare_with(const Expected& expected, const Tolerance& tolerance) const {
  CompareArgs args{};
  args.out = out_.as<void>();
  args.lse = lse_.as<float>();
  args.expected_out = expected.out.as<void>();
  args.expected_lse = expected.lse.as<float>();
  args.rows = differences_.as<RowDifference>();
  args.absolute = static_cast<float>(tolerance.absolute);
  args.relative = static_cast<float>(tolerance.relative);
  args.lse_absolute = static_cast<float>(tolerance.lse_absolute);
  args.lse_relative = static_cast<float>(tolerance.lse_relative);
  args.tokens = problem_.tokens;
  args.heads = problem_.heads;
  checks_.compare.launch(
      {static_cast<unsigned>(problem_.tokens), static_cast<unsigned>(problem_.heads), 1},
      threads(kCheckGeometry, gpu_.lanes()), &args);
  std::vector<RowDifference> rows(differences_.bytes() / sizeof(RowDifference));
  differences_.read(0, rows.data(), differences_.bytes());
  return compare_rows(rows, problem_.heads, tolerance);
}

void GpuTiming::add(int number, const std::string& decode, const std::string& reduce,
                    const Launch& launch, const Tolerance& tolerance, GpuReply& reply,
                    std::string& reason) {
  candidates_.erase(number);
  Candidate candidate;
  candidate.launch = launch;
  candidate.partials = partials(launch, problem_.extra_len > 0);
  if (candidate.partials < 1) {
    throw GpuError(Verdict::launch_failed, false, "no split takes any scope");
  }
  candidate.decode = GpuKernel(gpu_, decode, dynamic_lds_bytes(gpu_.device().arch, launch.config));
  candidate.reduces = reduces(launch, problem_.extra_len > 0);
  if (candidate.reduces) {
    if (reduce.empty()) {
      throw GpuError(Verdict::launch_failed, false,
                     fmt::format("{} splits, but no reduce kernel", candidate.partials));
    }
    candidate.reduce = GpuKernel(gpu_, reduce, 0);
  } else if (candidate.partials > 1) {
    candidate.arrivals = arrivals(
        static_cast<std::size_t>(arrival_counters(launch.config, problem_.tokens, problem_.heads)));
  }
  if (candidate.partials > 1)
    candidate.workspace =
        workspace(sizeof(float) * static_cast<std::size_t>(workspace_floats(
                                      problem_.tokens, problem_.heads, candidate.partials)));

  reply.max_error = reply.cosine_gap = 0;
  for (const Expected& expected : expected_) {
    out_.poison();
    lse_.poison();
    launch_once(candidate, inputs_.sets()[expected.set]);
    gpu_.synchronise();
    const Comparison seen = compare_with(expected, tolerance);
    reply.max_error = std::max(reply.max_error, seen.max_error);
    reply.cosine_gap = std::max(reply.cosine_gap, seen.cosine_gap);
    if (!seen.ok) {
      reply.verdict = Verdict::wrong_result;
      reason = seen.reason;
      return;
    }
  }
  if (candidate.arrivals != nullptr && !arrivals_cleared()) {
    reply.verdict = Verdict::wrong_result;
    reason = "left arrivals that are not 0";
    return;
  }
  estimate(candidate);
  drop_oldest_graph();
  capture(candidate);
  candidate.used = ++samplings_;
  candidates_.emplace(number, std::move(candidate));
}

void GpuTiming::estimate(Candidate& candidate) const {
  const auto& sets = inputs_.sets();
  const GpuEvent begin(gpu_), end(gpu_);
  begin.record();
  for (int i = 0; i < kTrialLaunches; ++i) {
    launch_once(candidate, sets[static_cast<std::size_t>(i) % sets.size()]);
  }
  end.record();
  gpu_.synchronise();
  candidate.launch_us = std::max(end.since(begin) / kTrialLaunches, 0.1);
}

// Whole rounds over the sets, so that every replay does the same.
void GpuTiming::capture(Candidate& candidate) const {
  const auto& sets = inputs_.sets();
  const double round_us = candidate.launch_us * static_cast<double>(sets.size());
  const int rounds = std::max(1, static_cast<int>(std::ceil(kReplayMicroseconds / round_us)));
  const int launches = std::min(kMostLaunches, rounds * static_cast<int>(sets.size()));
  candidate.graph = GpuGraph(gpu_, [&] {
    for (int i = 0; i < launches; ++i) {
      launch_once(candidate, sets[static_cast<std::size_t>(i) % sets.size()]);
    }
  });
  candidate.launches = launches;
  const double replay = candidate.launch_us * launches;
  for (double spent = 0; spent < kWarmUpMicroseconds; spent += replay) candidate.graph.launch();
  gpu_.synchronise();
}

void GpuTiming::drop_oldest_graph() {
  const auto with_graph = [](const auto& entry) { return entry.second.launches > 0; };
  if (std::ranges::count_if(candidates_, with_graph) < kMostGraphs) return;
  Candidate* oldest = nullptr;
  for (auto& [number, candidate] : candidates_) {
    if (candidate.launches == 0) continue;
    if (oldest == nullptr || candidate.used < oldest->used) oldest = &candidate;
  }
  oldest->graph = GpuGraph();
  oldest->launches = 0;
}

// The replays follow each other without a gap: the first keeps the device busy while the second,
// whose time counts, is handed over.
std::vector<float> GpuTiming::sample(int number, int count) {
  const auto found = candidates_.find(number);
  if (found == candidates_.end()) {
    throw Error(ErrorKind::internal, fmt::format("candidate {} was never added", number));
  }
  Candidate& candidate = found->second;
  if (candidate.launches == 0) {
    drop_oldest_graph();
    capture(candidate);
  }
  candidate.used = ++samplings_;
  std::vector<GpuEvent> events;
  for (int i = 0; i <= count; ++i) events.emplace_back(gpu_);
  for (const GpuEvent& event : events) {
    candidate.graph.launch();
    event.record();
  }
  gpu_.synchronise();
  std::vector<float> samples;
  for (std::size_t i = 1; i < events.size(); ++i) {
    samples.push_back(
        static_cast<float>(events[i].since(events[i - 1]) / double(candidate.launches)));
  }
  return samples;
}

}  // namespace mla
