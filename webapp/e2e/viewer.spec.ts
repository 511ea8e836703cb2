
import { accessibilityFaults, expect, idle, openSlide, pixelForPixel, position, screens, test, type ViewableImage } from "./fixtures";
import { availableSteps, formatMagnification, fullMagnification } from "../src/viewer/magnification";

const hash = (image: ViewableImage, k = 2): string => `#x=${image.width / 2}&y=${image.height / 2}&${pixelForPixel(image, k)}`;

test("records when the first tile was rendered, and requests no tile twice or in vain", async ({ page, slides }) => {
  const asked: string[] = [];
  const failed: string[] = [];
  page.on("response", (response) => {
    if (!response.url().includes("/tiles/")) return;
    asked.push(response.url());
    if (!response.ok()) failed.push(`${response.status()} ${response.url()}`);
  });
  await openSlide(page, slides.measured);
  const time = Number(await page.getByTestId("stage").getAttribute("data-picture"));
  expect(time).toBeGreaterThan(0);
  console.log(`first tile rendered after ${time} ms, ${asked.length} tiles requested`);
  expect(failed).toEqual([]);
  const twice = asked.filter((url, i) => asked.indexOf(url) !== i && !/\/0\/0\/0(\.jpg)?(\?|$)/.test(url)); // the overview shows it from the cache
  expect(twice).toEqual([]);
  const visible = await page.evaluate(() => Math.ceil(innerWidth / 256) * Math.ceil(innerHeight / 256));
  expect(asked.length).toBeLessThanOrEqual(visible * 1.5);
});

test("has a button for each magnification of the slide", async ({ page, slides }) => {
  const image = slides.measured;
  const full = fullMagnification(image)!;
  await openSlide(page, image);
  const group = page.getByRole("group", { name: "Magnification" });
  const steps = availableSteps(full);
  await expect(group.getByRole("button")).toHaveText(["Fit", ...steps.map(formatMagnification)]);
  for (const step of steps) {
    const button = group.getByRole("button", { name: formatMagnification(step), exact: true });
    await button.click();
    await expect(button).toHaveAttribute("aria-pressed", "true");
    await expect(page.getByTestId("magnification")).toHaveText(`${full.derived ? "≈ " : ""}${formatMagnification(step)}`);
    await expect.poll(() => position(page).z).toBeCloseTo(step, 2);
  }
  await group.getByRole("button", { name: "Fit" }).click();
  await expect(page).toHaveURL(new RegExp(`/slides/${image.id}$`));
});

test("has a scale bar of the right length", async ({ page, slides }) => {
  const image = slides.measured;
  const full = fullMagnification(image)!.power;
  await openSlide(page, image, hash(image, 0));
  const bar = page.getByTestId("scale-bar");
  for (const key of ["4", "3", "2"]) {
    await page.keyboard.press(key);
    await idle(page);
    const micrometres = Number(await bar.getAttribute("data-micrometres"));
    const pixels = (await bar.boundingBox())!.width;
    const scale = position(page).z! / full; // page pixels per pixel of the scan
    expect((pixels / scale) * image.mpp_x!).toBeGreaterThan(micrometres * 0.985);
    expect((pixels / scale) * image.mpp_x!).toBeLessThan(micrometres * 1.015);
    const said = await page.locator(".scale-text").textContent();
    const unit = { µm: 1, mm: 1000, cm: 10000 }[said!.split(" ")[1]!]!;
    expect(Number(said!.split(" ")[0]) * unit).toBeCloseTo(micrometres, 6);
  }
});

test("reports an unknown scale", async ({ page, slides }) => {
  const image = { ...slides.largest, mpp_x: null, mpp_y: null, objective_power: null };
  await page.route(`**/api/v1/images/${image.id}`, (route) => route.fulfill({ json: image }));
  await openSlide(page, image);
  await expect(page.locator(".scale")).toHaveText("no scale");
  await expect(page.getByTestId("scale-bar")).toBeHidden();
  await page.getByRole("button", { name: "100 %" }).click();
  await expect.poll(() => position(page).s).toBeCloseTo(1, 3);
});

