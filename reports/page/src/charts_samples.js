// The raw samples of a problem.
import { axis, chart, legend, tooltip } from "./chart.js";
import { number, plural, us } from "./format.js";
import { quantile } from "./model.js";
import { plainTable } from "./table.js";

const kFewestBins = 8;
const kMostBins = 60;

// Freedman and Diaconis, over all series, so that their bins are the same. A few far samples would squeeze all others
// into one bin: beyond 1 % at each end they count in the outermost.
function bins(all) {
  const sorted = [...all].sort((a, b) => a - b);
  const [low, high] = all.length < 100 ? [sorted[0], sorted.at(-1)] : [quantile(sorted, 0.01), quantile(sorted, 0.99)];
  const width = (2 * (quantile(sorted, 0.75) - quantile(sorted, 0.25))) / Math.cbrt(sorted.length);
  const wanted = width > 0 ? Math.ceil((high - low) / width) : kFewestBins;
  const n = high > low ? Math.min(Math.max(wanted, kFewestBins), kMostBins) : 1;
  return { low, n, width: high > low ? (high - low) / n : Math.max(low * 0.01, 1e-6), areCut: low > sorted[0] || high < sorted.at(-1) };
}

// series: {name, samples}, those without samples left out by the caller.
export function distributionChart(series) {
  const { low, n, width, areCut } = bins(series.flatMap((s) => s.samples));
  const share = series.map(({ samples }) => {
    const counts = new Array(n).fill(0);
    for (const sample of samples) counts[Math.min(Math.max(Math.floor((sample - low) / width), 0), n - 1)] += 1;
    return counts.map((count) => (100 * count) / samples.length);
  });
  const from = (i) => low + i * width;
  return chart({
    title: "Distribution of the samples",
    note: `${series.map((s) => `${s.name}: ${plural(s.samples.length, "sample")}`).join("; ")}.${areCut ? " The outermost bars hold what lies beyond." : ""}`,
    label: `Distribution of samples. ${series.map((s) => {
      const sorted = [...s.samples].sort((a, b) => a - b);
      return `${s.name}: half of them between ${us(quantile(sorted, 0.25))} and ${us(quantile(sorted, 0.75))} microseconds`;
    }).join("; ")}.`,
    height: 320,
    option: (size) => ({
      ...legend(series, size),
      tooltip: tooltip(({ seriesName, dataIndex, value }) => `${seriesName}\n${us(from(dataIndex))} to ${us(from(dataIndex + 1))} us: ${number(value, 1)} %`),
      xAxis: axis("us", { type: "category", data: share[0].map((_, i) => us(from(i) + width / 2)), splitLine: { show: false } }),
      yAxis: axis("% of samples", { type: "value", nameGap: 34 }),
      series: series.map((s, k) => ({ name: s.name, type: "bar", barGap: "-100%", barCategoryGap: "4%", itemStyle: { opacity: 0.6 }, data: share[k] })),
    }),
    rows: () => plainTable("Quantiles of the samples, us", ["", "Fewest", "5 %", "25 %", "50 %", "75 %", "95 %", "Most"], series.map((s) => {
      const sorted = [...s.samples].sort((a, b) => a - b);
      return [s.name, ...[0, 0.05, 0.25, 0.5, 0.75, 0.95, 1].map((q) => us(quantile(sorted, q)))];
    })),
  });
}

export function driftChart(series) {
  return chart({
    title: "Samples in order of time",
    note: "A slope is a clock or a temperature that drifted; a step is something else that ran.",
    label: "Samples in order of time, to see drifts. The quantiles are in the table above.",
    height: 280,
    option: (size) => ({
      ...legend(series, size),
      tooltip: tooltip(({ seriesName, value }) => `${seriesName}\nsample ${value[0]}: ${us(value[1])} us`),
      xAxis: axis("sample", { type: "value", min: 1, max: "dataMax", minInterval: 1 }),
      yAxis: axis("us", { type: "value", scale: true, nameGap: 44 }),
      series: series.map((s) => ({ name: s.name, type: "scatter", symbolSize: 5, itemStyle: { opacity: 0.7 }, data: s.samples.map((value, i) => [i + 1, value]) })),
    }),
  });
}
