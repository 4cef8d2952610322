#include "db/merge_rows.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

// The identity that a session was given; empty in files of before sessions had one.
std::string identity(const Session& session) {
  const Json json = Json::parse(session.conditions, nullptr, false);
  if (!json.is_object()) return {};
  const auto id = json.find("id");
  return id != json.end() && id->is_string() ? id->get<std::string>() : std::string();
}

std::string described(const Session& s) {
  return fmt::format("started {}, ended {}, '{}', version {}, seed {}", s.started,
                     s.ended.empty() ? "never" : s.ended, s.command, s.version, s.seed);
}

bool same_start(const Session& a, const Session& b) {
  return a.started == b.started && a.command == b.command && a.version == b.version &&
         a.seed == b.seed;
}

}  // namespace

Store::Merge::Counts Store::Merge::counts(Store& store) {
  auto row = store.impl_->query(
      "SELECT 'toolchains', count(*) FROM toolchains UNION ALL"
      " SELECT 'devices', count(*) FROM devices UNION ALL"
      " SELECT 'problems', count(*) FROM problems UNION ALL"
      " SELECT 'variants', count(*) FROM variants UNION ALL"
      " SELECT 'code_objects', count(*) FROM code_objects UNION ALL"
      " SELECT 'variant_code_objects', count(*) FROM variant_code_objects UNION ALL"
      " SELECT 'sessions', count(*) FROM sessions UNION ALL"
      " SELECT 'measurements', count(*) FROM measurements");
  Counts counts;
  while (row.step()) counts.emplace_back(row.text(0), row.integer(1));
  return counts;
}

Store::Merge::Counts Store::Merge::take(Store& in, const std::string& name) {
  in_name_ = name;
  for (Ids* ids : {&toolchains_, &devices_, &problems_, &variants_, &code_objects_, &sessions_})
    ids->clear();
  new_sessions_.clear();
  Savepoint one_moment(*in.impl_);
  const Counts counts = Merge::counts(in);
  for (const Toolchain& row : in.toolchains()) toolchains_[row.id] = out_.put(row);
  for (const Device& row : in.devices()) devices_[row.id] = out_.put(row);
  for (const ProblemRecord& row : in.problems()) problems_[row.id] = out_.put(row);
  take_variants(in);
  take_code_objects(in);
  take_sessions(in);
  take_measurements(in);
  one_moment.release();
  return counts;
}

const std::string& Store::Merge::origin(const std::string& row) const {
  const auto at = origins_.find(row);
  return at == origins_.end() ? out_name_ : at->second;
}

void Store::Merge::conflict(const std::string& row, const std::string& theirs,
                            const std::string& ours) {
  conflicts_.push_back(
      fmt::format("{}: {} in {}, {} in {}", row, ours, origin(row), theirs, in_name_));
}

void Store::Merge::take_variants(Store& in) {
  for (const VariantRecord& row : in.variants()) {
    const std::string name = "variant " + row.key;
    const std::vector<VariantRecord> known = out_.variants(row.key);
    if (known.empty()) {
      variants_[row.id] = out_.put(row);
      origins_[name] = in_name_;
      continue;
    }
    const VariantRecord& ours = known.front();
    variants_[row.id] = ours.id;
    if (ours.kernel != row.kernel || ours.params != row.params)
      conflict(name, row.kernel + " " + row.params, ours.kernel + " " + ours.params);
  }
}

// A session tells of problems and devices by their ids.
std::string Store::Merge::translated(const std::string& conditions) const {
  Json json = Json::parse(conditions, nullptr, false);
  if (!json.is_object() || !json.contains("problems") || !json["problems"].is_array())
    return conditions;
  const auto translate = [](Json& row, const char* field, const Ids& ids) {
    if (!row.is_object() || !row.contains(field) || !row[field].is_number_integer()) return;
    const auto at = ids.find(row[field].get<std::int64_t>());
    row[field] = at == ids.end() ? 0 : at->second;  // 0 is no row's id
  };
  for (Json& row : json["problems"]) {
    translate(row, "problem", problems_);
    translate(row, "device", devices_);
  }
  return json.dump();
}

void Store::Merge::take_sessions(Store& in) {
  std::vector<Session> known = out_.sessions();
  std::set<std::int64_t> matched;
  for (Session& session : in.sessions()) {
    session.conditions = translated(session.conditions);
    take_session(std::move(session), known, matched);
  }
}

