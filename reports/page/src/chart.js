// Charts: what all of them have in common.
import { BarChart, CustomChart, HeatmapChart, ScatterChart } from "echarts/charts";
import { GridComponent, LegendComponent, MarkLineComponent, TooltipComponent } from "echarts/components";
import * as echarts from "echarts/core";
import { SVGRenderer } from "echarts/renderers";
import { h } from "./dom.js";
import { colour, onThemeChange } from "./theme.js";

echarts.use([BarChart, CustomChart, HeatmapChart, ScatterChart, GridComponent, LegendComponent, MarkLineComponent,
  TooltipComponent, SVGRenderer]);

const live = new Set();

function draw(one) {
  const width = one.box.clientWidth;
  if (width === 0) return;
  const size = { width, isNarrow: width < 560 };
  one.box.style.height = `${one.height(size)}px`;
  one.chart ??= echarts.init(one.box, null, { renderer: "svg" });
  one.chart.resize({ width, height: one.height(size) });
  one.chart.setOption({ ...common(), ...one.option(size) }, { notMerge: true });
  if (one.onPick && !one.hasPick) {
    one.chart.on("click", (event) => one.onPick(event));
    one.hasPick = true;
  }
}

function common() {
  return {
    animation: false,
    textStyle: { fontFamily: getComputedStyle(document.body).fontFamily, color: colour("text") },
    color: ["series-a", "series-b", "series-c"].map(colour),
  };
}

export const tooltip = (formatter) => ({
  confine: true,
  backgroundColor: colour("panel"),
  borderColor: colour("line"),
  textStyle: { color: colour("text"), fontSize: 13 },
  formatter: (event) => echarts.format.encodeHTML(String(formatter(event))).replaceAll("\n", "<br>"),
});

// Room for labels and names of axes is found by itself.
export const grid = (top = 8) => ({ left: 8, right: 24, top, bottom: 8, outerBoundsMode: "same", outerBoundsContain: "all" });

// An axis in the colours of the page.
export function axis(name, more = {}) {
  return {
    name,
    nameLocation: "middle",
    nameGap: 30,
    nameTextStyle: { color: colour("muted") },
    axisLine: { lineStyle: { color: colour("line") } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: colour("line"), opacity: 0.6 } },
    ...more,
    axisLabel: { color: colour("muted"), hideOverlap: true, ...more.axisLabel },
  };
}

// What tells series apart, and the room that it takes; nothing for one series alone.
export function legend(series, { width }) {
  if (series.length === 1) return { color: [colour("series-b")], grid: grid(12) };
  let [rows, used] = [1, 0];
  for (const { name } of series) {
    const wanted = 56 + 7.5 * name.length;
    if (used > 0 && used + wanted > width) [rows, used] = [rows + 1, 0];
    used += wanted;
  }
  return {
    legend: { top: 0, left: 0, textStyle: { color: colour("text") }, itemGap: 16 },
    grid: grid(14 + 24 * rows),
  };
}

// A figure with its words. `spec`: title, note; label, what a screen reader says of the picture; height (pixels, or of
// {width, isNarrow}); option, an ECharts option of the same; rows(), an element with the same as text; onPick(event).
export function chart(spec) {
  const box = h("div", { class: "chart", role: "img", "aria-label": spec.label });
  const one = {
    box,
    height: typeof spec.height === "function" ? spec.height : () => spec.height,
    option: spec.option,
    onPick: spec.onPick,
  };
  live.add(one);
  new ResizeObserver(() => live.has(one) && draw(one)).observe(box);
  const details = spec.rows && h("details", {
    ontoggle: () => details.open && details.children.length === 1 && details.append(spec.rows()),
  }, h("summary", {}, "The same as a table"));
  return h("figure", {},
    h("figcaption", {}, h("h3", {}, spec.title), spec.note ? h("p", { class: "note" }, spec.note) : ""),
    spec.controls ?? "", box, details ?? "");
}

// Charts that were drawn and are no longer in the page give their memory back.
export function forgetCharts() {
  for (const one of live) {
    if (one.box.isConnected || !one.chart) continue;
    one.chart.dispose();
    live.delete(one);
  }
}

onThemeChange(() => live.forEach(draw));
