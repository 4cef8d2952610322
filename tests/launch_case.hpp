#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <deque>
#include <vector>

#include "kernels/compare.hpp"
#include "kernels/mla_dispatch.h"
#include "tests/null/kernels/some_bundle.hpp"
#include "tuner/compile.hpp"
#include "tuner/source.hpp"

// One problem through the dispatcher's C API, wherever its data lies, held against float64.

namespace mla::test {

// Compiles one kernel; a test failure where it does not.
inline std::string compiled(const FoundToolchain& toolchain, const std::string& arch,
                            const std::string& source) {
  CompilePool pool(toolchain, nullptr, 1);
  CompileJob job;
  job.arch = arch;
  job.source = source;
  job.headers = read_headers(templates_folder());
  pool.submit(std::move(job));
  CompileResult result = pool.next().value();
  EXPECT_EQ(result.verdict, Verdict::ok) << result.log;
  return std::move(result.code);
}

inline MakeCode compiling(const FoundToolchain& toolchain, const std::string& arch) {
  return [=](const Launch& launch, bool reduces) {
    return compiled(toolchain, arch,
                    reduces ? reduce_source(launch.reduce) : decode_source(launch.config));
  };
}

// Memory that launches may use.
class LaunchMemory {
 public:
  virtual ~LaunchMemory() = default;
  // Aligned to 256 bytes; poisoned; freed with this.
  virtual void* take(std::size_t bytes) = 0;
  // Both wait until they are done.
  virtual void write(void* to, const void* from, std::size_t bytes) = 0;
  virtual void read(void* to, const void* from, std::size_t bytes) = 0;
};

class HostLaunchMemory : public LaunchMemory {
 public:
  void* take(std::size_t bytes) override {
    std::vector<unsigned char>& block = blocks_.emplace_back(bytes + 256, 0xFF);
    const auto at = reinterpret_cast<std::uintptr_t>(block.data());
    return block.data() + (256 - at % 256);
  }
  void write(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }
  void read(void* to, const void* from, std::size_t bytes) override {
    std::memcpy(to, from, bytes);
  }

 private:
  std::deque<std::vector<unsigned char>> blocks_;
};

// A problem's buffers, with room for its capacities, and the arguments that name them. Strides of
// q, out and lse have gaps.
class LaunchCase {
 public:
  LaunchCase(LaunchMemory& memory, const ProblemRecord& record, const InputOptions& options)
      : memory_(memory), record_(record), data_(make_inputs(record, options)) {
    const auto tokens = static_cast<std::size_t>(record.num_tokens);
    const auto heads = static_cast<std::size_t>(record.num_heads);
    problem = mla_problem_init();
    problem.heads = args.heads = record.num_heads;
    problem.tokens = args.tokens = record.num_tokens;
    problem.main_capacity = record.main_len;
    problem.extra_capacity = record.extra_len;
    problem.main_page = record.main_page;
    if (record.extra_len > 0) problem.extra_page = record.extra_page;
    problem.main_format = record.main_format;
    problem.extra_format = record.extra_format;
    problem.wants_lse = 1;
    problem.has_sink = data_.sink.empty() ? 0 : 1;

    args.q_head_stride = kHeadDim + 8;
    args.q_token_stride = args.q_head_stride * record.num_heads;
    args.out_head_stride = kHeadDim + 4;
    args.out_token_stride = args.out_head_stride * record.num_heads + 4;
    args.lse_token_stride = record.num_heads + 3;
    out_bytes_ = tokens * static_cast<std::size_t>(args.out_token_stride) * 2;
    lse_bytes_ = tokens * static_cast<std::size_t>(args.lse_token_stride) * 4;
    args.q = memory.take(tokens * static_cast<std::size_t>(args.q_token_stride) * 2);
    args.out = memory.take(out_bytes_);
    args.lse = static_cast<float*>(memory.take(lse_bytes_));
    if (!data_.sink.empty()) args.sink = static_cast<float*>(memory.take(heads * 4));
    make_scope(args.main, data_.main, tokens, record.main_len);
    make_scope(args.extra, data_.extra, tokens, record.extra_len);
    upload();
  }

