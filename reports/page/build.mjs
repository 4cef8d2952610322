// Makes one HTML file of src/: styles and bundled scripts stand in the page itself.
//   node build.mjs OUT.html
import { readFileSync, writeFileSync } from "node:fs";
import { build } from "esbuild";

const here = new URL("./", import.meta.url);
const [out] = process.argv.slice(2);
if (!out) {
  console.error("usage: node build.mjs OUT.html");
  process.exit(2);
}

async function bundle(entry) {
  const result = await build({
    entryPoints: [new URL(entry, here).pathname],
    bundle: true,
    minify: true,
    format: "iife",
    target: "es2020",
    charset: "utf8",
    legalComments: "none",
    define: { "process.env.NODE_ENV": '"production"' },
    write: false,
  });
  return result.outputFiles[0].text.trim();
}

// What a script or style element must not contain is written so that it means the same there.
const inElement = (text) => text.replaceAll("<!--", "<\\!--").replaceAll("</script", "<\\/script");

let page = readFileSync(new URL("src/page.html", here), "utf8");
const licences = ["echarts/NOTICE", "echarts/LICENSE", "echarts/licenses/LICENSE-d3", "zrender/LICENSE", "tslib/LICENSE.txt"]
  .map((path) => `${path}\n\n${readFileSync(new URL(`node_modules/${path}`, here), "utf8").trim()}`).join("\n\n\n");
const parts = {
  "/* licences */": inElement(licences),
  "/* styles */": await bundle("src/style.css"),
  "/* scripts */": inElement(await bundle("src/main.js")),
};
for (const [place, text] of Object.entries(parts)) {
  if (page.split(place).length !== 2) throw new Error(`src/page.html must have one ${place}`);
  page = page.replace(place, () => text);
}
// The program that fills the page in looks for the first such place.
if (page.split('"mla-tune report goes here"').length !== 2) throw new Error("the report must have one place");
writeFileSync(out, page);
