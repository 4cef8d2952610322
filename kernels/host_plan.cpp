#include "kernels/host_plan.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "db/error.hpp"
#include "kernels/launch_arguments.hpp"

namespace mla {
namespace {

// Gaps between rows, in elements: a kernel that takes strides for granted does not survive them.
// Each keeps the alignment that the arguments promise and no more.
constexpr long long kQueryGap = 8;
constexpr long long kOutGap = 4;
constexpr long long kLseGap = 3;
constexpr std::size_t kCacheAlignment = 64;
constexpr std::size_t kWorkspaceAlignment = 256;

[[noreturn]] void fail_to_share(std::size_t bytes) {
  throw Error(ErrorKind::system, fmt::format("cannot share {} bytes of memory with a worker: {}",
                                             bytes, std::strerror(errno)));
}

void put(HostPlan& plan, Buffer buffer, const void* from, std::size_t bytes,
         std::size_t alignment) {
  if (bytes == 0) alignment = 1;
  plan.job.buffers[static_cast<std::size_t>(buffer)] = place(plan.end, bytes, alignment);
  plan.sources[static_cast<std::size_t>(buffer)] = from;
}

template <class T>
void put(HostPlan& plan, Buffer buffer, const std::vector<T>& from,
         std::size_t alignment = alignof(T)) {
  put(plan, buffer, from.data(), from.size() * sizeof(T), alignment);
}

bool is_ragged(const std::vector<int>& indptr) {
  for (std::size_t i = 1; i + 1 < indptr.size(); ++i) {
    if (indptr[i + 1] - indptr[i] != indptr[1] - indptr[0]) return true;
  }
  return false;
}

void put_scope(HostPlan& plan, const ScopeData& scope, CacheScope& args, Buffer cache,
               Buffer indices, Buffer indptr) {
  if (scope.indptr.empty()) return;
  put(plan, cache, scope.cache, kCacheAlignment);
  put(plan, indices, scope.indices);
  put(plan, indptr, scope.indptr);
  args.page_stride = scope.page_stride;
  args.page_size = scope.page_size;
  args.rows = scope.rows;
  args.format = scope.format;
  args.ragged = is_ragged(scope.indptr) ? 1 : 0;
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

void set_arguments(HostJob& job, const ProblemData& data, const Launch& launch) {
  DecodeArgs& decode = job.decode_args;
  decode.q_head_stride = kHeadDim + kQueryGap;
  decode.q_token_stride = data.heads * decode.q_head_stride;
  decode.out_head_stride = kHeadDim + kOutGap;
  decode.out_token_stride = data.heads * decode.out_head_stride + kOutGap;
  decode.lse_token_stride = data.heads + kLseGap;
  decode.scale = data.scale;
  decode.tokens = data.tokens;
  decode.heads = data.heads;
  set_splits(decode, launch.splits);
}

}  // namespace

SharedFile::SharedFile(std::int64_t bytes)
    : file_(::memfd_create("mla-host-data", MFD_CLOEXEC)), bytes_(static_cast<std::size_t>(bytes)) {
  if (file_.get() < 0 || ::ftruncate(file_.get(), bytes) != 0) fail_to_share(bytes_);
  void* memory = ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_SHARED, file_.get(), 0);
  if (memory == MAP_FAILED) fail_to_share(bytes_);
  memory_ = static_cast<unsigned char*>(memory);
}

SharedFile::~SharedFile() { ::munmap(memory_, bytes_); }

void SharedFile::write(const Region& region, const void* from) const noexcept {
  std::memset(memory_ + region.offset, 0xFF, region.front());
  if (region.bytes > 0) std::memcpy(data(region), from, region.bytes);
  std::memset(data(region) + region.bytes, 0xFF, region.padded() - region.bytes);
}

void SharedFile::poison(const Region& region) const noexcept {
  std::memset(memory_ + region.offset, 0xFF, region.span());
}

HostPlan make_host_plan(const std::string& decode, const std::string& reduce, const Launch& launch,
                        const ProblemData& data, int splits) {
  HostPlan plan;
  HostJob& job = plan.job;
  set_arguments(job, data, launch);
  job.partials = splits;
  put_scope(plan, data.main, job.decode_args.main, Buffer::main_cache, Buffer::main_indices,
            Buffer::main_indptr);
  put_scope(plan, data.extra, job.decode_args.extra, Buffer::extra_cache, Buffer::extra_indices,
            Buffer::extra_indptr);
  if (!data.sink.empty()) put(plan, Buffer::sink, data.sink);

  const auto tokens = static_cast<std::size_t>(data.tokens);
  const auto rows = tokens * static_cast<std::size_t>(data.heads);
  if (data.q.size() != rows * kHeadDim) {
    throw Error(ErrorKind::usage, "the queries do not fit the numbers of tokens and heads");
  }
  plan.q = with_gaps(data.q, rows, static_cast<std::size_t>(job.decode_args.q_head_stride));
  put(plan, Buffer::q, plan.q, 16);
  put(plan, Buffer::out, nullptr,
      tokens * static_cast<std::size_t>(job.decode_args.out_token_stride) * sizeof(std::uint16_t),
      8);
  put(plan, Buffer::lse, nullptr,
      tokens * static_cast<std::size_t>(job.decode_args.lse_token_stride) * sizeof(float),
      alignof(float));
  if (const auto floats = workspace_floats(data.tokens, data.heads, splits); floats > 0) {
    put(plan, Buffer::workspace, nullptr, static_cast<std::size_t>(floats) * sizeof(float),
        kWorkspaceAlignment);
    if (launch.config.merge == Merge::last) {
      plan.arrivals.resize(
          static_cast<std::size_t>(arrival_counters(launch.config, data.tokens, data.heads)));
      put(plan, Buffer::arrivals, plan.arrivals);
    }
  }

  job.decode_grid = decode_grid(launch.config, launch.splits, data.tokens, data.heads,
                                !data.extra.indptr.empty());
  job.reduce_grid = reduce_grid(launch.reduce, data.tokens, data.heads);
  job.decode_waves = threads(launch.config, 1);
  job.reduce_waves = threads(launch.reduce, 1);
  copy_path(decode, job.decode);
  if (reduces(launch, !data.extra.indptr.empty())) copy_path(reduce, job.reduce);
  return plan;
}

void fill(const SharedFile& file, const HostPlan& plan) {
  for (std::size_t i = 0; i < kBufferCount; ++i) {
    const Region& region = plan.job.buffers[i];
    if (!region.present()) continue;
    if (plan.sources[i] != nullptr) {
      file.write(region, plan.sources[i]);
    } else {
      file.poison(region);
    }
  }
}

bool slack_untouched(const SharedFile& file, const HostPlan& plan) {
  for (const Buffer written : {Buffer::out, Buffer::lse, Buffer::workspace, Buffer::arrivals}) {
    const Region& region = plan.region(written);
    if (!region.present()) continue;
    const GuardedMemory memory{file.begin() + region.offset, region};
    if (!memory.slack_untouched()) return false;
  }
  return true;
}

bool arrivals_cleared(const SharedFile& file, const HostPlan& plan) {
  const Region& region = plan.region(Buffer::arrivals);
  return plan.arrivals.empty() ||
         std::memcmp(file.data(region), plan.arrivals.data(), region.bytes) == 0;
}

bool read_output(const SharedFile& file, const HostPlan& plan, Output& output) {
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

}  // namespace mla
