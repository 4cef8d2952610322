#pragma once

#include <sqlite3.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "tests/null/db/fixture.hpp"

// A world of facts, of which each file holds some; what a merge of files must hold follows from it
// without any SQL.
namespace mla::test {

namespace fs = std::filesystem;

constexpr int kThings = 4;  // kinds of each: toolchains, devices, problems, variants

struct Trial {
  int toolchain, device, problem, variant;
  float us;
  int second;  // when it was recorded, within the session
};

// A run; a file holds the first so many of its trials, and its end where it holds all.
struct Run {
  std::string id;  // empty: of before runs had identities
  std::uint64_t seed;
  int began;
  std::vector<Trial> trials;
};

inline std::string moment(int second) {
  char text[32];
  std::snprintf(text, sizeof text, "2026-01-02T03:%02d:%02dZ", second / 60 % 60, second % 60);
  return text;
}

// What a file holds of the world.
struct Part {
  std::map<std::size_t, std::size_t> trials;  // by run: how many; more than there are: and its end
  std::set<int> codes;                        // that are settled
  std::set<int> hung;                         // that were tried in vain
};

struct World {
  std::mt19937 random;
  std::vector<Run> runs;

  explicit World(unsigned seed) : random(seed) {
    for (std::size_t n = 0; n < 5; ++n) {
      Run run{n % 3 == 2 ? "" : "run" + std::to_string(n), seed * 10 + n, below(30), {}};
      int second = run.began;
      for (int t = below(9); t > 0; --t) {
        Trial trial{below(2), below(3), below(kThings), below(kThings), 1 + float(below(50)),
                    second};
        if (!run.trials.empty() && below(4) == 0)
          trial = run.trials.back();  // quite the same again
        second += below(3);
        run.trials.push_back(trial);
      }
      runs.push_back(run);
    }
  }
  int below(int limit) { return static_cast<int>(random() % static_cast<unsigned>(limit)); }

  Part part() {
    Part part;
    for (std::size_t n = 0; n < runs.size(); ++n)
      if (below(3) > 0)
        part.trials[n] = static_cast<std::size_t>(below(int(runs[n].trials.size()) + 2));
    for (int code = 0; code < kThings; ++code) {
      if (below(3) > 0)
        part.codes.insert(code);
      else if (below(2) == 0)
        part.hung.insert(code);
    }
    return part;
  }

  bool has_ended(const Part& part, std::size_t run) const {
    const auto at = part.trials.find(run);
    return at != part.trials.end() && at->second > runs[run].trials.size();
  }

  void write(const fs::path& path, const Part& part) {
    Store store = create(path);
    std::vector<std::size_t> order;
    for (const auto& [run, count] : part.trials) order.push_back(run);
    std::shuffle(order.begin(), order.end(), random);
    // Ids mean something else in each file.
    for (int extra = below(5); extra > 0; --extra) {
      store.put(a_toolchain(std::to_string(below(2))));
      store.put(a_device("gfx" + std::to_string(below(3))));
      store.put(a_problem(1 + below(kThings)));
      store.put(a_variant(below(kThings)));
    }
    for (const std::size_t n : order) {
      const Run& run = runs[n];
      nlohmann::ordered_json conditions = nlohmann::ordered_json::object();
      if (!run.id.empty()) conditions["id"] = run.id;
      const auto session = store.start_session({.started = moment(run.began),
                                                .command = "tune",
                                                .version = "1",
                                                .seed = run.seed,
                                                .conditions = conditions.dump()});
      const std::size_t count = part.trials.at(n);
      for (std::size_t t = 0; t < std::min(count, run.trials.size()); ++t) {
        const Trial& trial = run.trials[t];
        Ids ids{store.put(a_toolchain(std::to_string(trial.toolchain))),
                store.put(a_device("gfx" + std::to_string(trial.device))),
                store.put(a_problem(1 + trial.problem)), store.put(a_variant(trial.variant)),
                session};
        auto m = a_timing(ids, Round::final, trial.us);
        m.recorded = moment(trial.second);
        store.put(m);
        conditions["problems"].push_back({{"problem", ids.problem}, {"device", ids.device}});
      }
      if (has_ended(part, n)) store.end_session(session, conditions.dump());
    }
    for (int code = 0; code < kThings; ++code) {
      const bool settled = part.codes.contains(code);
      if (!settled && !part.hung.contains(code)) continue;
      CodeObjectRecord c{.key = key(100 + code),
                         .variant_id = store.put(a_variant(code)),
                         .toolchain_id = store.put(a_toolchain("0")),
                         .arch = "gfx0",
                         .entry_template = "sparse_mla_decode",
                         .verdict = settled ? Verdict::ok : Verdict::timed_out,
                         .reason = settled ? "" : "60 s",
                         .content = settled ? key(200 + code) : "",
                         .compile_seconds = 1 + double(below(100)) / 8};
      if (settled) c.resources.vgprs = 100 + code;
      if (settled && below(2) == 0) c.resources.mfma = 96;
      store.put(c);
    }
    // Ends of the same run are of the same moment in all files.
    sqlite3* raw = nullptr;
    sqlite3_open(path.c_str(), &raw);
    sqlite3_exec(raw, "UPDATE sessions SET ended = '2026-01-03T00:00:00Z' WHERE ended <> ''",
                 nullptr, nullptr, nullptr);
    sqlite3_close(raw);
  }

