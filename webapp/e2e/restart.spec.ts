// The server restarts while pages are open.

import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";

import { accessibilityFaults, expect, idle, type SlideImage, test } from "./fixtures";
import { demoSlides, startServer } from "./server";

test("viewer and gallery continue by themselves when the server is back", async ({ page, context }) => {
  test.setTimeout(240_000); // two servers start
  const data = mkdtempSync(join(process.env.PTIFFSTORE_E2E_DATA!, "restart-"));
  const first = await startServer(data, "serve", demoSlides());
  let items: SlideImage[] = [];
  await expect.poll(async () => {
    ({ items } = (await (await fetch(`${first.address}/api/v1/images?state=available`)).json()) as { items: SlideImage[] });
    return items.length;
  }).toBeGreaterThan(1);
  const image = items[0]!;
  await page.goto(`${first.address}/slides/${image.id}`);
  await idle(page);
  const gallery = await context.newPage();
  await gallery.goto(first.address);
  await expect(gallery.locator(".card").first()).toBeVisible();
  await first.stop();

  const lost = "Connection lost, reconnecting …";
  await gallery.getByRole("searchbox").fill(image.file_name!.slice(0, -5));
  await expect(gallery.getByTestId("connection")).toContainText(lost);
  await expect(gallery.getByRole("alert")).toContainText("The server does not respond.");
  await page.keyboard.press("5"); // needs other tiles
  await expect(page.getByTestId("connection")).toContainText(lost);
  expect(await accessibilityFaults(page, ".connection")).toEqual([]);
  const shots = process.env.PTIFFSTORE_SHOTS;
  if (shots) for (const [name, shown] of [["viewer", page], ["gallery", gallery]] as const) await shown.screenshot({ path: `${shots}/lost-${name}.png` });

  const second = await startServer(data, "serve", demoSlides(), "--listen", new URL(first.address).host);
  await expect(page.getByTestId("connection")).not.toContainText(lost);
  await idle(page);
  await expect(page.getByTestId("failures")).toBeHidden();
  await expect(gallery.locator(`.card[data-id="${image.id}"]`)).toBeVisible();
  await expect(gallery.locator(".card img").first()).toHaveJSProperty("complete", true);
  expect(await gallery.locator(".card img").first().evaluate((img: HTMLImageElement) => img.naturalWidth)).toBeGreaterThan(20);
  await gallery.close();
  await second.stop();
  rmSync(data, { recursive: true, force: true });
});
