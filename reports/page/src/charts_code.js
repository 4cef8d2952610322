// What the compiler made of the same sources, then and now.
import { axis, chart, grid, legend, tooltip } from "./chart.js";
import { h } from "./dom.js";
import { plural, signed } from "./format.js";
import { plainTable } from "./table.js";
import { colour } from "./theme.js";

const known = (pairs, name) => pairs.filter((p) => p.baseline && p.candidate && p.baseline[name] >= 0 && p.candidate[name] >= 0);

function tally(values) {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  return counts;
}

// As many labels as there is room for, and the one of no change among them.
function everyFew(changes, width) {
  const step = Math.ceil((46 * changes.length) / Math.max(width - 80, 46));
  const same = Math.max(changes.indexOf(0), 0);
  return (i) => (i - same) % step === 0;
}

export function registerChart(pairs) {
  const usable = known(pairs, "vgprs");
  if (usable.length === 0) return h("p", {}, "The registers of no code object are known on both sides.");
  const counts = tally(usable.map((p) => p.candidate.vgprs - p.baseline.vgprs));
  const changes = [...counts.keys()].sort((a, b) => a - b);
  const more = usable.filter((p) => p.candidate.vgprs > p.baseline.vgprs).length;
  const less = usable.filter((p) => p.candidate.vgprs < p.baseline.vgprs).length;
  const label = (value) => (value === 0 ? "same" : signed(value, 0));
  return chart({
    title: "Vector registers of the same source",
    note: `${plural(usable.length, "code object")}: ${more} take more VGPRs than before, ${less} fewer.`,
    label: `Of ${usable.length} code objects ${more} take more vector registers than before, ${less} fewer.`,
    height: 300,
    option: ({ width }) => ({
      grid: grid(16),
      tooltip: tooltip(({ dataIndex }) => `${label(changes[dataIndex])}: ${plural(counts.get(changes[dataIndex]), "code object")}`),
      xAxis: axis("change of VGPRs", { type: "category", data: changes.map(label), splitLine: { show: false },
        axisLabel: { interval: everyFew(changes, width) } }),
      yAxis: axis("code objects", { type: "value", minInterval: 1, nameGap: 34 }),
      series: [{ type: "bar", barMaxWidth: 40, barMinHeight: 2, data: changes.map((value) => ({ value: counts.get(value),
        itemStyle: { color: colour(value > 0 ? "regressed" : value < 0 ? "improved" : "same") } })) }],
    }),
    rows: () => plainTable("Change of vector registers", ["Change", "Code objects"], changes.map((value) => [label(value), String(counts.get(value))])),
  });
}

export function occupancyChart(pairs) {
  const usable = known(pairs, "waves_per_simd");
  if (usable.length === 0) return h("p", {}, "The occupancy of no code object is known on both sides.");
  const levels = [...new Set(usable.flatMap((p) => [p.baseline.waves_per_simd, p.candidate.waves_per_simd]))].sort((a, b) => a - b);
  const of = (side) => tally(usable.map((p) => p[side].waves_per_simd));
  const [before, now] = [of("baseline"), of("candidate")];
  const lost = usable.filter((p) => p.candidate.waves_per_simd < p.baseline.waves_per_simd).length;
  const won = usable.filter((p) => p.candidate.waves_per_simd > p.baseline.waves_per_simd).length;
  const moves = [...tally(usable.map((p) => `${p.baseline.waves_per_simd} → ${p.candidate.waves_per_simd}`))].sort();
  return chart({
    title: "Occupancy of the same source",
    note: `${lost === 0 ? "None" : plural(lost, "code object")} lost waves per SIMD, ${won === 0 ? "none" : won} gained.`,
    label: `Waves per SIMD of ${usable.length} code objects: ${lost} lost some, ${won} gained.`,
    height: 300,
    option: (size) => ({
      ...legend([{ name: "before" }, { name: "now" }], size),
      tooltip: tooltip(({ seriesName, name, value }) => `${seriesName}: ${plural(value, "code object")} with ${name} waves per SIMD`),
      xAxis: axis("waves per SIMD", { type: "category", data: levels.map(String), splitLine: { show: false } }),
      yAxis: axis("code objects", { type: "value", minInterval: 1, nameGap: 34 }),
      series: [["before", before], ["now", now]].map(([name, counts]) => ({ name, type: "bar", barMaxWidth: 40, data: levels.map((level) => counts.get(level) ?? 0) })),
    }),
    rows: () => plainTable("Waves per SIMD, before and now", ["Waves per SIMD", "Code objects"], moves.map(([move, n]) => [move, String(n)])),
  });
}
