// Reads the report out of the page and shows the view that the address names: #/ or #/problem/ID.
import { forgetCharts } from "./chart.js";
import { h } from "./dom.js";
import { themeButton } from "./theme.js";
import { comparisonView } from "./view_comparison.js";
import { landscapeProblemView, landscapeView } from "./view_landscape.js";
import { problemView } from "./view_problem.js";

const kFormat = "mla-tune report 1";
const kViews = { comparison: [comparisonView, problemView], landscape: [landscapeView, landscapeProblemView] };
const main = document.getElementById("main");
const places = new Map(); // how far down each view was when it was left
let shown = null;

function view(report) {
  const [all, one] = kViews[report.kind] ?? [];
  if (report.format !== kFormat || !all)
    return { title: "Not a report that this page knows", page: [h("h1", {}, "Not a report that this page knows"),
      h("p", {}, `It is "${report.format} ${report.kind}", not "${kFormat}". Write it again with the mla-tune that this page is of.`)] };
  const [, id] = location.hash.match(/^#\/problem\/(.+)$/) ?? [];
  if (!id) return all(report);
  const problem = report.problems.find((p) => p.id === decodeURIComponent(id));
  return problem ? one(report, problem)
                 : { title: "No such problem", page: [h("h1", {}, "No such problem"), h("p", {}, h("a", { href: "#/" }, "All problems"))] };
}

function show(report) {
  if (location.hash === "#main") return;
  const isFirst = shown === null;
  if (!isFirst) places.set(shown, scrollY);
  shown = location.hash || "#/";
  const { title, page } = view(report);
  main.replaceChildren(...page.flat(Infinity).filter(Boolean));
  forgetCharts();
  document.title = `${title} · mla-tune report`;
  if (isFirst) return;
  const heading = main.querySelector("h1");
  heading.tabIndex = -1;
  heading.focus({ preventScroll: true });
  scrollTo(0, places.get(shown) ?? 0);
}

const report = JSON.parse(document.getElementById("report").textContent);
document.getElementById("tools").append(themeButton());
document.getElementById("footer").append(
  h("p", {}, `mla-tune ${report.version ?? ""}, ${report.created ?? ""}. Databases: ${(report.databases ?? []).map((d) => d.path).join(", ")}`),
  h("details", {}, h("summary", {}, "Charts by Apache ECharts: licences"),
    h("pre", { class: "licences" }, document.getElementById("licences").textContent)));
document.querySelector(".skip").addEventListener("click", (event) => (event.preventDefault(), main.focus()));
addEventListener("hashchange", () => show(report));
show(report);
