// Measurements on a slide, and adjustments of its image.

import type { Page } from "@playwright/test";

import { accessibilityFaults, expect, idle, openSlide, pixelForPixel, position, screens, test, type ViewableImage } from "./fixtures";
import { formatAreaOf, formatDistance, parseMeasurements, pixelSize } from "../src/viewer/measurements";

const k = 3; // the slide is shown at 1:8: a page pixel is 8 pixels of the slide
const hash = (image: ViewableImage): string => `#x=${image.width / 2}&y=${image.height / 2}&${pixelForPixel(image, k)}`;

// at clicks a point relative to the centre of the stage, in page pixels, and presses the button for
// some milliseconds.
async function at(page: Page, x: number, y: number, pressed = 0): Promise<void> {
  const box = (await page.getByTestId("stage").boundingBox())!;
  await page.mouse.move(box.x + box.width / 2 + x, box.y + box.height / 2 + y);
  await page.mouse.down();
  if (pressed) await page.waitForTimeout(pressed);
  await page.mouse.up();
}

const values = (page: Page): Promise<string[]> => page.locator(".measure-value").allTextContents();
const micrometres = (text: string): number => Number(text.replace(/[^\d.]/g, "")) * (text.includes("mm²") ? 1e6 : text.includes("mm") ? 1000 : 1);
const measured = (page: Page): string => new URLSearchParams(new URL(page.url()).hash.slice(1)).get("m") ?? "";

test("measures a distance", async ({ page, slides }) => {
  const image = slides.measured;
  const size = pixelSize(image)!;
  await openSlide(page, image, hash(image));
  await page.keyboard.press("d");
  await expect(page.getByTestId("measure")).toBeVisible(); // the tool is loaded when it is used
  await at(page, -100, 50);
  await at(page, 100, 50, 600); // some press slowly
  await expect(page.locator(".measure-value")).toHaveCount(1);
  expect(micrometres((await values(page))[0]!) / (200 * 8 * size.x)).toBeCloseTo(1, 2);
  await at(page, 0, -100);
  await at(page, 0, 50);
  await expect(page.locator(".measure-value")).toHaveCount(2);
  expect(micrometres((await values(page))[1]!) / (150 * 8 * size.y)).toBeCloseTo(1, 2);
  await expect(page.locator("body > [role=status].visually-hidden")).toHaveText(/Distance 2: /);

  // It keeps its position on the slide.
  const before = await values(page);
  await page.keyboard.press("r");
  await page.keyboard.press("+");
  await page.keyboard.press("ArrowRight");
  await idle(page);
  expect(await values(page)).toEqual(before);
  const [line] = parseMeasurements(measured(page));
  const { x, y, z, r } = position(page);
  expect(r).toBe(90);
  const box = (await page.getByTestId("stage").boundingBox())!;
  const handle = (await page.getByRole("button", { name: /^Point 1 of 2, Distance 1/ }).boundingBox())!;
  const scale = z! / (image.objective_power ?? 10 / image.mpp_x!);
  // Rotated right by 90°: what was on the right is at the bottom.
  expect(handle.x + handle.width / 2 - box.x - box.width / 2).toBeCloseTo(-(line!.points[0]!.y - y!) * scale, -0.5);
  expect(handle.y + handle.height / 2 - box.y - box.height / 2).toBeCloseTo((line!.points[0]!.x - x!) * scale, -0.5);
});

test("measures an area, and restores it from its link", async ({ page, slides, context }) => {
  const image = slides.measured;
  const size = pixelSize(image)!;
  await openSlide(page, image, hash(image));
  await page.keyboard.press("a");
  await expect(page.getByTestId("measure")).toBeVisible(); // the tool is loaded when it is used
  for (const [x, y] of [[-100, -50], [100, -50], [100, 50], [-100, 50], [-100, -50]] as const) await at(page, x, y);
  await expect(page.locator(".measure-value")).toHaveCount(1);
  const [value] = await values(page);
  expect(micrometres(value!) / (200 * 100 * 64 * size.x * size.y)).toBeCloseTo(1, 1);
  await expect(page.locator(".measure-perimeter")).toContainText(formatDistance(600 * 8 * size.x, size).split(" ")[1]!);
  await expect.poll(() => measured(page)).toMatch(/^a[\d.,]+$/);
  const other = await context.newPage();
  await other.goto(page.url());
  await expect(other.locator(".measure-label:not([hidden])")).toContainText(value!);
  await other.close();
});

