// Colours on the screen: as scanned, and corrected with the profile of the slide, which swaps red and
// green. Each pixel is compared with the regions that the server renders with icc=none and icc=srgb. Its conversion is
// tested against Little CMS; the browser's is independent of both.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { Page } from "@playwright/test";

import { expect, idle, openSlide, pixelForPixel, slidesOf, test as base } from "./fixtures";
import { startServer } from "./server";

const test = base.extend({
  server: async ({}, use) => {
    const data = mkdtempSync(join(tmpdir(), "colors-"));
    const made = spawnSync("go", ["run", "./scripts/demoslides", "--profile", join(data, "slides")], { cwd: fileURLToPath(new URL("../..", import.meta.url)), stdio: "inherit" });
    test.skip(made.status !== 0, "needs Go to write a slide with a profile");
    const server = await startServer(join(data, "data"), "serve", join(data, "slides"));
    await use(server.address);
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  },
  slides: async ({ server }, use) => use(await slidesOf(server)),
});

test.use({ viewport: { width: 900, height: 700 } });

const side = 384; // of the compared square in the middle of the stage, where no tool covers the slide

// differences are the mean differences, in steps of 255, of the middle of the stage to pictures at addresses.
async function differences(page: Page, addresses: string[]): Promise<number[]> {
  const stage = (await page.getByTestId("stage").boundingBox())!;
  const clip = { x: stage.x + stage.width / 2 - side / 2, y: stage.y + stage.height / 2 - side / 2, width: side, height: side };
  const shot = (await page.screenshot({ clip })).toString("base64");
  return page.evaluate(async ({ shot, addresses }) => {
    const pixels = async (blob: Blob): Promise<Uint8ClampedArray> => {
      const bitmap = await createImageBitmap(blob, { colorSpaceConversion: "none" });
      const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
      context.drawImage(bitmap, 0, 0);
      return context.getImageData(0, 0, bitmap.width, bitmap.height).data;
    };
    const got = await pixels(new Blob([Uint8Array.from(atob(shot), (c) => c.charCodeAt(0))]));
    return Promise.all(addresses.map(async (address) => {
      const want = await pixels(await (await fetch(address)).blob());
      if (want.length !== got.length) throw new Error(`${address} has ${want.length / 4} pixels, the screenshot ${got.length / 4}`);
      return want.reduce((sum, value, i) => sum + Math.abs(value - got[i]!), 0) / (want.length * 0.75); // alpha does not differ
    }));
  }, { shot, addresses });
}

test("corrects colours as the server does, and back", async ({ page, slides }) => {
  const image = slides.largest;
  expect(image.profile?.name).toBe("Red and green swapped");
  const [x, y] = [image.width / 2, image.height / 2];
  const region = `/api/v1/images/${image.id}/region?x=${x - side / 2}&y=${y - side / 2}&w=${side}&h=${side}&format=png`;
  const button = page.getByTestId("colors-button");
  const stage = page.getByTestId("stage");
  const shows = async (colors: "scanned" | "corrected"): Promise<void> => {
    await expect(button).toHaveAttribute("aria-pressed", String(colors === "corrected"));
    await expect(stage).toHaveAttribute("data-colors", colors);
    await idle(page);
    const [asScanned, corrected] = await differences(page, [`${region}&icc=none`, `${region}&icc=srgb`]) as [number, number];
    const [same, other] = colors === "scanned" ? [asScanned, corrected] : [corrected, asScanned];
    expect(same, `colours are ${colors}`).toBeLessThan(2); // decoders differ by less
    expect(other, `colours are not only ${colors}`).toBeGreaterThan(20);
  };

  const position = `x=${x}&y=${y}&${pixelForPixel(image)}`;
  await openSlide(page, image, `#${position}`);
  await shows("scanned");
  await button.click();
  await shows("corrected");
  expect(page.url()).toMatch(/&icc=1$/);
  await page.reload(); // the link has the colours
  await shows("corrected");
  await button.click();
  await shows("scanned");
  expect(page.url()).not.toContain("icc");
});
