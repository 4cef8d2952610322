// Reports in a page, opened in a browser that may reach nothing else.
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const kPlace = '"mla-tune report goes here"';
const folder = mkdtempSync(join(tmpdir(), "mla-page-"));

// As mla-tune writes it. Returns the address.
export function writePage(template, name, report) {
  const path = join(folder, `${name}.html`);
  const json = JSON.stringify(report).replaceAll("<", "\\u003c");
  writeFileSync(path, readFileSync(template, "utf8").replace(kPlace, () => json));
  return pathToFileURL(path).href;
}

export const launch = (program) =>
  chromium.launch({ executablePath: program, args: ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none"] });

// `complaints` collects what must not happen: errors on the console, and any request but for the page itself.
export async function open(browser, address, { width = 1280, dark = false } = {}) {
  const context = await browser.newContext({ viewport: { width, height: 900 }, colorScheme: dark ? "dark" : "light", reducedMotion: "reduce" });
  context.setDefaultTimeout(120000); // for machines that do much else
  const page = await context.newPage();
  const complaints = [];
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && complaints.push(message.text()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("request", (request) => /^(file|data|blob):/.test(request.url()) || complaints.push(`asks for ${request.url()}`));
  await page.goto(address);
  return { page, complaints, close: () => context.close() };
}
