// One side alone: the best variants, how flat the optimum is, which parameters matter.
import { effectChart, flatnessChart } from "./charts_landscape.js";
import { winnerMap } from "./charts_map.js";
import { distributionChart, driftChart } from "./charts_samples.js";
import { landscapeLimits } from "./charts_time.js";
import { forgetCharts } from "./chart.js";
import { h, section } from "./dom.js";
import { filterBar } from "./filters.js";
import { number, parameterText, plural, times, us } from "./format.js";
import { differingParameters, linkTo } from "./model.js";
import { dataTable, plainTable } from "./table.js";
import { models, problemNavigation } from "./view_problem.js";

const sortState = {};
const nearBest = (p, within) => p.near_best.find((n) => Math.abs(n.within - within) < 1e-9)?.variants ?? null;

function columns(archs) {
  return [
    { key: "problem", label: "Problem", value: (p) => p.words, cell: (p) => h("a", { href: linkTo(p) }, p.words) },
    ...(archs > 1 ? [{ key: "arch", label: "Arch", value: (p) => p.arch, cell: (p) => p.arch }] : []),
    { key: "best", label: "Best, us", isNumber: true, value: (p) => p.best.median_us, cell: (p) => us(p.best.median_us) },
    { key: "times", label: "Times", value: (p) => p.evidence, cell: (p) => p.evidence + (p.has_winner ? "" : ", search only") },
    { key: "limit", label: "× limit", isNumber: true, value: (p) => (p.times_limit > 0 ? p.times_limit : null), cell: (p) => times(p.times_limit) },
    { key: "variants", label: "Variants", isNumber: true, value: (p) => p.variants, cell: (p) => number(p.variants) },
    { key: "near", label: "Within 5 %", isNumber: true, value: (p) => nearBest(p, 0.05), cell: (p) => number(nearBest(p, 0.05)) },
    { key: "median", label: "Median", isNumber: true, value: (p) => p.median_ratio, cell: (p) => times(p.median_ratio) },
    { key: "worst", label: "Worst", isNumber: true, value: (p) => p.worst_ratio, cell: (p) => times(p.worst_ratio) },
    { key: "failures", label: "Failures", isNumber: true, value: (p) => p.failures, cell: (p) => number(p.failures) },
    { key: "variant", label: "Best variant", value: (p) => p.best.variant, cell: (p) => h("code", {}, p.best.variant.slice(0, 12)) },
  ];
}

export function landscapeView(report) {
  const archs = new Set(report.problems.map((p) => p.arch)).size;
  const [limits, flatness, map, table] = [h("div"), h("div"), h("div"), h("div")];
  const filters = filterBar(report.problems, [], (problems) => {
    limits.replaceChildren(landscapeLimits(problems));
    flatness.replaceChildren(flatnessChart(problems));
    map.replaceChildren(winnerMap(problems, [{ name: report.selector, of: (p) => p.best }]));
    table.replaceChildren(dataTable({ caption: "Problems and their best variants", columns: columns(archs), rows: problems, state: sortState, sortControl: true }));
    forgetCharts();
  });
  const predicted = report.problems.filter((p) => p.evidence === "predicted").length;
  const page = [
    h("h1", {}, report.headline),
    predicted === 0 ? "" : h("p", { class: "warning" }, h("strong", {}, "Not measured: "), `the times of ${plural(predicted, "problem")} are predictions of a model.`),
    h("p", { class: "sides" }, h("strong", {}, report.selector), ` (${plural(report.measurements, "measurement")}). ${report.created}`),
    section("Problems", filters.bar, table),
    h("div", { class: "pair" }, section("How far from the limit", limits), section("How flat the optimum is", flatness)),
    section("Which variant wins where", map),
    section("Which parameters matter", Object.entries(report.effects).map(([arch, effects]) => effectChart(arch, effects))),
  ];
  filters.start();
  return { title: report.headline, page };
}

function topTable(problem) {
  const differing = differingParameters(problem.top);
  return plainTable("The fastest variants, and what tells them apart", ["Variant", "us", "over the best", "round", ...differing],
    problem.top.map((one) => [h("code", {}, one.variant.slice(0, 12)), us(one.median_us), times(one.median_us / problem.best.median_us), one.round,
      ...differing.map((name) => parameterText(one.params[name]))]));
}

export function landscapeProblemView(report, problem) {
  const title = `${problem.arch}, ${problem.words}`;
  const samples = problem.samples_us ?? [];
  const series = [{ name: problem.best.variant.slice(0, 12), samples }];
  const facts = [
    ["Best", `${us(problem.best.median_us)} us, ${problem.evidence}`], ["Limit", problem.limit_us > 0 && `${us(problem.limit_us)} us; the best takes ${times(problem.times_limit)}`],
    ["Variants", `${number(problem.variants)} with a time, ${plural(problem.failures, "failure")}`],
    ["Near the best", problem.near_best.map((n) => `${number(n.variants)} within ${number(100 * n.within)} %`).join(", ")], ["Posed by", models(problem)],
  ];
  return { title, page: [
    problemNavigation(report, problem), h("h1", {}, title),
    h("dl", { class: "facts" }, facts.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text)))),
    section("Samples of the best variant", samples.length ? h("div", { class: "pair" }, distributionChart(series), driftChart(series))
      : h("p", { class: "warning" }, "There are no samples: the time is a prediction of a model.")),
    section("The best variants", topTable(problem)),
    section("Which parameters matter here", effectChart(problem.arch, problem.effects)),
    section("Parameters of the best", plainTable("Parameters of the best", ["Parameter", "Value"], Object.entries(problem.best.params).map(([k, v]) => [k, parameterText(v)]))),
  ] };
}
