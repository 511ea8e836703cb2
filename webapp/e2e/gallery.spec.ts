import type { Page } from "@playwright/test";

import { accessibilityFaults, answerList, expect, fits, idle, screens, type SlideImage, test } from "./fixtures";

test("shows a card for each slide", async ({ page, slides }) => {
  await page.goto("/");
  const image = slides.largest;
  const card = page.locator(`.card[data-id="${image.id}"]`);
  await expect(card.getByRole("heading")).toHaveText(image.label ?? image.file_name!);
  if (image.barcode) await expect(card).toContainText(image.barcode);
  await expect(card).toContainText(`${image.width.toLocaleString("en")} × ${image.height.toLocaleString("en")} px`);
  if (image.objective_power) await expect(card.locator(".power")).toHaveText(`${image.objective_power}×`);
  if (image.mpp_x) await expect(card).toContainText(`${((image.width * image.mpp_x) / 1000).toFixed(1)} × `);
  const preview = card.locator("img");
  await expect(preview).toHaveJSProperty("complete", true);
  expect(await preview.evaluate((img: HTMLImageElement) => img.naturalWidth)).toBeGreaterThan(20);
  await expect(page.getByTestId("count")).toContainText(/^\d.* slides?$/);
});

test("searches while typing", async ({ page, slides }) => {
  await page.goto("/");
  await expect(page.locator(".card").first()).toBeVisible();
  const wanted = slides.largest.file_name!;
  await page.keyboard.press("/");
  await expect(page.getByRole("searchbox")).toBeFocused();
  await page.keyboard.type(wanted.slice(0, -4));
  await expect(page.locator(".card mark").first()).toHaveText(wanted.slice(0, -4));
  await expect(page).toHaveURL(new RegExp(`q=${encodeURIComponent(wanted.slice(0, 4))}`));
  await page.reload();
  await expect(page.getByRole("searchbox")).toHaveValue(wanted.slice(0, -4));
  await expect(page.locator(`.card[data-id="${slides.largest.id}"]`)).toBeVisible();
  await page.getByRole("searchbox").fill("no such slide");
  await expect(page.getByRole("heading", { name: "No matching slides" })).toBeVisible();
  await page.getByRole("button", { name: "Show all slides" }).click();
  await expect(page.locator(".card").first()).toBeVisible();
  await expect(page).toHaveURL(/\/$/);
});

const attention = ["broken", "quarantined", "unsupported", "missing", "arriving", "available"];
const orders: { option: string; key: (image: SlideImage) => number | string }[] = [
  { option: "Newest first", key: (image) => -Date.parse(image.created_at!) },
  { option: "Name", key: (image) => image.file_name!.toLowerCase() },
  { option: "Smallest file first", key: (image) => image.size! },
  { option: "Needs attention first", key: (image) => attention.indexOf(image.state) },
];

for (const { option, key } of orders) {
  test(`sorts slides: ${option}`, async ({ page, slides }) => {
    const wanted = slides.all.map(key).sort((a, b) => Number(a > b) - Number(a < b)).slice(0, 6);
    await page.goto("/?sort=name");
    await page.getByRole("combobox", { name: "Sort by" }).selectOption({ label: option });
    await expect(async () => {
      const ids = await page.locator(".card[data-id]").evaluateAll((cards) => cards.map((card) => (card as HTMLElement).dataset.id));
      expect(ids.slice(0, 6).map((id) => key(slides.all.find((image) => image.id === id)!))).toEqual(wanted);
    }).toPass({ timeout: 15_000 });
  });
}

// shownOf is another slide like one, with no more than a card shows: lists of them are long.
function shownOf({ store, state, size, width, height, revision }: SlideImage, n: number): SlideImage {
  return { store, state, size, width, height, revision, id: `id${n}`, file_name: `slide ${n}.tiff` } as SlideImage;
}

test("stays responsive with 100,000 slides", async ({ page, slides }) => {
  test.slow();
  const total = 100_000;
  await page.route("**/api/v1/images/*/preview*", (route) => route.fulfill({ status: 404, body: "" }));
  await page.route("**/api/v1/images/*/thumbnail*", (route) => route.fulfill({ status: 404, body: "" }));
  // One page holds almost all of them, as after long scrolling.
  await answerList(page, (params) => {
    const from = Number(params.get("cursor") ?? 0);
    const count = Math.min(from === 0 ? 60 : total, total - from);
    const items = Array.from({ length: count }, (_, i) => shownOf(slides.largest, from + i));
    return { items, next_cursor: from + count < total ? String(from + count) : null };
  });
  await page.goto("/");
  await expect(page.locator(".card").first()).toBeVisible();
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  await expect(page.getByTestId("count")).toHaveText("100,000 slides", { timeout: 120_000 });
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight));
  await expect(page.locator('.card[data-id="id99999"]')).toBeVisible();
  expect(await page.locator(".card").count()).toBeLessThan(120);
  await page.evaluate(() => window.scrollTo(0, document.documentElement.scrollHeight / 2));
  await expect(page.locator('.card[data-id="id50000"]')).toBeAttached();
});

