// The rendered tile is the stored tile, and nothing is rendered beyond the slide.

import type { Page } from "@playwright/test";

import { expect, idle, openSlide, pixelForPixel, test, type ViewableImage } from "./fixtures";
import { ladder, tileURL } from "../src/viewer/ladder";

// The difference between two images of the same size, in steps of 255.
interface Difference {
  largest: number;
  mean: number;
}

interface Box {
  x: number;
  y: number;
  width: number;
  height: number;
}

test.use({ viewport: { width: 900, height: 700 } }); // room for a tile

// stageBox hides the overlay, and returns the size of the stage.
async function stageBox(page: Page): Promise<Box> {
  await page.locator(".overlay").evaluate((overlay: HTMLElement) => { overlay.hidden = true; });
  return (await page.getByTestId("stage").boundingBox())!;
}

// goTo moves the open slide to a position.
async function goTo(page: Page, fragment: string): Promise<void> {
  await page.evaluate((fragment) => { location.hash = fragment; }, fragment);
  await idle(page);
}

// compare compares a tile, rotated by quarters, with a screenshot (PNG in base64) at several places,
// and returns the smallest difference.
async function compare(page: Page, shot: string, url: string, part: Box, places: { x: number; y: number }[], quarters: number): Promise<Difference> {
  return page.evaluate(async ({ shot, url, part, places, quarters }) => {
    const pixels = (source: ImageBitmap, x: number, y: number, width: number, height: number, quarters: number): Uint8ClampedArray => {
      const across = quarters % 2 === 1;
      const canvas = new OffscreenCanvas(across ? height : width, across ? width : height);
      const context = canvas.getContext("2d", { willReadFrequently: true })!;
      context.imageSmoothingEnabled = false;
      context.translate(canvas.width / 2, canvas.height / 2);
      context.rotate((quarters * Math.PI) / 2);
      context.drawImage(source, x, y, width, height, -width / 2, -height / 2, width, height);
      return context.getImageData(0, 0, canvas.width, canvas.height).data;
    };
    const screen = await createImageBitmap(new Blob([Uint8Array.from(atob(shot), (c) => c.charCodeAt(0))]));
    const tile = await createImageBitmap(await (await fetch(url)).blob());
    const want = pixels(tile, part.x, part.y, part.width, part.height, quarters);
    const across = quarters % 2 === 1;
    const differences = places.map((at) => {
      const got = pixels(screen, at.x, at.y, across ? part.height : part.width, across ? part.width : part.height, 0);
      let largest = 0;
      let sum = 0;
      for (let i = 0; i < want.length; i++) {
        const d = Math.abs(want[i]! - got[i]!);
        largest = Math.max(largest, d);
        sum += d;
      }
      return { largest, mean: sum / want.length };
    });
    return differences.sort((a, b) => a.mean - b.mean)[0]!;
  }, { shot, url, part, places, quarters });
}

// contrast is the standard deviation of a tile's brightness. A tile of glass has almost
// none, and would prove nothing.
function contrast(page: Page, url: string): Promise<number> {
  return page.evaluate(async (url) => {
    const response = await fetch(url);
    if (!response.ok) return 0;
    const bitmap = await createImageBitmap(await response.blob());
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d", { willReadFrequently: true })!;
    context.drawImage(bitmap, 0, 0);
    const { data } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    let sum = 0;
    let squares = 0;
    for (let i = 0; i < data.length; i += 4) {
      sum += data[i + 1]!;
      squares += data[i + 1]! ** 2;
    }
    const n = data.length / 4;
    return Math.sqrt(Math.max(0, squares / n - (sum / n) ** 2));
  }, url);
}

// tissueTile searches a tile with tissue, from the centre outwards.
async function tissueTile(page: Page, image: ViewableImage, z: number): Promise<{ x: number; y: number }> {
  const zoom = ladder(image)[z]!;
  const middle = { x: Math.floor(zoom.columns / 2), y: Math.floor(zoom.rows / 2) };
  for (let ring = 0; ring < 12; ring++) {
    for (const [dx, dy] of [[0, 0], [1, 0], [0, 1], [-1, 0], [0, -1], [1, 1], [-1, -1]] as const) {
      const x = Math.max(0, Math.min(zoom.columns - 1, middle.x + dx * ring));
      const y = Math.max(0, Math.min(zoom.rows - 1, middle.y + dy * ring));
      if ((await contrast(page, tileURL(image.tile_url, z, x, y))) > 6) return { x, y };
    }
  }
  throw new Error(`found only glass at zoom ${z}`);
}

