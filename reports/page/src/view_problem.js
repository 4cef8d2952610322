// One problem of a comparison.
import { distributionChart, driftChart } from "./charts_samples.js";
import { h, section } from "./dom.js";
import { change, count, fromTo, interval, number, parameterText, signed, times, us } from "./format.js";
import { hasTime, kResources, linkTo } from "./model.js";
import { plainTable } from "./table.js";
import { verdictMark } from "./view_comparison.js";

export function problemNavigation(report, problem) {
  const at = report.problems.indexOf(problem);
  const link = (other, words) => (other ? h("a", { href: linkTo(other) }, words) : "");
  return h("nav", { "aria-label": "Problems", class: "steps" }, h("a", { href: "#/" }, "← All problems"),
    h("span", {}, link(report.problems[at - 1], "Previous"), " ", link(report.problems[at + 1], "Next")));
}

export const models = (problem) =>
  problem.models.length === 0 ? "no model's shape"
                              : problem.models.map((m) => `${m.layers} ${problem.kind} layers of ${m.model}`).join(", ");

function timings(report, problem) {
  const same = problem.old_winner && problem.candidate && problem.old_winner.variant === problem.candidate.variant;
  return [
    { name: `winner of ${report.baseline.selector}`, timing: problem.baseline },
    { name: `the same with ${report.candidate.selector}`, timing: problem.old_winner },
    { name: `winner of ${report.candidate.selector}`, timing: same ? null : problem.candidate },
  ].filter((one) => one.timing);
}

function timeTable(problem, shown) {
  const row = (label, of) => [label, ...shown.map(({ timing }) => of(timing))];
  const ifTime = (form) => (timing) => (hasTime(timing) ? form(timing) : "–");
  const error = (value) => (value === null || value === undefined || value < 0 ? "–" : value.toPrecision(2));
  return plainTable("Times and where they come from", ["", ...shown.map((s) => s.name)], [
    row("Variant", (t) => h("code", {}, t.variant.slice(0, 12))),
    row("Verdict", (t) => (t.reason ? `${t.verdict}: ${t.reason}` : t.verdict)),
    row("Median, us", ifTime((t) => us(t.median_us))),
    row("95 % interval, us", ifTime((t) => (t.evidence === "measured" ? `${us(t.ci_low_us)} to ${us(t.ci_high_us)}` : "–"))),
    row("Median deviation, us", ifTime((t) => (t.evidence === "measured" ? number(t.mad_us, 3) : "–"))),
    row("Times the limit", ifTime((t) => (problem.limit_us > 0 ? times(t.median_us / problem.limit_us) : "–"))),
    row("Evidence", (t) => t.evidence ?? "its code object alone"),
    row("Samples", (t) => number(t.samples_us?.length)),
    row("Largest error", (t) => error(t.max_error)),
    row("Device", (t) => t.device ?? "–"),
    row("Driver", (t) => t.driver || "–"),
    row("Release", (t) => t.release ?? "–"),
    row("Recorded", (t) => t.recorded ?? "–"),
    row("Launched as asked", (t) => (t.exact ? "yes" : "no: the same code, launched otherwise")),
  ]);
}

function codeTable(shown) {
  const with_code = shown.filter(({ timing }) => timing.code);
  if (with_code.length === 0) return h("p", {}, "No code object of these is known.");
  return plainTable("Code objects", ["", ...with_code.map((s) => s.name)], [
    ...kResources.map(([name, label]) => [label, ...with_code.map(({ timing }) => count(timing.code[name]))]),
    ["compiled in, s", ...with_code.map(({ timing }) => number(timing.code.compile_seconds, 1))],
    ["verdict", ...with_code.map(({ timing }) => timing.code.verdict)],
  ]);
}

function parameterTable(shown, changed) {
  const names = [...new Set(shown.flatMap(({ timing }) => Object.keys(timing.params)))];
  names.sort((a, b) => Number(b in changed) - Number(a in changed) || a.localeCompare(b));
  return plainTable("Parameters, those that changed first", ["", ...shown.map((s) => s.name)],
    names.map((name) => [name, ...shown.map(({ timing }) => h("span", { class: name in changed ? "changed" : null }, parameterText(timing.params[name])))]));
}

const sureness = (of) =>
  of.p_value === null ? change(of.ratio) : `${change(of.ratio)} (95 %: ${interval(of)}; p ${of.p_value.toPrecision(2)})`;

function verdictFacts(problem) {
  const rows = [
    ["Old winner, then and now", problem.of_old_winner && sureness(problem.of_old_winner)],
    ["Best then, best now", problem.of_winners && sureness(problem.of_winners)],
    ["A decode step pays", problem.decided_by && `${signed(problem.step_us)} us`],
    ["Posed by", models(problem)],
    ["Limit", problem.limit_us > 0 && `${us(problem.limit_us)} us`],
    ["Winner", problem.baseline && problem.candidate && (problem.winner_changed
      ? Object.entries(problem.changed_parameters).map(([name, [a, b]]) => `${name} ${fromTo(a, b, parameterText)}`).join(", ") || "changed"
      : "the same variant")],
  ];
  return h("dl", { class: "facts" }, rows.filter(([, text]) => text).map(([name, text]) => h("div", {}, h("dt", {}, name), h("dd", {}, text))));
}

export function sampleSection(series) {
  const sampled = series.filter((s) => s.samples?.length > 0);
  if (sampled.length === 0) return h("p", { class: "warning" }, "There are no samples: these times are predictions of a model, or nothing ran.");
  return h("div", { class: "pair" }, distributionChart(sampled), driftChart(sampled));
}

export function problemView(report, problem) {
  const shown = timings(report, problem);
  const title = `${problem.arch}, ${problem.words}`;
  return { title, page: [
    problemNavigation(report, problem),
    h("p", { class: `badge ${problem.verdict}` }, verdictMark(problem.verdict)),
    h("h1", {}, title), h("p", {}, problem.reason ? `${problem.reason[0].toUpperCase()}${problem.reason.slice(1)}.` : ""),
    verdictFacts(problem),
    section("Samples", sampleSection(shown.map((s) => ({ name: s.name, samples: s.timing.samples_us })))),
    shown.length === 0 ? h("p", {}, "Neither side has a winner.") : [
      section("Times", timeTable(problem, shown)),
      section("Code", codeTable(shown)),
      section("Parameters", parameterTable(shown, problem.changed_parameters))],
  ] };
}
