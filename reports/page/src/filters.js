// Which problems of a report are looked at. The choice outlives a visit to one problem's view.
import { choice, h } from "./dom.js";
import { archsOf } from "./model.js";

const state = { text: "", verdict: "", arch: "", kind: "", evidence: "", winner: "" };

const evidenceOf = (problem) => problem.evidence ?? "none";

export function passes(problem) {
  const words = `${problem.words} ${problem.id} ${problem.reason ?? ""} ${problem.verdict ?? ""}`.toLowerCase();
  return state.text.toLowerCase().split(/\s+/).every((part) => words.includes(part)) &&
    (!state.verdict || problem.verdict === state.verdict) && (!state.arch || problem.arch === state.arch) &&
    (!state.kind || problem.kind === state.kind) && (!state.evidence || evidenceOf(problem) === state.evidence) &&
    (!state.winner || String(problem.winner_changed) === state.winner);
}

const distinct = (problems, of) => [...new Set(problems.map(of))].filter((value) => value !== undefined).sort();

// onChange is called with the problems that remain, also at once. Returns the bar, and a way to choose a verdict.
export function filterBar(problems, verdicts, onChange) {
  const status = h("p", { role: "status", class: "count" });
  const bar = h("div", { class: "filters", role: "search", "aria-label": "Filter the problems" });

  function tell() {
    const left = problems.filter(passes);
    status.textContent = left.length === problems.length ? `All ${problems.length} problems`
                                                         : `${left.length} of ${problems.length} problems`;
    reset.hidden = !Object.values(state).some(Boolean);
    onChange(left, state);
  }

  const pick = (key, label, values, words = (v) => v) =>
    values.length > 1 || state[key]
      ? choice(label, [["", "all"], ...values.map((v) => [v, words(v)])], state[key], (value) => ((state[key] = value), tell()))
      : "";

  const reset = h("button", { type: "button", class: "quiet", onclick: () => (clear(), build(), tell(), search().focus()) }, "Show all");
  const search = () => bar.querySelector("input");
  const clear = () => Object.keys(state).forEach((key) => (state[key] = ""));

  function build() {
    const text = h("input", { type: "search", value: state.text, placeholder: "16 heads, wrong_result, …", oninput: () => ((state.text = text.value), tell()) });
    bar.replaceChildren(
      h("label", { class: "field wide" }, h("span", {}, "Find"), text),
      pick("verdict", "Verdict", verdicts.filter((v) => problems.some((p) => p.verdict === v))),
      pick("arch", "Arch", archsOf(problems)),
      pick("kind", "Layers", distinct(problems, (p) => p.kind)),
      pick("evidence", "Times", distinct(problems, evidenceOf), (v) => (v === "none" ? "none compared" : v)),
      pick("winner", "Winner", distinct(problems, (p) => p.winner_changed).map(String), (v) => (v === "true" ? "changed" : "kept")),
      reset, status);
  }

  build();
  return {
    bar,
    start: tell,
    chooseVerdict(verdict) {
      state.verdict = state.verdict === verdict ? "" : verdict;
      build();
      tell();
    },
  };
}
