#include "tuner/compile.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <condition_variable>
#include <deque>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <nlohmann/json.hpp>
#include <thread>

#include "db/error.hpp"
#include "tuner/compile_worker.hpp"
#include "tuner/hash.hpp"
#include "tuner/scratch_folder.hpp"

namespace mla {
namespace {

namespace fs = std::filesystem;

constexpr double kDisassemblySeconds = 30;

// ON DISK, in the cache: raise the number when the fields change.
constexpr const char* kCachedFormat = "compiled 1";

std::string to_cached(const CompileResult& result) {
  return pack({kCachedFormat, result.code, result.log, fmt::format("{}", result.seconds),
               nlohmann::json(result.mix).dump()});
}

bool from_cached(const std::string& bytes, CompileResult& result) {
  std::optional<Fields> fields = unpack(bytes);
  if (!fields || fields->size() != 5 || fields->front() != kCachedFormat) return false;
  result.verdict = Verdict::ok;
  result.code = std::move((*fields)[1]);
  result.log = std::move((*fields)[2]);
  result.seconds = std::stod((*fields)[3]);
  result.mix = nlohmann::json::parse((*fields)[4]).get<InstructionMix>();
  result.cached = true;
  return true;
}

}  // namespace

struct CompilePool::State {
  State(FoundToolchain found, Cache* store) : toolchain(std::move(found)), cache(store) {}

  const FoundToolchain toolchain;
  Cache* const cache;
  const ScratchFolder folder;

  mutable std::mutex mutex;
  std::condition_variable work_or_stop;
  std::condition_variable result_or_none;
  std::deque<CompileJob> waiting;
  std::deque<CompileResult> finished;
  std::size_t compiling = 0;
  bool stopping = false;
  bool cache_failed = false;

  std::deque<CompileWorker> workers;
  std::vector<std::thread> threads;

  void run(CompileWorker& worker);
  CompileResult compile(CompileWorker& worker, const CompileJob& job);
  void keep(const CompileResult& result);
};

void CompilePool::State::run(CompileWorker& worker) {
  std::unique_lock lock(mutex);
  for (;;) {
    work_or_stop.wait(lock, [&] { return stopping || !waiting.empty(); });
    if (stopping) return;
    const CompileJob job = std::move(waiting.front());
    waiting.pop_front();
    ++compiling;
    lock.unlock();
    CompileResult result;
    try {
      result = compile(worker, job);
    } catch (const std::exception& error) {
      result.tag = job.tag;
      result.log = error.what();
    }
    lock.lock();
    --compiling;
    finished.push_back(std::move(result));
    result_or_none.notify_all();
  }
}

CompileResult CompilePool::State::compile(CompileWorker& worker, const CompileJob& job) {
  const std::string key = compile_key(job, toolchain);
  CompileResult result;
  if (cache != nullptr) {
    const std::optional<std::string> stored = cache->find(key);
    if (stored && from_cached(*stored, result)) {
      result.tag = job.tag;
      result.key = key;
      return result;
    }
  }
  result = worker.compile(job);
  result.key = key;
  if (result.verdict != Verdict::ok) return result;
  if (job.arch.starts_with("gfx")) {
    try {
      const auto listing = worker.disassemble(job.arch, kernel_code(result.code, job.entry),
                                              deadline_in(kDisassemblySeconds));
      if (listing) result.mix = count_instructions(*listing);
    } catch (const Error& error) {
      result.verdict = Verdict::compile_failed;
      result.log = error.what();
      result.code.clear();
      return result;
    }
  }
  keep(result);
  return result;
}

void CompilePool::State::keep(const CompileResult& result) {
  if (cache == nullptr) return;
  try {
    cache->store(result.key, to_cached(result));
  } catch (const Error& error) {
    const std::lock_guard lock(mutex);
    if (!cache_failed) spdlog::warn("compiled code is not kept: {}", error.what());
    cache_failed = true;
  }
}

CompilePool::CompilePool(FoundToolchain toolchain, Cache* cache, int workers)
    : state_(std::make_unique<State>(std::move(toolchain), cache)) {
  const unsigned count = workers > 0 ? static_cast<unsigned>(workers)
                                     : std::max(1u, std::thread::hardware_concurrency());
  for (unsigned i = 0; i < count; ++i) {
    state_->workers.emplace_back(state_->toolchain, fmt::format("{}/{}", state_->folder.path(), i));
  }
  for (CompileWorker& worker : state_->workers) {
    state_->threads.emplace_back([this, &worker] { state_->run(worker); });
  }
}

CompilePool::~CompilePool() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->stopping = true;
    state_->waiting.clear();
  }
  state_->work_or_stop.notify_all();
  for (CompileWorker& worker : state_->workers) worker.stop();
  for (std::thread& thread : state_->threads) thread.join();
}

