#include "tuner/record.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <zstd.h>

#include <nlohmann/json.hpp>

#include "db/error.hpp"
#include "kernels/params.hpp"
#include "tuner/problem_fields.hpp"

namespace mla {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFormat = "mla-tune record 1";
constexpr int kCompression = 19;
constexpr unsigned long long kLargest = 1ull << 30;  // what a reader takes for a record

template <class D, class F>
void for_each_device_field(D& d, F&& f) {
  f("arch", d.arch);
  f("name", d.name);
  f("compute_units", d.compute_units);
  f("memory_bytes", d.memory_bytes);
  f("clock_mhz", d.clock_mhz);
  f("pci_id", d.pci_id);
  f("partition", d.partition);
  f("driver", d.driver);
  f("runtime", d.runtime);
}

template <class R, class F>
void for_each_resource(R& r, F&& f) {
  f("vgprs", r.vgprs);
  f("agprs", r.agprs);
  f("sgprs", r.sgprs);
  f("lds_bytes", r.lds_bytes);
  f("scratch_bytes", r.scratch_bytes);
  f("vgpr_spills", r.vgpr_spills);
  f("sgpr_spills", r.sgpr_spills);
  f("code_bytes", r.code_bytes);
  f("waves_per_simd", r.waves_per_simd);
  f("mfma", r.mfma);
  f("lds", r.lds);
  f("vmem", r.vmem);
  f("valu", r.valu);
  f("salu", r.salu);
}

// Names once, then rows of values.
template <class Item, class ForEach>
Json table(const std::vector<Item>& items, ForEach&& for_each) {
  Json names = Json::array(), rows = Json::array();
  const Item example{};
  for_each(example, [&](const char* name, const auto&) { names.push_back(name); });
  for (const Item& item : items) {
    Json row = Json::array();
    for_each(item, [&](const char*, const auto& value) { row.push_back(value); });
    rows.push_back(std::move(row));
  }
  return {{"names", std::move(names)}, {"rows", std::move(rows)}};
}

template <class Item, class ForEach>
std::vector<Item> items(const Json& table, ForEach&& for_each) {
  std::vector<Item> found;
  for (const Json& row : table.at("rows")) {
    Item item{};
    std::size_t column = 0;
    for_each(item, [&](const char*, auto& value) { row.at(column++).get_to(value); });
    found.push_back(std::move(item));
  }
  return found;
}

Json variant_table(const std::vector<RecordVariant>& variants) {
  Json names = Json::array(), rows = Json::array(), codes = Json::array();
  for (const RecordVariant& variant : variants) {
    const Json params = Json::parse(all_params(variant.params));
    if (names.empty())
      for (const auto& [name, value] : params.items()) names.push_back(name);
    Json row = Json::array();
    for (const auto& name : names) row.push_back(params.at(name.get<std::string>()));
    rows.push_back(std::move(row));
    codes.push_back(variant.code);
  }
  return {{"names", std::move(names)}, {"rows", std::move(rows)}, {"code", std::move(codes)}};
}

std::vector<RecordVariant> variants_of(const Json& table) {
  std::vector<RecordVariant> variants;
  for (std::size_t i = 0; i < table.at("rows").size(); ++i) {
    nlohmann::json params = nlohmann::json::object();  // sorts its keys
    std::size_t column = 0;
    for (const Json& name : table.at("names"))
      params[name.get<std::string>()] = table.at("rows").at(i).at(column++);
    variants.push_back({canonical_params(params.dump()), table.at("code").at(i).get<int>()});
  }
  return variants;
}

// Written by hand: the shortest text of a float, where JSON libraries write a double's.
std::string row_columns(const std::vector<RecordRow>& rows) {
  std::string text;
  const auto column = [&](const char* name, auto&& value) {
    text += fmt::format("{}\"{}\":[", text.empty() ? "" : ",", name);
    const char* comma = "";
    for (const RecordRow& row : rows) {
      text += comma;
      text += value(row);
      comma = ",";
    }
    text += ']';
  };
  column("problem", [](const RecordRow& r) { return std::to_string(r.problem); });
  column("variant", [](const RecordRow& r) { return std::to_string(r.variant); });
  column("device", [](const RecordRow& r) { return std::to_string(r.device); });
  column("round", [](const RecordRow& r) { return std::to_string(static_cast<int>(r.round)); });
  column("verdict", [](const RecordRow& r) { return std::to_string(static_cast<int>(r.verdict)); });
  column("predicted_us", [](const RecordRow& r) { return fmt::format("{:.6g}", r.predicted_us); });
  column("samples_us",
         [](const RecordRow& r) { return fmt::format("[{}]", fmt::join(r.samples_us, ",")); });
  return text;
}

std::string decompress(std::string_view bytes) {
  const unsigned long long size = ZSTD_getFrameContentSize(bytes.data(), bytes.size());
  if (size > kLargest)
    throw Error(ErrorKind::usage, "this is no record: no zstd frame with a size");
  std::string text(static_cast<std::size_t>(size), '\0');
  const std::size_t got = ZSTD_decompress(text.data(), text.size(), bytes.data(), bytes.size());
  if (ZSTD_isError(got) || got != text.size())
    throw Error(ErrorKind::usage, "this record is damaged: it does not decompress; get it again");
  return text;
}

Record parse(const std::string& text) {
  const Json json = Json::parse(text);
  if (json.at("format") != kFormat)
    throw Error(ErrorKind::usage, fmt::format("the record is of format \"{}\", and only \"{}\" is "
                                              "known here",
                                              json.at("format").get<std::string>(), kFormat));
  Record record;
  json.at("arch").get_to(record.arch);
  json.at("compiler").get_to(record.compiler);
  json.at("release").get_to(record.release);
  record.devices =
      items<Device>(json.at("devices"), [](auto& d, auto&& f) { for_each_device_field(d, f); });
  record.problems = items<ProblemRecord>(json.at("problems"),
                                         [](auto& p, auto&& f) { for_each_problem_field(p, f); });
  record.codes =
      items<Resources>(json.at("codes"), [](auto& r, auto&& f) { for_each_resource(r, f); });
  record.variants = variants_of(json.at("variants"));
  const Json& rows = json.at("rows");
  for (std::size_t i = 0; i < rows.at("problem").size(); ++i) {
    RecordRow row;
    rows.at("problem").at(i).get_to(row.problem);
    rows.at("variant").at(i).get_to(row.variant);
    rows.at("device").at(i).get_to(row.device);
    row.round = round_from(rows.at("round").at(i).get<int>());
    row.verdict = verdict_from(rows.at("verdict").at(i).get<int>());
    rows.at("predicted_us").at(i).get_to(row.predicted_us);
    rows.at("samples_us").at(i).get_to(row.samples_us);
    record.rows.push_back(std::move(row));
  }
  return record;
}

}  // namespace

