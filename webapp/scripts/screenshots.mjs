// Takes screenshots of the pages: node scripts/screenshots.mjs ADDRESS FOLDER [NAME…]
//
// ADDRESS is that of a running server.

import { mkdir } from "node:fs/promises";
import { join } from "node:path";

import { launch } from "./browser.mjs";

const [address, folder, ...only] = process.argv.slice(2);
if (!folder) {
  console.error("usage: node scripts/screenshots.mjs ADDRESS FOLDER [NAME…]");
  process.exit(2);
}
const base = address.replace(/\/$/, "");
await mkdir(folder, { recursive: true });

const { items } = await (await fetch(`${base}/api/v1/images?limit=100`)).json();
const shown = items.filter((image) => image.state === "available").sort((a, b) => b.width * b.height - a.width * a.height);
const slide = shown[0];
const failed = items.find((image) => image.state === "broken");

const settled = async (page) => {
  await page.locator("[data-testid=stage]").waitFor();
  await page.evaluate(() => window.ptiffstore.idle());
  await page.waitForTimeout(400); // the progress line fades
};
const shots = {
  gallery: { path: "/", act: (page) => page.waitForTimeout(2500) },
  search: { path: `/?q=${slide.file_name.slice(0, 5)}`, act: (page) => page.waitForTimeout(2000) },
  nothing: { path: "/?q=zzzz", act: (page) => page.waitForTimeout(600) },
  slide: { path: `/slides/${slide.id}`, act: settled },
  close: { path: `/slides/${slide.id}#x=${slide.width * 0.47}&y=${slide.height * 0.5}&z=20`, act: settled },
  turned: {
    path: `/slides/${slide.id}#x=${slide.width * 0.47}&y=${slide.height * 0.5}&z=5&r=33`,
    act: async (page) => {
      await settled(page);
      await page.getByTestId("rotation-button").click();
      await page.waitForTimeout(300);
    },
  },
  damaged: {
    path: `/slides/${slide.id}#x=${slide.width * 0.47}&y=${slide.height * 0.5}&z=10`,
    act: async (page) => {
      await settled(page);
      await page.mouse.move(page.viewportSize().width * 0.45, page.viewportSize().height * 0.55);
      await page.waitForTimeout(300);
    },
    fail: true,
  },
  details: {
    path: `/slides/${slide.id}`,
    act: async (page) => {
      await settled(page);
      await page.keyboard.press("i");
      if (!(await page.locator(".panel").isVisible())) await page.keyboard.press("i");
      await page.getByRole("tab", { name: "Details" }).click();
      await settled(page);
    },
  },
  keys: {
    path: `/slides/${slide.id}`,
    act: async (page) => {
      await settled(page);
      await page.keyboard.press("?");
      await page.waitForTimeout(300);
    },
  },
  stores: { path: "/stores", act: (page) => page.locator(".store").first().waitFor(), full: true },
  "store-form": {
    path: "/stores",
    act: async (page) => {
      await page.getByRole("button", { name: "Add store" }).click();
      await page.locator("summary", { hasText: "Sync" }).click();
      await page.getByLabel("Schedule").fill("often");
      await page.getByRole("dialog").getByRole("button", { name: "Add store" }).click();
      await page.getByRole("alert").waitFor();
    },
  },
  "store-remove": { path: "/stores", act: (page) => page.getByRole("button", { name: /^Remove/ }).last().click() },
  tasks: { path: "/tasks", act: (page) => page.locator(".task").first().waitFor(), full: true },
  task: {
    path: "/tasks?state=running",
    act: async (page) => {
      await page.locator(".task-link").first().click();
      await page.locator(".log li").nth(2).waitFor();
    },
  },
  broken: failed && { path: `/slides/${failed.id}`, act: (page) => page.waitForTimeout(600) },
};

const browser = await launch();
for (const [device, viewport] of Object.entries({ desktop: { width: 1440, height: 900 }, phone: { width: 360, height: 740 }, "4k": { width: 3840, height: 2160 } })) {
  for (const colorScheme of ["light", "dark"]) {
    const context = await browser.newContext({ viewport, colorScheme, deviceScaleFactor: device === "phone" ? 2 : 1, hasTouch: device === "phone" });
    for (const [name, shot] of Object.entries(shots)) {
      if (!shot || (only.length > 0 && !only.includes(name))) continue;
      const page = await context.newPage();
      page.setDefaultTimeout(10_000);
      page.on("console", (message) => message.type() === "error" && console.error(`${name}: ${message.text()}`));
      page.on("pageerror", (error) => console.error(`${name}: ${error.stack}`));
      if (shot.fail) {
        const tiles = [0, 1, 2].map((k) => [slide.max_zoom - k, Math.floor((slide.width * 0.47) / slide.tile_width / 2 ** k), Math.floor((slide.height * 0.5) / slide.tile_height / 2 ** k)].join("/"));
        const body = JSON.stringify({ status: 502, detail: "This tile cannot be read because the file is damaged. The server log has the reason." });
        await page.route(new RegExp(`/tiles/(${tiles.join("|")})(\\.jpg)?(\\?|$)`), (route) => route.fulfill({ status: 502, contentType: "application/problem+json", body }));
      }
      await page.goto(base + shot.path);
      try {
        await shot.act(page);
      } catch (err) {
        // The server may have no such store, or no running task.
        console.error(`${name}: ${err.message.split("\n")[0]}`);
      }
      await page.waitForTimeout(shot.full ? 300 : 0);
      await page.screenshot({ path: join(folder, `${name}-${device}-${colorScheme}.png`), fullPage: !!shot.full });
      await page.close();
    }
    await context.close();
  }
}
await browser.close();
