// The questions that read much: who wins, how much there is, whether it is sound.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "db/schema.hpp"
#include "db/store_impl.hpp"

namespace mla {
namespace {

Evidence evidence_named(std::string_view text) {
  for (const auto evidence : {Evidence::measured, Evidence::predicted}) {
    if (text == name(evidence)) return evidence;
  }
  throw Error(ErrorKind::internal, fmt::format("no evidence is called '{}'", text));
}

// Median of float32 samples, in double; the mean of the middle two of an even number.
double median(std::vector<float> samples) {
  std::sort(samples.begin(), samples.end());
  const std::size_t middle = samples.size() / 2;
  const double upper = samples[middle];
  return samples.size() % 2 == 1 ? upper : (double{samples[middle - 1]} + upper) / 2;
}

std::vector<StoreStats::VerdictCount> verdict_counts(sqlite::Statement row) {
  std::vector<StoreStats::VerdictCount> counts;
  while (row.step()) {
    counts.push_back({row.text(0), row.text(1), verdict_from(row.small(2)), row.integer(3)});
  }
  return counts;
}

// SQLite takes no note of the rules of a database that it may only read (sqlite3AddCheckConstraint
// of its build.c), and then holds no row against them.
void check_pages(sqlite::Connection& connection, std::vector<std::string>& findings) {
  sqlite::Connection copy;
  if (connection.is_read_only()) connection.copy_to(copy);
  auto row = (connection.is_read_only() ? copy : connection).prepare("PRAGMA integrity_check");
  while (row.step()) {
    if (row.text(0) != "ok") findings.push_back(row.text(0));
  }
}

// Whitespace apart, the text of everything that the schema declares.
std::map<std::string, std::string> declarations(sqlite::Connection& connection) {
  auto row = connection.prepare("SELECT name, sql FROM sqlite_schema WHERE sql IS NOT NULL");
  std::map<std::string, std::string> texts;
  while (row.step()) {
    auto text = row.text(1);
    std::erase_if(text, [](char c) { return c == ' ' || c == '\n'; });
    texts[row.text(0)] = text;
  }
  return texts;
}

// A rule that somebody took out of the schema does not protect any row; a changed winner view lies.
void check_schema(sqlite::Connection& connection, std::vector<std::string>& findings) {
  sqlite::Connection fresh;
  fresh.run_script(kSchemaSql);
  auto found = declarations(connection);
  for (const auto& [name, text] : declarations(fresh)) {
    const auto ours = found.extract(name);
    if (ours.empty()) {
      findings.push_back(fmt::format("{} is missing from the schema", name));
    } else if (ours.mapped() != text) {
      findings.push_back(
          fmt::format("{} is declared otherwise than format {} says", name, kSchemaVersion));
    }
  }
  for (const auto& [name, text] : found) {
    findings.push_back(fmt::format("{} is not part of format {}", name, kSchemaVersion));
  }
}

void check_references(sqlite::Connection& connection, std::vector<std::string>& findings) {
  auto row = connection.prepare("PRAGMA foreign_key_check");
  while (row.step()) {
    findings.push_back(fmt::format("{} row {} refers to a row of {} that is not there", row.text(0),
                                   row.integer(1), row.text(2)));
  }
}

void check_values(sqlite::Connection& connection, std::vector<std::string>& findings) {
  auto row = connection.prepare(
      "SELECT 'measurements', id, verdict, evidence, round FROM measurements UNION ALL"
      " SELECT 'code_objects', id, verdict, 1, 1 FROM code_objects");
  while (row.step()) {
    try {
      verdict_from(row.small(2));
      evidence_from(row.small(3));
      round_from(row.small(4));
    } catch (const Error& error) {
      findings.push_back(fmt::format("{} row {}: {}", row.text(0), row.integer(1), error.what()));
    }
  }
  auto silent = connection.prepare(
      "SELECT 'measurements', id FROM measurements WHERE verdict NOT IN (0, 7) AND reason = ''"
      " UNION ALL SELECT 'code_objects', id FROM code_objects WHERE verdict NOT IN (0, 7) AND "
      "reason = ''");
  while (silent.step()) {
    findings.push_back(
        fmt::format("{} row {} is a failure without a reason", silent.text(0), silent.integer(1)));
  }
}

void check_samples(sqlite::Connection& connection, std::vector<std::string>& findings) {
  auto row = connection.prepare(
      "SELECT id, verdict, median_us, samples FROM measurements WHERE length(samples) > 0");
  while (row.step()) {
    const auto id = row.integer(0);
    const auto bytes = row.blob(3);
    if (bytes.size() % sizeof(float) != 0) {
      findings.push_back(
          fmt::format("measurements row {}: {} bytes of samples are not whole numbers of float32",
                      id, bytes.size()));
      continue;
    }
    std::vector<float> samples(bytes.size() / sizeof(float));
    std::memcpy(samples.data(), bytes.data(), bytes.size());
    const bool sound = std::all_of(samples.begin(), samples.end(),
                                   [](float us) { return std::isfinite(us) && us > 0; });
    if (!sound) {
      findings.push_back(fmt::format("measurements row {}: a sample is not a time", id));
    } else if (row.small(1) == static_cast<int>(Verdict::ok)) {
      const double expected = median(samples);
      // As far apart as rounding to float32 can bring them.
      if (std::abs(expected - row.real(2)) > 1e-6 * expected) {
        findings.push_back(
            fmt::format("measurements row {}: the median is {} us, of its samples {} us", id,
                        row.real(2), expected));
      }
    }
  }
}

}  // namespace

std::vector<Winner> Store::winners(std::string_view arch) {
  auto row = impl_->query(
      "SELECT arch, kernel, num_heads, num_tokens, main_len, extra_len, main_page, extra_page,"
      " rocm, variant, params, evidence, median_us, main_format, extra_format, lengths, warm_cache"
      " FROM winner WHERE ?1 = '' OR arch = ?1 ORDER BY arch, kernel, num_heads, num_tokens,"
      " main_len, extra_len, main_page, extra_page, main_format, extra_format, lengths, warm_cache,"
      " rocm",
      arch);
  std::vector<Winner> winners;
  while (row.step()) {
    Winner winner;
    winner.arch = row.text(0);
    winner.problem.kernel = row.text(1);
    winner.problem.num_heads = row.small(2);
    winner.problem.num_tokens = row.small(3);
    winner.problem.main_len = row.small(4);
    winner.problem.extra_len = row.small(5);
    winner.problem.main_page = row.small(6);
    winner.problem.extra_page = row.small(7);
    winner.rocm = row.text(8);
    winner.variant = row.text(9);
    winner.params = row.text(10);
    winner.evidence = evidence_named(row.text(11));
    winner.median_us = row.real(12);
    winner.problem.main_format = row.small(13);
    winner.problem.extra_format = row.small(14);
    winner.problem.lengths = row.text(15);
    winner.problem.warm_cache = row.integer(16) != 0;
    winners.push_back(std::move(winner));
  }
  return winners;
}

// The newest of the best evidence: what the view counts by, as it is ok.
WinnerOrigin Store::origin(const Winner& w) {
  const ProblemRecord& p = w.problem;
  auto row = impl_->query(
      "SELECT d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id, d.partition,"
      " d.driver, d.runtime, t.compiler, t.release, t.library, t.llvm, m.mad_us, m.ci_low_us,"
      " m.ci_high_us, m.max_error, m.cosine_gap, m.recorded FROM variants v"
      " JOIN problems p ON p.kernel = ? AND p.num_heads = ? AND p.num_tokens = ? AND p.main_len = ?"
      " AND p.extra_len = ? AND p.main_page = ? AND p.extra_page = ? AND p.main_format = ?"
      " AND p.extra_format = ? AND p.lengths = ? AND p.warm_cache = ?"
      " JOIN measurements m ON m.variant_id = v.id AND m.problem_id = p.id AND m.round = 2"
      " JOIN devices d ON d.id = m.device_id JOIN toolchains t ON t.id = m.toolchain_id"
      " WHERE v.key = ? AND d.arch = ? AND t.release = ? ORDER BY m.evidence, m.id DESC LIMIT 1",
      p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page, p.extra_page,
      p.main_format, p.extra_format, p.lengths, int{p.warm_cache}, w.variant, w.arch, w.rocm);
  if (!row.step())
    throw Error(ErrorKind::database,
                fmt::format("{0} does not have the measurement by which variant {1} wins: it is "
                            "damaged, or was written to meanwhile. `mla-tune db check --db {0}` "
                            "tells; if nothing is wrong, run again.",
                            impl_->connection.path().string(), w.variant));
  return {.device = {0, row.text(0), row.text(1), row.small(2), row.integer(3), row.small(4),
                     row.text(5), row.text(6), row.text(7), row.text(8)},
          .toolchain = {0, row.text(9), row.text(10), row.text(11), row.text(12)},
          .mad_us = row.real(13),
          .ci_low_us = row.real(14),
          .ci_high_us = row.real(15),
          .max_error = row.real(16),
          .cosine_gap = row.real(17),
          .recorded = row.text(18)};
}

StoreStats Store::stats() {
  StoreStats stats;
  Savepoint one_moment(*impl_);
  auto file = impl_->query(
      "SELECT (SELECT user_version FROM pragma_user_version),"
      " (SELECT page_count FROM pragma_page_count) * (SELECT page_size FROM pragma_page_size)");
  file.step();
  stats.format = file.small(0);
  stats.bytes = file.integer(1);
  auto tables = impl_->query(
      "SELECT 'toolchains', count(*) FROM toolchains UNION ALL"
      " SELECT 'devices', count(*) FROM devices UNION ALL"
      " SELECT 'problems', count(*) FROM problems UNION ALL"
      " SELECT 'variants', count(*) FROM variants UNION ALL"
      " SELECT 'code_objects', count(*) FROM code_objects UNION ALL"
      " SELECT 'measurements', count(*) FROM measurements UNION ALL"
      " SELECT 'sessions', count(*) FROM sessions");
  while (tables.step()) stats.tables.emplace_back(tables.text(0), tables.integer(1));
  stats.variants =
      verdict_counts(impl_->query("SELECT arch, rocm, verdict, count(*) FROM variant_verdict"
                                  " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"));
  stats.code_objects = verdict_counts(impl_->query(
      "SELECT c.arch, t.release, c.verdict, count(*) FROM code_objects c"
      " JOIN toolchains t ON t.id = c.toolchain_id GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"));
  stats.measurements = verdict_counts(impl_->query(
      "SELECT d.arch, t.release, m.verdict, count(*) FROM measurements m"
      " JOIN devices d ON d.id = m.device_id JOIN toolchains t ON t.id = m.toolchain_id"
      " GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"));
  auto winners = impl_->query(
      "SELECT arch, rocm, evidence, count(*) FROM winner GROUP BY 1, 2, 3 ORDER BY 1, 2, 3");
  while (winners.step()) {
    stats.winners.push_back(
        {winners.text(0), winners.text(1), evidence_named(winners.text(2)), winners.integer(3)});
  }
  one_moment.release();
  return stats;
}

std::vector<std::string> Store::check() {
  std::vector<std::string> findings;
  for (const auto part :
       {check_pages, check_schema, check_references, check_values, check_samples}) {
    // A damaged page ends one part; the others may still have something to say.
    try {
      part(impl_->connection, findings);
    } catch (const Error& error) {
      findings.emplace_back(error.what());
    }
  }
  return findings;
}

}  // namespace mla
