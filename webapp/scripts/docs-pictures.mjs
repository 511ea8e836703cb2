// Takes the screenshots of docs/images: node scripts/docs-pictures.mjs [DATA [NAME…]]
//
// DATA is a folder for the slides of the demo, whose generation takes a minute; a folder
// that was used before is faster. The binary is ../bin/ptiffstore, or PTIFFSTORE_BIN.

import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";

import { launch } from "./browser.mjs";

const folder = fileURLToPath(new URL("../../docs/images", import.meta.url));
const binary = process.env.PTIFFSTORE_BIN ?? fileURLToPath(new URL("../../bin/ptiffstore", import.meta.url));
const data = process.argv[2] ?? mkdtempSync(join(tmpdir(), "ptiffstore-pictures-"));
const only = process.argv.slice(3);
const password = "seven brown owls at noon";
mkdirSync(folder, { recursive: true });

// serve starts a server. It returns its address and a function that stops it.
async function serve(...args) {
  const child = spawn(binary, [...args, "--listen", "127.0.0.1:0", "--data", data], { stdio: ["ignore", "pipe", "ignore"] });
  const address = await new Promise((resolve, reject) => {
    createInterface(child.stdout).once("line", (line) => resolve(line.trim().replace(/\/$/, "")));
    child.once("exit", (code) => reject(new Error(`${binary} ended with ${code}`)));
  });
  return { address, end: () => new Promise((resolve) => { child.once("exit", resolve); child.kill("SIGTERM"); }) };
}

const desktop = { viewport: { width: 1280, height: 800 } };
const phone = { viewport: { width: 390, height: 780 }, deviceScaleFactor: 1, hasTouch: true };
const browser = await launch();

// take opens a page, does something there, and takes a screenshot.
async function take(context, address, name, path, act = () => {}) {
  if (only.length > 0 && !only.includes(name)) return;
  const page = await context.newPage();
  page.setDefaultTimeout(60_000);
  try {
    await page.goto(address + path);
    await act(page);
    await page.waitForTimeout(800);
    await page.screenshot({ path: join(folder, `${name}.png`) });
    console.log(`${name}: ${Math.round(statSync(join(folder, `${name}.png`)).size / 1000)} kB`);
  } catch (err) {
    console.error(`${name}: ${err.message.split("\n")[0]}`);
    process.exitCode = 1;
  }
  await page.close();
}

const settled = async (page) => {
  await page.locator("[data-testid=stage]").first().waitFor();
  await page.evaluate(() => window.ptiffstore.idle());
};
const pictured = (page) => page.waitForFunction(() => document.images.length > 2 && [...document.images].every((image) => image.complete && image.naturalWidth > 0));

