#include "tuner/import.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <optional>
#include <tuple>

#include "db/error.hpp"

namespace mla {
namespace {

std::string in_words(const Winner& w) {
  const ProblemRecord& p = w.problem;
  return fmt::format("{} {} heads {} tokens {} keys {}+{} pages {}/{}{}{}", w.arch, w.rocm,
                     p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page, p.extra_page,
                     p.lengths == "uniform" ? "" : " " + p.lengths, p.warm_cache ? " warm" : "");
}

std::string in_words(std::string_view variant, Evidence evidence, double us) {
  return fmt::format("variant {} ({}, {:.2f} us)", variant.substr(0, 12), name(evidence), us);
}

auto problem_key(const Winner& w) {
  const ProblemRecord& p = w.problem;
  return std::tuple(w.arch, w.rocm, p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len,
                    p.main_page, p.extra_page, p.main_format, p.extra_format, p.lengths,
                    p.warm_cache);
}

class Importing {
 public:
  Importing(Store& store, const Session& session) : store_(store), session_(session) {
    for (Winner& winner : store.winners()) ours_.emplace(problem_key(winner), std::move(winner));
    devices_ = store.devices();
    toolchains_ = store.toolchains();
  }

  void add(const KnownWinner& known) {
    const Winner& w = known.winner;
    const std::int64_t problem = store_.put(w.problem);
    const std::int64_t variant =
        store_.put(VariantRecord{.key = w.variant, .kernel = w.problem.kernel, .params = w.params});
    const std::optional<MeasurementRecord> here = newest_here(w, problem, variant);
    const std::string theirs = in_words(w.variant, w.evidence, w.median_us);
    if (here && is_failure(here->verdict)) {
      say(w, fmt::format("{} is left out: it failed here ({}: {})", theirs, name(here->verdict),
                         here->reason));
      return;
    }
    if (here && here->evidence <= w.evidence) {
      ++report.known;
      if (here->evidence != w.evidence || here->median_us != w.median_us)
        say(w, fmt::format("{} is left out: here it is {:.2f} us {}", theirs, here->median_us,
                           name(here->evidence)));
      return;
    }
    const auto ours = ours_.find(problem_key(w));
    if (ours != ours_.end() && ours->second.variant != w.variant) {
      const Winner& o = ours->second;
      const bool wins = std::tie(w.evidence, w.median_us, w.variant) <
                        std::tie(o.evidence, o.median_us, o.variant);
      say(w,
          fmt::format("{} meets {}: {} wins", theirs, in_words(o.variant, o.evidence, o.median_us),
                      wins ? "what was imported" : "what is here"));
    }
    put(known, problem, variant);
    ++report.added;
  }

  ImportReport report;

 private:
  // The row that counts for this variant (db/README.md, "Who wins"): of the final round, or a
  // failure; measured before predicted, then the newest.
  std::optional<MeasurementRecord> newest_here(const Winner& w, std::int64_t problem,
                                               std::int64_t variant) {
    std::optional<MeasurementRecord> best;
    for (const Device& device : devices_) {
      if (device.arch != w.arch) continue;
      for (const Toolchain& toolchain : toolchains_) {
        if (toolchain.release != w.rocm) continue;
        for (const Round round : {Round::search, Round::final}) {
          auto row = store_.find_measurement(variant, problem, device.id, toolchain.id, round);
          if (!row || (round == Round::search && !is_failure(row->verdict)) ||
              row->verdict == Verdict::unverified)
            continue;
          if (!best || row->evidence < best->evidence ||
              (row->evidence == best->evidence && row->id > best->id))
            best = std::move(row);
        }
      }
    }
    return best;
  }

  void put(const KnownWinner& known, std::int64_t problem, std::int64_t variant) {
    const Winner& w = known.winner;
    const WinnerOrigin& o = known.origin;
    if (session_id_ == 0) session_id_ = store_.start_session(session_);
    MeasurementRecord row{.variant_id = variant,
                          .problem_id = problem,
                          .device_id = store_.put(o.device),
                          .toolchain_id = store_.put(o.toolchain),
                          .session_id = session_id_,
                          .evidence = w.evidence,
                          .round = Round::final,
                          .median_us = w.median_us,
                          .mad_us = o.mad_us,
                          .ci_low_us = o.ci_low_us,
                          .ci_high_us = o.ci_high_us,
                          .max_error = o.max_error,
                          .cosine_gap = o.cosine_gap,
                          .recorded = o.recorded};
    if (w.evidence == Evidence::measured) row.samples_us = {static_cast<float>(w.median_us)};
    store_.put(row);
    const auto is_known = [](const auto& records, std::int64_t id) {
      return std::ranges::any_of(records, [&](const auto& record) { return record.id == id; });
    };
    if (!is_known(devices_, row.device_id) || !is_known(toolchains_, row.toolchain_id))
      look_around();
  }

  void look_around() {
    devices_ = store_.devices();
    toolchains_ = store_.toolchains();
  }

  void say(const Winner& w, const std::string& what) {
    report.conflicts.push_back(fmt::format("{}: {}", in_words(w), what));
  }

  Store& store_;
  const Session& session_;
  std::map<decltype(problem_key(Winner())), Winner> ours_;
  std::vector<Device> devices_;
  std::vector<Toolchain> toolchains_;
  std::int64_t session_id_ = 0;

 public:
  std::int64_t session() const { return session_id_; }
};

}  // namespace

ImportReport import_winners(Store& store, std::span<const KnownWinner> winners,
                            const Session& session) {
  for (std::size_t i = 0; i < winners.size(); ++i)
    check_winner(winners[i], fmt::format("winner {}", i + 1));
  auto transaction = store.transaction();
  Importing importing(store, session);
  for (const KnownWinner& known : winners) importing.add(known);
  if (importing.session() != 0) store.end_session(importing.session());
  transaction.commit();
  return std::move(importing.report);
}

}  // namespace mla
