#include "db/store.hpp"

#include <fmt/format.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "db/store_impl.hpp"

namespace mla {
namespace {

static_assert(std::endian::native == std::endian::little, "samples are stored little-endian");

// In the order in which the columns stand in every statement below.
constexpr int Resources::*kResources[] = {
    &Resources::vgprs,       &Resources::agprs,         &Resources::sgprs,
    &Resources::lds_bytes,   &Resources::scratch_bytes, &Resources::vgpr_spills,
    &Resources::sgpr_spills, &Resources::code_bytes,    &Resources::waves_per_simd,
    &Resources::mfma,        &Resources::lds,           &Resources::vmem,
    &Resources::valu,        &Resources::salu};

// NaN is what a broken kernel answers; SQLite would store NULL.
double storable(double error) {
  return std::isnan(error) ? std::numeric_limits<double>::infinity() : error;
}

VariantRecord variant_from(const sqlite::Statement& row) {
  return {row.integer(0), row.text(1), row.text(2), row.text(3)};
}

}  // namespace

std::vector<float> samples_from(const std::vector<std::byte>& bytes) {
  std::vector<float> samples(bytes.size() / sizeof(float));
  if (!samples.empty()) std::memcpy(samples.data(), bytes.data(), samples.size() * sizeof(float));
  return samples;
}

CodeObjectRecord code_object_from(const sqlite::Statement& row) {
  CodeObjectRecord record;
  record.id = row.integer(0);
  record.key = row.text(1);
  record.toolchain_id = row.integer(2);
  record.arch = row.text(3);
  record.entry_template = row.text(4);
  record.verdict = verdict_from(row.small(5));
  record.reason = row.text(6);
  record.content = row.text(7);
  record.compile_seconds = row.real(8);
  int column = 9;
  for (const auto field : kResources) record.resources.*field = row.small(column++);
  return record;
}

MeasurementRecord measurement_from(const sqlite::Statement& row) {
  MeasurementRecord record;
  record.id = row.integer(0);
  record.variant_id = row.integer(1);
  record.problem_id = row.integer(2);
  record.device_id = row.integer(3);
  record.toolchain_id = row.integer(4);
  record.session_id = row.integer(5);
  record.evidence = evidence_from(row.small(6));
  record.round = round_from(row.small(7));
  record.verdict = verdict_from(row.small(8));
  record.reason = row.text(9);
  record.median_us = row.real(10);
  record.mad_us = row.real(11);
  record.ci_low_us = row.real(12);
  record.ci_high_us = row.real(13);
  record.max_error = row.real(14);
  record.cosine_gap = row.real(15);
  record.recorded = row.text(16);
  return record;
}

std::int64_t Store::put(const Toolchain& t) {
  auto known = impl_->query(
      "SELECT id FROM toolchains WHERE compiler = ? AND release = ? AND library = ? AND llvm = ?",
      t.compiler, t.release, t.library, t.llvm);
  if (known.step()) return known.integer(0);
  impl_
      ->query("INSERT INTO toolchains (compiler, release, library, llvm) VALUES (?, ?, ?, ?)",
              t.compiler, t.release, t.library, t.llvm)
      .run();
  return impl_->connection.last_id();
}

std::int64_t Store::put(const Device& d) {
  auto known = impl_->query(
      "SELECT id FROM devices WHERE arch = ? AND name = ? AND compute_units = ? AND memory_bytes = "
      "?"
      " AND clock_mhz = ? AND pci_id = ? AND partition = ? AND driver = ? AND runtime = ?",
      d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id, d.partition, d.driver,
      d.runtime);
  if (known.step()) return known.integer(0);
  impl_
      ->query(
          "INSERT INTO devices (arch, name, compute_units, memory_bytes, clock_mhz, pci_id,"
          " partition, driver, runtime) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
          d.arch, d.name, d.compute_units, d.memory_bytes, d.clock_mhz, d.pci_id, d.partition,
          d.driver, d.runtime)
      .run();
  return impl_->connection.last_id();
}

std::int64_t Store::put(const ProblemRecord& p) {
  auto known = impl_->query(
      "SELECT id FROM problems WHERE kernel = ? AND num_heads = ? AND num_tokens = ?"
      " AND main_len = ? AND extra_len = ? AND main_page = ? AND extra_page = ?"
      " AND main_format = ? AND extra_format = ? AND lengths = ? AND warm_cache = ?",
      p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page, p.extra_page,
      p.main_format, p.extra_format, p.lengths, int{p.warm_cache});
  if (known.step()) return known.integer(0);
  impl_
      ->query(
          "INSERT INTO problems (kernel, num_heads, num_tokens, main_len, extra_len, main_page,"
          " extra_page, main_format, extra_format, lengths, warm_cache)"
          " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
          p.kernel, p.num_heads, p.num_tokens, p.main_len, p.extra_len, p.main_page, p.extra_page,
          p.main_format, p.extra_format, p.lengths, int{p.warm_cache})
      .run();
  return impl_->connection.last_id();
}

std::int64_t Store::put(const VariantRecord& v) {
  auto known = impl_->query("SELECT id, kernel, params FROM variants WHERE key = ?", v.key);
  if (known.step()) {
    if (known.text(1) != v.kernel || known.text(2) != v.params) {
      throw Error(ErrorKind::internal,
                  fmt::format("variant {} is stored as {} {}, and was to be stored as {} {}", v.key,
                              known.text(1), known.text(2), v.kernel, v.params));
    }
    return known.integer(0);
  }
  impl_
      ->query("INSERT INTO variants (key, kernel, params) VALUES (?, ?, ?)", v.key, v.kernel,
              v.params)
      .run();
  return impl_->connection.last_id();
}

std::int64_t Store::put_unlinked(const CodeObjectRecord& c) {
  auto row = impl_->query(
      "INSERT INTO code_objects (key, toolchain_id, arch, entry_template, verdict,"
      " reason, content, compile_seconds, vgprs, agprs, sgprs, lds_bytes, scratch_bytes,"
      " vgpr_spills, sgpr_spills, code_bytes, waves_per_simd, mfma, lds, vmem, valu, salu)"
      " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
      " ON CONFLICT (key) DO UPDATE SET verdict = excluded.verdict, reason = excluded.reason,"
      " content = excluded.content, compile_seconds = excluded.compile_seconds,"
      " vgprs = excluded.vgprs, agprs = excluded.agprs, sgprs = excluded.sgprs,"
      " lds_bytes = excluded.lds_bytes, scratch_bytes = excluded.scratch_bytes,"
      " vgpr_spills = excluded.vgpr_spills, sgpr_spills = excluded.sgpr_spills,"
      " code_bytes = excluded.code_bytes, waves_per_simd = excluded.waves_per_simd,"
      " mfma = excluded.mfma, lds = excluded.lds, vmem = excluded.vmem, valu = excluded.valu,"
      " salu = excluded.salu RETURNING id",
      c.key, c.toolchain_id, c.arch, c.entry_template, static_cast<int>(c.verdict), c.reason,
      c.content, c.compile_seconds);
  for (const auto field : kResources) row.bind_next(c.resources.*field);
  row.step();
  const auto id = row.integer(0);
  row.run();
  return id;
}

std::int64_t Store::put(const CodeObjectRecord& c) {
  // A code object without its variant would be found and never compiled for it.
  Savepoint both(*impl_);
  const auto id = put_unlinked(c);
  impl_
      ->query(
          "INSERT INTO variant_code_objects (variant_id, code_object_id) VALUES (?, ?)"
          " ON CONFLICT DO NOTHING",
          c.variant_id, id)
      .run();
  both.release();
  return id;
}

std::int64_t Store::put(const MeasurementRecord& m) {
  impl_
      ->query(
          "INSERT INTO measurements (variant_id, problem_id, device_id, toolchain_id, session_id,"
          " evidence, round, verdict, reason, median_us, mad_us, ci_low_us, ci_high_us, max_error,"
          " cosine_gap, recorded, samples) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?,"
          " coalesce(nullif(?, ''), strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), ?)",
          m.variant_id, m.problem_id, m.device_id, m.toolchain_id, m.session_id,
          static_cast<int>(m.evidence), static_cast<int>(m.round), static_cast<int>(m.verdict),
          m.reason, m.median_us, m.mad_us, m.ci_low_us, m.ci_high_us, storable(m.max_error),
          storable(m.cosine_gap), m.recorded, std::as_bytes(std::span(m.samples_us)))
      .run();
  return impl_->connection.last_id();
}

std::int64_t Store::start_session(const Session& s) {
  impl_
      ->query(
          "INSERT INTO sessions (started, ended, command, version, seed, conditions) VALUES ("
          " coalesce(nullif(?, ''), strftime('%Y-%m-%dT%H:%M:%SZ', 'now')), ?, ?, ?, ?, ?)",
          s.started, s.ended, s.command, s.version, static_cast<std::int64_t>(s.seed), s.conditions)
      .run();
  return impl_->connection.last_id();
}

void Store::end_session(std::int64_t id, std::string_view conditions) {
  impl_
      ->query(
          "UPDATE sessions SET ended = strftime('%Y-%m-%dT%H:%M:%SZ', 'now'),"
          " conditions = coalesce(nullif(?, ''), conditions) WHERE id = ?",
          conditions, id)
      .run();
}

std::optional<CodeObjectRecord> Store::find_code_object(std::string_view key) {
  auto row = impl_->query(
      "SELECT id, key, toolchain_id, arch, entry_template, verdict, reason, content,"
      " compile_seconds, vgprs, agprs, sgprs, lds_bytes, scratch_bytes, vgpr_spills, sgpr_spills,"
      " code_bytes, waves_per_simd, mfma, lds, vmem, valu, salu FROM code_objects WHERE key = ?",
      key);
  if (!row.step()) return std::nullopt;
  return code_object_from(row);
}

std::optional<MeasurementRecord> Store::find_measurement(std::int64_t variant_id,
                                                         std::int64_t problem_id,
                                                         std::int64_t device_id,
                                                         std::int64_t toolchain_id, Round round) {
  auto row = impl_->query(
      "SELECT id, variant_id, problem_id, device_id, toolchain_id, session_id, evidence, round,"
      " verdict, reason, median_us, mad_us, ci_low_us, ci_high_us, max_error, cosine_gap, recorded,"
      " samples FROM measurements WHERE variant_id = ? AND problem_id = ? AND device_id = ?"
      " AND toolchain_id = ? AND round = ? ORDER BY id DESC LIMIT 1",
      variant_id, problem_id, device_id, toolchain_id, static_cast<int>(round));
  if (!row.step()) return std::nullopt;
  auto record = measurement_from(row);
  record.samples_us = samples_from(row.blob(17));
  return record;
}

std::vector<MeasurementRecord> Store::measurements(std::int64_t problem_id, std::int64_t device_id,
                                                   std::int64_t toolchain_id, Round round) {
  auto row = impl_->query(
      "SELECT id, variant_id, problem_id, device_id, toolchain_id, session_id, evidence, round,"
      " verdict, reason, median_us, mad_us, ci_low_us, ci_high_us, max_error, cosine_gap, recorded"
      " FROM measurements WHERE id IN (SELECT max(id) FROM measurements WHERE problem_id = ?"
      " AND device_id = ? AND toolchain_id = ? AND round = ? GROUP BY variant_id) ORDER BY id",
      problem_id, device_id, toolchain_id, static_cast<int>(round));
  std::vector<MeasurementRecord> records;
  while (row.step()) records.push_back(measurement_from(row));
  return records;
}

std::vector<VariantRecord> Store::variants(std::string_view key_prefix) {
  // 'g' sorts behind every hexadecimal digit.
  auto row = impl_->query(
      "SELECT id, key, kernel, params FROM variants WHERE key >= ?1 AND key < ?1 || 'g' ORDER BY "
      "key",
      key_prefix);
  std::vector<VariantRecord> records;
  while (row.step()) records.push_back(variant_from(row));
  return records;
}

std::optional<VariantRecord> Store::variant(std::int64_t id) {
  auto row = impl_->query("SELECT id, key, kernel, params FROM variants WHERE id = ?", id);
  if (!row.step()) return std::nullopt;
  return variant_from(row);
}

std::vector<CodeObjectRecord> Store::code_objects(std::int64_t variant_id) {
  auto row = impl_->query(
      "SELECT id, key, toolchain_id, arch, entry_template, verdict, reason, content,"
      " compile_seconds, vgprs, agprs, sgprs, lds_bytes, scratch_bytes, vgpr_spills, sgpr_spills,"
      " code_bytes, waves_per_simd, mfma, lds, vmem, valu, salu FROM code_objects WHERE id IN"
      " (SELECT code_object_id FROM variant_code_objects WHERE variant_id = ?) ORDER BY id",
      variant_id);
  std::vector<CodeObjectRecord> records;
  while (row.step()) {
    records.push_back(code_object_from(row));
    records.back().variant_id = variant_id;
  }
  return records;
}

std::vector<ProblemRecord> Store::problems() {
  auto row = impl_->query(
      "SELECT id, kernel, num_heads, num_tokens, main_len, extra_len, main_page, extra_page,"
      " main_format, extra_format, lengths, warm_cache FROM problems ORDER BY id");
  std::vector<ProblemRecord> records;
  while (row.step()) {
    records.push_back({row.integer(0), row.text(1), row.small(2), row.small(3), row.small(4),
                       row.small(5), row.small(6), row.small(7), row.small(8), row.small(9),
                       row.text(10), row.integer(11) != 0});
  }
  return records;
}

std::vector<Device> Store::devices() {
  auto row = impl_->query(
      "SELECT id, arch, name, compute_units, memory_bytes, clock_mhz, pci_id, partition, driver,"
      " runtime FROM devices ORDER BY id");
  std::vector<Device> records;
  while (row.step()) {
    records.push_back({row.integer(0), row.text(1), row.text(2), row.small(3), row.integer(4),
                       row.small(5), row.text(6), row.text(7), row.text(8), row.text(9)});
  }
  return records;
}

std::vector<Toolchain> Store::toolchains() {
  auto row =
      impl_->query("SELECT id, compiler, release, library, llvm FROM toolchains ORDER BY id");
  std::vector<Toolchain> records;
  while (row.step()) {
    records.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4)});
  }
  return records;
}

std::vector<Session> Store::sessions() {
  auto row = impl_->query(
      "SELECT id, started, ended, command, version, seed, conditions FROM sessions ORDER BY id");
  std::vector<Session> records;
  while (row.step()) {
    records.push_back({row.integer(0), row.text(1), row.text(2), row.text(3), row.text(4),
                       static_cast<std::uint64_t>(row.integer(5)), row.text(6)});
  }
  return records;
}

}  // namespace mla
