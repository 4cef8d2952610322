// Ratios, and times against what the hardware allows.
import { axis, chart, grid, legend, tooltip } from "./chart.js";
import { h } from "./dom.js";
import { change, interval, plural, share, times, us } from "./format.js";
import { archsOf, deciding, hasTime, kSymbols, linkTo, shortName, timingNow } from "./model.js";
import { plainTable } from "./table.js";
import { colour } from "./theme.js";

const kMost = 30;
const percent = (ratio) => 100 * (ratio - 1);
const go = (problem) => problem && (location.hash = linkTo(problem));

// The farthest from no change, worst at the top; times that were predicted are hollow.
export function ratioChart(problems, threshold) {
  const compared = problems.filter((p) => p.ratio !== null).sort((a, b) => b.ratio - a.ratio);
  if (compared.length === 0) return h("p", {}, "No times can be compared here.");
  const farthest = [...compared].sort((a, b) => Math.abs(Math.log(b.ratio)) - Math.abs(Math.log(a.ratio))).slice(0, kMost);
  const shown = compared.filter((p) => farthest.includes(p));
  const withArch = archsOf(shown).length > 1;
  const names = (size) => shown.map((p) => (size.isNarrow ? shortName(p, withArch, "\n") : `${withArch ? `${p.arch} ` : ""}${p.words}`));
  const spans = shown.map((p, i) => [i, deciding(p)?.low, deciding(p)?.high]).filter((s) => s[1] !== null && s[1] !== undefined)
    .map(([i, low, high]) => [i, percent(low), percent(high)]);
  const line = (x, dashed, text) => ({ xAxis: x, lineStyle: { color: colour(dashed ? "muted" : "text"), type: dashed ? "dashed" : "solid", opacity: 0.7 },
    label: { show: Boolean(text), formatter: text, position: "end", color: colour("muted") } });
  return chart({
    title: "Change of time per problem",
    note: `Right of 0 the candidate is slower. Bars are 95 % intervals, hollow marks predictions; dashed, the threshold of ${share(threshold)}.` +
      (shown.length < compared.length ? ` The ${kMost} largest changes of ${compared.length}.` : ""),
    label: `Change of time for ${plural(compared.length, "problem")}, from ${change(compared[0].ratio)} (${compared[0].words}) to ${change(compared.at(-1).ratio)}. The table below has all of them.`,
    height: (size) => 90 + shown.length * (size.isNarrow ? 34 : 22),
    onPick: (event) => go(shown[event.data?.problem]),
    option: (size) => ({
      grid: grid(24),
      tooltip: tooltip(({ data }) => {
        const p = shown[data.problem ?? data[0]];
        return `${p.arch}, ${p.words}\n${p.verdict}, ${p.evidence}: ${change(p.ratio)}\n95 %: ${interval(deciding(p))}`;
      }),
      xAxis: axis("change of time, %", { type: "value", boundaryGap: ["4%", "4%"] }),
      yAxis: axis("", { type: "category", inverse: true, data: names(size), splitLine: { show: false },
        axisLabel: { width: size.isNarrow ? 128 : 360, overflow: "truncate", hideOverlap: false, interval: 0, fontSize: size.isNarrow ? 11 : 12, lineHeight: 14 } }),
      series: [
        { type: "custom", data: spans, z: 1, encode: { x: [1, 2], y: 0 },
          renderItem: (_, api) => {
            const [a, b] = [api.coord([api.value(1), api.value(0)]), api.coord([api.value(2), api.value(0)])];
            return { type: "rect", shape: { x: a[0], y: a[1] - 2, width: Math.max(b[0] - a[0], 1), height: 4 }, style: { fill: colour("muted"), opacity: 0.6 } };
          } },
        // The threshold is always in the picture, so that what is within it looks like that.
        { type: "scatter", symbolSize: 0, silent: true, tooltip: { show: false }, data: [[percent(1 / (1 + threshold)), 0], [percent(1 + threshold), 0]] },
        { type: "scatter", symbolSize: 11, cursor: "pointer", z: 2,
          data: shown.map((p, i) => ({ value: [percent(p.ratio), i], problem: i,
            itemStyle: { color: p.evidence === "predicted" ? colour("background") : colour(p.verdict), borderColor: colour(p.verdict), borderWidth: 2 } })),
          markLine: { symbol: "none", silent: true, data: [line(0), line(percent(1 + threshold), true), line(percent(1 / (1 + threshold)), true)] } },
      ],
    }),
    rows: () => plainTable("Change of time per problem", ["Problem", "Verdict", "Change", "95 % interval"],
      compared.map((p) => [h("a", { href: linkTo(p) }, `${p.arch}, ${p.words}`), `${kSymbols[p.verdict]} ${p.verdict} (${p.evidence})`, change(p.ratio), interval(deciding(p))])),
  });
}

