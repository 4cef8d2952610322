#include "tuner/model.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace mla {
namespace {

// Assumed, not measured; the same for every arch, so that they rank and do not favour.
constexpr double kMemoryLatencyUs = 0.8;   // a load that misses every cache
constexpr double kDependentCycles = 4;     // a wave's instruction needs the one before
constexpr double kReduceStepUs = 0.1;      // one split of one row: a dependent load from cache
constexpr double kLastStepUs = 0.15;       // the same where one workgroup has all rows (H200)
constexpr double kBarrierCycles = 100;     // until the last wave came and the first goes on
constexpr double kLoadBytesPerCycle = 64;  // that a CU takes in from its cache
constexpr double kLdsBytesPerCycle = 128;
constexpr double kLdsBytesPerLane = 8;     // of an average LDS instruction
constexpr double kMissedAgain = 0.25;      // share of rows read again that no cache holds any more
constexpr double kMissedInTurn = 0.1;      // the same where that is soon, and by the same die
constexpr double kReduceWavesPerSimd = 8;  // small kernels fill a CU
constexpr double kLinearConflicts = 4;     // 16 rows from one bank on: 64 bytes of 256
constexpr double kAsks = 0.8;              // of the time that memory takes for rows
constexpr double kShows = 0.001;           // of what something slower hides

double ceil_div(double a, double b) { return std::ceil(a / b); }

// What a wave does with one tile, in the units of the header.
struct Step {
  double matrix = 0;
  double valu = 0;
  double valu_alone = 0;  // of a wave that nobody shares the SIMD with
  double lds = 0;
  double bytes = 0;
  double barriers = 0;
};

// Instructions of one step by class.
struct Counts {
  double valu = 0;
  double lds = 0;
};

// What the verbs of the templates come to, roughly: what the arch takes to dequantise an element,
// eight for a score's way to its weight; on gfx9 also half of one for a value that no read
// transposes, and for an output that is rescaled, assumed of every `rescale_threshold`-th tile.
Counts estimate(const Arch& arch, const Config& c, double gathered) {
  const double lanes = arch.limits.lanes;
  const double elements = gathered * kHeadDim / lanes;
  const bool blocks = c.wave_split == WaveSplit::blocks, roles = has_roles(c);
  const double head_shares = c.wave_split == WaveSplit::heads ? c.waves
                             : blocks                         ? c.block_h / c.mfma
                                                              : 1;
  const double heads = c.block_h / head_shares;
  const double uses = c.dequantise == Dequantise::at_use ? 2 : 1;
  const bool by_columns = c.wave_split == WaveSplit::columns || c.wave_split == WaveSplit::weights;
  const double value_columns = kHeadDim / (by_columns ? c.waves
                                           : blocks   ? kTeams
                                           : roles    ? multipliers(c)
                                                      : 1.0);
  const double weighed = c.wave_split == WaveSplit::weights ? gathered
                         : roles                            ? c.block_k / kMultipliers
                         : blocks                           ? c.block_k / kTeams
                                                            : c.block_k;
  const double reads_per_lane = c.value_read == ValueRead::strided ? 1 : 4;
  Counts n;
  const double filling = elements * uses, weighing = 8 * weighed * heads / lanes;
  const double values = c.block_k * value_columns / lanes;
  double dequantising = arch.valu_per_element * filling;
  double multiplying = 0;
  if (lanes > 32) {
    if (c.wave_split == WaveSplit::heads) dequantising += 2 * elements;  // in search of NaN
    if (c.value_read != ValueRead::transposing) multiplying += values / 2;
    const double rescales = 1.0 / std::max(1, c.rescale_threshold);
    multiplying += rescales * heads * value_columns / lanes / 2;
  }
  n.valu = c.wave_split == WaveSplit::roles ? std::max(dequantising, weighing)
                                            : dequantising + weighing + multiplying;
  n.lds = filling / 4 + values / reads_per_lane;
  return n;
}

// Bytes that a tile moves into and out of LDS where the matrix unit takes its operands from there:
// the tile written, and read by PV and, unless its keys are multiplied out of registers, by QK; the
// queries or weights that each product reads beside it; rows that come through LDS. With
// WaveSplit::rows no more than those, which both products read.
double tile_traffic(const Config& c) {
  const double tile = 2.0 * c.block_k * kHeadDim, row = kRowBytes + kScaleBytes;
  const bool blocks = c.wave_split == WaveSplit::blocks;
  const double reads = in_operand_order(c) ? 1 : 2;
  const double heads = 2.0 * c.block_h * kHeadDim;
  const double exchanged = blocks ? 8.0 * c.block_k * c.block_h : 0;
  const double weights = 2.0 * c.block_k * c.block_h * (blocks ? kTeams : kGroups);
  const double rows = c.load_path == LoadPath::registers ? 0 : 2 * c.block_k * row;
  if (c.wave_split == WaveSplit::rows) return heads + weights + 3 * c.block_k * row;
  return tile * (1 + reads) + heads + exchanged + weights + rows;
}

Step step_of(const Arch& arch, const Config& c, const Resources& use) {
  const GpuLimits& limits = arch.limits;
  const bool blocks = c.wave_split == WaveSplit::blocks;
  const bool roles = has_roles(c);
  const double sharers = c.wave_split == WaveSplit::keys ? 1
                         : roles                         ? multipliers(c)
                                                         : of_fillers(c).waves;
  const double fillers = c.wave_split == WaveSplit::scorers ? kScorerGroups * kScorers
                         : roles                            ? of_fillers(c).waves
                                                            : sharers;
  const double gathered = c.block_k / fillers;
  const double flops = 4.0 * kHeadDim * c.block_k * c.block_h / sharers;

  Step step;
  step.matrix = flops / (arch.matrix_rate / limits.simds_per_cu);
  step.bytes = gathered * (kRowBytes + kScaleBytes + 4) * (roles ? fillers / c.waves : 1);
  if (c.wave_split != WaveSplit::keys) step.barriers = c.stages == 1 ? 2 : 1;
  if (c.wave_split == WaveSplit::weights) step.barriers += mla::sharers(c);
  if (c.wave_split == WaveSplit::blocks) step.barriers += 3;

  Counts n = estimate(arch, c, gathered);
  if (use.mfma > 0 && use.lds >= 0) {
    // A matrix instruction keeps its SIMD for as many cycles as it has rows, on every arch that is
    // disassembled.
    const double per_step = std::max(1.0, step.matrix / c.mfma);
    const double bodies = std::max(1.0, use.mfma / per_step);
    n.lds = use.lds / bodies;
  }
  const double issue = limits.lanes > 32 ? limits.lanes / 16.0 : 1.0;
  step.valu = n.valu * issue;
  step.valu_alone = n.valu * std::max(issue, kDependentCycles);
  step.lds = n.lds * kLdsBytesPerLane * limits.lanes / kLdsBytesPerCycle;
  if (limits.lanes > 32 && c.lds_layout == LdsLayout::linear) step.lds *= kLinearConflicts;
  if (limits.lanes <= 32 && (weighs_by_key(c) || blocks))
    step.lds = tile_traffic(c) / kLdsBytesPerCycle / c.waves;
  return step;
}

// Cycles from one tile to the next, with k workgroups on each of `active` CUs, whose rows come from
// memory but for what is `near`, a share of them.
double step_cycles(const Arch& arch, const Config& c, const Step& step, double k, double active,
                   double near) {
  const double clock = arch.clock_mhz;
  const double latency = kMemoryLatencyUs * clock;
  const double waves = k * c.waves;
  const double simd = ceil_div(waves, arch.limits.simds_per_cu) * std::max(step.matrix, step.valu);
  const double share = arch.memory_rate / (clock * 1e6 * active * (1 - near));
  const double memory = waves * step.bytes / std::min(kLoadBytesPerCycle, share);

  double alone = step.matrix + step.valu_alone + step.lds + step.barriers * kBarrierCycles;
  alone = c.prefetch == 1 ? alone + latency : std::max(alone, latency / (c.prefetch - 1));
  if (arch.limits.lanes <= 32) {
    // Waves that do the same at the same time are at LDS together, and nothing hides behind it.
    if (!has_roles(c)) alone += (c.waves - 1) * step.lds;
    // Who asks for rows himself stands still while memory has not taken most of them up.
    if (c.load_path != LoadPath::bulk) alone += kAsks * memory;
  }
  return std::max({alone, simd, waves * step.lds, memory}) + kShows * alone;
}

double merge_cycles(const Config& c) {
  if (c.wave_split != WaveSplit::keys || c.waves == 1) return 0;
  const double moved = 2.0 * (c.waves - 1) * c.block_h * kHeadDim * sizeof(float);
  return panels(c) * 2 * kBarrierCycles + moved / kLdsBytesPerCycle;
}

// Workgroups that walk equally many tiles.
struct Kind {
  double workgroups = 0;
  double steps = 0;
};

double steps_of(const Config& c, double tiles, double parts) {
  const double walked = ceil_div(tiles, parts);
  return c.wave_split == WaveSplit::keys ? ceil_div(walked, c.waves) : walked;
}

// CUs that clusters can have at once: the workgroups of one share a domain, of which the last may
// be smaller.
double units_for_clusters(const Arch& arch, const Config& c) {
  const int domain = arch.units_per_cluster_domain;
  const int whole = arch.compute_units / domain, rest = arch.compute_units % domain;
  return std::max(1, whole * (domain / c.cluster) + rest / c.cluster) * c.cluster;
}

}  // namespace

