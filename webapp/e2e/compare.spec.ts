// The comparison, the About page, and the size of the application.

import type { Page } from "@playwright/test";

import { accessibilityFaults, answerList, expect, idle, screens, type SlideImage, test, type ViewableImage, wideScreen } from "./fixtures";
import { isViewable } from "../src/api/types";
import { compareAddress, parseArrangement, type Pose } from "../src/compare/link";

const shots = process.env.PTIFFSTORE_SHOTS;

// several returns n slides with known pixel size, with different sizes if there are some.
function several(all: SlideImage[], n: number): ViewableImage[] {
  const known = all.filter((image): image is ViewableImage => isViewable(image) && image.mpp_x !== null);
  const sizes = new Set(known.map((image) => image.mpp_x));
  const first = [...sizes].map((size) => known.find((image) => image.mpp_x === size)!);
  return [...new Set([...first, ...known])].slice(0, n);
}

// copies adds slides that differ only in their ids, because the demo has only three.
async function copies(page: Page, images: ViewableImage[], n: number): Promise<ViewableImage[]> {
  const found = Array.from({ length: n }, (_, i) => (i < images.length ? images[i]! : { ...images[i % images.length]!, id: `copy-${i}` }));
  for (const image of found.slice(images.length)) await page.route(`**/api/v1/images/${image.id}`, (route) => route.fulfill({ json: image }));
  return found;
}

async function open(page: Page, images: SlideImage[], fragment = ""): Promise<void> {
  await page.goto(compareAddress(images.map(({ id }) => id)) + fragment);
  await ready(page, images.length);
}

async function ready(page: Page, n: number): Promise<void> {
  await expect(page.getByTestId("compare")).toHaveAttribute("data-ready", "true");
  await expect(page.locator(".pane .stage")).toHaveCount(n);
  await idle(page);
}

// poses reads the address: where the slides are looked at.
async function poses(page: Page, n: number): Promise<Pose[]> {
  await idle(page);
  const found = parseArrangement(new URL(page.url()).hash, n).poses;
  for (const { scale } of found ?? []) expect(scale, "page pixels per pixel").toBeLessThan(4);
  expect(found, "the address says where the slides are").not.toBeNull();
  return found!;
}

async function drag(page: Page, pane: number, x: number, y: number): Promise<void> {
  const box = (await page.locator(".pane .stage").nth(pane).boundingBox())!;
  const [cx, cy] = [box.x + box.width / 2, box.y + box.height / 2];
  await page.mouse.move(cx, cy);
  await page.mouse.down();
  await page.mouse.move(cx + x, cy + y, { steps: 5 });
  await page.waitForTimeout(200); // no flick
  await page.mouse.up();
}

const micrometres = (image: ViewableImage, pose: Pose): number => image.mpp_x! / pose.scale; // in a page pixel

test("slides move, zoom and rotate together", async ({ page, slides }) => {
  await page.emulateMedia({ reducedMotion: "no-preference" });
  const images = several(slides.all, 2);
  await open(page, images);
  await drag(page, 0, 60, -40);
  const before = await poses(page, 2);
  expect(micrometres(images[0]!, before[0]!) / micrometres(images[1]!, before[1]!), "same µm per page pixel").toBeCloseTo(1, 3);
  await drag(page, 0, 50, 30);
  const moved = await poses(page, 2);
  for (const i of [0, 1]) {
    // Dragging to the right moves the view to the left on the slide.
    expect((moved[i]!.x - before[i]!.x) * before[i]!.scale, `slide ${i}, across`).toBeCloseTo(-50, -0.8);
    expect((moved[i]!.y - before[i]!.y) * before[i]!.scale, `slide ${i}, down`).toBeCloseTo(-30, -0.8);
  }
  expect((moved[1]!.x - before[1]!.x) * images[1]!.mpp_x!, "same distance in µm").toBeCloseTo((moved[0]!.x - before[0]!.x) * images[0]!.mpp_x!, -0.5);
  // The other slide can lead, too.
  await page.locator(".pane .stage").nth(1).focus();
  await page.keyboard.press("+");
  await page.keyboard.press("r");
  const turned = await poses(page, 2);
  for (const i of [0, 1]) {
    expect(turned[i]!.scale / moved[i]!.scale).toBeCloseTo(1.5, 2);
    expect(turned[i]!.rotation).toBeCloseTo(90, 1);
  }
});