test("rotates by buttons, slider and keys", async ({ page, slides }) => {
  await page.emulateMedia({ reducedMotion: "no-preference" });
  await openSlide(page, slides.largest);
  await page.keyboard.press("r");
  await expect.poll(() => position(page).r).toBe(90);
  await page.getByTestId("rotation-button").click();
  await expect(page.getByTestId("angle")).toHaveText("90°");
  await page.getByRole("slider", { name: "Rotation" }).fill("33");
  await expect.poll(() => position(page).r).toBe(33);
  await page.getByRole("button", { name: "Rotate left by 90°" }).click();
  await expect.poll(() => position(page).r).toBe(-57);
  await page.getByTestId("stage").focus();
  await page.keyboard.press("]");
  await expect.poll(() => position(page).r).toBe(-52);
  await page.getByRole("button", { name: "Reset rotation" }).click();
  await expect.poll(() => position(page).r).toBeUndefined();
});

test("restores the position in its address", async ({ page, slides }) => {
  const image = slides.largest;
  const full = fullMagnification(image)!.power;
  const wanted = { x: Math.round(image.width * 0.4) + 0.5, y: Math.round(image.height * 0.55) + 0.5, z: Number((full * 0.37).toFixed(3)), r: 25 };
  await openSlide(page, image, `#x=${wanted.x}&y=${wanted.y}&z=${wanted.z}&r=${wanted.r}`);
  const close = (got: Record<string, number>): void => {
    expect(Math.abs(got.x! - wanted.x)).toBeLessThan(2);
    expect(Math.abs(got.y! - wanted.y)).toBeLessThan(2);
    expect(Math.abs(got.z! / wanted.z - 1)).toBeLessThan(0.002);
    expect(got.r).toBeCloseTo(wanted.r, 1);
  };
  close(position(page));
  await page.keyboard.press("ArrowRight");
  await idle(page);
  const there = page.url();
  expect(Math.hypot(position(page).x! - wanted.x, position(page).y! - wanted.y)).toBeGreaterThan(50);
  await page.reload();
  await idle(page);
  expect(page.url()).toBe(there);
  await page.evaluate((fragment) => { location.hash = fragment; }, `x=${wanted.x}&y=${wanted.y}&z=${wanted.z}&r=${wanted.r}`);
  await idle(page);
  close(position(page));
});

test("shows label and macro", async ({ page, slides }) => {
  const image = slides.all.find((i) => i.state === "available" && i.associated?.includes("label") && i.associated.includes("macro"))!;
  await openSlide(page, image);
  await page.keyboard.press("l");
  const panel = page.getByRole("complementary", { name: "Slide information" });
  for (const kind of ["label", "macro"]) {
    const picture = panel.locator(`figure[data-kind=${kind}] img`);
    await expect.poll(() => picture.evaluate((img: HTMLImageElement) => img.naturalWidth)).toBeGreaterThan(20);
  }
  await panel.getByRole("button", { name: "Label: show larger" }).click();
  const dialog = page.getByRole("dialog", { name: "Label" });
  await expect(dialog.getByRole("img")).toBeVisible();
  const before = await dialog.locator("canvas").evaluate((c: HTMLCanvasElement) => [c.width, c.height]);
  await dialog.getByRole("button", { name: "Rotate by 90°" }).click();
  expect(await dialog.locator("canvas").evaluate((c: HTMLCanvasElement) => [c.height, c.width])).toEqual(before);
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
  await expect(page).toHaveURL(new RegExp(image.id));
});

test("shows a label rendered from the barcode if the file has none", async ({ page, slides }) => {
  const image = slides.all.find((i) => i.state === "available" && i.barcode && !i.associated?.includes("label"));
  test.skip(!image, "no slide has a barcode without a label image");
  await openSlide(page, image!);
  await page.keyboard.press("l");
  const figure = page.locator("figure[data-kind=label]");
  await expect(figure).toContainText("Rendered from the barcode");
  await expect.poll(() => figure.locator("img").evaluate((img: HTMLImageElement) => img.naturalWidth)).toBeGreaterThan(20);
});

test("shows all metadata of the slide", async ({ page, slides }) => {
  const image = slides.measured;
  await openSlide(page, image);
  await page.getByTestId("panel-button").click();
  await page.getByRole("tab", { name: "Details" }).click();
  const details = page.getByRole("tabpanel", { name: "Details" });
  for (const text of [image.file_name!, image.id, `${image.width.toLocaleString("en")} × ${image.height.toLocaleString("en")} px`, `${Number(image.mpp_x!.toPrecision(5))}`]) await expect(details).toContainText(text);
  await expect(details.locator("tbody tr")).toHaveCount(image.levels!.length);
  for (const key of Object.keys(image.properties ?? {})) await expect(details.locator(`[title="${key}"]`)).toBeAttached();
  // The panel is still there after a reload.
  await page.reload();
  await expect(details).toBeVisible();
});