test("moves points by pointer and keys, deletes one measurement and all", async ({ page, slides }) => {
  const image = slides.measured;
  const size = pixelSize(image)!;
  const [x, y] = [image.width / 2, image.height / 2];
  await openSlide(page, image, `${hash(image)}&m=d${x - 800},${y},${x},${y}_d${x},${y + 400},${x + 800},${y + 400}`);
  const second = page.getByRole("button", { name: /^Point 2 of 2, Distance 1/ });
  await expect(second).toHaveAttribute("aria-label", new RegExp(formatDistance(800 * size.x, size).replace(".", "\\.")));
  const box = (await second.boundingBox())!;
  await page.mouse.move(box.x + box.width / 2, box.y + box.height / 2);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2 + 100, box.y + box.height / 2, { steps: 4 });
  await page.mouse.up();
  const length = async (): Promise<number> => {
    const [line] = parseMeasurements(measured(page));
    return line ? line.points[1]!.x - line.points[0]!.x : 0;
  };
  await expect.poll(length).toBeCloseTo(1600, -1);
  const moved = await length();
  await second.focus();
  await page.keyboard.press("ArrowLeft");
  await expect.poll(length).toBeCloseTo(moved - 8, 0);
  expect(position(page).x, "the slide does not move").toBeCloseTo(x, -1);
  await page.keyboard.press("Delete");
  await expect.poll(() => parseMeasurements(measured(page)).length).toBe(1);
  await page.getByTestId("measure-button").click();
  await expect(page.getByTestId("measure").getByRole("listitem")).toHaveCount(1);
  await page.getByTestId("stage").focus();
  await page.keyboard.press("Escape");
  await expect.poll(() => measured(page)).toBe("");
  await expect(page.locator("body > [role=status].visually-hidden")).toHaveText("All measurements deleted");
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("measure")).toBeHidden();
  await expect(page, "Escape has not left the slide").toHaveURL(new RegExp(image.id));
});

test("measures by keyboard", async ({ page, slides }) => {
  const image = slides.measured;
  const size = pixelSize(image)!;
  await openSlide(page, image, hash(image));
  await page.getByTestId("stage").focus();
  await page.keyboard.press("d");
  await expect(page.getByTestId("measure")).toBeVisible(); // the tool is loaded when it is used
  await page.keyboard.press("Space");
  await page.keyboard.press("ArrowRight");
  await idle(page);
  await page.keyboard.press("Space");
  await expect(page.locator(".measure-value")).toHaveCount(1);
  expect(micrometres((await values(page))[0]!) / (120 * 8 * size.x)).toBeCloseTo(1, 1);
});

test("measures in pixels if their size is unknown", async ({ page, slides }) => {
  const image = { ...slides.largest, mpp_x: null, mpp_y: null, objective_power: null };
  await page.route(`**/api/v1/images/${image.id}`, (route) => route.fulfill({ json: image }));
  const [x, y] = [image.width / 2, image.height / 2];
  await openSlide(page, image, `#x=${x}&y=${y}&s=0.125&m=d${x},${y},${x + 300},${y + 400}_a${x},${y},${x + 100},${y},${x},${y - 100}`);
  await page.keyboard.press("d");
  await expect(page.getByTestId("measure").getByText("Measurements are in pixels")).toBeVisible();
  expect(await values(page)).toEqual(["500 px", formatAreaOf(5000, null)]);
});

interface Colour {
  mean: number;
  max: number;
}

// colours measures the centre of an image, or of its upper part of some height.
function colours(page: Page, png: Buffer, height = 0): Promise<Colour> {
  return page.evaluate(async ({ data, height }) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data: pixels } = context.getImageData(Math.round(bitmap.width / 2) - 60, Math.round((height || bitmap.height) / 2) - 60, 120, 120);
    let sum = 0;
    let max = 0;
    for (let i = 0; i < pixels.length; i += 4) {
      sum += pixels[i + 1]!;
      max = Math.max(max, pixels[i + 1]!);
    }
    return { mean: sum / (pixels.length / 4), max };
  }, { data: png.toString("base64"), height });
}

