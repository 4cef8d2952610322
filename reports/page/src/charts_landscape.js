// How flat an optimum is, and what moves times.
import { axis, chart, grid, tooltip } from "./chart.js";
import { h } from "./dom.js";
import { number, parameterText, times } from "./format.js";
import { archsOf, linkTo, shortName } from "./model.js";
import { plainTable } from "./table.js";
import { colour } from "./theme.js";

const kMost = 40;

export function flatnessChart(problems) {
  const shown = problems.filter((p) => p.worst_ratio > 0).slice(0, kMost);
  if (shown.length === 0) return h("p", {}, "There are no times here.");
  const withArch = archsOf(shown).length > 1;
  return chart({
    title: "Other variants over the best",
    note: `From the best to the worst variant; the dot is the median.${shown.length < problems.length ? ` The first ${kMost} problems.` : ""}`,
    label: `Median and worst variant over the best of ${shown.length} problems; the table has the numbers.`,
    height: (size) => Math.max(220, 70 + (size.isNarrow ? 32 : 20) * shown.length),
    onPick: (event) => (location.hash = linkTo(shown[event.dataIndex])),
    option: (size) => ({
      grid: grid(),
      tooltip: tooltip(({ dataIndex }) => `${shown[dataIndex].words}\nmedian ${times(shown[dataIndex].median_ratio)}, worst ${times(shown[dataIndex].worst_ratio)}`),
      xAxis: axis("times the best", { type: "log", min: 1, max: Math.max(2, ...shown.map((p) => Math.ceil(p.worst_ratio))) }),
      yAxis: axis("", { type: "category", inverse: true, data: shown.map((p) => shortName(p, withArch, size.isNarrow ? "\n" : " ")), splitLine: { show: false },
        axisLabel: { width: size.isNarrow ? 120 : 190, overflow: "truncate", interval: 0, hideOverlap: false, fontSize: 11, lineHeight: 14 } }),
      series: [
        { type: "custom", z: 1, encode: { x: 1, y: 0 }, data: shown.map((p, i) => [i, p.worst_ratio]),
          renderItem: (_, api) => {
            const [a, b] = [api.coord([1, api.value(0)]), api.coord([api.value(1), api.value(0)])];
            return { type: "rect", shape: { x: a[0], y: a[1] - 3, width: Math.max(b[0] - a[0], 1), height: 6, r: 3 }, style: { fill: colour("series-a"), opacity: 0.45 } };
          } },
        { type: "scatter", z: 2, symbolSize: 9, cursor: "pointer", itemStyle: { color: colour("series-b") }, data: shown.map((p, i) => [p.median_ratio, i]) },
      ],
    }),
    rows: () => plainTable("Other variants over the best", ["Problem", "Median", "Worst"],
      shown.map((p) => [h("a", { href: linkTo(p) }, `${p.arch}, ${p.words}`), times(p.median_ratio), times(p.worst_ratio)])),
  });
}

export function effectChart(arch, effects) {
  if (!effects || effects.length === 0) return h("p", {}, `${arch}: no parameter has two values with times.`);
  const percent = (effect) => 100 * effect.explained;
  return chart({
    title: `Parameters that move the time, ${arch}`,
    note: "Share of the differences between variants that a parameter's value explains by itself. Parameters depend on each other: shares do not add up.",
    label: `Shares that parameters explain by themselves: ${effects.slice(0, 5).map((e) => `${e.parameter} ${number(percent(e))} %`).join(", ")}.`,
    height: 60 + 22 * effects.length,
    option: () => ({
      grid: grid(),
      tooltip: tooltip(({ dataIndex }) => `${effects[dataIndex].parameter}\n${effects[dataIndex].levels.map((l) => `${parameterText(l.value)}: ${times(l.mean_ratio)} on average, at best ${times(l.best_ratio)}`).join("\n")}`),
      xAxis: axis("% explained", { type: "value", min: 0 }),
      yAxis: axis("", { type: "category", inverse: true, data: effects.map((e) => e.parameter), splitLine: { show: false }, axisLabel: { interval: 0, hideOverlap: false } }),
      series: [{ type: "bar", barMaxWidth: 14, itemStyle: { color: colour("series-b") }, data: effects.map(percent),
        label: { show: true, position: "right", color: colour("muted"), formatter: ({ value }) => number(value, value < 10 ? 1 : 0) } }],
    }),
    rows: () => plainTable("Values of parameters", ["Parameter", "Value", "Variants", "On average, over the best", "At best, over the best"],
      effects.flatMap((e) => e.levels.map((l) => [e.parameter, parameterText(l.value), number(l.variants), times(l.mean_ratio), times(l.best_ratio)]))),
  });
}
