#include "kernels/device_host.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "db/error.hpp"
#include "kernels/host_job.hpp"
#include "kernels/process.hpp"

namespace mla {
namespace {

// Gaps between rows, in elements: a kernel that takes strides for granted does not survive them.
// Each keeps the alignment that the arguments promise and no more.
constexpr long long kQueryGap = 8;
constexpr long long kOutGap = 4;
constexpr long long kLseGap = 3;
constexpr std::size_t kCacheAlignment = 64;
constexpr std::size_t kWorkspaceAlignment = 256;

// A file in memory that the worker maps too, 0xFF wherever nothing is written.
class SharedFile {
 public:
  explicit SharedFile(std::int64_t bytes)
      : file_(::memfd_create("mla-host-data", MFD_CLOEXEC)),
        bytes_(static_cast<std::size_t>(bytes)) {
    if (file_.get() < 0 || ::ftruncate(file_.get(), bytes) != 0) fail();
    void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
    if (memory == MAP_FAILED) fail();
    memory_ = static_cast<unsigned char*>(memory);
  }
  ~SharedFile() { ::munmap(memory_, bytes_); }
  SharedFile(const SharedFile&) = delete;
  SharedFile& operator=(const SharedFile&) = delete;

  int fd() const noexcept { return file_.get(); }
  unsigned char* data(const Region& region) const noexcept {
    return memory_ + region.offset + region.front();
  }
  void write(const Region& region, const void* from) const noexcept {
    unsigned char* pages = memory_ + region.offset;
    std::memset(pages, 0xFF, region.front());
    std::memcpy(data(region), from, region.bytes);
    std::memset(data(region) + region.bytes, 0xFF, region.padded() - region.bytes);
  }
  void poison(const Region& region) const noexcept {
    std::memset(memory_ + region.offset, 0xFF, region.span());
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(ErrorKind::system, fmt::format("cannot share {} bytes of memory with a worker: {}",
                                               bytes_, std::strerror(errno)));
  }
  FileDescriptor file_;
  std::size_t bytes_;
  unsigned char* memory_ = nullptr;
};

// Lays `values` out behind what lies there already, and remembers where they come from.
struct Plan {
  HostJob job{};
  std::array<const void*, kBufferCount> sources{};
  std::int64_t end = 0;

  void put(Buffer buffer, const void* from, std::size_t bytes, std::size_t alignment) {
    if (bytes == 0) alignment = 1;
    job.buffers[static_cast<std::size_t>(buffer)] = place(end, bytes, alignment);
    sources[static_cast<std::size_t>(buffer)] = from;
  }
  template <class T>
  void put(Buffer buffer, const std::vector<T>& from, std::size_t alignment = alignof(T)) {
    put(buffer, from.data(), from.size() * sizeof(T), alignment);
  }
  const Region& region(Buffer buffer) const {
    return job.buffers[static_cast<std::size_t>(buffer)];
  }
};

void put_scope(Plan& plan, const ScopeData& scope, CacheScope& args, Buffer cache, Buffer indices,
               Buffer indptr) {
  if (scope.indptr.empty()) return;
  plan.put(cache, scope.cache, kCacheAlignment);
  plan.put(indices, scope.indices);
  plan.put(indptr, scope.indptr);
  args.page_stride = scope.page_stride;
  args.page_size = scope.page_size;
  args.rows = scope.rows;
  args.format = scope.format;
}

std::vector<std::uint16_t> with_gaps(const std::vector<std::uint16_t>& q, std::size_t rows,
                                     std::size_t stride) {
  std::vector<std::uint16_t> spread(rows * stride, 0xFFFF);
  for (std::size_t row = 0; row < rows; ++row) {
    std::copy_n(q.begin() + static_cast<std::ptrdiff_t>(row * kHeadDim), kHeadDim,
                spread.begin() + static_cast<std::ptrdiff_t>(row * stride));
  }
  return spread;
}

void copy_path(const std::string& path, std::array<char, PATH_MAX>& to) {
  if (path.size() >= to.size()) throw Error(ErrorKind::usage, "the path is too long: " + path);
  std::copy(path.begin(), path.end(), to.begin());
}

void set_arguments(HostJob& job, const ProblemData& data, int splits, const Launch& launch) {
  DecodeArgs& decode = job.decode_args;
  decode.q_head_stride = kHeadDim + kQueryGap;
  decode.q_token_stride = data.heads * decode.q_head_stride;
  decode.out_head_stride = kHeadDim + kOutGap;
  decode.out_token_stride = data.heads * decode.out_head_stride + kOutGap;
  decode.lse_token_stride = data.heads + kLseGap;
  decode.scale = data.scale;
  decode.tokens = data.tokens;
  decode.heads = data.heads;
  decode.split_main = launch.splits.split_main;
  decode.split_extra = launch.splits.split_extra;
  decode.split_map = launch.splits.split_map;
  ReduceArgs& reduce = job.reduce_args;
  reduce.out_token_stride = decode.out_token_stride;
  reduce.out_head_stride = decode.out_head_stride;
  reduce.lse_token_stride = decode.lse_token_stride;
  reduce.tokens = data.tokens;
  reduce.heads = data.heads;
  reduce.splits = splits;
}

// Takes out and lse out of their rows; false where a gap was written to.
bool read_output(const SharedFile& file, const Plan& plan, Output& output) {
  const DecodeArgs& args = plan.job.decode_args;
  const auto tokens = static_cast<std::size_t>(args.tokens);
  const auto heads = static_cast<std::size_t>(args.heads);
  std::vector<std::uint16_t> out(plan.region(Buffer::out).bytes / sizeof(std::uint16_t));
  std::vector<float> lse(plan.region(Buffer::lse).bytes / sizeof(float));
  std::memcpy(out.data(), file.data(plan.region(Buffer::out)), plan.region(Buffer::out).bytes);
  std::memcpy(lse.data(), file.data(plan.region(Buffer::lse)), plan.region(Buffer::lse).bytes);

  output.out.resize(tokens * heads * kHeadDim);
  output.lse.resize(tokens * heads);
  const auto move_rows = [](auto& from, std::size_t at, auto& to, std::size_t to_at,
                            std::size_t n) {
    std::copy_n(from.begin() + static_cast<std::ptrdiff_t>(at), n,
                to.begin() + static_cast<std::ptrdiff_t>(to_at));
    std::memset(from.data() + at, 0xFF, n * sizeof from[0]);
  };
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t h = 0; h < heads; ++h) {
      move_rows(out,
                t * static_cast<std::size_t>(args.out_token_stride) +
                    h * static_cast<std::size_t>(args.out_head_stride),
                output.out, (t * heads + h) * kHeadDim, kHeadDim);
    }
    move_rows(lse, t * static_cast<std::size_t>(args.lse_token_stride), output.lse, t * heads,
              heads);
  }
  const auto* lse_bytes = reinterpret_cast<const unsigned char*>(lse.data());
  return std::all_of(out.begin(), out.end(), [](std::uint16_t v) { return v == 0xFFFF; }) &&
         std::all_of(lse_bytes, lse_bytes + lse.size() * sizeof(float),
                     [](unsigned char v) { return v == 0xFF; });
}

