// What the tests of pages share: a running server, and its slides.

import { spawn, type ChildProcessByStdio } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";
import { fileURLToPath } from "node:url";
import { test as base, expect, type Page } from "@playwright/test";

import type { SlideImage, ViewableImage } from "../src/api/types";
import { isViewable } from "../src/api/types";
import { fullMagnification } from "../src/viewer/magnification";

export { expect };
export type { SlideImage, ViewableImage };

const startTimeout = 300_000; // milliseconds: the demo makes its slides first

// screens are what each page is tested on.
export const screens = [
  { device: "desktop", viewport: { width: 1440, height: 900 }, colorScheme: "light" },
  { device: "phone", viewport: { width: 360, height: 640 }, colorScheme: "dark" },
  { device: "4K", viewport: { width: 3840, height: 2160 }, colorScheme: "light" },
] as const;

interface Command {
  file: string;
  args: string[];
}

function command(data: string): Command {
  if (process.env.PTIFFSTORE_MOCK === "1") return { file: process.execPath, args: [fileURLToPath(new URL("../mock/server.mjs", import.meta.url)), "--port", "0"] };
  const file = process.env.PTIFFSTORE_BIN ?? fileURLToPath(new URL("../../bin/ptiffstore", import.meta.url));
  if (!existsSync(file)) throw new Error(`there is no ${file}: run "make build", name another binary in PTIFFSTORE_BIN, or set PTIFFSTORE_MOCK=1`);
  return { file, args: ["demo", "--listen", "127.0.0.1:0", "--data", data] };
}

interface Slides {
  folder: string; // of their files
  all: SlideImage[];
  largest: ViewableImage; // of the slides that can be shown
  measured: ViewableImage; // one whose pixel size is known
}

interface Watched {
  // Errors that the page wrote to the console, but for answers other than success.
  errors: string[];
}

export const test = base.extend<{ watched: Watched }, { server: string; slides: Slides }>({
  server: [async ({}, use) => {
    const { file, args } = command(process.env.PTIFFSTORE_E2E_DATA!);
    const child = spawn(file, args, { stdio: ["ignore", "pipe", "pipe"] });
    let log = "";
    child.stderr.on("data", (chunk: Buffer) => {
      log = (log + String(chunk)).slice(-4000);
    });
    const address = await new Promise<string>((resolve, reject) => {
      createInterface(child.stdout).once("line", resolve);
      child.once("exit", (code) => reject(new Error(`${file} ${args.join(" ")} ended with ${code}:\n${log}`)));
    });
    await use(address.trim().replace(/\/$/, ""));
    const gone = new Promise((resolve) => child.once("exit", resolve));
    child.kill("SIGTERM");
    await gone;
  }, { scope: "worker", timeout: startTimeout }],

  slides: [async ({ server }, use) => {
    const found = (await (await fetch(`${server}/api/v1/images?limit=100`)).json()) as { items: SlideImage[] };
    const all = await Promise.all(found.items.map(async ({ id }) => (await (await fetch(`${server}/api/v1/images/${id}`)).json()) as SlideImage));
    const shown = all.filter(isViewable).sort((a, b) => b.width * b.height - a.width * a.height);
    if (shown.length === 0) throw new Error("the server has no slide that can be shown");
    await use({ folder: join(process.env.PTIFFSTORE_E2E_DATA!, "demo"), all, largest: shown[0]!, measured: shown.find((image) => image.mpp_x !== null)! });
  }, { scope: "worker" }],

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

// printedLink is the link for the first admin, which a server prints when it starts.
export function printedLink(child: ChildProcessByStdio<null, Readable, Readable>): Promise<string> {
  return new Promise((resolve, reject) => {
    let said = "";
    const hear = (chunk: Buffer): void => {
      said += String(chunk);
      const found = /(http\S+\/(?:welcome|setup)#\S+)/.exec(said);
      if (found) resolve(found[1]!);
    };
    child.stdout.on("data", hear);
    child.stderr.on("data", hear);
    child.once("exit", (code) => reject(new Error(`${child.spawnfile} ended with ${code}:\n${said.slice(-4000)}`)));
  });
}

// openSlide opens a slide without its panel, and waits until all its tiles are drawn.
export async function openSlide(page: Page, image: SlideImage, hash = ""): Promise<void> {
  await page.addInitScript(() => {
    if (localStorage.getItem("ptiffstore.panel") === null) localStorage.setItem("ptiffstore.panel", "false");
  });
  await page.goto(`/slides/${image.id}${hash}`);
  await idle(page);
}

// idle waits until the picture stands still, all tiles it needs are there, and
// the address says where it is: the stage says all three, and for some frames on end,
// as one movement may begin right after another.
export async function idle(page: Page): Promise<void> {
  await page.getByTestId("stage").evaluate(async (stage) => {
    for (let still = 0; still < 5; ) {
      await new Promise(requestAnimationFrame);
      const { picture, idle, address } = stage.dataset;
      still = picture !== undefined && idle === "true" && address === "written" ? still + 1 : 0;
    }
  });
}

// position reads the address: where the slide is looked at.
export function position(page: Page): Record<string, number> {
  const params = new URLSearchParams(new URL(page.url()).hash.slice(1));
  return Object.fromEntries([...params].map(([name, value]) => [name, Number(value)]));
}

// pixelForPixel is the part of the address that shows a slide at its full scale,
// or at 1:2^k of it.
export function pixelForPixel(image: ViewableImage, k = 0): string {
  const full = fullMagnification(image);
  return full ? `z=${full.power / 2 ** k}` : `s=${1 / 2 ** k}`;
}

// answerList answers requests for lists of images with these.
export async function answerList(page: Page, answer: (params: URLSearchParams) => { items: SlideImage[]; next_cursor: string | null }): Promise<void> {
  await page.route(/\/api\/v1\/images\?/, (route) => route.fulfill({ json: answer(new URL(route.request().url()).searchParams) }));
}