test("can be used by keyboard", async ({ page, slides }) => {
  const image = slides.largest;
  await openSlide(page, image, hash(image));
  const begin = position(page);
  await page.keyboard.press("ArrowRight");
  await expect.poll(() => position(page).x! - begin.x!).toBeGreaterThan(100);
  await idle(page);
  await page.keyboard.press("ArrowDown");
  await expect.poll(() => position(page).y! - begin.y!).toBeGreaterThan(100);
  await idle(page);
  const z = position(page).z!;
  await page.keyboard.press("+");
  await expect.poll(() => position(page).z! / z).toBeCloseTo(1.5, 2);
  await idle(page);
  await page.keyboard.press("-");
  await expect.poll(() => position(page).z! / z).toBeCloseTo(1, 2);
  await page.keyboard.press("3");
  await expect.poll(() => position(page).z).toBeCloseTo(5, 2);
  await page.keyboard.press("0");
  await expect(page).toHaveURL(new RegExp(`${image.id}$`));
  const map = page.locator(".minimap-body");
  await expect(map).toBeVisible();
  await page.keyboard.press("m");
  await expect(map).toBeHidden();
  await page.keyboard.press("m");
  await page.keyboard.press("i");
  await expect(page.getByRole("complementary")).toBeVisible();
  await page.keyboard.press("i");
  await expect(page.getByRole("complementary")).toBeHidden();
  await page.keyboard.press("?");
  const help = page.getByRole("dialog", { name: "Keyboard shortcuts of the viewer" });
  await expect(help).toBeVisible();
  await page.keyboard.press("3"); // ignored below a dialog
  await page.keyboard.press("Escape");
  await expect(help).toHaveCount(0);
  await expect(page).toHaveURL(new RegExp(`${image.id}$`));
  await page.keyboard.press("f");
  await expect.poll(() => page.evaluate(() => document.fullscreenElement !== null)).toBe(true);
  await page.keyboard.press("f");
  await expect.poll(() => page.evaluate(() => document.fullscreenElement !== null)).toBe(false);
  await page.keyboard.press("Escape");
  await expect(page).toHaveURL(/\/$/);
});

test("zooms by wheel, moves by dragging and in the overview", async ({ page, slides }) => {
  await page.emulateMedia({ reducedMotion: "no-preference" });
  const image = slides.largest;
  await openSlide(page, image, hash(image, 3));
  const begin = position(page);
  await page.mouse.move(700, 450);
  await page.mouse.wheel(0, -100);
  await expect.poll(() => position(page).z! / begin.z!).toBeGreaterThan(1.1);
  await idle(page);
  const zoomed = position(page);
  await page.mouse.down();
  await page.mouse.move(500, 450, { steps: 8 });
  await page.waitForTimeout(150);
  await page.mouse.up();
  await expect.poll(() => position(page).x! - zoomed.x!).toBeGreaterThan(100);
  const map = (await page.locator(".minimap-canvas").boundingBox())!;
  await page.mouse.click(map.x + map.width * 0.25, map.y + map.height * 0.75);
  await expect.poll(() => Math.abs(position(page).x! / image.width - 0.25)).toBeLessThan(0.02);
  await expect.poll(() => Math.abs(position(page).y! / image.height - 0.75)).toBeLessThan(0.02);
});

test("goes to the next slide and back", async ({ page, slides }) => {
  test.skip(slides.all.length < 2, "there is only one slide");
  await page.goto("/");
  const first = page.locator(".card").first();
  const ids = [await first.getAttribute("data-id"), await page.locator(".card").nth(1).getAttribute("data-id")];
  await first.getByRole("link").click();
  await expect(page).toHaveURL(new RegExp(`/slides/${ids[0]}`));
  await expect(page.getByTestId("previous")).toHaveAttribute("aria-disabled", "true");
  await page.getByTestId("next").click();
  await expect(page).toHaveURL(new RegExp(`/slides/${ids[1]}`));
  await expect(page.getByTestId("previous")).toHaveAttribute("href", `/slides/${ids[0]}`);
  await page.getByRole("link", { name: "Back to the slides" }).click();
  await expect(page).toHaveURL(/\/$/);
});