class HostRunner final : public Runner {
 public:
  HostRunner(std::string worker, int threads)
      : worker_(std::move(worker)), threads_(threads), identity_(host_identity(threads)) {}

  const Device& identity() const override { return identity_; }

  RunResult run(const std::string& decode, const std::string& reduce, const Launch& launch,
                const ProblemData& data, int samples, double deadline_seconds) override;

 private:
  Plan make_plan(const std::string& decode, const std::string& reduce, const Launch& launch,
                 const ProblemData& data, int splits) const;

  std::string worker_;
  int threads_;
  Device identity_;
};

Plan HostRunner::make_plan(const std::string& decode, const std::string& reduce,
                           const Launch& launch, const ProblemData& data, int splits) const {
  Plan plan;
  HostJob& job = plan.job;
  set_arguments(job, data, splits, launch);
  put_scope(plan, data.main, job.decode_args.main, Buffer::main_cache, Buffer::main_indices,
            Buffer::main_indptr);
  put_scope(plan, data.extra, job.decode_args.extra, Buffer::extra_cache, Buffer::extra_indices,
            Buffer::extra_indptr);
  if (!data.sink.empty()) plan.put(Buffer::sink, data.sink);

  const auto tokens = static_cast<std::size_t>(data.tokens);
  const auto rows = tokens * static_cast<std::size_t>(data.heads);
  plan.put(Buffer::q, nullptr,
           rows * static_cast<std::size_t>(job.decode_args.q_head_stride) * sizeof(std::uint16_t),
           16);
  plan.put(
      Buffer::out, nullptr,
      tokens * static_cast<std::size_t>(job.decode_args.out_token_stride) * sizeof(std::uint16_t),
      8);
  plan.put(Buffer::lse, nullptr,
           tokens * static_cast<std::size_t>(job.decode_args.lse_token_stride) * sizeof(float),
           alignof(float));
  if (const auto floats = workspace_floats(data.tokens, data.heads, splits); floats > 0) {
    plan.put(Buffer::workspace, nullptr, static_cast<std::size_t>(floats) * sizeof(float),
             kWorkspaceAlignment);
  }

  job.decode_grid = decode_grid(launch.config, launch.splits, data.tokens, data.heads,
                                !data.extra.indptr.empty());
  job.reduce_grid = reduce_grid(launch.reduce, data.tokens, data.heads);
  job.decode_waves = threads(launch.config, 1);
  job.reduce_waves = threads(launch.reduce, 1);
  copy_path(decode, job.decode);
  if (splits > 1) copy_path(reduce, job.reduce);
  return plan;
}

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
  const auto rows = static_cast<std::size_t>(data.tokens) * static_cast<std::size_t>(data.heads);
  if (data.q.size() != rows * kHeadDim) {
    throw Error(ErrorKind::usage, "the queries do not fit the numbers of tokens and heads");
  }
  const Deadline deadline = deadline_in(deadline_seconds);

  Plan plan = make_plan(decode, reduce, launch, data, splits);
  plan.job.threads = threads_;
  plan.job.samples = samples;
  const SharedFile file(plan.end);
  for (std::size_t i = 0; i < kBufferCount; ++i) {
    const Region& region = plan.job.buffers[i];
    if (region.present() && plan.sources[i] != nullptr) file.write(region, plan.sources[i]);
    if (region.present() && plan.sources[i] == nullptr) file.poison(region);
  }
  const auto q =
      with_gaps(data.q, rows, static_cast<std::size_t>(plan.job.decode_args.q_head_stride));
  file.write(plan.region(Buffer::q), q.data());

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