async function open() {
  const { address, end } = await serve("demo");
  const ask = async (path, body) => (await fetch(address + path, body && { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) })).json();
  const root = join(data, "archive");
  const stores = (await ask("/api/v1/stores")).items;
  mkdirSync(root, { recursive: true });
  const archive = stores.find((store) => store.root === root) ?? (await ask("/api/v1/stores", { mode: "managed", root, label: "Archive", quota: 2e12, schedule: "15m" }));
  const slides = (await ask("/api/v1/images?limit=100")).items.filter((image) => image.state === "available" && image.store !== archive.id).sort((a, b) => b.width * b.height - a.width * a.height);
  const [slide, other] = slides;
  const at = (z) => `#x=${Math.round(slide.width * 0.47)}&y=${Math.round(slide.height * 0.5)}&z=${z}`;
  const near = at(5);
  const light = await browser.newContext({ ...desktop, colorScheme: "light" });
  const small = await browser.newContext({ ...phone, colorScheme: "light" });
  const smallDark = await browser.newContext({ ...phone, colorScheme: "dark" });
  const low = { ...desktop, viewport: { width: 1280, height: 480 } }; // enough for three slides
  await take(await browser.newContext({ ...low, colorScheme: "light" }), address, "gallery", "/", pictured);
  await take(await browser.newContext({ ...low, colorScheme: "dark" }), address, "gallery-dark", "/", pictured);
  await take(smallDark, address, "gallery-phone", "/", pictured);
  const little = await browser.newContext({ viewport: { width: 900, height: 560 }, colorScheme: "light" }); // images of tissue are large
  await take(little, address, "viewer", `/slides/${slide.id}${at(1)}`, settled);
  await take(small, address, "viewer-phone", `/slides/${slide.id}`, settled);
  await take(little, address, "measure", `/slides/${slide.id}${near}`, async (page) => {
    await settled(page);
    const box = await page.getByTestId("stage").boundingBox();
    const at = (x, y) => page.mouse.click(box.x + box.width * x, box.y + box.height * y);
    await page.keyboard.press("d");
    await page.getByTestId("measure").waitFor();
    await at(0.5, 0.28);
    await at(0.68, 0.36);
    await page.keyboard.press("a");
    for (const [x, y] of [[0.48, 0.52], [0.68, 0.5], [0.73, 0.7], [0.53, 0.76]]) await at(x, y);
    await page.keyboard.press("Enter");
  });
  await take(little, address, "compare", `/compare?ids=${slide.id},${other.id}`, settled);
  await take(light, address, "upload", `/upload?store=${archive.id}`, async (page) => {
    const demo = join(data, "demo");
    const files = readdirSync(demo).map((name) => join(demo, name)).sort((a, b) => statSync(b).size - statSync(a).size);
    const damaged = join(data, "S26-01502_C1_HE.tiff");
    writeFileSync(damaged, Buffer.concat([Buffer.from("II*\0\x08\0\0\0"), Buffer.alloc(100_000, 7)]));
    // The upload of the largest is slow enough for a screenshot.
    const network = await page.context().newCDPSession(page);
    await network.send("Network.emulateNetworkConditions", { offline: false, latency: 0, downloadThroughput: -1, uploadThroughput: 20e6 });
    await page.getByTestId("files").setInputFiles([damaged, files.at(-1), files[0]]);
    const row = (file) => page.locator(".upload", { hasText: file.split("/").pop() });
    await row(files.at(-1)).getByText("Done", { exact: true }).waitFor();
    await row(damaged).getByText("Quarantined", { exact: true }).waitFor();
    await row(files[0]).getByText(/left/).waitFor();
    rmSync(damaged);
  });
  await take(smallDark, address, "upload-phone", `/upload?store=${archive.id}`, (page) => page.locator(".upload").first().waitFor());
  await take(light, address, "stores", "/stores", (page) => page.locator(".store").nth(1).waitFor());
  await take(light, address, "tasks", "/tasks", (page) => page.locator(".task").nth(3).waitFor());
  await take(light, address, "about", "/about", (page) => page.getByRole("heading", { level: 1 }).waitFor());
  await end();
}

async function closed() {
  for (const [name, ...flags] of [["ada", "--admin"], ["rita"], ["upload-robot", "--no-password"]]) {
    spawnSync(binary, ["user", "add", name, "--data", data, ...flags], { input: `${password}\n` });
  }
  const { address, end } = await serve("serve", "--auth", "local");
  const context = await browser.newContext({ ...desktop, colorScheme: "light" });
  await take(context, address, "login", "/login", (page) => page.getByLabel("Password").waitFor());
  await take(context, address, "people", "/login", async (page) => {
    await page.getByLabel("Name").fill("ada");
    await page.getByLabel("Password").fill(password);
    await page.getByRole("button", { name: "Log in", exact: true }).click();
    await page.waitForURL((url) => url.pathname !== "/login");
    await page.goto(`${address}/people`);
    await page.getByRole("heading", { name: "Users" }).waitFor();
  });
  await end();
}

try {
  await open();
  await closed();
} finally {
  await browser.close();
  if (!process.argv[2]) rmSync(data, { recursive: true, force: true });
}