test("finds its neighbours when it was opened by its address", async ({ page, slides }) => {
  test.skip(slides.all.length < 2, "there is only one slide");
  await openSlide(page, slides.largest);
  await expect(page.locator("[data-testid=next][href], [data-testid=previous][href]").first()).toBeAttached();
});

test("renders an unreadable tile as a hatched square, with the reason", async ({ page, slides }) => {
  const image = slides.largest;
  const reason = "This part of the image's file cannot be read: it is damaged.";
  const x = Math.floor(image.width / 2 / image.tile_width);
  const y = Math.floor(image.height / 2 / image.tile_height);
  let times = 0;
  let broken = true;
  await page.route(new RegExp(`/tiles/${image.max_zoom}/${x}/${y}(\\.jpg)?(\\?|$)`), (route) => {
    if (!broken) return route.fallback();
    times++;
    return route.fulfill({ status: 502, contentType: "application/problem+json", body: JSON.stringify({ status: 502, title: "Bad Gateway", detail: reason }) });
  });
  await openSlide(page, image, `#x=${(x + 0.5) * image.tile_width}&y=${(y + 0.5) * image.tile_height}&${pixelForPixel(image)}`);
  const line = page.getByTestId("failures");
  await expect(line).toContainText("1 tile of this slide cannot be shown");
  expect(times, "requests for the tile").toBe(3);
  const stage = (await page.getByTestId("stage").boundingBox())!;
  const middle = { x: stage.x + stage.width / 2, y: stage.y + stage.height / 2 };
  await page.mouse.move(middle.x, middle.y);
  await expect(page.getByTestId("tip")).toContainText(reason);
  const shot = await page.screenshot({ clip: { x: middle.x - 60, y: middle.y - 60, width: 50, height: 50 } });
  const mean = await page.evaluate(async (data) => {
    const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(data), (c) => c.charCodeAt(0))]));
    const context = new OffscreenCanvas(bitmap.width, bitmap.height).getContext("2d")!;
    context.drawImage(bitmap, 0, 0);
    const { data: pixels } = context.getImageData(0, 0, bitmap.width, bitmap.height);
    return pixels.reduce((sum, value, i) => sum + (i % 4 === 3 ? 0 : value), 0) / (pixels.length * 0.75);
  }, shot.toString("base64"));
  expect(mean, "brightness of the square: it must not look like glass").toBeLessThan(140);
  await page.mouse.move(middle.x + image.tile_width, middle.y);
  await expect(page.getByTestId("tip")).toBeHidden();
  broken = false;
  await line.getByRole("button", { name: "Try again" }).click();
  await expect(line).toBeHidden();
  await idle(page);
});

test("waits as long as a busy server requests", async ({ page, slides }) => {
  const times: number[] = [];
  await page.route(/\/tiles\/0\/0\/0/, (route) => {
    times.push(Date.now());
    return times.length === 1 ? route.fulfill({ status: 503, headers: { "Retry-After": "2" }, contentType: "application/problem+json", body: JSON.stringify({ status: 503, detail: "Busy." }) }) : route.fallback();
  });
  await openSlide(page, slides.largest);
  await expect.poll(() => times.length, { timeout: 10_000 }).toBeGreaterThanOrEqual(2);
  await page.waitForTimeout(3000);
  expect(times[times.length - 1]! - times[0]!).toBeGreaterThanOrEqual(1990);
  await expect(page.getByTestId("failures")).toBeHidden();
});

test("cancels tiles that have left the view, and requests them when they are back", async ({ page, slides }) => {
  const image = slides.largest;
  const deepest = new RegExp(`/tiles/${image.max_zoom}/`);
  await openSlide(page, image);
  const stage = (await page.getByTestId("stage").boundingBox())!;
  const visible: string[] = [];
  const first = (centre: number, size: number, tile: number): number => Math.floor((centre - size / 2) / tile);
  for (let x = first(image.width / 2, stage.width, image.tile_width); x <= first(image.width / 2, -stage.width, image.tile_width); x++) {
    for (let y = first(image.height / 2, stage.height, image.tile_height); y <= first(image.height / 2, -stage.height, image.tile_height); y++) visible.push(`${x}/${y}`);
  }
  const missing = (urls: string[]): string[] => visible.filter((tile) => !urls.some((url) => new RegExp(`/tiles/${image.max_zoom}/${tile}\\b`).test(url)));
  const asked: string[] = [];
  let gone = 0;
  page.on("requestfailed", (request) => { if (deepest.test(request.url())) gone++; });
  await page.route(deepest, (route) => { asked.push(route.request().url()); }); // without a response
  const there = hash(image, 0);
  await page.evaluate((fragment) => { location.hash = fragment; }, there);
  await expect.poll(() => missing(asked), "tiles that were not requested").toEqual([]);
  await page.keyboard.press("0");
  await expect.poll(() => asked.length - gone, { message: "tiles that were not cancelled", timeout: 20_000 }).toBe(0); // before their requests time out
  await idle(page);
  await page.unroute(deepest);
  const answered: string[] = [];
  page.on("response", (response) => { if (deepest.test(response.url())) answered.push(response.url()); });
  await page.evaluate((fragment) => { location.hash = fragment; }, there);
  await idle(page);
  await expect.poll(() => missing(answered), "tiles that were not requested again").toEqual([]);
  await expect(page.getByTestId("failures")).toBeHidden();
});

