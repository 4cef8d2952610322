// What the dispatcher's answers to problems that were not tuned are worth: a table for each record.
//
//   mla_regret_bench [RECORD.zst...]     without any: those in tests/data

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "db/error.hpp"
#include "tests/bench/regret.hpp"

namespace mla::regret {
namespace {

struct Named {
  std::string_view name;
  Policy policy;
};

std::string describe(const Truth& truth) {
  const ProblemRecord& p = truth.problem;
  return fmt::format("heads {} tokens {} keys {}+{} page {} {}{}", p.num_heads, p.num_tokens,
                     p.main_len, p.extra_len, p.extra_len > 0 ? p.extra_page : p.main_page,
                     p.lengths, p.warm_cache ? " warm" : "");
}

struct Line {
  double log_sum = 0, worst = 0;
  int counted = 0, above = 0, by_found[4] = {};
  const Truth* worst_at = nullptr;

  void add(const Truth& truth, const Score& score) {
    ++by_found[static_cast<int>(score.found)];
    if (score.found == Found::none) return;
    const double regret = score.us / truth.best_us - 1;
    log_sum += std::log1p(regret);
    ++counted;
    above += regret > 0.15;
    if (worst_at != nullptr && regret <= worst) return;
    worst = regret;
    worst_at = &truth;
  }
  double mean() const { return counted == 0 ? 0 : std::expm1(log_sum / counted); }
};

void print_line(std::string_view name, std::string_view held, const Line& line) {
  fmt::print("{:<28} {:<7} {:>4} {:>8.1f} % {:>8.1f} % {:>6} {:>9} {:>7} {:>6} {:>5}  {}\n", name,
             held, line.counted, 100 * line.mean(), 100 * line.worst, line.above, line.by_found[0],
             line.by_found[1], line.by_found[2], line.by_found[3],
             line.worst_at == nullptr ? "" : describe(*line.worst_at));
}

std::vector<const Truth*> kept(const std::vector<Truth>& all, const std::vector<Held>& held) {
  std::vector<const Truth*> known;
  for (std::size_t i = 0; i < all.size(); ++i)
    if (held[i] == Held::no) known.push_back(&all[i]);
  return known;
}

void print_policy(const std::vector<Truth>& all, const std::vector<Held>& held, const Named& named,
                  bool every_problem) {
  Line lines[4];
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (held[i] == Held::no) continue;
    const Score found = score(all[i], named.policy(all[i].query));
    lines[0].add(all[i], found);
    lines[static_cast<int>(held[i])].add(all[i], found);
    if (every_problem && found.found != Found::none)
      fmt::print("  {:<24} {:<7} {:>8.1f} %  {}\n", named.name, name(held[i]),
                 100 * (found.us / all[i].best_us - 1), describe(all[i]));
  }
  print_line(named.name, "all", lines[0]);
  for (const Held which : {Held::tokens, Held::length, Held::both})
    if (lines[static_cast<int>(which)].counted > 0)
      print_line("", name(which), lines[static_cast<int>(which)]);
}

// The dispatcher alone, with the other values held out.
void print_others(const Record& record, const std::vector<Truth>& all) {
  const std::pair<std::string_view, From> others[] = {
      {"dispatcher, from 1st tokens", {.smallest_tokens = true}},
      {"dispatcher, from 1st length", {.smallest_length = true}},
      {"dispatcher, from 1st of both", {.smallest_tokens = true, .smallest_length = true}}};
  for (const auto& [label, from] : others) {
    const std::vector<Held> held = hold_out(all, from);
    const Policy policy = dispatched(record.arch, kept(all, held));
    Line line;
    for (std::size_t i = 0; i < all.size(); ++i)
      if (held[i] != Held::no) line.add(all[i], score(all[i], policy(all[i].query)));
    print_line(label, "all", line);
  }
}

// The dispatcher alone, with each problem held out by itself.
void print_one_at_a_time(const Record& record, const std::vector<Truth>& all) {
  Line line;
  for (const Truth& truth : all) {
    std::vector<const Truth*> known;
    for (const Truth& other : all)
      if (&other != &truth) known.push_back(&other);
    line.add(truth, score(truth, dispatched(record.arch, known)(truth.query)));
  }
  print_line("dispatcher, one held out", "one", line);
}

void print_table(const std::string& file, bool every_problem) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw Error(ErrorKind::usage, fmt::format("{}: cannot be read", file));
  const std::string bytes((std::istreambuf_iterator<char>(in)), {});
  const Record record = decode_record(bytes);
  const std::vector<Truth> all = truths(record);
  const std::vector<Held> held = hold_out(all);
  const std::vector<const Truth*> known = kept(all, held);
  const int units = record.devices.empty() ? 1 : record.devices.front().compute_units;

  fmt::print("{}: {} problems of {}, {} kept, {} held out\n",
             std::filesystem::path(file).filename().string(), all.size(), record.arch, known.size(),
             all.size() - known.size());
  if (known.empty() || known.size() == all.size()) {
    fmt::print("too few token counts and lengths to hold any out\n\n");
    return;
  }
  const Named policies[] = {
      {"dispatcher", dispatched(record.arch, known)},
      {"dispatcher, unfitted", dispatched(record.arch, known, false)},
      {"one launch for all", fixed(known)},
      {"one config, vLLM gfx950", by_formula(vllm_gfx950_splits, units, known)},
      {"one config, vLLM gfx942", by_formula(vllm_gfx942_splits, units, known)},
      {"one config, AITER", by_formula(aiter_splits, units, known)},
  };
  fmt::print("{:<28} {:<7} {:>4} {:>10} {:>10} {:>6} {:>9} {:>7} {:>6} {:>5}\n", "regret of",
             "held", "n", "geo. mean", "worst", "> 15 %", "measured", "reduce", "near", "none");
  for (const Named& named : policies) print_policy(all, held, named, every_problem);
  print_others(record, all);
  print_one_at_a_time(record, all);
  fmt::print(
      "from 1st: the smallest is held out, too. unfitted: in the winner's own splits\n"
      "measured: that launch was timed; reduce: but for its reduce kernel; near: the same\n"
      "decode kernel with other splits that come near; none: it was not, and is not in n\n\n");
}

int run(std::vector<std::string> arguments) {
  const bool every_problem = std::erase(arguments, "--every-problem") > 0;
  if (arguments.empty()) {
    for (const auto& entry : std::filesystem::directory_iterator(MLA_TEST_DATA))
      if (entry.path().extension() == ".zst") arguments.push_back(entry.path().string());
    std::ranges::sort(arguments);
  }
  for (const std::string& file : arguments) print_table(file, every_problem);
  return 0;
}

}  // namespace
}  // namespace mla::regret

int main(int argc, char** argv) {
  try {
    return mla::regret::run({argv + 1, argv + argc});
  } catch (const std::exception& error) {
    fmt::print(stderr, "{}\n", error.what());
    return 2;
  }
}
