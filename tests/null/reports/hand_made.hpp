#pragma once

#include <cmath>
#include <string>
#include <vector>

#include "reports/compare.hpp"
#include "reports/json.hpp"
#include "tests/null/db/fixture.hpp"

// Small databases with just the rows that a verdict needs.

namespace mla::test {

// `count` times around `median_us`, one tenth of a percent of it apart times `spread`.
inline std::vector<float> times(double median_us, int count = 15, double spread = 1) {
  std::vector<float> samples;
  for (int i = 0; i < count; ++i) {
    // A fixed disorder, symmetric about the middle.
    const int place = i * 7 % count - count / 2;
    samples.push_back(static_cast<float>(median_us * (1 + 0.001 * spread * place)));
  }
  return samples;
}

inline std::string hand_made_params(int block_k, int split = 4) {
  return "{\"block_k\":" + std::to_string(block_k) + ",\"split_extra\":" + std::to_string(split) +
         "}";
}

class HandMade {
 public:
  explicit HandMade(const std::filesystem::path& path) : store_(create(path)) {
    session_ = store_.start_session(
        {.started = "2026-01-02T03:04:05Z", .command = "tune", .version = "0.1.0"});
    device("gfx950", "AMD Instinct MI355X");
    release("6.4.3");
  }
  HandMade& release(const std::string& release) {
    toolchain_ = store_.put(a_toolchain(release));
    release_ = release;
    return *this;
  }
  HandMade& device(const std::string& arch, const std::string& name,
                   const std::string& driver = "") {
    Device record = a_device(arch);
    record.name = name;
    record.driver = driver;
    device_ = store_.put(record);
    arch_ = arch;
    return *this;
  }
  HandMade& session(const std::string& version, const std::string& conditions = "{}") {
    session_ = store_.start_session({.started = "2026-01-02T03:04:06Z",
                                     .command = "tune",
                                     .version = version,
                                     .conditions = conditions});
    return *this;
  }

  std::int64_t variant(int block_k, int split = 4) {
    return store_.put(VariantRecord{0, key(block_k * 100 + split), "sparse_mla_decode",
                                    hand_made_params(block_k, split)});
  }
  // The code object of block_k by the present release, of the first templates or of later ones.
  void code(int block_k, const Resources& resources, Verdict verdict = Verdict::ok,
            const std::string& reason = "", int templates = 0) {
    CodeObjectRecord record;
    const int number = block_k + (release_ == "6.4.3" ? 1000 : 2000) +
                       (arch_ == "gfx950" ? 0 : 5000) + 10000 * templates;
    record.key = key(number);
    record.variant_id = variant(block_k);
    record.toolchain_id = toolchain_;
    record.arch = arch_;
    record.entry_template = "sparse_mla_decode";
    record.verdict = verdict;
    record.reason = reason;
    record.content = verdict == Verdict::ok ? key(number + 100000) : "";
    record.compile_seconds = 1.5;
    record.resources = resources;
    store_.put(record);
  }
  void measured(const ProblemRecord& problem, int block_k, std::vector<float> samples,
                Round round = Round::final) {
    MeasurementRecord row = row_of(problem, block_k);
    row.evidence = Evidence::measured;
    row.round = round;
    std::vector<double> values(samples.begin(), samples.end());
    std::sort(values.begin(), values.end());
    row.median_us = values[values.size() / 2];
    row.ci_low_us = values.front();
    row.ci_high_us = values.back();
    row.samples_us = std::move(samples);
    store_.put(row);
  }
  void predicted(const ProblemRecord& problem, int block_k, double median_us,
                 Round round = Round::final) {
    MeasurementRecord row = row_of(problem, block_k);
    row.round = round;
    row.median_us = row.ci_low_us = row.ci_high_us = median_us;
    if (round == Round::search) {
      row.verdict = Verdict::unverified;
      row.max_error = row.cosine_gap = -1;
    }
    store_.put(row);
  }
  void failed(const ProblemRecord& problem, int block_k, Verdict verdict,
              const std::string& reason) {
    MeasurementRecord row = row_of(problem, block_k);
    row.evidence = Evidence::measured;
    row.verdict = verdict;
    row.reason = reason;
    row.max_error = row.cosine_gap = -1;
    store_.put(row);
  }
  Store& store() { return store_; }

 private:
  MeasurementRecord row_of(const ProblemRecord& problem, int block_k) {
    return {.variant_id = variant(block_k),
            .problem_id = store_.put(problem),
            .device_id = device_,
            .toolchain_id = toolchain_,
            .session_id = session_,
            .round = Round::final,
            .verdict = Verdict::ok,
            .max_error = 1e-4,
            .cosine_gap = 1e-7,
            .recorded = "2026-01-02T03:04:07Z"};
  }

  Store store_;
  std::string arch_, release_;
  std::int64_t toolchain_ = 0, device_ = 0, session_ = 0;
};

// A layer compressed by 4 of DSv4-Pro.
inline ProblemRecord csa(int tokens) {
  ProblemRecord problem = a_problem(tokens);
  problem.extra_page = 64;
  return problem;
}

inline std::vector<ArchLimits> two_archs() {
  return {{"gfx950", "AMD Instinct MI355X", 8e12, 2.5e15},
          {"gfx942", "AMD Instinct MI300X", 5.3e12, 1.3e15}};
}

struct Compared {
  Facts facts;
  SideComparison comparison;
  Json json;
};

inline Compared compared(const std::vector<std::filesystem::path>& files,
                         const std::string& baseline, const std::string& candidate,
                         const VerdictRules& rules = {}, const std::string& arch = "") {
  Compared result;
  result.facts = read_facts(files);
  result.comparison = compare_sides(
      result.facts, make_side(result.facts, parse_selector(baseline, result.facts), arch),
      make_side(result.facts, parse_selector(candidate, result.facts), arch), rules, two_archs());
  result.json = comparison_json(result.facts, result.comparison, {"0.1.0", "2026-01-02T03:04:05Z"});
  return result;
}

// The problem of so many tokens.
inline const Json& of_tokens(const Json& report, int tokens) {
  for (const Json& problem : report["problems"])
    if (problem["shape"]["num_tokens"] == tokens) return problem;
  throw Error(ErrorKind::internal, "no such problem");
}

}  // namespace mla::test
