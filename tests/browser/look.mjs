// What a headless Chromium sees on the pages of a site, as JSON on standard output.
//
//   node look.mjs REQUEST.json
//
// The request names {chromium, site, pages, timed, explore}: a folder, pages in it, the page whose
// start is timed, the page with #explore-start (or null). Nothing is judged here: test_pages.py does.
import fs from "node:fs";
import http from "node:http";
import path from "node:path";
import { pathToFileURL } from "node:url";
import puppeteer from "puppeteer-core";

const request = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const axe = fs.readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");
const WIDTHS = [1280, 390];
const TABS = 3;
const TYPES = { ".html": "text/html", ".js": "text/javascript", ".css": "text/css" };

const folder = `${pathToFileURL(request.site).href}/`;
const address = (name) => folder + name;

/** Resolves once equations are typeset, where the page has MathJax. */
const typeset = (tab) =>
  tab.evaluate(async () => {
    if (!document.querySelector('script[src*="mathjax"]')) return;
    while (!window.MathJax?.startup?.promise) await new Promise((r) => setTimeout(r, 10));
    await window.MathJax.startup.promise;
  });

/** Runs in the page. */
function seen() {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const text = (node) => node.textContent.trim().slice(0, 60);
  const root = document.documentElement;
  const raw = [];
  // Folded code is read too, once it is unfolded; but parameters stand in the table below them.
  const folded = all("details:not([open])");
  for (const box of folded) box.open = true;
  const cut = all(".cell_input pre")
    .filter((e) => !e.closest(".tag_parameters") && e.scrollWidth > e.clientWidth)
    .map((e) => `${e.scrollWidth - e.clientWidth} px of ${text(e)}`);
  for (const box of folded) box.open = false;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    const literal = node.parentElement.closest("pre, code, script, style, mjx-container, textarea");
    if (!literal && /\\[([]|\\begin\{|\$\$/.test(node.data)) raw.push(text(node));
  }
  return {
    raw,
    untypeset: all(".math")
      .filter((e) => !e.querySelector("mjx-container"))
      .concat(all("mjx-merror, [data-mjx-error], [data-mml-node=merror]"))
      .map(text),
    equations: all("mjx-container").length,
    images: all("img").map((e) => ({
      source: e.getAttribute("src"),
      alt: (e.getAttribute("alt") ?? "").trim(),
      loaded: e.complete && e.naturalWidth > 0,
    })),
    overflow: root.scrollWidth - root.clientWidth,
    cut,
    ids: all("[id]").map((e) => e.id),
    links: all("a[href]").map((e) => e.href),
    read: all("article a[href]").map((e) => e.href.split("#")[0]),
    previous: document.querySelector("a.left-prev")?.href ?? null,
    next: document.querySelector("a.right-next")?.href ?? null,
    words: (document.querySelector("article")?.innerText.match(/\b[a-z]{6,}\b/g) ?? []),
  };
}

async function violations(tab, options) {
  const found = await tab.evaluate((given) => window.axe.run(document, given), {
    resultTypes: ["violations"],
    preload: false, // would read style sheets, which file:// forbids
    ...options,
  });
  return found.violations
    .filter((v) => ["serious", "critical"].includes(v.impact))
    .flatMap((v) => v.nodes.map((n) => `${v.id}: ${n.target} ${n.html.slice(0, 120)}`));
}

async function visit(browser, name, width) {
  const tab = await browser.newPage();
  const errors = [];
  const requested = new Set();
  tab.on("console", (m) => m.type() === "error" && errors.push(m.text()));
  tab.on("pageerror", (error) => errors.push(String(error)));
  tab.on("request", (r) => requested.add(r.url().split(/[?#]/)[0]));
  tab.on("requestfailed", (r) => errors.push(`${r.url()}: ${r.failure()?.errorText}`));
  await tab.setViewport({ width, height: 900, isMobile: width < 600, hasTouch: width < 600 });
  await tab.emulateMediaFeatures([{ name: "prefers-color-scheme", value: "light" }]);
  await tab.goto(address(name), { waitUntil: "load" });
  await typeset(tab);
  const page = await tab.evaluate(seen);
  const reported = [...errors]; // what follows may only blame the checker
  await tab.evaluate(axe);
  const light = await violations(tab, {});
  let dark = [];
  if (width > 600) {
    await tab.addStyleTag({ content: "* { transition: none !important }" });
    await tab.evaluate(() => (document.documentElement.dataset.theme = "dark"));
    dark = await violations(tab, { runOnly: ["color-contrast"] });
  }
  const outside = [...requested].filter((url) => !/^(data|blob):/.test(url) && !url.startsWith(folder));
  const files = [...requested].filter((url) => url.startsWith(folder));
  const size = (url) => fs.statSync(new URL(url), { throwIfNoEntry: false })?.size ?? 0;
  await tab.close();
  return {
    name,
    width,
    ...page,
    errors: reported,
    outside,
    files: Object.fromEntries(files.map((url) => [url.slice(folder.length), size(url)])),
    light,
    dark,
  };
}

/** Seconds until the page can be read, its equations typeset: the best of three cold starts. */
async function start(browser, name) {
  const seconds = [];
  for (let i = 0; i < 3; i++) {
    const context = await browser.createBrowserContext();
    const tab = await context.newPage();
    const begun = performance.now();
    await tab.goto(address(name), { waitUntil: "load" });
    await typeset(tab);
    seconds.push((performance.now() - begun) / 1000);
    await context.close();
  }
  return Math.min(...seconds);
}

function serve() {
  const server = http.createServer((question, answer) => {
    const file = path.join(request.site, decodeURIComponent(question.url.split("?")[0]));
    if (!file.startsWith(request.site) || !fs.existsSync(file) || fs.statSync(file).isDirectory()) {
      answer.writeHead(404).end();
      return;
    }
    answer.writeHead(200, { "content-type": TYPES[path.extname(file)] ?? "application/octet-stream" });
    fs.createReadStream(file).pipe(answer);
  });
  return new Promise((resolve) => server.listen(0, "127.0.0.1", () => resolve(server)));
}

/** A word that the text of this page has most often and that of no other page at all. */
function ownWord(page, pages) {
  const others = new Set(pages.filter((p) => p.name !== page.name).flatMap((p) => p.words));
  const counts = new Map();
  for (const word of page.words) if (!others.has(word)) counts.set(word, (counts.get(word) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? null;
}

async function search(browser, server, name, word) {
  const tab = await browser.newPage();
  const port = server.address().port;
  await tab.goto(`http://127.0.0.1:${port}/search.html?q=${word}`, { waitUntil: "load" });
  // The summary alone, for a page that is found may be called "What was found".
  const ended = () =>
    /finished|found|did not match/.test(document.querySelector("#search-results .search-summary")?.textContent ?? "");
  await tab.waitForFunction(ended, { timeout: 10000 }).catch(() => {});
  const paths = (all) => all.map((a) => new URL(a.href).pathname.slice(1));
  const found = await tab.$$eval("#search-results li a", paths);
  await tab.close();
  return { name, word, found };
}

/** Trials done before, after a click on start, after a pause, and after Enter on the button. */
async function explore(browser, name) {
  const tab = await browser.newPage();
  const errors = [];
  tab.on("pageerror", (error) => errors.push(String(error)));
  await tab.goto(address(name), { waitUntil: "load" });
  const count = () => tab.$eval("#explore-trial-count", (e) => Number(e.textContent));
  const more = async (than) => {
    for (let i = 0; i < 100 && (await count()) <= than; i++) await new Promise((r) => setTimeout(r, 100));
    return count();
  };
  const before = await count();
  await tab.click("#explore-start");
  const clicked = await more(before);
  await tab.focus("#explore-start");
  await tab.keyboard.press("Space");
  const running = await tab.$eval("#explore", (e) => e.dataset.running);
  const paused = await count();
  await tab.keyboard.press("Enter");
  const resumed = await more(paused);
  const numbers = (which) =>
    tab.$eval("#explore", (root, w) => {
      const names = ["mean-error", "share", "cosine"];
      return names.map((name) => root.querySelector(`#explore-${name}-${w}`).textContent);
    }, which);
  const [ofA, ofB] = [await numbers("a"), await numbers("b")];
  await tab.select("#explore-task", "evidence_integration");
  await tab.select("#explore-gain", "0.8");
  const anew = await count();
  await tab.click("#explore-edit-b");
  await tab.click("#explore-preset-zero");
  await tab.click("#explore-start");
  await more(anew);
  const idle = await numbers("b");
  await tab.close();
  return { before, clicked, running, paused, resumed, ofA, ofB, anew, idle, errors };
}

/** Runs jobs several at a time; results are in the order of the jobs. */
async function pooled(jobs) {
  const results = [];
  let at = 0;
  const worker = async () => {
    while (at < jobs.length) {
      const index = at++;
      results[index] = await jobs[index]();
    }
  };
  await Promise.all(Array.from({ length: TABS }, worker));
  return results;
}

const browser = await puppeteer.launch({
  executablePath: request.chromium,
  // Names resolve to nothing: a request for another machine is seen but never sent. Without the
  // sandbox, because root may not have one; the pages are our own.
  args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
try {
  const seconds = await start(browser, request.timed);
  const visits = request.pages.flatMap((name) => WIDTHS.map((width) => () => visit(browser, name, width)));
  const pages = await pooled(visits);
  const wide = pages.filter((page) => page.width === WIDTHS[0]);
  const server = await serve();
  const searches = wide.map((page) => [page.name, ownWord(page, wide)]).filter(([, word]) => word);
  const found = await pooled(searches.map((s) => () => search(browser, server, ...s)));
  server.close();
  const explored = request.explore ? await explore(browser, request.explore) : null;
  for (const page of pages) delete page.words;
  process.stdout.write(JSON.stringify({ seconds, pages, search: found, explore: explored }));
} finally {
  await browser.close();
}