std::string encode_record(const Record& record) {
  const Json head = {
      {"format", kFormat},
      {"arch", record.arch},
      {"compiler", record.compiler},
      {"release", record.release},
      {"devices", table(record.devices, [](auto& d, auto&& f) { for_each_device_field(d, f); })},
      {"problems", table(record.problems, [](auto& p, auto&& f) { for_each_problem_field(p, f); })},
      {"codes", table(record.codes, [](auto& r, auto&& f) { for_each_resource(r, f); })},
      {"variants", variant_table(record.variants)}};
  std::string text = head.dump();
  text.back() = ',';
  text += fmt::format("\"rows\":{{{}}}}}", row_columns(record.rows));
  std::string bytes(ZSTD_compressBound(text.size()), '\0');
  const std::size_t size =
      ZSTD_compress(bytes.data(), bytes.size(), text.data(), text.size(), kCompression);
  if (ZSTD_isError(size))
    throw Error(ErrorKind::system, fmt::format("zstd: {}", ZSTD_getErrorName(size)));
  bytes.resize(size);
  return bytes;
}

Record decode_record(std::string_view bytes) {
  const std::string text = decompress(bytes);
  try {
    return parse(text);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorKind::usage, fmt::format("this is no record: {}", error.what()));
  }
}

}  // namespace mla