for (const k of [0, 1, 3]) {
  test(`renders stored pixels at 1:${2 ** k}, in each rotation`, async ({ page, slides }) => {
    const image = slides.largest;
    const z = image.max_zoom - k;
    await openSlide(page, image);
    const { x, y } = await tissueTile(page, image, z);
    const { tile_width: w, tile_height: h } = image;
    const centre = { x: (x + 0.5) * w * 2 ** k, y: (y + 0.5) * h * 2 ** k };
    const stage = await stageBox(page);
    // The tile is at the centre of the stage; its visible part is compared. A stage of odd
    // size leaves half a pixel on either side.
    const side = Math.min(w, Math.floor(stage.width / 2) * 2 - 8, Math.floor(stage.height / 2) * 2 - 8);
    const part = { x: (w - side) / 2, y: (h - side) / 2, width: side, height: side };
    const left = stage.x + stage.width / 2 - side / 2;
    const top = stage.y + stage.height / 2 - side / 2;
    const clip = { x: Math.floor(left), y: Math.floor(top), width: side + 1, height: side + 1 };
    const places = [...new Set([0, Math.ceil(left) - clip.x])].flatMap((dx) => [...new Set([0, Math.ceil(top) - clip.y])].map((dy) => ({ x: dx, y: dy })));
    for (const quarters of [0, 1, 2, 3]) {
      await goTo(page, `x=${centre.x}&y=${centre.y}&${pixelForPixel(image, k)}&r=${quarters * 90}`);
      const shot = (await page.screenshot({ clip })).toString("base64");
      const found = await compare(page, shot, tileURL(image.tile_url, z, x, y), part, places, quarters);
      expect(found.mean, `rotated by ${quarters * 90}°`).toBeLessThan(0.3);
      expect(found.largest, `rotated by ${quarters * 90}°`).toBeLessThanOrEqual(3);
    }
  });
}

test("renders nothing beyond the edges of the slide", async ({ page, slides }) => {
  test.setTimeout(240_000);
  for (const image of slides.all.filter((i): i is ViewableImage => i.state === "available").slice(0, 8)) {
    const corner = (k: number): string => `x=${image.width}&y=${image.height}&${pixelForPixel(image, k)}`;
    await openSlide(page, image, `#${corner(0)}`);
    for (const k of [0, 2]) {
      const scale = 1 / 2 ** k;
      const z = image.max_zoom - k;
      if (z < 0) continue;
      if (k > 0) await goTo(page, corner(k));
      const stage = await stageBox(page);
      const shot = await page.screenshot({ clip: stage });
      const found = await page.evaluate(async (data) => {
        const stage = document.querySelector(".stage-frame")!;
        const background = getComputedStyle(stage).backgroundColor.match(/\d+/g)!.map(Number);
        const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
        const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
        context.drawImage(bitmap, 0, 0);
        const { data: pixels, width, height } = context.getImageData(0, 0, bitmap.width, bitmap.height);
        const isBackground = (x: number, y: number): boolean => [0, 1, 2].every((c) => Math.abs(pixels[(y * width + x) * 4 + c]! - background[c]!) <= 1);
        // The extent of the slide, along lines slightly inside of it.
        let right = 0;
        let bottom = 0;
        const inside = { x: Math.floor(width / 2) - 20, y: Math.floor(height / 2) - 20 };
        for (let x = 0; x < width; x++) if (!isBackground(x, inside.y)) right = x + 1;
        for (let y = 0; y < height; y++) if (!isBackground(inside.x, y)) bottom = y + 1;
        let stray = 0;
        for (let y = 0; y < height; y++) for (let x = 0; x < width; x++) if ((x > width / 2 + 2 || y > height / 2 + 2) && !isBackground(x, y)) stray++;
        return { right: right - width / 2, bottom: bottom - height / 2, stray };
      }, shot.toString("base64"));
      const name = `${image.file_name} at 1:${2 ** k}`;
      // Half a pixel for alignment to the screen, one for a partly covered last pixel.
      expect(Math.abs(found.right), `${name}: pixels from its right edge`).toBeLessThanOrEqual(1.5);
      expect(Math.abs(found.bottom), `${name}: pixels from its bottom edge`).toBeLessThanOrEqual(1.5);
      expect(found.stray, `${name}: pixels rendered beyond it, scale ${scale}`).toBe(0);
    }
  }
});
