// Colours on the screen: as scanned, and corrected with the profile of the slide, which swaps red and
// green. The pictures to compare with are converted by the server, whose tables are tested against lcms2.

import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { test as base, expect, type Page } from "@playwright/test";

import { startServer, type Server } from "./server";

const test = base.extend<object, { colored: Server }>({
  colored: [async ({}, use) => {
    const data = mkdtempSync(join(tmpdir(), "colors-"));
    const made = spawnSync("go", ["run", "./scripts/demoslides", "--profile", join(data, "slides")], { cwd: fileURLToPath(new URL("../..", import.meta.url)), stdio: "inherit" });
    test.skip(made.status !== 0, "needs Go to write a slide with a profile");
    const server = await startServer(join(data, "data"), "serve", join(data, "slides"));
    await use(server);
    await server.stop();
    rmSync(data, { recursive: true, force: true });
  }, { scope: "worker", timeout: 120_000 }],
});

// distances are the mean differences, in steps of 255, of the slide on the screen to pictures at addresses.
async function distances(page: Page, addresses: string[]): Promise<number[]> {
  return page.evaluate(async (addresses) => {
    const width = 48;
    const small = (source: CanvasImageSource, x: number, y: number, w: number, h: number, height: number): Uint8ClampedArray => {
      const context = new OffscreenCanvas(width, height).getContext("2d")!;
      context.imageSmoothingQuality = "high";
      context.drawImage(source, x, y, w, h, 0, 0, width, height);
      return context.getImageData(0, 0, width, height).data;
    };
    const canvas = document.querySelector<HTMLCanvasElement>(".stage canvas")!;
    const context = canvas.getContext("2d")!;
    const all = context.getImageData(0, 0, canvas.width, canvas.height).data;
    let [left, top, right, bottom] = [canvas.width, canvas.height, 0, 0];
    for (let i = 3; i < all.length; i += 4) {
      if (all[i] === 0) continue;
      const x = ((i - 3) / 4) % canvas.width;
      const y = Math.floor((i - 3) / 4 / canvas.width);
      [left, top, right, bottom] = [Math.min(left, x), Math.min(top, y), Math.max(right, x + 1), Math.max(bottom, y + 1)];
    }
    return Promise.all(addresses.map(async (address) => {
      const picture = await createImageBitmap(await (await fetch(address)).blob(), { colorSpaceConversion: "none" });
      const height = Math.round((width * picture.height) / picture.width);
      const want = small(picture, 0, 0, picture.width, picture.height, height);
      const got = small(canvas, left, top, right - left, bottom - top, height);
      return want.reduce((sum, value, i) => sum + Math.abs(value - got[i]!), 0) / want.length;
    }));
  }, addresses);
}

test("corrects colours as lcms2 does, and back", async ({ page, colored }) => {
  const list = (await (await page.request.get(`${colored.address}/api/v1/images`)).json()) as { items: { id: string; profile: { name: string } }[] };
  const { id, profile } = list.items[0]!;
  expect(profile.name).toBe("Red and green swapped");
  const thumbnail = `/api/v1/images/${id}/thumbnail?width=800`;
  const both = [thumbnail, `${thumbnail}&icc=srgb`];
  const stage = page.getByTestId("stage");
  const button = page.getByTestId("colors-button");
  const idle = (): Promise<void> => expect(stage).toHaveAttribute("data-idle", "true", { timeout: 20_000 });

  await page.goto(`${colored.address}/slides/${id}`);
  await idle();
  await expect(button).toHaveAttribute("aria-pressed", "false");
  const [scanned, not] = await distances(page, both);
  expect(scanned).toBeLessThan(4);
  expect(not).toBeGreaterThan(8);
  const shots = process.env.PTIFFSTORE_SHOTS;
  if (shots) await page.screenshot({ path: `${shots}/colors-scanned.png` });

  await button.click();
  await expect(button).toHaveAttribute("aria-pressed", "true");
  await idle();
  const [raw, corrected] = await distances(page, both);
  expect(corrected).toBeLessThan(4);
  expect(raw).toBeGreaterThan(8);
  await expect(page).toHaveURL(/#icc=1$/);
  if (shots) await page.screenshot({ path: `${shots}/colors-corrected.png` });

  await page.reload(); // the link keeps the colours
  await expect(button).toHaveAttribute("aria-pressed", "true");
  await idle();
  expect((await distances(page, both))[1]).toBeLessThan(4);

  await button.click();
  await expect(button).toHaveAttribute("aria-pressed", "false");
  await idle();
  expect((await distances(page, both))[0]).toBeLessThan(4);
});
