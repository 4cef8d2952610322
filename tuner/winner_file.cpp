#include "tuner/winner_file.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tuner/csv.hpp"
#include "tuner/problem_fields.hpp"
#include "tuner/source.hpp"

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "mla-tune winners 1";
constexpr int kDepth = 8;  // of a file's nesting; ours have four

// In the order of the columns.
template <class K, class F>
void for_each_field(K& k, F&& f) {
  auto& w = k.winner;
  auto& o = k.origin;
  f("arch", w.arch);
  for_each_problem_field(w.problem, f);
  f("rocm", w.rocm);
  f("variant", w.variant);
  f("evidence", w.evidence);
  f("median_us", w.median_us);
  f("mad_us", o.mad_us);
  f("ci_low_us", o.ci_low_us);
  f("ci_high_us", o.ci_high_us);
  f("max_error", o.max_error);
  f("cosine_gap", o.cosine_gap);
  f("recorded", o.recorded);
  f("compiler", o.toolchain.compiler);
  f("library", o.toolchain.library);
  f("llvm", o.toolchain.llvm);
  f("device", o.device.name);
  f("compute_units", o.device.compute_units);
  f("memory_bytes", o.device.memory_bytes);
  f("clock_mhz", o.device.clock_mhz);
  f("pci_id", o.device.pci_id);
  f("partition", o.device.partition);
  f("driver", o.device.driver);
  f("runtime", o.device.runtime);
  f("params", w.params);
}

std::string text_of(const std::string& value) { return value; }
std::string text_of(bool value) { return fmt::format("{}", int{value}); }
std::string text_of(Evidence value) { return std::string(name(value)); }
template <class Number>
std::string text_of(Number value) {
  return fmt::format("{}", value);
}

bool parse(std::string_view text, std::string& value) {
  value = text;
  return true;
}
bool parse(std::string_view text, bool& value) {
  value = text == "1";
  return text == "0" || text == "1";
}
bool parse(std::string_view text, Evidence& value) {
  value = text == name(Evidence::measured) ? Evidence::measured : Evidence::predicted;
  return text == name(value);
}
template <class Number>
bool parse(std::string_view text, Number& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size();
}

Json json_of(const std::string& value) { return value; }
Json json_of(Evidence value) { return name(value); }
template <class Number>
Json json_of(Number value) {
  return value;
}

[[noreturn]] void refuse(const std::string& where, const std::string& why) {
  throw Error(ErrorKind::usage, fmt::format("{}: {}", where, why));
}

KnownWinner winner_of(std::map<std::string, std::string>& values, const std::string& where) {
  KnownWinner known;
  for_each_field(known, [&](const char* field, auto& value) {
    const auto found = values.find(field);
    if (found == values.end()) refuse(where, fmt::format("'{}' is missing", field));
    if (!parse(found->second, value))
      refuse(where, fmt::format("'{}' cannot be '{}'", field, found->second));
    values.erase(found);
  });
  if (!values.empty()) refuse(where, fmt::format("nothing is called '{}'", values.begin()->first));
  known.origin.toolchain.release = known.winner.rocm;
  known.origin.device.arch = known.winner.arch;
  check_winner(known, where);
  return known;
}

}  // namespace

std::string winners_csv(std::span<const KnownWinner> winners) {
  std::string csv;
  const auto end_line = [&] { csv.back() = '\n'; };
  const KnownWinner any;
  for_each_field(any, [&](const char* field, const auto&) { (csv += field) += ','; });
  end_line();
  for (const KnownWinner& known : winners) {
    for_each_field(
        known, [&](const char*, const auto& value) { (csv += csv_field(text_of(value))) += ','; });
    end_line();
  }
  return csv;
}

std::string winners_json(std::span<const KnownWinner> winners) {
  Json json = {{"format", kFormat}, {"winners", Json::array()}};
  for (const KnownWinner& known : winners) {
    Json one;
    for_each_field(known,
                   [&](const char* field, const auto& value) { one[field] = json_of(value); });
    one["params"] = Json::parse(known.winner.params);
    json["winners"].push_back(std::move(one));
  }
  return json.dump(2) + "\n";
}

