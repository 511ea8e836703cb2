// Fixtures of the browser tests: a running server and its slides.

import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { test as base, expect, type Page } from "@playwright/test";
import axe from "axe-core";

import type { SlideImage, ViewableImage } from "../src/api/types";
import { isViewable } from "../src/api/types";
import { fullMagnification } from "../src/viewer/magnification";
import { copySlides, startServer } from "./server";

export { expect };
export type { SlideImage, ViewableImage };

// screens are the windows in which each page is tested. At 4K only its layout is, in the window of
// the desktop made wide: axe finds nothing that depends on a window larger than the desktop's.
export const screens = [
  { device: "desktop", viewport: { width: 1440, height: 900 }, colorScheme: "light", wide: true },
  { device: "phone", viewport: { width: 360, height: 640 }, colorScheme: "dark", wide: false },
] as const;

export const wideScreen = { device: "4K", viewport: { width: 3840, height: 2160 }, colorScheme: "light" } as const;

declare global {
  interface Window {
    axe: typeof axe;
  }
}

export interface Slides {
  all: SlideImage[];
  largest: ViewableImage; // of the slides that can be opened
  measured: ViewableImage; // one with known pixel size
}

interface Watched {
  // Errors in the console of the page, except those about unsuccessful responses.
  errors: string[];
}

interface Fixtures {
  watched: Watched;
  server: string; // the address of the server
  slides: Slides; // of the server
}

interface WorkerFixtures {
  shared: Slides; // of the server that all tests share
  own: { address: string; data: string }; // a server with the same slides, and its data folder
}

// Fixtures for a whole worker are only here: tests of files with others would need workers, and
// browsers, of their own.
export const test = base.extend<Fixtures, WorkerFixtures>({
  shared: [async ({}, use) => use(await slidesOf(process.env.PTIFFSTORE_E2E_SERVER!)), { scope: "worker", timeout: 90_000 }],

  own: [async ({}, use) => {
    const data = mkdtempSync(join(process.env.PTIFFSTORE_E2E_DATA!, "own-"));
    copySlides(data);
    const server = await startServer(data, "demo");
    await slidesOf(server.address);
    await use({ address: server.address, data });
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }, { scope: "worker", timeout: 300_000 }],

  server: async ({}, use) => use(process.env.PTIFFSTORE_E2E_SERVER!),
  slides: async ({ shared }, use) => use(shared),
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

// changing is for tests that change what the server has: it is not shared with other workers. They
// run in the order in which they are written.
export const changing = test.extend({
  server: async ({ own }, use) => use(own.address),
});

// slidesOf waits until a server, which prints its address before it has looked at its slides, has
// one that can be opened, and returns all.
export async function slidesOf(server: string): Promise<Slides> {
  const list = async (): Promise<SlideImage[]> => {
    const found = (await (await fetch(`${server}/api/v1/images?limit=100`)).json()) as { items: SlideImage[] };
    return Promise.all(found.items.map(async ({ id }) => (await (await fetch(`${server}/api/v1/images/${id}`)).json()) as SlideImage));
  };
  let all: SlideImage[] = [];
  await expect.poll(async () => (all = await list()).some(isViewable), { message: "a slide that can be opened", timeout: 60_000 }).toBe(true);
  const shown = all.filter(isViewable).sort((a, b) => b.width * b.height - a.width * a.height);
  return { all, largest: shown[0]!, measured: shown.find((image) => image.mpp_x !== null)! };
}

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

// fits expects that the page is not wider than its window, nor than that of a 4K screen.
export async function fits(page: Page, what: string, wide = false): Promise<void> {
  const over = (): Promise<number> => page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  expect(await over(), `${what} is wider than the window`).toBeLessThanOrEqual(0);
  if (!wide) return;
  const size = page.viewportSize()!;
  await page.setViewportSize(wideScreen.viewport);
  await idle(page);
  expect(await over(), `${what} is wider than a 4K window`).toBeLessThanOrEqual(0);
  await page.setViewportSize(size);
}

// accessibilityFaults returns the violations that axe finds in the page, or within an element
// of it.
export async function accessibilityFaults(page: Page, within?: string): Promise<string[]> {
  if (!(await page.evaluate(() => "axe" in window))) await page.evaluate(axe.source);
  return page.evaluate(async (within) => {
    // The pages have no frames, and no rule needs the style sheets.
    const { violations } = await window.axe.run(within ?? document, { resultTypes: ["violations"], iframes: false, preload: false });
    return violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => `${n.target.join(" ")} ${n.html}`).join(", ")}`);
  }, within);
}