test("shows the new slide after its file was replaced", async ({ page, slides }) => {
  const image = slides.largest;
  let revision = "before";
  await page.route(`**/api/v1/images/${image.id}`, (route) => route.fulfill({ json: { ...image, revision, tile_url: `/replaced/${revision}/{z}/{x}/{y}` } }));
  await page.route("**/replaced/**", async (route) => {
    const [, asked, z, x, y] = /replaced\/(\w+)\/(\d+)\/(\d+)\/(\d+)/.exec(route.request().url())!;
    if (asked !== revision) return route.fulfill({ status: 404, contentType: "application/problem+json", body: JSON.stringify({ status: 404, detail: "The image has changed." }) });
    const response = await page.request.get(image.tile_url.replace("{z}", z!).replace("{x}", x!).replace("{y}", y!));
    return route.fulfill({ status: response.status(), contentType: response.headers()["content-type"], body: await response.body() });
  });
  await openSlide(page, image, hash(image, 3));
  revision = "after";
  await page.keyboard.press("4");
  await expect(page.getByText("The file of this slide was replaced. You are now viewing the new file.")).toBeVisible();
  await idle(page);
  await expect(page.getByTestId("failures")).toBeHidden();
  expect(Math.abs(position(page).x! - image.width / 2), "the position is kept").toBeLessThan(30);
});

test("reports an unknown slide", async ({ page }) => {
  await page.goto("/slides/nosuchslide");
  await expect(page.getByRole("alert")).toContainText("Slide not found");
  await page.getByRole("link", { name: "Back to the slides" }).last().click();
  await expect(page).toHaveURL(/\/$/);
});

test("saves the view as an image", async ({ page, slides }) => {
  const image = slides.measured;
  await openSlide(page, image, hash(image));
  const [download] = await Promise.all([page.waitForEvent("download"), page.keyboard.press("s")]);
  expect(download.suggestedFilename()).toMatch(/_x\d+_y\d+\.png$/);
});

test("works on a phone", async ({ page, slides }) => {
  await page.setViewportSize({ width: 360, height: 640 });
  const image = slides.measured;
  await openSlide(page, image);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(360);
  for (const step of await page.getByRole("group", { name: "Magnification" }).getByRole("button").all()) {
    await expect(step).toBeInViewport({ ratio: 1 });
  }
  await page.getByRole("button", { name: "5×", exact: true }).click();
  await expect.poll(() => position(page).z).toBeCloseTo(5, 2);
  await page.getByTestId("panel-button").click();
  const panel = page.getByRole("complementary");
  await expect(panel).toBeInViewport();
  await page.keyboard.press("Escape");
  await expect(panel).toBeHidden();
});

for (const { device, viewport, colorScheme } of screens) {
  test(`has no accessibility fault, ${device}, ${colorScheme}`, async ({ page, slides }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    await openSlide(page, slides.measured);
    await page.getByTestId("rotation-button").click();
    expect(await page.locator(".rotation").evaluate((box) => box.scrollWidth - box.clientWidth), "what the rotation's box cannot hold").toBeLessThanOrEqual(0);
    const faults = (): Promise<string[]> => accessibilityFaults(page);
    expect(await faults()).toEqual([]);
    await page.getByTestId("panel-button").click();
    expect(await faults()).toEqual([]);
    await page.getByRole("tab", { name: "Details" }).click();
    expect(await faults()).toEqual([]);
    await page.getByTestId("stage").focus();
    await page.keyboard.press("?");
    expect(await faults()).toEqual([]);
  });
}
