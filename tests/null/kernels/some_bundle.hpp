#pragma once

#include <functional>
#include <map>
#include <string>

#include "db/bundle_write.hpp"
#include "kernels/dispatch.hpp"
#include "kernels/params.hpp"
#include "tests/null/db/fixture.hpp"
#include "tests/null/kernels/some_winners.hpp"

namespace mla::test {

inline Toolchain toolchain_of(const std::string& release) {
  return {.compiler = "some", .release = release, .library = "libsome.so", .llvm = "1"};
}

// The code object of one of a launch's two kernels.
using MakeCode = std::function<std::string(const Launch& launch, bool reduces)>;

// A bundle in the making. Without a MakeCode code objects are the words "decode" or "reduce" and a
// number.
class SomeBundle {
 public:
  explicit SomeBundle(std::string arch, std::string release = "7.2.4", MakeCode make = {})
      : arch_(std::move(arch)), release_(std::move(release)), make_(std::move(make)) {
    contents_.version = "test";
    for (const Launch& launch : fallback_launches(arch_)) {
      BundleFallback fallback{arch_, variant_params(launch), decode(launch), {}};
      if (may_reduce(launch)) fallback.reduce_key = reduce(launch);
      contents_.fallbacks.push_back(fallback);
    }
  }

  // A winner that can be told from others by its split_extra, and whose key is key(mark).
  void add(const Query& shape, int mark, Evidence evidence = Evidence::measured,
           double median_us = 10) {
    Launch launch = fallback_launch(arch_, {.heads = 16, .tokens = 1, .main_len = 1});
    launch.splits = {.split_main = 0, .split_extra = mark, .split_map = SplitMap::contiguous};
    add(shape, launch, mark, evidence, median_us);
  }
  void add(const Query& shape, const Launch& launch, int mark, Evidence evidence,
           double median_us) {
    BundleContents::Row row;
    Winner& w = row.winner.winner;
    w.arch = arch_;
    w.problem = problem_record(shape);
    w.rocm = release_;
    w.variant = key(mark);
    w.params = variant_params(launch);
    w.evidence = evidence;
    w.median_us = median_us;
    row.winner.decode_key = decode(launch);
    if (may_reduce(launch)) row.winner.reduce_key = reduce(launch);
    row.origin.device = a_device(arch_);
    row.origin.toolchain = toolchain_of(release_);
    contents_.winners.push_back(row);
  }
  void write(const std::filesystem::path& path) const { write_bundle(path, contents_); }
  BundleContents& contents() { return contents_; }

 private:
  std::string decode(const Launch& launch) {
    Launch code = launch;
    code.splits = {0, 1, SplitMap::contiguous};
    code.reduce = {1, 1};
    return code_object("decode", variant_params(code), launch);
  }
  std::string reduce(const Launch& launch) {
    return code_object(
        "reduce", std::to_string(launch.reduce.block_h) + " " + std::to_string(launch.reduce.waves),
        launch);
  }
  std::string code_object(const std::string& kind, const std::string& identity,
                          const Launch& launch) {
    std::string& known = keys_[kind + identity];
    if (!known.empty()) return known;
    const int number = static_cast<int>(keys_.size());
    known = key(1'000'000 + number);
    contents_.code_objects.push_back(
        {known, arch_, "sparse_mla_" + kind, toolchain_of(release_),
         make_ ? make_(launch, kind == "reduce") : kind + " " + std::to_string(number)});
    return known;
  }

  std::string arch_, release_;
  MakeCode make_;
  std::map<std::string, std::string> keys_;
  BundleContents contents_;
};

}  // namespace mla::test
