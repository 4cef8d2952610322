// What views ask of a report, over what reports/README.md describes.

export const kVerdicts = ["broken", "regressed", "inconclusive", "new", "fixed", "improved", "same"];
export const kSymbols = {
  broken: "✕", regressed: "▲", inconclusive: "?", new: "+", fixed: "✓", improved: "▼", same: "=",
};

export const hasTime = (timing) => Boolean(timing && timing.median_us > 0);

// The time that the verdict compares with the baseline's.
export function timingNow(problem) {
  if (problem.decided_by === "old_winner") return problem.old_winner;
  return problem.candidate ?? problem.old_winner;
}

export const deciding = (problem) =>
  problem.decided_by === null ? null : problem.decided_by === "winners" ? problem.of_winners : problem.of_old_winner;

const flags = (shape) =>
  (shape.lengths === "uniform" ? "" : ", ragged") + (shape.warm_cache ? ", warm" : "") +
  (shape.main_format === 2 || shape.extra_format === 2 ? ", fnuz" : "");

export function lengthWords(shape) {
  const keys = shape.extra_len > 0 ? `${shape.main_len}+${shape.extra_len}` : `${shape.main_len}`;
  const page = shape.extra_len > 0 ? shape.extra_page : shape.main_page;
  return `${keys} p${page}${flags(shape)}`;
}

// For charts, where the words of a problem do not fit.
export function shortName(problem, withArch, between = " ") {
  const { num_heads, num_tokens } = problem.shape;
  return `${withArch ? `${problem.arch} ` : ""}${num_heads}h ${num_tokens}t${between}${lengthWords(problem.shape)}`;
}

export const archsOf = (problems) => [...new Set(problems.map((p) => p.arch))].sort();

export const linkTo = (problem) => `#/problem/${encodeURIComponent(problem.id)}`;

// The settings by which variants differ from each other.
export function differingParameters(variants) {
  const names = [...new Set(variants.flatMap((v) => Object.keys(v.params ?? {})))].sort();
  return names.filter((name) => new Set(variants.map((v) => JSON.stringify(v.params?.[name]))).size > 1);
}

export function quantile(sorted, share) {
  const at = share * (sorted.length - 1);
  const low = Math.floor(at);
  const high = Math.min(low + 1, sorted.length - 1);
  return sorted[low] + (at - low) * (sorted[high] - sorted[low]);
}

export const kResources = [
  ["vgprs", "VGPRs"], ["agprs", "AGPRs"], ["sgprs", "SGPRs"], ["lds_bytes", "LDS bytes"],
  ["scratch_bytes", "scratch bytes"], ["vgpr_spills", "VGPR spills"], ["sgpr_spills", "SGPR spills"],
  ["code_bytes", "code bytes"], ["waves_per_simd", "waves per SIMD"], ["mfma", "matrix instructions"],
  ["lds", "LDS instructions"], ["vmem", "memory instructions"], ["valu", "vector instructions"],
  ["salu", "scalar instructions"],
];