test("an offset is kept, and the arrangement is in the link", async ({ page, slides, context }) => {
  const images = several(slides.all, 2);
  await open(page, images);
  await page.keyboard.press("+");
  const start = await poses(page, 2);
  await page.keyboard.press("l");
  await expect(page.getByTestId("link")).toHaveAttribute("aria-pressed", "false");
  await drag(page, 1, 80, 0);
  const apart = await poses(page, 2);
  expect(apart[0]).toEqual(start[0]);
  expect((apart[1]!.x - start[1]!.x) * start[1]!.scale).toBeCloseTo(-80, -0.8);
  await page.keyboard.press("]");
  await poses(page, 2);
  await page.getByTestId("link").click();
  const linked = await poses(page, 2);
  expect(linked[1]!.rotation - linked[0]!.rotation).toBeCloseTo(5, 1);
  expect(Math.abs(linked[1]!.x - apart[1]!.x) * linked[1]!.scale, "linking moves nothing").toBeLessThan(1.5);
  await drag(page, 0, 0, 60);
  const moved = await poses(page, 2);
  expect(moved[1]!.rotation - moved[0]!.rotation).toBeCloseTo(5, 1);
  const far = ([a, b]: Pose[], [c, d]: Pose[]): number[] => [Math.hypot(c!.x - a!.x, c!.y - a!.y) * a!.scale, Math.hypot(d!.x - b!.x, d!.y - b!.y) * b!.scale];
  for (const way of far(linked, moved)) expect(way).toBeCloseTo(60, -0.8);
  const other = await context.newPage();
  await other.goto(page.url());
  await ready(other, 2);
  const there = await poses(other, 2);
  there.forEach((pose, i) => {
    expect(Math.abs(pose.x - moved[i]!.x) * pose.scale).toBeLessThan(1.5);
    expect(pose.scale / moved[i]!.scale).toBeCloseTo(1, 3);
    expect(pose.rotation).toBeCloseTo(moved[i]!.rotation, 1);
  });
  await other.close();
});

test("a far smaller slide can be moved, measured and saved like the other", async ({ page, slides }) => {
  const [large, other] = several(slides.all, 2);
  const small = { ...other!, mpp_x: large!.mpp_x! / 20, mpp_y: large!.mpp_x! / 20, objective_power: null, label: "Small", barcode: "S26;1" };
  await page.route(`**/api/v1/images/${small.id}`, (route) => route.fulfill({ json: small }));
  await open(page, [large!, small]);
  await expect(page.locator(".pane-head").nth(1)).toContainText("S26;1");
  await page.keyboard.press("ArrowRight");
  const before = await poses(page, 2);
  expect(micrometres(large!, before[0]!) / micrometres(small, before[1]!)).toBeCloseTo(1, 3);
  await drag(page, 1, 40, 20);
  const moved = await poses(page, 2);
  for (const i of [0, 1]) {
    expect(moved[i]!.scale / before[i]!.scale, `zoom of slide ${i}`).toBeCloseTo(1, 4);
    expect((moved[i]!.x - before[i]!.x) * before[i]!.scale, `slide ${i}, across`).toBeCloseTo(-40, -0.8);
  }
  await page.keyboard.press("2");
  for (const output of await page.locator(".pane-current").all()) await expect(output).toHaveText(/^(≈ )?2×$/);

  await page.keyboard.press("d");
  await expect(page.getByTestId("measure").locator("visible=true")).toHaveCount(1);
  const box = (await page.locator(".pane .stage").first().boundingBox())!;
  for (const x of [0.3, 0.6]) await page.mouse.click(box.x + box.width * x, box.y + box.height * 0.7);
  await expect.poll(() => new URL(page.url()).hash).toMatch(/&m=d[\d.,]+~$/);
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
  expect(download.suggestedFilename()).toMatch(/_Small\.png$/);
  if (shots) await page.screenshot({ path: `${shots}/compare-measure.png` });
});

test("opens from the gallery", async ({ page, slides }) => {
  const images = several(slides.all, 2);
  const more = await copies(page, images, 6);
  await answerList(page, () => ({ items: more, next_cursor: null }));
  await page.goto("/");
  const box = (i: number) => page.locator(`.card[data-id="${images[i]!.id}"]`).getByRole("checkbox");
  await expect(page.getByTestId("tray")).toBeHidden();
  await box(0).focus();
  await page.keyboard.press("Space");
  await expect(page.getByTestId("tray")).toBeVisible();
  await expect(page.getByTestId("compare-button")).toBeHidden();
  await box(1).check();
  if (shots) await page.screenshot({ path: `${shots}/gallery-selected.png` });
  await page.getByTestId("compare-button").click();
  await ready(page, 2);
  expect(new URL(page.url()).search).toBe(`?ids=${images[0]!.id},${images[1]!.id}`);
  await page.getByRole("button", { name: "Back" }).click();
  await expect(box(0)).toBeChecked();
  for (let n = 0; n < 3; n++) await page.locator(".card-select input:not(:checked)").first().click({ force: true });
  await expect(page.locator(".card-select :checked")).toHaveCount(5);
  await expect(page.getByTestId("tray")).toContainText("at most 4 can be compared");
  await expect(page.getByTestId("compare-button")).toBeHidden();
  await page.getByRole("button", { name: "Clear", exact: true }).click();
  await expect(page.getByTestId("tray")).toBeHidden();
  await expect(box(0)).not.toBeChecked();
});

