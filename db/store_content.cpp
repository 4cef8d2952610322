#include "db/store_impl.hpp"

namespace mla {

StoreContent Store::content() {
  StoreContent all;
  Savepoint one_moment(*impl_);
  all.toolchains = toolchains();
  all.devices = devices();
  all.problems = problems();
  all.variants = variants();
  all.sessions = sessions();
  {
    auto row = impl_->query(
        "SELECT id, key, toolchain_id, arch, entry_template, verdict, reason, content,"
        " compile_seconds, vgprs, agprs, sgprs, lds_bytes, scratch_bytes, vgpr_spills, sgpr_spills,"
        " code_bytes, waves_per_simd, mfma, lds, vmem, valu, salu FROM code_objects ORDER BY id");
    while (row.step()) all.code_objects.push_back(code_object_from(row));
    auto link =
        impl_->query("SELECT variant_id, code_object_id FROM variant_code_objects ORDER BY 1, 2");
    while (link.step()) all.code_of_variants.emplace_back(link.integer(0), link.integer(1));
    auto trial = impl_->query(
        "SELECT id, variant_id, problem_id, device_id, toolchain_id, session_id, evidence, round,"
        " verdict, reason, median_us, mad_us, ci_low_us, ci_high_us, max_error, cosine_gap, "
        "recorded"
        " FROM measurements ORDER BY id");
    while (trial.step()) all.measurements.push_back(measurement_from(trial));
  }
  one_moment.release();
  return all;
}

std::vector<float> Store::samples(std::int64_t measurement_id) {
  auto row = impl_->query("SELECT samples FROM measurements WHERE id = ?", measurement_id);
  if (!row.step()) return {};
  return samples_from(row.blob(0));
}

}  // namespace mla