// series: {name, of(problem): microseconds}, colours in their order.
function limitFigure(problems, series, note) {
  const known = problems.filter((p) => p.limit_us > 0 && series.some((s) => s.of(p) > 0));
  if (known.length === 0) return h("p", {}, "What the hardware allows is not known for these problems.");
  const all = known.flatMap((p) => series.map((s) => s.of(p))).filter((v) => v > 0);
  const decade = (values) => 10 ** Math.floor(Math.log10(Math.min(...values)));
  const allLimits = known.map((p) => p.limit_us);
  const [left, low, high] = [decade(allLimits), decade(all), 10 ** Math.ceil(Math.log10(Math.max(...all)))];
  const [from, to] = [Math.max(left, low), Math.max(...allLimits, 2 * Math.max(left, low))];
  const best = known.map((p) => Math.min(...series.map((s) => s.of(p)).filter((v) => v > 0)) / p.limit_us).sort((a, b) => a - b);
  const shapes = ["circle", "diamond"];
  return chart({
    title: "Time against the limit",
    note: `${note} No kernel can be below the line: memory or matrix peak forbids it.`,
    label: `Times of ${known.length} problems against what memory and matrix peaks allow: from ${times(best[0])} to ${times(best.at(-1))} the limit.`,
    height: 360,
    onPick: (event) => go(known[event.data?.problem]),
    option: (size) => ({
      ...legend(series, size),
      tooltip: tooltip(({ data, seriesName }) => {
        const p = known[data.problem];
        return `${p.arch}, ${p.words}\n${seriesName}: ${us(data.value[1])} us\nlimit: ${us(p.limit_us)} us, ${times(data.value[1] / p.limit_us)}`;
      }),
      xAxis: axis("limit, us", { type: "log", min: left, max: 10 ** Math.ceil(Math.log10(to)) }),
      yAxis: axis("time, us", { type: "log", min: low, max: high, nameGap: 42 }),
      series: series.map((s, k) => ({
        name: s.name, type: "scatter", symbol: shapes[k], symbolSize: k === 0 ? 11 : 10, cursor: "pointer",
        itemStyle: { opacity: 0.85 },
        data: known.map((p, i) => ({ value: [p.limit_us, s.of(p)], problem: i })).filter((d) => d.value[1] > 0),
        markLine: k > 0 ? undefined : { symbol: "none", silent: true, label: { show: true, formatter: "limit", position: "insideMiddleBottom", color: colour("muted") },
          lineStyle: { color: colour("text"), type: "solid" },
          data: [[{ coord: [from, from] }, { coord: [to, to] }]] },
      })),
    }),
    rows: () => plainTable("Time against the limit", ["Problem", "Limit, us", ...series.flatMap((s) => [`${s.name}, us`, "× limit"])],
      known.map((p) => [h("a", { href: linkTo(p) }, `${p.arch}, ${p.words}`), us(p.limit_us), ...series.flatMap((s) => [us(s.of(p)), times(s.of(p) / p.limit_us)])])),
  });
}

export const comparedLimits = (problems, before, now) =>
  limitFigure(problems, [
    { name: before, of: (p) => (hasTime(p.baseline) ? p.baseline.median_us : 0) },
    { name: now, of: (p) => (hasTime(timingNow(p)) ? timingNow(p).median_us : 0) },
  ], "Each problem's time on both sides.");

export const landscapeLimits = (problems) =>
  limitFigure(problems, [{ name: "best variant", of: (p) => p.best.median_us }], "Each problem's best time.");