test("opens from a slide by choosing others", async ({ page, slides }) => {
  const images = several(slides.all, 2);
  await page.goto(`/slides/${images[0]!.id}`);
  await page.getByTestId("compare-with").click();
  const dialog = page.getByRole("dialog", { name: "Compare with …" });
  await expect(dialog.getByRole("button", { name: "Compare", exact: true })).toBeDisabled();
  await dialog.getByRole("searchbox").fill(images[1]!.file_name!.slice(0, 12));
  await dialog.locator(`[data-id="${images[1]!.id}"]`).getByRole("checkbox").check();
  if (shots) await page.screenshot({ path: `${shots}/chooser.png` });
  expect(await accessibilityFaults(page, "dialog")).toEqual([]);
  await dialog.getByRole("button", { name: "Compare", exact: true }).click();
  await ready(page, 2);
  expect(new URL(page.url()).pathname).toBe("/compare");
});

test("reports missing slides", async ({ page, slides }) => {
  await page.goto("/compare");
  await expect(page.getByText("You can compare two to four slides.")).toBeVisible();
  await page.goto(compareAddress([slides.measured.id, "nosuchslide"]));
  await expect(page.getByRole("alert")).toContainText("Slide not found");
  await expect(page.getByTestId("compare")).toHaveAttribute("data-ready", "true");
  await page.keyboard.press("+");
  await idle(page);
});

for (const [n, { device, viewport, colorScheme }] of [[2, screens[0]], [3, screens[1]], [4, screens[1]], [4, wideScreen]] as const) {
  test(`${n} slides, ${device}, ${colorScheme}: all visible${device === "4K" ? "" : ", no accessibility fault"}`, async ({ page, slides }) => {
    test.setTimeout(120_000);
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    const images = await copies(page, several(slides.all, n), n);
    await open(page, images);
    for (const pane of await page.locator(".pane").all()) await expect(pane).toBeInViewport({ ratio: 0.99 });
    for (const bar of await page.getByTestId("scale-bar").all()) await expect(bar).toBeInViewport();
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(viewport.width);
    if (shots) await page.screenshot({ path: `${shots}/compare-${n}-${device}-${colorScheme}.png` });
    if (device !== "4K") expect(await accessibilityFaults(page)).toEqual([]);
  });
}

for (const { device, viewport, colorScheme } of screens) {
  test(`shows version and licences, ${device}, ${colorScheme}`, async ({ page, server }) => {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(viewport);
    await page.goto("/about");
    const { info } = (await (await fetch(`${server}/openapi.json`)).json()) as { info: { version: string } };
    await expect(page.getByTestId("version")).toHaveText(info.version);
    const library = page.locator('[data-library="openseadragon"]');
    await expect(library).toContainText("BSD-3-Clause");
    await library.locator("summary").click();
    await expect(library.locator("pre")).toContainText("Redistribution and use in source and binary forms");
    await expect(page.getByRole("link", { name: /API documentation/ })).toHaveAttribute("href", "/docs");
    expect(await accessibilityFaults(page)).toEqual([]);
    if (shots) await page.screenshot({ path: `${shots}/about-${device}-${colorScheme}.png` });
    expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(viewport.width);
  });
}

test("the first load of a slide is small, without code for measuring and comparing", async ({ page, slides }) => {
  const scripts: string[] = [];
  let bytes = 0;
  page.on("response", async (response) => {
    if (!response.url().endsWith(".js")) return;
    scripts.push(response.url());
    bytes += Number(response.headers()["content-length"] ?? 0);
  });
  await page.goto(`/slides/${slides.measured.id}`);
  await idle(page);
  expect(scripts.length).toBeGreaterThan(1);
  expect(bytes).toBeLessThan(400_000);
  expect(scripts.filter((url) => /measure-tool|chooser|compare/.test(url))).toEqual([]);
});
