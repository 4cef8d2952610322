#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include "db/error.hpp"
#include "kernels/device.hpp"
#include "kernels/random.hpp"

namespace mla {

// Noise in [-1, 1], the same again for the same number.
inline double noise(std::uint64_t n) {
  return static_cast<double>(Random(n).below(20001)) / 10000 - 1;
}

// A device whose candidates, named by their decode objects, take times by a script.
class ScriptedRunner : public Runner {
 public:
  // The time of a candidate's n-th sample, the device's clock-th in all.
  using Script = std::function<double(int n, int clock)>;

  explicit ScriptedRunner(std::string pci_id = "0") {
    device_ = {.arch = "gfx950", .name = "scripted", .compute_units = 1, .pci_id = pci_id};
  }
  const Device& identity() const override { return device_; }
  RunResult run(const std::string&, const std::string&, const Launch&, const ProblemData&,
                double) override {
    throw std::logic_error("nobody asked for run()");
  }
  RunResult begin_timing(const ProblemRecord& problem, std::uint64_t seed, double) override {
    if (begins) return *begins;
    seeds.push_back(seed);
    problems.push_back(problem);
    names_.clear();
    return {};
  }
  RunResult add_candidate(int candidate, const std::string& decode, const std::string&,
                          const Launch&, const Tolerance&, double) override {
    if (seeds.empty() || !names_.emplace(candidate, decode).second)
      throw std::logic_error("not a new candidate");
    ++added[decode];
    if (wrong.contains(decode))
      return {.verdict = Verdict::wrong_result, .reason = "wrong", .max_error = 1};
    return {.max_error = 1e-4, .cosine_gap = 1e-7};
  }
  RunResult sample(int candidate, int count, double) override {
    RunResult result;
    const std::string& name = names_.at(candidate);
    for (int i = 0; i < count; ++i) {
      const int n = taken[name]++;
      if (lost_at == clock) throw Error(ErrorKind::device, "the device is lost");
      const auto crash = crash_at.find(name);
      if (crash != crash_at.end() && n >= crash->second) {
        names_.erase(candidate);
        return {.verdict = Verdict::crashed, .reason = "illegal access"};
      }
      result.samples_us.push_back(static_cast<float>(scripts.at(name)(n, clock++)));
      order.push_back(name);
    }
    return result;
  }
  std::string conditions() override { return conditions_now; }

  std::map<std::string, Script> scripts;
  std::set<std::string> wrong;
  std::map<std::string, int> crash_at;
  std::optional<RunResult> begins;  // what begin_timing() answers instead
  int lost_at = -1;
  std::string conditions_now = "{}";

  std::vector<std::uint64_t> seeds;
  std::vector<ProblemRecord> problems;
  std::map<std::string, int> taken, added;  // samples and calls, by name
  std::vector<std::string> order;           // of all samples
  int clock = 0;

 private:
  Device device_;
  std::map<int, std::string> names_;
};

}  // namespace mla