void CompilePool::submit(CompileJob job) {
  {
    const std::lock_guard lock(state_->mutex);
    state_->waiting.push_back(std::move(job));
  }
  state_->work_or_stop.notify_one();
}

std::optional<CompileResult> CompilePool::next(Deadline deadline) {
  std::unique_lock lock(state_->mutex);
  state_->result_or_none.wait_until(lock, deadline, [&] {
    return !state_->finished.empty() || (state_->waiting.empty() && state_->compiling == 0);
  });
  if (state_->finished.empty()) return std::nullopt;
  CompileResult result = std::move(state_->finished.front());
  state_->finished.pop_front();
  return result;
}

std::optional<CompileResult> CompilePool::next() { return next(deadline_in(1e9)); }

std::size_t CompilePool::outstanding() const {
  const std::lock_guard lock(state_->mutex);
  return state_->waiting.size() + state_->compiling + state_->finished.size();
}

std::size_t CompilePool::drop_waiting() {
  const std::lock_guard lock(state_->mutex);
  const std::size_t dropped = state_->waiting.size();
  state_->waiting.clear();
  state_->result_or_none.notify_all();
  return dropped;
}

std::string CompilePool::disassemble(std::string_view code_object, const std::string& arch,
                                     const std::string& entry) {
  CompileWorker worker(state_->toolchain, state_->folder.path() + "/disassembler");
  const auto listing =
      worker.disassemble(arch, kernel_code(code_object, entry), deadline_in(kDisassemblySeconds));
  if (!listing) {
    throw Error(ErrorKind::toolchain,
                fmt::format("{} {} cannot disassemble for {}", state_->toolchain.record.compiler,
                            state_->toolchain.record.release, arch));
  }
  return *listing;
}

const FoundToolchain& CompilePool::toolchain() const { return state_->toolchain; }

std::vector<std::string> arch_options(std::string_view arch) {
  if (arch.starts_with("gfx")) return {fmt::format("--offload-arch={}", arch), "-std=c++20", "-O3"};
  // The warpgroup instructions are sm_90a's alone.
  if (arch == "sm_90") arch = "sm_90a";
  if (arch.starts_with("sm_")) return {fmt::format("--gpu-architecture={}", arch), "--std=c++20"};
  return {"-std=c++20", "-O2"};
}

std::string compile_key(const CompileJob& job, const FoundToolchain& toolchain) {
  std::vector<std::string_view> parts{toolchain.identity, job.arch, job.entry, job.source};
  // The number of options and of headers, so that an option cannot be mistaken for a header.
  const std::vector<std::string> base = arch_options(job.arch);
  const std::string counts = fmt::format("{} {}", base.size(), job.options.size());
  parts.push_back(counts);
  parts.insert(parts.end(), base.begin(), base.end());
  parts.insert(parts.end(), job.options.begin(), job.options.end());
  if (job.headers) {
    for (const SourceHeader& header : *job.headers) {
      parts.push_back(header.name);
      parts.push_back(header.text);
    }
  }
  return content_key(parts);
}

SourceHeaders read_headers(const std::string& folder) {
  auto headers = std::make_shared<std::vector<SourceHeader>>();
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(folder, ignored)) {
    if (entry.path().extension() != ".hpp") continue;
    std::ifstream file(entry.path(), std::ios::binary);
    headers->push_back(
        {entry.path().filename().string(), {std::istreambuf_iterator<char>(file), {}}});
    if (!file) throw Error(ErrorKind::usage, fmt::format("cannot read {}", entry.path().string()));
  }
  if (headers->empty())
    throw Error(ErrorKind::usage, fmt::format("no templates (*.hpp) in {}", folder));
  std::ranges::sort(*headers, {}, &SourceHeader::name);
  return headers;
}

std::string hash_of(const SourceHeaders& headers) {
  std::vector<std::string_view> parts;
  for (const SourceHeader& header : *headers) {
    parts.push_back(header.name);
    parts.push_back(header.text);
  }
  return content_key(parts).substr(0, 12);
}

std::string templates_folder(const std::string& chosen) {
  if (!chosen.empty()) return chosen;
  const fs::path beside = fs::path(sibling_program(".")).lexically_normal();
  std::vector<std::string> looked;
  for (const char* relative :
       {"templates", "../templates", "../../templates", "../share/mla-tune/templates"}) {
    const fs::path folder = (beside / relative).lexically_normal();
    std::error_code ignored;
    if (fs::exists(folder / "sparse_mla_config.hpp", ignored)) return folder.string();
    looked.push_back(folder.string());
  }
  throw Error(ErrorKind::usage,
              fmt::format("no kernel templates in {}: install again, or name their folder with "
                          "--templates",
                          fmt::join(looked, ", ")));
}

}  // namespace mla
