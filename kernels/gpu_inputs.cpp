#include "kernels/gpu_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <random>

namespace mla {
namespace {

constexpr int kDistinctRows = 16384;  // quantising them takes the CPU a quarter of a second
constexpr double kCacheRounds = 2.25;
constexpr int kPoolRounds = 10;
constexpr int kMostSets = 1024;

int whole_pages(std::int64_t rows, int page) {
  return static_cast<int>((rows + page - 1) / page * page);
}

int number_of_sets(const GpuProblem& problem, std::int64_t llc_bytes) {
  if (problem.warm_cache) return 1;
  const double wanted = kCacheRounds * double(llc_bytes) / minimum_bytes(problem_record(problem));
  return static_cast<int>(std::clamp(std::ceil(wanted), 2.0, double(kMostSets)));
}

// A problem whose inputs are nothing but distinct rows, a page's last place included.
ProblemData distinct_rows(const GpuProblem& problem, std::uint64_t seed) {
  ProblemRecord record = problem_record(problem);
  record.num_tokens = 1;
  record.lengths = "uniform";
  if (record.main_len > 0) record.main_len = whole_pages(kDistinctRows, record.main_page);
  if (record.extra_len > 0) record.extra_len = whole_pages(kDistinctRows, record.extra_page);
  InputOptions options;
  options.seed = seed;
  options.spare_rows = 0;
  return make_inputs(record, options);
}

ProblemData queries_and_sinks(const GpuProblem& problem, std::uint64_t seed) {
  ProblemRecord record = problem_record(problem);
  record.main_len = record.extra_len = 0;
  record.extra_page = 0;
  InputOptions options;
  options.seed = seed;
  return make_inputs(record, options);
}

template <class T>
GpuMemory uploaded(const Gpu& gpu, const std::vector<T>& values) {
  GpuMemory memory(gpu, values.size() * sizeof(T));
  memory.write(0, values.data(), memory.bytes());
  return memory;
}

// Fills `memory` with copies of its first `bytes` bytes.
void replicate(const GpuMemory& memory, std::size_t bytes) {
  for (std::size_t done = bytes; done < memory.bytes();) {
    const std::size_t next = std::min(done, memory.bytes() - done);
    memory.copy_from(memory, done, 0, next);
    done += next;
  }
}

}  // namespace

GpuInputs::GpuInputs(const Gpu& gpu, const GpuProblem& problem, std::uint64_t seed,
                     std::int64_t llc_bytes)
    : gpu_(gpu), llc_bytes_(llc_bytes), warm_(problem.warm_cache) {
  sets_.resize(static_cast<std::size_t>(number_of_sets(problem, llc_bytes)));
  base_.tokens = problem.tokens;
  base_.heads = problem.heads;
  const ProblemData rows = distinct_rows(problem, seed);
  fill_scope(main_, base_.main, rows.main, problem.main_len, problem.ragged, seed + 1);
  if (problem.extra_len > 0) {
    fill_scope(extra_, base_.extra, rows.extra, problem.extra_len, problem.ragged, seed + 2);
  }
  const ProblemData data = queries_and_sinks(problem, seed + 3);
  base_.scale = data.scale;
  base_.q_head_stride = base_.out_head_stride = kHeadDim;
  base_.q_token_stride = base_.out_token_stride = std::int64_t{problem.heads} * kHeadDim;
  base_.lse_token_stride = problem.heads;
  sink_ = uploaded(gpu, data.sink);
  base_.sink = sink_.as<float>();
  fill_queries(data);
  for (std::size_t i = 0; i < sets_.size(); ++i) {
    sets_[i].main_indices = main_.indices.as<int>(i * main_.entries * sizeof(int));
    sets_[i].extra_indices = extra_.indices.as<int>(i * extra_.entries * sizeof(int));
  }
  gpu.synchronise();
}

void GpuInputs::fill_scope(Scope& scope, CacheScope& args, const ScopeData& rows, int nominal,
                           bool ragged, std::uint64_t seed) {
  std::mt19937_64 random(seed);
  std::vector<int> indptr{0};
  for (int token = 0, tokens = base_.tokens; token < tokens; ++token) {
    const bool shorter = ragged && token > 0;
    const int length =
        shorter ? static_cast<int>(random() % (static_cast<std::uint64_t>(nominal) + 1)) : nominal;
    indptr.push_back(indptr.back() + length);
  }
  scope.entries = static_cast<std::size_t>(indptr.back());

  // Whole copies of the distinct rows, as many as the lists need or memory allows.
  const std::size_t block = rows.cache.size(), block_rows = static_cast<std::size_t>(rows.rows);
  const std::size_t named = scope.entries * sets_.size();
  const auto spread = static_cast<std::size_t>(warm_ ? 0 : kPoolRounds * llc_bytes_);
  std::size_t blocks = 0;
  if (block_rows > 0) {
    blocks = std::max((named + block_rows - 1) / block_rows, (spread + block - 1) / block);
    blocks =
        std::clamp<std::size_t>(blocks, 1, std::max<std::size_t>(1, gpu_.free_bytes() / 3 / block));
    blocks = std::min(blocks, (std::size_t{1} << 31) / block_rows - 1);
  }
  scope.pool = GpuMemory(gpu_, blocks * block);
  scope.pool.write(0, rows.cache.data(), blocks == 0 ? 0 : block);
  if (blocks > 0) replicate(scope.pool, block);

  std::vector<int> slots(blocks * block_rows);
  std::iota(slots.begin(), slots.end(), 0);
  const std::size_t shuffled = std::min(named, slots.size());
  for (std::size_t i = 0; i < shuffled; ++i) {
    std::swap(slots[i], slots[i + random() % (slots.size() - i)]);
  }
  std::vector<int> indices(named);
  for (std::size_t i = 0; i < named; ++i) indices[i] = slots[i % shuffled];
  scope.indices = uploaded(gpu_, indices);
  scope.indptr = uploaded(gpu_, indptr);

  args.cache = scope.pool.as<unsigned char>();
  args.indptr = scope.indptr.as<int>();
  args.page_stride = rows.page_stride;
  args.page_size = rows.page_size;
  args.rows = static_cast<int>(slots.size());
  args.format = rows.format;
  args.ragged = ragged ? 1 : 0;
}

// Each set has the same queries, the rows turned by a number of its own.
void GpuInputs::fill_queries(const ProblemData& data) {
  const std::size_t row = kHeadDim * sizeof(std::uint16_t), bytes = data.q.size() * 2;
  const GpuMemory first = uploaded(gpu_, data.q);
  q_ = GpuMemory(gpu_, bytes * sets_.size());
  for (std::size_t i = 0; i < sets_.size(); ++i) {
    const std::size_t turn = i * 7 * row % bytes;
    q_.copy_from(first, i * bytes, turn, bytes - turn);
    q_.copy_from(first, i * bytes + bytes - turn, 0, turn);
    sets_[i].q = q_.as<void>(i * bytes);
  }
  gpu_.synchronise();
}

DecodeArgs GpuInputs::arguments(const Set& set) const {
  DecodeArgs args = base_;
  args.q = set.q;
  args.main.indices = set.main_indices;
  if (args.extra.indptr != nullptr) args.extra.indices = set.extra_indices;
  return args;
}

}  // namespace mla