test("adjusts the view and the snapshot, and is in the address", async ({ page, slides }) => {
  const image = slides.measured;
  await openSlide(page, image, hash(image));
  const shot = async (): Promise<Colour> => {
    const box = (await page.getByTestId("stage").boundingBox())!;
    return colours(page, await page.screenshot({ clip: { x: box.x + box.width / 2 - 80, y: box.y + box.height / 2 - 80, width: 160, height: 160 } }));
  };
  const snapshot = async (): Promise<Colour> => {
    const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
    const chunks: Buffer[] = [];
    for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
    return colours(page, Buffer.concat(chunks), (await page.getByTestId("stage").boundingBox())!.height); // without its caption
  };
  const button = page.getByTestId("adjust-button");
  const before = await shot();
  await expect(button).toHaveAttribute("data-active", "false");
  await page.keyboard.press("b");
  await page.getByRole("slider", { name: "Brightness" }).fill("-1");
  await expect(button).toHaveAttribute("data-active", "true");
  await expect(button).toHaveAccessibleName("Adjusted view");
  const dark = await shot();
  expect(dark.mean / before.mean).toBeCloseTo(0.5, 1);
  expect((await snapshot()).mean, "the snapshot equals the view").toBeCloseTo(dark.mean, -0.5);
  await page.reload();
  await idle(page);
  expect((await shot()).mean, "after a reload").toBeCloseTo(dark.mean, -0.5);
  await page.keyboard.press("b");
  await page.getByRole("slider", { name: "Gamma" }).fill("1");
  expect((await shot()).mean).toBeGreaterThan(dark.mean + 10);
  await page.getByTestId("adjusted").getByRole("button").click();
  await expect(button).toHaveAttribute("data-active", "false");
  expect((await shot()).mean).toBeCloseTo(before.mean, 1);
  await page.keyboard.press("Escape");
  await expect(page.getByTestId("adjust")).toBeHidden();
});

test("includes measurements in the snapshot", async ({ page, slides }) => {
  const image = slides.measured;
  const [x, y] = [image.width / 2, image.height / 2];
  await openSlide(page, image, `${hash(image)}&m=d${x - 400},${y},${x + 400},${y}`);
  await expect(page.locator(".measure-label:not([hidden])")).toHaveCount(1);
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
  const chunks: Buffer[] = [];
  for await (const chunk of await download.createReadStream()) chunks.push(chunk as Buffer);
  const yellow = await page.evaluate(async (data) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data: pixels } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    let n = 0;
    for (let i = 0; i < pixels.length; i += 4) if (pixels[i]! > 245 && pixels[i + 1]! > 215 && pixels[i + 2]! < 100) n++;
    return n;
  }, Buffer.concat(chunks).toString("base64"));
  expect(yellow).toBeGreaterThan(30);
});

for (const { device, viewport, colorScheme } of screens) {
  test(`has no accessibility fault, ${device}, ${colorScheme}`, async ({ page, slides }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    const image = slides.measured;
    const [x, y] = [image.width / 2, image.height / 2];
    await openSlide(page, image, `${hash(image)}&m=d${x - 400},${y},${x + 400},${y}_a${x},${y - 400},${x + 400},${y - 400},${x},${y - 700}`);
    const faults = (): Promise<string[]> => accessibilityFaults(page);
    const shots = process.env.PTIFFSTORE_SHOTS;
    await page.keyboard.press("d");
    await expect(page.getByTestId("measure")).toBeInViewport({ ratio: 1 });
    expect(await faults()).toEqual([]);
    if (shots) await page.screenshot({ path: `${shots}/measure-${device}-${colorScheme}.png` });
    await page.keyboard.press("b");
    await page.getByRole("slider", { name: "Contrast" }).fill("0.5");
    await expect(page.getByTestId("adjust")).toBeInViewport({ ratio: 1 });
    expect(await faults()).toEqual([]);
    if (shots) await page.screenshot({ path: `${shots}/adjust-${device}-${colorScheme}.png` });
  });
}