  // --- the model

  // Of all parts, what is known of a run: sessions without identity that have ended and such that
  // have not are different ones.
  std::vector<std::string> sessions(const std::vector<Part>& parts) const {
    std::set<std::string> all;
    for (std::size_t n = 0; n < runs.size(); ++n) {
      bool ended = false, unended = false;
      for (const Part& part : parts) {
        if (!part.trials.contains(n)) continue;
        (has_ended(part, n) ? ended : unended) = true;
      }
      if (ended) all.insert(std::to_string(n) + " ended");
      if (unended && !(ended && !runs[n].id.empty())) all.insert(std::to_string(n) + " runs");
    }
    return {all.begin(), all.end()};
  }

  // Measurements in the order in which they must stand.
  std::vector<std::string> measurements(const std::vector<Part>& parts) const {
    struct Row {
      int second, began;
      std::string id;
      std::uint64_t seed;
      bool ended;
      std::size_t place;
      std::string text;
      auto order() const { return std::tie(second, began, id, seed, ended, place); }
    };
    std::vector<Row> rows;
    for (std::size_t n = 0; n < runs.size(); ++n) {
      const Run& run = runs[n];
      std::size_t most[2] = {0, 0};
      for (const Part& part : parts)
        if (part.trials.contains(n)) {
          auto& longest = most[run.id.empty() && has_ended(part, n)];
          longest = std::max(longest, std::min(part.trials.at(n), run.trials.size()));
        }
      for (const bool ended : {false, true})
        for (std::size_t t = 0; t < most[ended]; ++t) {
          const Trial& trial = run.trials[t];
          char text[200];
          std::snprintf(text, sizeof text, "%llu %d gfx%d %d %s %g",
                        static_cast<unsigned long long>(run.seed), trial.toolchain, trial.device,
                        1 + trial.problem, key(trial.variant).c_str(), double{trial.us});
          rows.push_back({trial.second, run.began, run.id, run.seed, ended, t, text});
        }
    }
    std::ranges::sort(rows, {}, [](const Row& row) { return row.order(); });
    std::vector<std::string> texts;
    for (const Row& row : rows) texts.push_back(row.text);
    return texts;
  }

  std::vector<std::string> codes(const std::vector<Part>& parts) const {
    std::vector<std::string> all;
    for (int code = 0; code < kThings; ++code) {
      bool settled = false, hung = false;
      for (const Part& part : parts) {
        settled = settled || part.codes.contains(code);
        hung = hung || part.hung.contains(code);
      }
      if (settled || hung) all.push_back(std::to_string(code) + (settled ? " ok" : " hung"));
    }
    return all;
  }
};

}  // namespace mla::test
