// Tables of code objects and failures.
import { h } from "./dom.js";
import { fromTo, number, plural } from "./format.js";
import { kResources } from "./model.js";
import { dataTable, isNarrow } from "./table.js";

const parameters = (params) => (params ? Object.entries(params).map(([name, value]) => `${name} ${value}`).join(", ") : "–");

const variantCell = (variant, params) =>
  variant ? h("details", { class: "inline" }, h("summary", {}, h("code", {}, variant.slice(0, 12))), h("small", {}, parameters(params))) : "–";

export function changedCode(report) {
  const differ = report.code_objects.filter((pair) => pair.changed.length > 0 || pair.baseline.verdict !== pair.candidate.verdict);
  if (differ.length === 0) return h("p", {}, "All code objects that both sides compiled state the same resources.");
  const shown = kResources.filter(([name]) => differ.some((pair) => pair.changed.includes(name) && pair.baseline[name] >= 0 && pair.candidate[name] >= 0));
  const verdict = (code) => code.verdict;
  return dataTable({
    caption: `${plural(differ.length, "code object")} whose resources differ, of ${report.code_objects.length} that both sides compiled`,
    most: isNarrow() ? 6 : 20,
    state: shown.some(([name]) => name === "vgprs") ? { key: "vgprs", descending: true } : {},
    rows: differ,
    columns: [
      { key: "variant", label: "Variant", value: (p) => p.variant, cell: (p) => variantCell(p.variant, p.params) },
      { key: "arch", label: "Arch", value: (p) => p.arch, cell: (p) => p.arch },
      { key: "verdict", label: "Verdict", value: (p) => verdict(p.candidate), cell: (p) => fromTo(p.baseline, p.candidate, verdict) },
      ...shown.map(([name, label]) => ({
        key: name, label, isNumber: true,
        value: (p) => p.candidate[name] - p.baseline[name],
        cell: (p) => fromTo(p.baseline[name], p.candidate[name]),
      })),
      { key: "seconds", label: "compile, s", isNumber: true, value: (p) => p.candidate.compile_seconds - p.baseline.compile_seconds,
        cell: (p) => fromTo(p.baseline.compile_seconds, p.candidate.compile_seconds, (s) => number(s, 1)) },
    ],
  });
}

export function failureTable(report) {
  if (report.failures.length === 0) return h("p", {}, "No variant works with one side alone.");
  return dataTable({
    caption: "Variants that fail with one side alone",
    most: isNarrow() ? 6 : 20,
    rows: report.failures,
    columns: [
      { key: "variant", label: "Variant", value: (f) => f.variant, cell: (f) => variantCell(f.variant, f.params) },
      { key: "side", label: "Failure", value: (f) => String(f.appeared), cell: (f) => h("span", { class: f.appeared ? "broken" : "fixed" }, f.appeared ? "appeared" : "went away") },
      { key: "arch", label: "Arch", value: (f) => f.arch, cell: (f) => f.arch },
      { key: "stage", label: "At", value: (f) => f.stage, cell: (f) => f.stage },
      { key: "verdict", label: "Verdict", value: (f) => f.verdict, cell: (f) => f.verdict },
      { key: "reason", label: "Reason", value: (f) => f.reason, cell: (f) => h("span", { class: "reason" }, f.reason) },
      { key: "problems", label: "Problems", isNumber: true, value: (f) => f.problems.length, cell: (f) => (f.problems.length ? number(f.problems.length) : "–") },
    ],
  });
}