void Store::Merge::take_session(Session session, std::vector<Session>& known,
                                std::set<std::int64_t>& matched) {
  const std::string id = identity(session);
  // Without an identity the whole row is it, and rows that are equal are told apart by how many.
  const auto same = std::ranges::find_if(known, [&](const Session& k) {
    if (!id.empty()) return identity(k) == id;
    return !matched.contains(k.id) && same_start(k, session) && k.ended == session.ended &&
           k.conditions == session.conditions;
  });
  const std::int64_t theirs = session.id;
  if (same == known.end()) {
    session.id = sessions_[theirs] = out_.start_session(session);
    if (!id.empty()) origins_["session " + id] = in_name_;
    new_sessions_.insert(session.id);
    matched.insert(session.id);
    known.push_back(std::move(session));
    return;
  }
  sessions_[theirs] = same->id;
  matched.insert(same->id);
  // An earlier copy of it, or one that was killed, has no end and less to say of the conditions.
  const bool both_ended = !session.ended.empty() && !same->ended.empty();
  if (!same_start(*same, session) ||
      (both_ended && (same->ended != session.ended || same->conditions != session.conditions)))
    return conflict("session " + id, described(session), described(*same));
  if (session.ended.empty() || both_ended) return;
  out_.impl_
      ->query("UPDATE sessions SET ended = ?, conditions = ? WHERE id = ?", session.ended,
              session.conditions, same->id)
      .run();
  same->ended = session.ended;
  same->conditions = session.conditions;
  if (!new_sessions_.contains(same->id)) ++updated_sessions_;
}

// The first row of `out` that is equal and has not been found equal to another row of this input; 0
// where there is none.
std::int64_t Store::Merge::equal_measurement(const MeasurementRecord& m,
                                             const std::set<std::int64_t>& matched) {
  auto row = out_.impl_->query(
      "SELECT id FROM measurements WHERE variant_id = ? AND problem_id = ? AND device_id = ?"
      " AND toolchain_id = ? AND round = ? AND session_id = ? AND evidence = ? AND verdict = ?"
      " AND reason = ? AND median_us = ? AND mad_us = ? AND ci_low_us = ? AND ci_high_us = ?"
      " AND max_error = ? AND cosine_gap = ? AND recorded = ? AND samples = ? ORDER BY id",
      m.variant_id, m.problem_id, m.device_id, m.toolchain_id, static_cast<int>(m.round),
      m.session_id, static_cast<int>(m.evidence), static_cast<int>(m.verdict), m.reason,
      m.median_us, m.mad_us, m.ci_low_us, m.ci_high_us, m.max_error, m.cosine_gap, m.recorded,
      std::as_bytes(std::span(m.samples_us)));
  while (row.step())
    if (!matched.contains(row.integer(0))) return row.integer(0);
  return 0;
}

void Store::Merge::take_measurements(Store& in) {
  auto row = in.impl_->query(
      "SELECT id, variant_id, problem_id, device_id, toolchain_id, session_id, evidence, round,"
      " verdict, reason, median_us, mad_us, ci_low_us, ci_high_us, max_error, cosine_gap, recorded,"
      " samples FROM measurements ORDER BY id");
  std::set<std::int64_t> matched;
  while (row.step()) {
    MeasurementRecord m = measurement_from(row);
    m.samples_us = samples_from(row.blob(17));
    m.variant_id = variants_.at(m.variant_id);
    m.problem_id = problems_.at(m.problem_id);
    m.device_id = devices_.at(m.device_id);
    m.toolchain_id = toolchains_.at(m.toolchain_id);
    m.session_id = sessions_.at(m.session_id);
    if (!new_sessions_.contains(m.session_id)) {
      const std::int64_t same = equal_measurement(m, matched);
      if (same != 0) {
        matched.insert(same);
        continue;
      }
    }
    matched.insert(out_.put(m));
    ++added_measurements_;
  }
}

void Store::Merge::put_in_order() {
  if (added_measurements_ == 0) return;
  // Rows of one session and second keep their order: an input has at least the rows that an earlier
  // copy of it had, and those came first.
  auto row = out_.impl_->query(
      "SELECT m.id FROM measurements m JOIN sessions s ON s.id = m.session_id ORDER BY m.recorded,"
      " s.started, coalesce(json_extract(s.conditions, '$.id'), ''), s.command, s.version, s.seed,"
      " s.ended, m.id");
  std::vector<std::int64_t> order;
  while (row.step()) order.push_back(row.integer(0));
  // Out of the way first: no two rows may have one id even for a moment.
  std::int64_t id = 0;
  for (const std::int64_t former : order) {
    if (++id == former) continue;
    out_.impl_->query("UPDATE measurements SET id = ? WHERE id = ?", -id, former).run();
  }
  out_.impl_->query("UPDATE measurements SET id = -id WHERE id < 0").run();
}

}  // namespace mla
