#pragma once

#include "tests/null/tuner/temp_configs.hpp"
#include "tuner/space.hpp"

namespace mla {

// gfx950 in numbers, whatever configs/ says.
inline Arch model_arch() {
  Arch arch;
  arch.name = "gfx950";
  arch.device = "AMD Instinct MI355X";
  arch.compiler = "hiprtc";
  arch.compute_units = 256;
  arch.units_per_cluster_domain = 16;
  arch.clock_mhz = 2400;
  arch.memory_bytes = 288e9;
  arch.memory_rate = 8e12;
  arch.matrix_rate = 4096;
  arch.valu_per_element = 0.6;
  arch.launch_overhead_us = 2;
  arch.has_transposing_read = true;
  arch.direct_load_widths = {4, 16};
  return arch;
}

// Every field of a Launch, with few values: 36 code points, of which 24 are admissible.
inline Space toy_space(const TempConfigs& configs, const Arch& arch) {
  configs.write("spaces/toy.yaml", R"(
kernel: toy
reduce: toy_reduce
parameters:
  block_h: {changes: code, values: [16]}
  block_k: {changes: code, values: [32, 64, 128]}
  waves: {changes: code, values: [2, 4]}
  wave_split: {changes: code, enum: WaveSplit, values: [keys, columns]}
  mfma: {changes: code, values: [16]}
  stages: {changes: code, values: [1]}
  prefetch: {changes: code, values: [1, 2, 3]}
  dequantise: {changes: code, enum: Dequantise, values: [at_store]}
  load_path: {changes: code, enum: LoadPath, values: [registers]}
  load_width: {changes: code, values: [16]}
  lds_layout: {changes: code, enum: LdsLayout, values: [padded]}
  query_in: {changes: code, enum: QueryIn, values: [lds]}
  value_read: {changes: code, enum: ValueRead, values: [permuting]}
  waves_per_eu: {changes: code, values: [1]}
  unroll: {changes: code, values: [8]}
  rescale_threshold: {changes: code, values: [8]}
  cluster: {changes: code, values: [1]}
  merge: {changes: code, enum: Merge, values: [kernel]}
  grid_order: {changes: launch, enum: GridOrder, values: [tokens]}
  split_main: {changes: launch, values: [0, 1]}
  split_extra: {changes: launch, values: [1, 4, 16]}
  split_map: {changes: launch, enum: SplitMap, values: [contiguous]}
  reduce_block_h: {changes: reduce, values: [1, 4]}
  reduce_waves: {changes: reduce, values: [1]}
constraints:
  - name: small_keys
    expr: wave_split != keys or block_k <= 64
    because: a toy
  - name: four_waves
    expr: wave_split != columns or block_k >= 64 or waves == 2
    because: a toy
tolerance: {absolute: 1e-3, relative: 0.0157, cosine_gap: 5e-6, lse_absolute: 1e-6, lse_relative: 1.3e-4, because: a toy}
)");
  configs.write("spaces/toy_reduce.yaml", R"(
kernel: toy_reduce
parameters:
  block_h: {changes: code, values: [1, 4]}
  waves: {changes: code, values: [1]}
)");
  return Space::load(configs.root(), "toy", arch);
}

}  // namespace mla