std::vector<KnownWinner> read_winners_csv(std::string_view text, const std::string& name) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // as spreadsheets begin
  const std::vector<CsvRecord> records = csv_records(text, name);
  if (records.empty()) refuse(name, "it is empty: name a file that `mla-tune export` wrote");
  const std::vector<std::string>& columns = records.front().fields;
  if (std::set(columns.begin(), columns.end()).size() != columns.size())
    refuse(name, "two columns have the same name");
  const KnownWinner any;
  for_each_field(any, [&](const char* field, const auto&) {
    if (std::ranges::find(columns, field) == columns.end())
      refuse(fmt::format("{}:{}", name, records.front().line),
             fmt::format("'{}' is missing: name a file that `mla-tune export` wrote", field));
  });
  std::vector<KnownWinner> winners;
  for (std::size_t i = 1; i < records.size(); ++i) {
    const std::string where = fmt::format("{}:{}", name, records[i].line);
    if (records[i].fields.size() != columns.size())
      refuse(where, fmt::format("{} fields, and {} columns have names", records[i].fields.size(),
                                columns.size()));
    std::map<std::string, std::string> values;
    for (std::size_t n = 0; n < columns.size(); ++n) values[columns[n]] = records[i].fields[n];
    winners.push_back(winner_of(values, where));
  }
  return winners;
}

std::vector<KnownWinner> read_winners_json(std::string_view text, const std::string& name) {
  // Whatever is nested deeper is none of ours, and would be copied with a stack as deep.
  const auto shallow = [&](int depth, Json::parse_event_t, Json&) {
    if (depth > kDepth) refuse(name, fmt::format("it is nested deeper than {} levels", kDepth));
    return true;
  };
  const Json json = Json::parse(text, shallow, false);
  if (!json.is_object() || json.value("format", Json()) != kFormat ||
      !json.value("winners", Json()).is_array())
    refuse(name, fmt::format("it is no JSON object with \"format\": \"{}\" and \"winners\", as "
                             "`mla-tune export --json` writes it",
                             kFormat));
  std::vector<KnownWinner> winners;
  for (const Json& one : json["winners"]) {
    const std::string where = fmt::format("{}: winner {}", name, winners.size() + 1);
    if (!one.is_object()) refuse(where, "it is no object");
    std::map<std::string, std::string> values;
    for (const auto& [field, value] : one.items()) {
      if (value.is_boolean()) {
        values[field] = text_of(value.get<bool>());
      } else if (value.is_string()) {
        values[field] = value.get<std::string>();
      } else {
        // Parameters are canonical with their keys in order.
        values[field] =
            value.is_object() ? nlohmann::json::parse(value.dump()).dump() : value.dump();
      }
    }
    winners.push_back(winner_of(values, where));
  }
  return winners;
}

void check_winner(const KnownWinner& known, const std::string& where) {
  const Winner& w = known.winner;
  const ProblemRecord& p = w.problem;
  const WinnerOrigin& o = known.origin;
  const auto need = [&](bool good, const char* what) {
    if (!good) refuse(where, what);
  };
  need(!w.arch.empty() && !w.rocm.empty() && !o.toolchain.compiler.empty(),
       "'arch', 'rocm' and 'compiler' must not be empty");
  need(p.kernel == "sparse_mla_decode", "'kernel' can only be sparse_mla_decode");
  need(p.num_heads >= 1 && p.num_heads <= 128 && p.num_tokens >= 1 && p.main_len >= 0 &&
           p.extra_len >= 0 && p.main_page >= 1 && p.extra_page >= 0 &&
           (p.extra_len == 0) == (p.extra_page == 0),
       "there is no such problem: 1 to 128 heads, at least 1 token, no negative length, pages of "
       "at least 1, and an extra_page exactly where there is an extra_len");
  need((p.main_format == 1 || p.main_format == 2) && (p.extra_format == 1 || p.extra_format == 2),
       "a format is 1 (OCP) or 2 (FNUZ)");
  need(p.lengths == "uniform" || p.lengths == "ragged", "'lengths' is uniform or ragged");
  need(std::isfinite(w.median_us) && w.median_us > 0 && w.median_us < 1e300,
       "'median_us' must be a time");
  need(o.mad_us >= 0 && o.ci_low_us <= o.ci_high_us, "'mad_us' or the interval is none");
  need(o.max_error >= 0 && o.cosine_gap >= -1, "a winner was verified: 'max_error' is at least 0");
  need(o.device.compute_units >= 0 && o.device.memory_bytes >= 0 && o.device.clock_mhz >= 0,
       "a device has no negative numbers");
  std::string canonical;
  try {
    canonical = variant_params(variant_launch(w.params));
  } catch (const Error& error) {
    refuse(where, error.what());
  }
  need(canonical == w.params, "'params' is not in canonical form");
  need(variant_key(p.kernel, w.params) == w.variant, "'variant' is not the key of 'params'");
}

}  // namespace mla
