// The whole comparison: what a manager reads first, then what an engineer looks for.
import { occupancyChart, registerChart } from "./charts_code.js";
import { winnerMap } from "./charts_map.js";
import { comparedLimits, ratioChart } from "./charts_time.js";
import { forgetCharts } from "./chart.js";
import { h, section } from "./dom.js";
import { filterBar } from "./filters.js";
import { change, fromTo, interval, number, plural, share, signed, times, us } from "./format.js";
import { deciding, hasTime, kSymbols, kVerdicts, linkTo, timingNow } from "./model.js";
import { changedCode, failureTable } from "./code_tables.js";
import { dataTable } from "./table.js";

const kWords = {
  broken: "no longer work", regressed: "slower", inconclusive: "cannot be told", new: "never tried before",
  fixed: "work again", improved: "faster", same: "unchanged",
};
const sortState = {};

export const verdictMark = (verdict) =>
  h("span", { class: `verdict ${verdict}` }, h("span", { "aria-hidden": "true" }, `${kSymbols[verdict] ?? ""} `), verdict);

function changeCell(p) {
  const hasInterval = deciding(p) && deciding(p).low !== null;
  return h("span", { class: "change" }, h("span", { class: p.verdict }, change(p.ratio)), hasInterval ? h("small", {}, interval(deciding(p))) : "");
}

function columns(archs, grades) {
  const code = (p) => [p.baseline?.code, timingNow(p)?.code];
  const resource = (key, label) => ({
    key, label, isNumber: true,
    value: (p) => { const [a, b] = code(p); return a && b && a[key] >= 0 && b[key] >= 0 ? b[key] - a[key] : null; },
    cell: (p) => { const [a, b] = code(p); return fromTo(a?.[key], b?.[key]); },
  });
  return [
    { key: "problem", label: "Problem", value: (p) => p.words, cell: (p) => h("a", { href: linkTo(p) }, p.words.replace("(page ", "(page\u00a0")) },
    { key: "verdict", label: "Verdict", value: (p) => kVerdicts.indexOf(p.verdict), cell: (p) => verdictMark(p.verdict) },
    ...(archs > 1 ? [{ key: "arch", label: "Arch", value: (p) => p.arch, cell: (p) => p.arch }] : []),
    { key: "before", label: "Before, us", isNumber: true, value: (p) => p.baseline?.median_us || null, cell: (p) => us(p.baseline?.median_us) },
    { key: "now", label: "Now, us", isNumber: true, value: (p) => timingNow(p)?.median_us || null, cell: (p) => us(timingNow(p)?.median_us) },
    { key: "change", label: "Change", isNumber: true, value: (p) => p.ratio, cell: changeCell },
    { key: "step", label: "us a step", isNumber: true, value: (p) => (p.decided_by ? p.step_us : null), cell: (p) => (p.decided_by ? signed(p.step_us) : "–") },
    { key: "limit", label: "× limit", isNumber: true, value: (p) => (p.limit_us > 0 && hasTime(timingNow(p)) ? timingNow(p).median_us / p.limit_us : null),
      cell: (p) => (p.limit_us > 0 && hasTime(timingNow(p)) ? times(timingNow(p).median_us / p.limit_us) : "–") },
    resource("vgprs", "VGPRs"),
    resource("waves_per_simd", "Waves"),
    { key: "winner", label: "Winner", value: (p) => (p.winner_changed ? "changed" : "kept"), cell: (p) => (p.winner_changed ? "changed" : p.baseline && p.candidate ? "kept" : "–") },
    ...(grades > 1 ? [{ key: "times", label: "Times", value: (p) => p.evidence ?? "none", cell: (p) => p.evidence ?? "none" }] : []),
  ];
}

const verdictCount = (summary, verdict) => Object.values(summary.verdicts).reduce((sum, counts) => sum + (counts[verdict] ?? 0), 0);

function tiles(report, choose) {
  const { summary } = report;
  return h("div", { class: "tiles", role: "group", "aria-label": "Verdicts; choose one to see its problems alone" },
    kVerdicts.map((verdict) => {
      const n = verdictCount(summary, verdict);
      const predicted = summary.verdicts.predicted?.[verdict] ?? 0;
      return h("button", { type: "button", class: `tile ${verdict}`, "data-verdict": verdict, "aria-pressed": "false", disabled: n === 0, onclick: () => choose(verdict) },
        h("span", { class: "figure" }, h("span", { "aria-hidden": "true" }, `${kSymbols[verdict]} `), number(n)),
        h("span", {}, verdict), h("small", {}, predicted ? `${kWords[verdict]}; ${predicted} predicted` : kWords[verdict]));
    }));
}