test("loads page after page", async ({ page, slides }) => {
  const total = 1_500;
  const asked = new Map<number, number>(); // by where they begin: pages are requested again after a change in the catalog
  await answerList(page, (params) => {
    const from = Number(params.get("cursor") ?? 0);
    const limit = Math.min(Number(params.get("limit")), total - from);
    if (!asked.has(from)) asked.set(from, limit);
    const items = Array.from({ length: limit }, (_, i) => shownOf(slides.largest, from + i));
    return { items, next_cursor: from + limit < total ? String(from + limit) : null };
  });
  await page.goto("/");
  await expect(page.locator(".card").first()).toBeVisible();
  await idle(page);
  expect(asked.size, `requested pages before scrolling: ${[...asked].join("; ")}`).toBeLessThan(3); // of seven
  const end = page.getByText("End of list: 1,500 slides.");
  for (let n = 0; n < 20 && !(await end.isVisible()); n++) {
    await page.keyboard.press("End");
    await idle(page);
  }
  await expect(end).toBeVisible();
  expect([...asked.values()]).toEqual([60, 60, 120, 240, 480, 500, 40]); // growing pages
});

// stillScroll returns the scroll position once scrolling has stopped.
async function stillScroll(page: Page): Promise<number> {
  let last = -1;
  await expect(async () => {
    const now = await page.evaluate(() => window.scrollY);
    const still = now === last;
    last = now;
    expect(still).toBe(true);
  }).toPass({ intervals: [150] });
  return last;
}

test("restores its position after a slide", async ({ page, slides }) => {
  await answerList(page, (params) => {
    const from = Number(params.get("cursor") ?? 0);
    return { items: Array.from({ length: 60 }, (_, i) => ({ ...shownOf(slides.largest, from + i), ...(i === 40 && { id: slides.largest.id }) })), next_cursor: null };
  });
  await page.goto("/?q=slide");
  const card = page.locator(`.card[data-id="${slides.largest.id}"]`);
  await expect(page.locator(".card[data-id]").first()).toBeVisible();
  await expect(async () => { // the page grows while it is laid out, and ends a movement of the wheel before
    await page.mouse.wheel(0, 400);
    await expect(card).toBeVisible({ timeout: 500 });
  }).toPass();
  await card.scrollIntoViewIfNeeded(); // as the click would
  const before = await stillScroll(page);
  await card.getByRole("link").click();
  await expect(page.getByTestId("stage")).toBeVisible();
  await page.getByRole("link", { name: "Back to the slides" }).click();
  await expect(page).toHaveURL(/\?q=slide$/);
  await expect(card).toBeVisible();
  expect(Math.abs((await stillScroll(page)) - before)).toBeLessThan(3);
});

test("can be used by keyboard", async ({ page }) => {
  await page.goto("/");
  await expect(page.locator(".card").first()).toBeVisible();
  const cards = page.locator(".card a");
  await page.getByRole("searchbox").focus();
  await page.keyboard.press("ArrowDown");
  await expect(cards.first()).toBeFocused();
  await page.keyboard.press("ArrowRight");
  await expect(cards.nth(1)).toBeFocused();
  await page.keyboard.press("ArrowLeft");
  await expect(cards.first()).toBeFocused();
  await page.keyboard.press("Enter");
  await expect(page).toHaveURL(/\/slides\//);
});

test("remembers the theme", async ({ page }) => {
  await page.goto("/");
  const colour = async (): Promise<string> => {
    await idle(page); // colours change with the next frame
    return page.evaluate(() => getComputedStyle(document.documentElement).backgroundColor);
  };
  const light = await colour();
  await page.getByTestId("theme").click();
  await page.getByTestId("theme").click();
  await expect(page.getByTestId("theme")).toHaveAccessibleName(/dark/);
  const dark = await colour();
  expect(dark).not.toBe(light);
  await page.reload();
  expect(await colour()).toBe(dark);
});

for (const { device, viewport, colorScheme, wide } of screens) {
  test(`fits the window and has no accessibility fault, ${device}, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    await page.goto("/");
    await expect(page.locator(".card").first()).toBeVisible();
    await idle(page);
    expect(await accessibilityFaults(page)).toEqual([]);
    await fits(page, "the page", wide);
  });
}

test("reports an unknown page", async ({ page }) => {
  const response = await page.goto("/nowhere");
  expect(response!.status()).toBe(404);
  await expect(page.getByRole("heading", { name: "Page not found" })).toBeVisible();
});