double predict_decode_us(const Arch& arch, const ProblemRecord& p, const Config& c, const Splits& s,
                         const Resources& use) {
  const int splits = partials(c, s, p.extra_len > 0);
  const double groups = ceil_div(p.num_heads, c.block_h);
  const double rows = p.num_tokens * groups;
  const double main_tiles = ceil_div(p.main_len, c.block_k);
  const double extra_tiles = ceil_div(p.extra_len, c.block_k);
  Kind kinds[2];
  if (s.split_main == 0) {
    kinds[0] = {rows * s.split_extra, steps_of(c, main_tiles + extra_tiles, s.split_extra)};
  } else {
    kinds[0] = {rows * s.split_main, steps_of(c, main_tiles, s.split_main)};
    if (p.extra_len > 0) kinds[1] = {rows * s.split_extra, steps_of(c, extra_tiles, s.split_extra)};
  }
  const double grid = kinds[0].workgroups + kinds[1].workgroups;
  const double cus = arch.compute_units;
  const double held = c.cluster > 1 ? 1 : workgroups_per_cu(arch, c, use);
  const double k = std::min(held, std::max(1.0, ceil_div(grid, cus)));

  const Step step = step_of(arch, c, use);
  const bool in_turn = s.grid_order == GridOrder::heads;
  const double near = in_turn ? (1 - kMissedInTurn) * (groups - 1) / groups : 0;
  const double cycles = step_cycles(arch, c, step, k, std::min(grid, cus), near);
  const double fixed = 3 * kMemoryLatencyUs * arch.clock_mhz + merge_cycles(c);
  double longest = 0, sum = 0;
  for (const Kind& kind : kinds) {
    if (kind.workgroups == 0) continue;
    const double one = fixed + kind.steps * cycles;
    longest = std::max(longest, one);
    sum += kind.workgroups * one;
  }
  const double rounds = ceil_div(grid, k * (c.cluster > 1 ? units_for_clusters(arch, c) : cus));
  const double makespan = std::max(longest, rounds * sum / grid) / arch.clock_mhz;

  const double keys = (main_tiles + extra_tiles) * c.block_k * p.num_tokens;
  const double again = (groups - 1) * p.num_tokens * (double(p.main_len) + p.extra_len) * kRowBytes;
  const double workspace =
      4.0 * static_cast<double>(workspace_floats(p.num_tokens, p.num_heads, splits));
  const double traffic =
      minimum_bytes(p) + (in_turn ? kMissedInTurn : kMissedAgain) * again + workspace;
  const double padded = 4.0 * kHeadDim * keys * groups * c.block_h;
  const double peak = arch.matrix_rate * cus * arch.clock_mhz * 1e6;
  const double bound = std::max(
      {makespan, traffic / arch.memory_rate * 1e6, padded / peak * 1e6, roofline_us(arch, p)});
  return bound + kShows * makespan;
}