function facts(report) {
  const { summary, problems } = report;
  const changed = problems.filter((p) => p.decided_by && Math.abs(p.step_us) > 0).sort((a, b) => b.step_us - a.step_us);
  const saves = changed.length > 0 && changed[0].step_us < 0;
  const most = saves ? changed.at(-1) : changed[0];
  const mean = (evidence) => summary.mean_ratio[evidence]?.old_winner ?? null;
  const codes = summary.code_objects;
  const rows = [
    ["On average", ["measured", "predicted"].filter((e) => mean(e) !== null).map((e) => `${change(mean(e))} ${e}`).join(", "), "the same variants, old toolchain to new"],
    [saves ? "Most saved in a decode step" : "Dearest in a decode step", most && `${signed(most.step_us)} us`, most && `${most.arch}, ${most.words}`],
    ["Another variant is best", `${summary.winners_changed} of ${summary.problems}`, "problems whose winner changed"],
    ["Code objects differ", codes.compared > 0 && `${codes.differ} of ${codes.compared}`, "of equal source"],
    ["Variants that fail", `${summary.failures.appeared} new, ${summary.failures.gone} gone`, "compiling or running"],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, figure]) => figure).map(([name, figure, note]) =>
    h("div", {}, h("dt", {}, name), h("dd", {}, h("strong", {}, figure), " ", h("small", {}, note)))));
}

function sides(report) {
  const side = (name, one) => {
    const devices = [...new Set(one.devices.map((d) => d.name))].join(", ");
    const llvm = [...new Set(one.toolchains.map((t) => t.llvm).filter(Boolean))].join(", ");
    return h("span", {}, `${name} `, h("strong", {}, one.selector), ` (${[devices, llvm && `LLVM ${llvm}`, plural(one.measurements, "measurement")].filter(Boolean).join("; ")})`);
  };
  return h("p", { class: "sides" }, side("Baseline", report.baseline), h("br"), side("Candidate", report.candidate), h("br"),
    `A change of more than ${share(report.rules.threshold)} counts. ${report.created}`);
}

const kBadges = { pass: ["✓", "fixed", "Pass"], regressed: ["▲", "regressed", "Regressed"], broken: ["✕", "broken", "Broken"] };

function headline(report) {
  const [symbol, style, words] = kBadges[report.summary.verdict] ?? ["", "", report.summary.verdict];
  const ofPredicted = report.problems.filter((p) => p.evidence === "predicted").length;
  return [
    h("p", { class: `badge ${style}` }, h("span", { "aria-hidden": "true" }, `${symbol} `), words),
    h("h1", {}, report.summary.headline),
    ofPredicted === 0 ? "" : h("p", { class: "warning" }, h("strong", {}, "Not measured: "),
      `${ofPredicted === report.problems.length ? "all times here are" : `the times of ${plural(ofPredicted, "problem")} are`} predictions of a model. They rank variants; they are not times of a device.`),
    sides(report),
  ];
}

export function comparisonView(report) {
  const archs = new Set(report.problems.map((p) => p.arch)).size;
  const grades = new Set(report.problems.map((p) => p.evidence)).size; // of one the headline tells
  const [ratio, limits, map, table] = [h("div"), h("div"), h("div"), h("div")];
  const filters = filterBar(report.problems, kVerdicts, (problems, state) => {
    ratio.replaceChildren(ratioChart(problems, report.rules.threshold));
    limits.replaceChildren(comparedLimits(problems, report.baseline.selector, report.candidate.selector));
    map.replaceChildren(winnerMap(problems, [
      { name: report.candidate.selector, of: (p) => p.candidate }, { name: report.baseline.selector, of: (p) => p.baseline }]));
    table.replaceChildren(dataTable({ caption: "Problems, the gravest and dearest first", columns: columns(archs, grades), rows: problems, state: sortState, sortControl: true }));
    for (const tile of verdicts.children) tile.setAttribute("aria-pressed", String(tile.dataset.verdict === state.verdict));
    forgetCharts();
  });
  const verdicts = tiles(report, (verdict) => filters.chooseVerdict(verdict));
  const page = [
    headline(report), verdicts, facts(report),
    section("Problems", filters.bar, ratio, table),
    h("div", { class: "pair" }, section("How far from the limit", limits), section("Which variant wins where", map)),
    report.code_objects.length === 0 ? "" : section("What the compiler made of the same source", h("div", { class: "pair" }, registerChart(report.code_objects), occupancyChart(report.code_objects)), changedCode(report)),
    section("What works with one side alone", failureTable(report)),
  ];
  filters.start();
  return { title: report.summary.headline, page };
}
