// A table that sorts by any column, with the keyboard too, and turns into cards where it is narrow.
import { choice, h } from "./dom.js";

// What is not known comes last, whichever way the rest goes.
function compare(a, b, descending) {
  const isMissing = (value) => value === null || value === undefined || Number.isNaN(value);
  if (isMissing(a) || isMissing(b)) return Number(isMissing(a)) - Number(isMissing(b));
  const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
  return descending ? -order : order;
}

function sorted(rows, column, descending) {
  return column ? [...rows].sort((a, b) => compare(column.value(a), column.value(b), descending)) : rows;
}

// Cards are tall: of few there is an end in sight.
export const isNarrow = () => matchMedia("(max-width: 40rem)").matches;

// columns: {key, label, isNumber, value(row): what is sorted by, cell(row): text or element; class(row)}. `state` keeps
// {key, descending} and may outlive the table; without a key rows stay as they come. `most` rows are shown at first.
export function dataTable({ caption, columns, rows, state = {}, most = isNarrow() ? 12 : 200, sortControl = false }) {
  const body = h("tbody", { role: "rowgroup" });
  const more = h("button", { type: "button", class: "quiet more", onclick: () => ((most = Infinity), fill()) });
  const heads = columns.map((column) => {
    const button = h("button", { type: "button", onclick: () => sortBy(column.key) }, column.label, h("span", { "aria-hidden": "true" }));
    return h("th", { scope: "col", role: "columnheader", class: column.isNumber ? "number" : null }, button);
  });
  const options = [["", "as the report has it"], ...columns.flatMap((c) =>
    c.isNumber ? [[`${c.key} down`, `${c.label}, largest first`], [`${c.key} up`, `${c.label}, smallest first`]]
               : [[`${c.key} up`, c.label]])];
  const control = choice("Sort by", options, "", (value) => {
    const [key, way] = value.split(" ");
    Object.assign(state, { key: key || undefined, descending: way === "down" });
    fill();
  });
  const select = control.querySelector("select");

  function sortBy(key) {
    const isNumber = columns.find((c) => c.key === key).isNumber;
    // The larger numbers are what one looks for; a second time turns it round.
    state.descending = state.key === key ? !state.descending : Boolean(isNumber);
    state.key = key;
    fill();
  }

  function fill() {
    const column = columns.find((c) => c.key === state.key);
    columns.forEach((c, i) => {
      const way = c !== column ? null : state.descending ? "descending" : "ascending";
      if (way) heads[i].setAttribute("aria-sort", way);
      else heads[i].removeAttribute("aria-sort");
      heads[i].querySelector("span").textContent = way ? (state.descending ? " ↓" : " ↑") : "";
    });
    select.value = column ? `${state.key} ${state.descending ? "down" : "up"}` : "";
    body.replaceChildren(...sorted(rows, column, state.descending).slice(0, most).map((row) =>
      h("tr", { role: "row" }, columns.map((c, i) =>
        h(i === 0 ? "th" : "td", {
          scope: i === 0 ? "row" : null,
          role: i === 0 ? "rowheader" : "cell",
          class: [c.isNumber ? "number" : "", c.class?.(row) ?? ""].join(" ").trim() || null,
          "data-label": c.label,
        }, c.cell(row))))));
    more.hidden = rows.length <= most;
    more.textContent = `Show all ${rows.length}`;
  }

  fill();
  const table = h("table", { role: "table" }, h("caption", {}, caption),
    h("thead", { role: "rowgroup" }, h("tr", { role: "row" }, heads)), body);
  return h("div", { class: "data" }, sortControl ? h("div", { class: "sort" }, control) : "",
    h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" }, table), more);
}

// A small table of known rows that does not sort: [first, ...cells] each.
export function plainTable(caption, heads, rows) {
  return h("div", { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" },
    h("table", { class: "plain" }, h("caption", {}, caption),
      h("thead", {}, h("tr", {}, heads.map((head) => (head === "" ? h("td", {}) : h("th", { scope: "col" }, head))))),
      h("tbody", {}, rows.map(([first, ...cells]) =>
        h("tr", {}, h("th", { scope: "row" }, first), cells.map((cell) => h("td", {}, cell)))))));
}