double predict_reduce_us(const Arch& arch, const ProblemRecord& p, const ReduceConfig& r,
                         int splits) {
  if (splits <= 1) return 0;
  const double grid = p.num_tokens * ceil_div(p.num_heads, r.block_h);
  const double slots =
      arch.compute_units * arch.limits.simds_per_cu * kReduceWavesPerSimd / r.waves;
  const double rows = std::max(1, r.block_h / r.waves);
  const double sharers = std::max(1, r.waves / r.block_h);
  // A wave that has a part of a row waits as long for each split's statistics, and less for its
  // row.
  const double step = kReduceStepUs * (0.5 + 0.5 / sharers);
  const double one = kMemoryLatencyUs + rows * splits * step;
  const double bytes =
      4.0 * static_cast<double>(workspace_floats(p.num_tokens, p.num_heads, splits));
  return std::max(ceil_div(grid, slots) * one, bytes / arch.memory_rate * 1e6);
}

double predict_last_us(const Arch& arch, const ProblemRecord& p, const Config& c, int splits) {
  if (splits <= 1) return 0;
  Config writing = c;
  writing.waves = has_roles(c) ? multipliers(c) : of_fillers(c).waves;
  const double rows = merges_by_rank(c) ? cluster_rows(writing) : c.block_h;
  const double one = 3 * kMemoryLatencyUs + rows / writing.waves * splits * kLastStepUs;
  const double bytes =
      4.0 * static_cast<double>(workspace_floats(p.num_tokens, p.num_heads, splits));
  return std::max(one, bytes / arch.memory_rate * 1e6);
}

