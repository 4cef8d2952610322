// The page in a headless browser: node test/page_test.mjs PAGE.html DATA CHROMIUM
// DATA: the folder with the reports report_every_verdict.json and report_landscape.json.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { launch, open, writePage } from "./pages.mjs";

const [template, data, program] = process.argv.slice(2);
const read = (name) => JSON.parse(readFileSync(join(data, name), "utf8"));
const comparison = read("report_every_verdict.json");
const landscape = read("report_landscape.json");
// What a compiler says may look like markup.
comparison.problems[0].reason = "</script><img src=x onerror=alert(1)>";
const address = writePage(template, "comparison", comparison);
const landscapeAddress = writePage(template, "landscape", landscape);
const browser = await launch(program);
const at = (problem, base = address) => `${base}#/problem/${encodeURIComponent(problem.id)}`;
const rows = (page) => page.locator("table").filter({ hasText: "gravest and dearest" }).locator("tbody tr");

async function eachWidth(check) {
  for (const [width, dark] of [[1280, false], [390, false], [1280, true], [390, true]]) await check({ width, dark });
}

const tests = {
  "every view is drawn at both widths, light and dark, without a complaint": async () =>
    eachWidth(async (look) => {
      const others = look.width === 1280 && !look.dark ? comparison.problems : comparison.problems.slice(2, 3);
      const views = [address, landscapeAddress, ...others.map((p) => at(p)), ...landscape.problems.slice(-2).map((p) => at(p, landscapeAddress))];
      const { page, complaints, close } = await open(browser, "about:blank", look);
      for (const view of views) {
        await page.goto("about:blank");
        await page.goto(view);
        await page.locator("h1").waitFor();
        const missing = await page.locator(".chart").evaluateAll((boxes) => boxes.filter((box) => !box.querySelector("svg path")).map((box) => box.ariaLabel));
        assert.deepEqual(missing, [], `charts of ${view} are drawn`);
        const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
        assert.equal(over <= 0, true, `${view} fits into ${look.width} pixels`);
        const cut = await page.locator(".data .scroll").evaluateAll((all) => all.filter((one) => one.scrollWidth > one.clientWidth).map((one) => one.ariaLabel));
        if (look.width === 390) assert.deepEqual(cut, [], `cards of ${view} are not cut`);
      }
      assert.deepEqual(complaints, []);
      await close();
    }),

  "the headline, every verdict and what is only predicted are said": async () => {
    const { page, close } = await open(browser, address);
    assert.equal(await page.locator("h1").innerText(), comparison.summary.headline);
    assert.match(await page.title(), /breaks 2 of 12/);
    assert.match(await page.locator(".badge").innerText(), /Broken/);
    assert.match(await page.locator(".warning").innerText(), /2 problems are predictions/);
    assert.equal(await rows(page).count(), 12);
    assert.deepEqual(await page.locator(".tile .figure").allInnerTexts(), ["✕ 2", "▲ 2", "? 2", "+ 1", "✓ 1", "▼ 1", "= 3"]);
    await close();
  },

  "the table sorts by mouse and by keyboard, and says so": async () => {
    const { page, close } = await open(browser, address);
    const changes = async () => (await rows(page).locator("[data-label=Change] .change > :first-child").allInnerTexts()).filter((t) => t !== "–").map((t) => parseFloat(t.replace("−", "-")));
    const descending = [...(await changes())].sort((a, b) => b - a);
    await page.getByRole("button", { name: "Change", exact: true }).click();
    assert.deepEqual(await changes(), descending);
    assert.equal(await page.getByRole("columnheader", { name: "Change" }).getAttribute("aria-sort"), "descending");
    await page.keyboard.press("Enter");
    assert.deepEqual(await changes(), [...descending].reverse());
    assert.equal(await page.getByRole("columnheader", { name: "Change" }).getAttribute("aria-sort"), "ascending");
    assert.equal((await rows(page).last().locator("[data-label=Change]").innerText()).trim(), "–", "what is not known comes last");
    await close();
  },

  "a narrow page sorts by a choice": async () => {
    const { page, close } = await open(browser, address, { width: 390 });
    await page.getByLabel("Sort by").first().selectOption("change up");
    assert.match(await rows(page).first().innerText(), /−10\.0 %/);
    await close();
  },

  "filters narrow table and charts, tell how many are left, and survive a visit to a problem": async () => {
    const { page, close } = await open(browser, address);
    await page.getByRole("combobox", { name: "Verdict" }).selectOption("regressed");
    assert.equal(await rows(page).count(), 2);
    assert.equal(await page.getByRole("status").innerText(), "2 of 12 problems");
    await page.getByLabel("Find").fill("1 TOKEN, 16");
    assert.equal(await rows(page).count(), 1);
    assert.match(await page.locator(".chart").first().getAttribute("aria-label"), /for 1 problem,/);
    await rows(page).getByRole("link").click();
    assert.match(await page.locator("h1").innerText(), /1 token/);
    await page.goBack();
    assert.equal(await rows(page).count(), 1);
    await page.getByLabel("Find").fill("no such thing");
    assert.equal(await rows(page).count(), 0);
    await page.getByRole("button", { name: "Show all", exact: true }).click();
    assert.equal(await rows(page).count(), 12);
    await page.locator(".tile.broken").click();
    assert.equal(await rows(page).count(), 2);
    assert.equal(await page.locator(".tile.broken").getAttribute("aria-pressed"), "true");
    await close();
  },

  "a problem shows its samples, times, code and parameters": async () => {
    const { page, close } = await open(browser, at(comparison.problems.find((p) => p.verdict === "regressed" && p.evidence === "measured")));
    assert.match(await page.locator(".chart").first().getAttribute("aria-label"), /half of them between/);
    await page.getByText("The same as a table").first().click();
    await page.getByRole("table", { name: "Quantiles of the samples" }).waitFor(); // it is made when it is asked for
    assert.match(await page.getByRole("row", { name: /^VGPRs/ }).innerText(), /160\s+176/);
    await page.getByRole("link", { name: "Next" }).click();
    // When the address has changed, which is not said before the click is over.
    await page.waitForFunction(() => document.activeElement.tagName === "H1", null, { timeout: 5000 });
    await close();
  },

  "what a report says is text, never markup": async () => {
    const { page, complaints, close } = await open(browser, at(comparison.problems[0]));
    assert.equal(await page.getByText("</script><img src=x onerror=alert(1)>").count(), 1);
    assert.equal(await page.locator("img").count(), 0);
    assert.deepEqual(complaints, []);
    await close();
  },

  "everything that can be pressed is reached with the Tab key, and has a name": async () => {
    const { page, close } = await open(browser, address);
    const all = await page.locator("a[href], button:not([disabled]), select, input, summary").evaluateAll((found) => found.filter((e) => e.offsetParent).length);
    const seen = new Set();
    for (let i = 0; i < all + 20; ++i) {
      await page.keyboard.press("Tab");
      const name = await page.evaluate(() => {
        const e = document.activeElement;
        e.dataset.at ??= String(Math.random());
        return [e.dataset.at, e.ariaLabel || e.closest("label")?.innerText || e.innerText || ""];
      });
      assert.notEqual(name[1].trim(), "");
      seen.add(name[0]);
    }
    assert.equal(seen.size >= all, true, `${seen.size} of ${all}`);
    await close();
  },

  "words stand out from what is behind them, light and dark": async () => {
    for (const dark of [false, true]) {
      const { page, close } = await open(browser, address, { dark });
      const weak = await page.evaluate(() => {
        const rgb = (text) => text.match(/[\d.]+/g).slice(0, 3).map(Number);
        const light = (c) => c.map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
        const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; if (!c.endsWith(", 0)")) return rgb(c); } return [255, 255, 255]; };
        return [...document.querySelectorAll("main *")].filter((e) => !e.closest("svg") && [...e.childNodes].some((n) => n.nodeType === 3 && n.data.trim()))
          .map((e) => { const [a, b] = [light(rgb(getComputedStyle(e).color)), light(behind(e))].sort((x, y) => y - x); return [e.className || e.tagName, (a + 0.05) / (b + 0.05)]; })
          .filter(([, contrast]) => contrast < 4.5);
      });
      assert.deepEqual(weak, []);
      await close();
    }
  },

  "the colours follow the button": async () => {
    const { page, close } = await open(browser, address);
    const background = () => page.evaluate(() => getComputedStyle(document.body).backgroundColor);
    const light = await background();
    const button = page.getByRole("button", { name: "Colours: auto" });
    await button.click();
    assert.equal(await background(), light);
    await page.getByRole("button", { name: "Colours: light" }).click();
    assert.notEqual(await background(), light);
    await close();
  },

  "a report of another format is refused in words": async () => {
    const { page, complaints, close } = await open(browser, writePage(template, "other", { format: "mla-tune report 2", kind: "comparison" }));
    assert.match(await page.locator("main").innerText(), /Write it again/);
    assert.deepEqual(complaints, []);
    await close();
  },
};

let failed = 0;
for (const [name, test] of Object.entries(tests)) {
  try {
    await test();
    console.log(`ok      ${name}`);
  } catch (error) {
    failed += 1;
    console.log(`FAILED  ${name}\n${error.stack}`);
  }
}
await browser.close();
process.exit(failed === 0 ? 0 : 1);
