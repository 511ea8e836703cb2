// Fixtures of the browser tests: a running server and its slides.

import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import { test as base, expect, type Page } from "@playwright/test";

import type { SlideImage, ViewableImage } from "../src/api/types";
import { isViewable } from "../src/api/types";
import { fullMagnification } from "../src/viewer/magnification";
import { copySlides, startServer } from "./server";

export { expect };
export type { SlideImage, ViewableImage };

// screens are the windows in which each page is tested. At 4K only its layout is: axe finds
// nothing that depends on a window larger than the desktop's.
export const screens = [
  { device: "desktop", viewport: { width: 1440, height: 900 }, colorScheme: "light" },
  { device: "phone", viewport: { width: 360, height: 640 }, colorScheme: "dark" },
  { device: "4K", viewport: { width: 3840, height: 2160 }, colorScheme: "light" },
] as const;

interface Slides {
  all: SlideImage[];
  largest: ViewableImage; // of the slides that can be opened
  measured: ViewableImage; // one with known pixel size
}

interface Watched {
  // Errors in the console of the page, except those about unsuccessful responses.
  errors: string[];
}

interface WorkerFixtures {
  ownServer: boolean; // an option: the tests change what the server has
  data: string; // the data folder of the server
  server: string; // its address
  slides: Slides;
}

export const test = base.extend<{ watched: Watched }, WorkerFixtures>({
  ownServer: [false, { option: true, scope: "worker" }],

  data: [async ({ ownServer }, use) => {
    const shared = process.env.PTIFFSTORE_E2E_DATA!;
    if (!ownServer) return use(shared);
    const data = mkdtempSync(join(shared, "own-"));
    await use(data);
    rmSync(data, { recursive: true, force: true });
  }, { scope: "worker" }],

  server: [async ({ ownServer, data }, use) => {
    if (!ownServer) return use(process.env.PTIFFSTORE_E2E_SERVER!);
    copySlides(data);
    const server = await startServer(data, "demo");
    await use(server.address);
    await server.stop();
  }, { scope: "worker", timeout: 300_000 }],

  slides: [async ({ server }, use) => {
    const list = async (): Promise<SlideImage[]> => {
      const found = (await (await fetch(`${server}/api/v1/images?limit=100`)).json()) as { items: SlideImage[] };
      return Promise.all(found.items.map(async ({ id }) => (await (await fetch(`${server}/api/v1/images/${id}`)).json()) as SlideImage));
    };
    // A server prints its address before it has looked at its slides.
    let all: SlideImage[] = [];
    await expect.poll(async () => (all = await list()).some(isViewable), { message: "a slide that can be opened", timeout: 60_000 }).toBe(true);
    const shown = all.filter(isViewable).sort((a, b) => b.width * b.height - a.width * a.height);
    await use({ all, largest: shown[0]!, measured: shown.find((image) => image.mpp_x !== null)! });
  }, { scope: "worker", timeout: 90_000 }],

  baseURL: async ({ server }, use) => use(server),

  watched: [async ({ page }, use) => {
    const errors: string[] = [];
    page.on("console", (message) => {
      if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) errors.push(message.text());
    });
    page.on("pageerror", (error) => errors.push(error.stack ?? error.message));
    await use({ errors });
    expect(errors, "errors in the console").toEqual([]);
  }, { auto: true }],
});

// openSlide opens a slide without its panel, and waits until all its tiles are rendered.
export async function openSlide(page: Page, image: SlideImage, hash = ""): Promise<void> {
  await page.addInitScript(() => {
    if (localStorage.getItem("ptiffstore.panel") === null) localStorage.setItem("ptiffstore.panel", "false");
  });
  await page.goto(`/slides/${image.id}${hash}`);
  await idle(page);
}

// idle waits until the application is not busy: the slides stand still with all
// their tiles, and the address says where they are.
export async function idle(page: Page): Promise<void> {
  await page.evaluate(() => window.ptiffstore.idle());
}

// position parses the address: the visible part of the slide.
export function position(page: Page): Record<string, number> {
  const params = new URLSearchParams(new URL(page.url()).hash.slice(1));
  return Object.fromEntries([...params].map(([name, value]) => [name, Number(value)]));
}

// pixelForPixel is the part of the address for the full scale of a slide, or 1:2^k of
// it.
export function pixelForPixel(image: ViewableImage, k = 0): string {
  const full = fullMagnification(image);
  return full ? `z=${full.power / 2 ** k}` : `s=${1 / 2 ** k}`;
}

// answerList answers requests for lists of images.
export async function answerList(page: Page, answer: (params: URLSearchParams) => { items: SlideImage[]; next_cursor: string | null }): Promise<void> {
  await page.route(/\/api\/v1\/images\?/, (route) => route.fulfill({ json: answer(new URL(route.request().url()).searchParams) }));
}

// accessibilityFaults returns the violations that axe finds in the page, or within an element
// of it. Legacy mode lacks only frames of other origins, which the pages do not have,
// and opens no further page for each check.
export async function accessibilityFaults(page: Page, within?: string): Promise<string[]> {
  const axe = new AxeBuilder({ page }).options({ resultTypes: ["violations"] }).setLegacyMode();
  const { violations } = await (within ? axe.include(within) : axe).analyze();
  return violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.html}`).join(", ")}`);
}
