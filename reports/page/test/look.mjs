// Pictures of a report's page, for people to look at: node test/look.mjs REPORT.json FOLDER [CHROMIUM]
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { launch, open, writePage } from "./pages.mjs";

const [json, folder, program = "/usr/bin/chromium"] = process.argv.slice(2);
const report = JSON.parse(readFileSync(json, "utf8"));
const template = new URL("../dist/page.html", import.meta.url).pathname;
const address = writePage(template, report.kind, report);
const browser = await launch(program);
const problem = report.problems.find((p) => (p.samples_us ?? p.baseline?.samples_us)?.length) ?? report.problems[0];
for (const width of [1280, 390])
  for (const dark of [false, true])
    for (const [view, hash] of [["all", ""], ["problem", `#/problem/${encodeURIComponent(problem.id)}`]]) {
      const { page, complaints, close } = await open(browser, address + hash, { width, dark });
      await page.screenshot({ path: join(folder, `${report.kind}-${view}-${width}${dark ? "-dark" : ""}.png`), fullPage: true });
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (over > 0 || complaints.length) console.log(view, width, `${over} pixels too wide`, complaints);
      await close();
    }
await browser.close();
