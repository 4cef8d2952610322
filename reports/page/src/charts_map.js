// Which variant wins where.
import { axis, chart, grid, tooltip } from "./chart.js";
import { choice, h } from "./dom.js";
import { parameterText, us } from "./format.js";
import { differingParameters, lengthWords, linkTo } from "./model.js";
import { plainTable } from "./table.js";
import { colour } from "./theme.js";

const kColours = 9;
const letter = (i) => (i < 26 ? String.fromCharCode(65 + i) : `${String.fromCharCode(64 + Math.floor(i / 26))}${String.fromCharCode(65 + (i % 26))}`);
const facetOf = (p) => `${p.arch}, ${p.shape.num_heads} heads`;

// Winners of all problems, the most frequent first, so that a letter means the same in every map.
function rank(problems, sides) {
  const found = new Map();
  for (const { of } of sides)
    for (const p of problems) {
      const timing = of(p);
      if (!timing) continue;
      const entry = found.get(timing.variant) ?? { variant: timing.variant, params: timing.params, wins: 0 };
      entry.wins += 1;
      found.set(timing.variant, entry);
    }
  return [...found.values()].sort((a, b) => b.wins - a.wins).map((entry, i) => ({ ...entry, name: letter(i), place: i }));
}

// sides: {name, of(problem): timing or null} each; the first is shown.
export function winnerMap(problems, sides) {
  const ranked = rank(problems, sides);
  if (ranked.length === 0) return h("p", {}, "Nothing wins here.");
  const byVariant = new Map(ranked.map((entry) => [entry.variant, entry]));
  const facets = [...new Set(problems.map(facetOf))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  const place = h("div");
  const problemsOf = (one) => problems.filter((p) => facetOf(p) === one).length;
  let [facet, side] = [facets.reduce((a, b) => (problemsOf(b) > problemsOf(a) ? b : a)), sides[0]];

  function draw() {
    const here = problems.filter((p) => facetOf(p) === facet && side.of(p));
    const tokens = [...new Set(here.map((p) => p.shape.num_tokens))].sort((a, b) => a - b);
    const lengths = [...new Map(here.map((p) => [lengthWords(p.shape), p.shape.main_len + p.shape.extra_len]))]
      .sort((a, b) => a[1] - b[1] || a[0].localeCompare(b[0])).map(([words]) => words);
    const cells = here.map((p) => {
      const winner = byVariant.get(side.of(p).variant);
      return { p, winner, value: [tokens.indexOf(p.shape.num_tokens), lengths.indexOf(lengthWords(p.shape)), winner.place] };
    });
    const shownWinners = ranked.filter((entry) => cells.some((cell) => cell.winner === entry));
    const differing = differingParameters(shownWinners);
    place.replaceChildren(chart({
      title: "Winners over tokens and length",
      note: `A letter is a variant${sides.length > 1 ? ", * where the winner changed" : ""}. ${facet}: ${shownWinners.length} of ${ranked.length} winners.`,
      controls: h("div", { class: "controls" },
        facets.length > 1 ? choice("Map of", facets.map((f) => [f, f]), facet, (value) => ((facet = value), draw(), focus(0))) : "",
        sides.length > 1 ? choice("Winners of", sides.map((s) => [s.name, s.name]), side.name,
          (value) => ((side = sides.find((s) => s.name === value)), draw(), focus(facets.length > 1 ? 1 : 0))) : ""),
      label: `Winners of ${facet}, ${side.name}: ${cells.map((c) => `${c.p.shape.num_tokens} tokens by ${lengthWords(c.p.shape)}: ${c.winner.name}`).join("; ")}`,
      height: 90 + 34 * lengths.length,
      onPick: (event) => event.data?.p && (location.hash = linkTo(event.data.p)),
      option: () => ({
        grid: grid(),
        tooltip: tooltip(({ data }) => `${data.p.words}\n${data.winner.name} = variant ${data.winner.variant.slice(0, 12)}\n${us(side.of(data.p).median_us)} us`),
        xAxis: axis("tokens", { type: "category", data: tokens.map(String), splitLine: { show: false } }),
        yAxis: axis("", { type: "category", data: lengths, splitLine: { show: false }, axisLabel: { interval: 0, hideOverlap: false } }),
        series: [{ type: "custom", data: cells, encode: { x: 0, y: 1 }, cursor: "pointer",
          renderItem: (params, api) => {
            const { p, winner } = cells[params.dataIndex];
            const [width, height] = api.size([1, 1]);
            const [x, y] = api.coord([api.value(0), api.value(1)]);
            return { type: "rect", shape: { x: x - width / 2 + 1, y: y - height / 2 + 1, width: width - 2, height: height - 2, r: 3 },
              style: { fill: colour(shownWinners.indexOf(winner) < kColours ? `map-${shownWinners.indexOf(winner)}` : "map-other") },
              textConfig: { position: "inside" },
              textContent: { style: { text: winner.name + (sides.length > 1 && p.winner_changed ? "*" : ""), fill: colour("map-text"), fontWeight: 600, fontSize: 13 } } };
          } }],
      }),
      rows: () => plainTable("Winners, by letter", ["Letter", "Variant", "Wins", ...differing],
        shownWinners.map((w) => [w.name, h("code", {}, w.variant.slice(0, 12)), String(cells.filter((c) => c.winner === w).length), ...differing.map((name) => parameterText(w.params[name]))])),
    }));
  }
  const focus = (i) => place.querySelectorAll("select")[i]?.focus();
  draw();
  return place;
}