  // Other contents for the same buffers: lists no longer than the capacities, no more rows.
  void replace(const ProblemRecord& record, const InputOptions& options) {
    data_ = make_inputs(record, options);
    ASSERT_LE(data_.main.rows, args.main.rows);
    ASSERT_LE(data_.extra.rows, args.extra.rows);
    // What the lists call invalid must be so for the launch too, which may know of more rows.
    for (ScopeData* scope : {&data_.main, &data_.extra}) {
      for (std::int32_t& slot : scope->indices) {
        if (slot >= scope->rows) slot = -1;
      }
    }
    upload();
  }
  void poison() {
    const std::vector<unsigned char> poison(std::max(out_bytes_, lse_bytes_), 0xFF);
    memory_.write(args.out, poison.data(), out_bytes_);
    memory_.write(args.lse, poison.data(), lse_bytes_);
  }
  // What is wrong with what the launch left; empty: nothing.
  std::string verdict() {
    std::vector<std::uint16_t> out(out_bytes_ / 2);
    std::vector<float> lse(lse_bytes_ / 4);
    memory_.read(out.data(), args.out, out_bytes_);
    memory_.read(lse.data(), args.lse, lse_bytes_);
    Output output;
    for (std::int64_t t = 0; t < args.tokens; ++t) {
      for (std::int64_t h = 0; h < args.heads; ++h) {
        const auto* row = out.data() + t * args.out_token_stride + h * args.out_head_stride;
        output.out.insert(output.out.end(), row, row + kHeadDim);
        output.lse.push_back(lse[static_cast<std::size_t>(t * args.lse_token_stride + h)]);
      }
    }
    const Comparison seen = compare(output, compute_reference(data_), {});
    return seen.ok ? std::string() : seen.reason;
  }

  mla_problem problem = mla_problem_init();
  mla_launch_args args = mla_launch_args_init();

 private:
  void make_scope(mla_scope& scope, const ScopeData& data, std::size_t tokens, int capacity) {
    if (data.indptr.empty() || capacity == 0) return;
    scope.cache = memory_.take(data.cache.size());
    scope.indices =
        static_cast<int*>(memory_.take(tokens * static_cast<std::size_t>(capacity) * 4 + 4));
    scope.indptr = static_cast<int*>(memory_.take((tokens + 1) * 4));
    scope.page_stride = data.page_stride;
    scope.page_size = data.page_size;
    scope.rows = data.rows;
    scope.format = static_cast<int>(data.format);
  }
  template <class T>
  void put(const void* to, const std::vector<T>& from) {
    if (!from.empty()) memory_.write(const_cast<void*>(to), from.data(), from.size() * sizeof(T));
  }
  void upload() {
    const auto stride = static_cast<std::size_t>(args.q_head_stride);
    std::vector<std::uint16_t> q(data_.q.size() / kHeadDim * stride, 0xFFFF);
    for (std::size_t row = 0; row < data_.q.size() / kHeadDim; ++row)
      std::memcpy(q.data() + row * stride, data_.q.data() + row * kHeadDim, 2 * kHeadDim);
    put(args.q, q);
    put(args.sink, data_.sink);
    for (const auto& [scope, data] :
         {std::pair(&args.main, &data_.main), {&args.extra, &data_.extra}}) {
      if (scope->indptr == nullptr) continue;
      put(scope->cache, data->cache);
      put(scope->indices, data->indices);
      const std::vector<std::int32_t> empty(static_cast<std::size_t>(args.tokens) + 1);
      put(scope->indptr, data->indptr.empty() ? empty : data->indptr);
    }
    poison();
  }

  LaunchMemory& memory_;
  ProblemRecord record_;
  ProblemData data_;
  std::size_t out_bytes_ = 0, lse_bytes_ = 0;
};

inline ProblemRecord decode_problem(int heads, int tokens, int main, int extra, int page = 64) {
  ProblemRecord record;
  record.kernel = "sparse_mla_decode";
  record.num_heads = heads;
  record.num_tokens = tokens;
  record.main_len = main;
  record.main_page = 64;
  record.extra_len = extra;
  record.extra_page = extra > 0 ? page : 0;
  return record;
}

inline InputOptions troubled(std::uint64_t seed = 5) {
  InputOptions options;
  options.seed = seed;
  options.sink_infinities = true;
  options.invalid_fraction = 0.1;
  options.poisoned_fraction = 0.1;
  options.duplicate_fraction = 0.1;
  options.empty_rows = true;
  return options;
}

}  // namespace mla::test
