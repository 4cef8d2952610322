// What problems, times and code objects look like in every report.
#include <array>

#include "reports/decode_step.hpp"
#include "reports/json.hpp"

namespace mla {
namespace {

constexpr ResourceName kResourceNames[] = {
    {"vgprs", &Resources::vgprs, true},
    {"agprs", &Resources::agprs, true},
    {"sgprs", &Resources::sgprs, true},
    {"lds_bytes", &Resources::lds_bytes, true},
    {"scratch_bytes", &Resources::scratch_bytes, true},
    {"vgpr_spills", &Resources::vgpr_spills, true},
    {"sgpr_spills", &Resources::sgpr_spills, true},
    {"code_bytes", &Resources::code_bytes, true},
    {"waves_per_simd", &Resources::waves_per_simd, false},
    {"mfma", &Resources::mfma, true},
    {"lds", &Resources::lds, true},
    {"vmem", &Resources::vmem, true},
    {"valu", &Resources::valu, true},
    {"salu", &Resources::salu, true},
};

}  // namespace

std::span<const ResourceName> resource_names() { return kResourceNames; }

Json database_list(const Facts& facts) {
  Json list = Json::array();
  for (const FactFile& file : facts.files)
    list.push_back({{"path", file.path.string()},
                    {"format", file.format},
                    {"measurements", file.measurements}});
  return list;
}

Json limits_json(const std::vector<ArchLimits>& archs) {
  Json list = Json::array();
  for (const ArchLimits& one : archs)
    list.push_back({{"arch", one.arch},
                    {"device", one.device},
                    {"bytes_per_second", one.bytes_per_second},
                    {"flops_per_second", one.flops_per_second}});
  return list;
}

Json shape_json(const ProblemRecord& p) {
  return {{"kernel", p.kernel},
          {"num_heads", p.num_heads},
          {"num_tokens", p.num_tokens},
          {"main_len", p.main_len},
          {"extra_len", p.extra_len},
          {"main_page", p.main_page},
          {"extra_page", p.extra_page},
          {"main_format", p.main_format},
          {"extra_format", p.extra_format},
          {"lengths", p.lengths},
          {"warm_cache", p.warm_cache}};
}

Json problem_json(const Facts& facts, const ProblemKey& key) {
  const ProblemRecord& problem = facts.problems[static_cast<std::size_t>(key.problem)];
  Json models = Json::array();
  for (const ModelLayers& one : layers_of(problem))
    models.push_back({{"model", one.model}, {"layers", one.layers}});
  return {{"id", key.arch + "/" + shape_id(problem)},
          {"arch", key.arch},
          {"shape", shape_json(problem)},
          {"words", shape_words(problem)},
          {"kind", layer_kind(problem)},
          {"models", models},
          {"weight", step_weight(problem)}};
}

Json code_json(const Facts& facts, int code) {
  if (code < 0) return nullptr;
  const CodeObjectRecord& record = facts.codes[static_cast<std::size_t>(code)].code;
  Json json = {{"verdict", name(record.verdict)},
               {"reason", record.reason},
               {"content", record.content},
               {"compile_seconds", record.compile_seconds}};
  for (const ResourceName& one : resource_names()) json[one.name] = record.resources.*one.field;
  return json;
}

Json timing_json(const Facts& facts, const Timing& timing) {
  const VariantRecord& variant = facts.variants[static_cast<std::size_t>(timing.variant)];
  Json json = {{"variant", variant.key},
               {"params", Json::parse(variant.params)},
               {"verdict", name(timing.verdict)},
               {"reason", timing.reason},
               {"exact", timing.is_exact}};
  if (timing.row >= 0) {
    const FactRow& row = facts.rows[static_cast<std::size_t>(timing.row)];
    const MeasurementRecord& trial = row.trial;
    const Device& device = facts.devices[static_cast<std::size_t>(trial.device_id)];
    json["evidence"] = name(trial.evidence);
    json["round"] = name(trial.round);
    json["median_us"] = trial.median_us;
    json["mad_us"] = trial.mad_us;
    json["ci_low_us"] = trial.ci_low_us;
    json["ci_high_us"] = trial.ci_high_us;
    json["max_error"] = trial.max_error;
    json["cosine_gap"] = trial.cosine_gap;
    json["recorded"] = trial.recorded;
    json["device"] = device.name;
    json["pci_id"] = device.pci_id;
    json["driver"] = device.driver;
    json["release"] = release_name(facts.toolchains[static_cast<std::size_t>(trial.toolchain_id)]);
    const FactSession& session = facts.sessions[static_cast<std::size_t>(trial.session_id)];
    json["database"] = session.file;
    json["session"] = session.session.id;
    json["samples_us"] = timing.samples_us;
  }
  json["code"] = code_json(facts, timing.code);
  return json;
}

}  // namespace mla