double predict_merge_us(const Arch& arch, const ProblemRecord& p, const Config& c,
                        const ReduceConfig& r, int splits) {
  return c.merge == Merge::last ? predict_last_us(arch, p, c, splits)
                                : predict_reduce_us(arch, p, r, splits);
}

double launches_us(const Arch& arch, const Config& c, int splits) {
  return arch.launch_overhead_us * (splits > 1 && c.merge == Merge::kernel ? 2 : 1);
}

int workgroups_per_cu(const Arch& arch, const Config& c, const Resources& use) {
  const GpuLimits& limits = arch.limits;
  if (use.waves_per_simd < 0) return 1;
  int held = use.waves_per_simd * limits.simds_per_cu / c.waves;
  if (use.lds_bytes > 0) {
    const double lds = limits.lds_granule * ceil_div(use.lds_bytes + limits.lds_reserved,
                                                     std::max(1, limits.lds_granule));
    held = std::min(held, static_cast<int>(limits.lds_per_cu / lds));
  }
  return std::max(1, held);
}

double roofline_us(const Arch& arch, const ProblemRecord& problem) {
  const double peak = arch.matrix_rate * arch.compute_units * arch.clock_mhz * 1e6;
  return 1e6 * std::max(minimum_bytes(problem) / arch.memory_rate, flops(problem) / peak);
}

Prediction predict(const Arch& arch, const ProblemRecord& problem, const Launch& launch,
                   const Resources& decode) {
  const int splits = partials(launch, problem.extra_len > 0);
  Prediction p;
  p.roofline_us = roofline_us(arch, problem);
  p.decode_us = predict_decode_us(arch, problem, launch.config, launch.splits, decode);
  p.merge_us = predict_merge_us(arch, problem, launch.config, launch.reduce, splits);
  p.total_us = p.decode_us + p.merge_us + launches_us(arch, launch.config, splits);
  return p;
}

Device model_device(const Arch& arch) {
  return {.arch = arch.name,
          .name = arch.name + " (model)",
          .compute_units = arch.compute_units,
          .memory_bytes = static_cast<std::int64_t>(arch.memory_bytes),
          .clock_mhz = arch.clock_mhz,
          .runtime = fmt::format("model {}", kModelVersion)};
}

}  // namespace mla
