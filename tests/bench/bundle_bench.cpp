// What opening a bundle costs a serving engine: 10,000 winners and 500 code objects, in time and in
// memory. The argument is KiB a code object: gfx950's have 15 on average, sm_90's 65.

#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <malloc.h>
#include <stdlib.h>

#include <filesystem>
#include <map>
#include <memory>
#include <random>
#include <string>

#include "db/bundle_write.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"

namespace mla {
namespace {

constexpr int kWinners = 10000, kCodes = 500, kReduces = 20;

std::string key(int n) { return fmt::format("{:032x}", n + 1); }

// As compressible as code: to somewhat more than a third.
std::string a_code(int n, std::size_t bytes) {
  std::mt19937 random(static_cast<unsigned>(n));
  std::string words(4096, '\0'), code;
  for (char& c : words) c = static_cast<char>(random());
  while (code.size() < bytes) {
    code.append(words, 8 * (random() % 500), 8);
    code += static_cast<char>(random());
  }
  return code;
}

BundleContents contents(std::size_t code_bytes) {
  BundleContents all{.version = "bench", .winners = {}, .fallbacks = {}, .code_objects = {}};
  for (int n = 0; n < kCodes; ++n)
    all.code_objects.push_back({.key = key(n),
                                .arch = "gfx950",
                                .kernel = n < kReduces ? "sparse_mla_reduce" : "sparse_mla_decode",
                                .toolchain = {.compiler = "hiprtc", .release = "7.2.4"},
                                .code = a_code(n, code_bytes)});
  Launch launch = fallback_launch("gfx950", {.heads = 16, .tokens = 1, .main_len = 128});
  for (int n = 0; n < kWinners; ++n) {
    BundleContents::Row row;
    Winner& w = row.winner.winner;
    launch.splits.split_extra = 1 + n % 2000;  // 2000 variants
    w.arch = "gfx950";
    w.problem = {.kernel = "sparse_mla_decode",
                 .num_heads = 16 << n % 4,
                 .num_tokens = 1 + n / 20,
                 .main_len = 128,
                 .extra_len = 512 << n / 4 % 5,
                 .main_page = 64,
                 .extra_page = 64};
    w.rocm = "7.2.4";
    w.variant = key(n % 2000);
    w.params = variant_params(launch);
    w.evidence = Evidence::measured;
    w.median_us = 10 + n % 7;
    row.winner.decode_key = key(kReduces + n % (kCodes - kReduces));
    row.winner.reduce_key = key(n % kReduces);
    row.origin = {.device = {.arch = "gfx950", .name = "AMD Instinct MI355X"},
                  .toolchain = {.compiler = "hiprtc", .release = "7.2.4"}};
    all.winners.push_back(std::move(row));
  }
  all.fallbacks.push_back({"gfx950", variant_params(launch), key(kReduces), key(0)});
  return all;
}

// Bundles of this process, written once for each size and gone with it.
class Files {
 public:
  Files() {
    folder_ = (std::filesystem::temp_directory_path() / "mla-bench-XXXXXX").string();
    if (mkdtemp(folder_.data()) == nullptr) std::abort();
  }
  ~Files() { std::filesystem::remove_all(folder_); }
  const std::filesystem::path& of(std::int64_t kib, const SigningKey* signer = nullptr) {
    std::filesystem::path& path = paths_[{kib, signer != nullptr}];
    if (path.empty()) {
      path = std::filesystem::path(folder_) / fmt::format("{}-{}", kib, signer != nullptr);
      write_bundle(path, contents(static_cast<std::size_t>(kib) << 10), signer);
    }
    return path;
  }

 private:
  std::string folder_;
  std::map<std::pair<std::int64_t, bool>, std::filesystem::path> paths_;
};

Files& files() {
  static Files all;
  return all;
}

double heap_bytes() {
  const auto use = ::mallinfo2();
  return static_cast<double>(use.uordblks + use.hblkhd);
}

void BM_OpenBundleAndReadWinners(benchmark::State& state) {
  const auto& path = files().of(state.range(0));
  for (auto _ : state) {
    auto bundle = std::make_unique<Bundle>(Bundle::open(path));
    auto winners = bundle->winners("gfx950");
    benchmark::DoNotOptimize(winners);
    state.PauseTiming();  // closing is another matter
    winners = {};
    bundle.reset();
    state.ResumeTiming();
  }
  const double before = heap_bytes();
  const Bundle bundle = Bundle::open(path);
  const double size = static_cast<double>(bundle.size());
  state.counters["bundle_MB"] = size / 1e6;
  state.counters["memory_of_bundle"] = (heap_bytes() - before) / size;
  const auto winners = bundle.winners("gfx950");
  state.counters["with_winners"] = (heap_bytes() - before) / size;
}
BENCHMARK(BM_OpenBundleAndReadWinners)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);

void BM_OpenBundle(benchmark::State& state) {
  const auto& path = files().of(state.range(0));
  for (auto _ : state) benchmark::DoNotOptimize(Bundle::open(path));
}
BENCHMARK(BM_OpenBundle)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);

void BM_OpenSignedBundle(benchmark::State& state) {
  static const SigningKey signer = new_signing_key();
  const auto& path = files().of(state.range(0), &signer);
  const BundleOptions options{.public_key = signer.public_key()};
  for (auto _ : state) benchmark::DoNotOptimize(Bundle::open(path, options));
}
BENCHMARK(BM_OpenSignedBundle)->Arg(16)->Arg(64)->Unit(benchmark::kMillisecond);

void BM_CodeObject(benchmark::State& state) {
  const Bundle bundle = Bundle::open(files().of(state.range(0)));
  int n = 0;
  for (auto _ : state) benchmark::DoNotOptimize(bundle.code_object(key(n = (n + 1) % kCodes)));
}
BENCHMARK(BM_CodeObject)->Arg(16)->Arg(64)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace mla
