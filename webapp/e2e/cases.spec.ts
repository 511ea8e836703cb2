// Cases: from the list to the slides of a case, and from one of them to the others.

import { accessibilityFaults, changing as test, expect, fits, idle, screens, type SlideImage } from "./fixtures";
import { isViewable } from "../src/api/types";

const accession = "S26/77 Müller";

// inOneCase puts two slides into one case, and returns them in its order.
async function inOneCase(server: string): Promise<SlideImage[]> {
  const { items } = (await (await fetch(`${server}/api/v1/images?limit=100`)).json()) as { items: SlideImage[] };
  const images = items.filter((image) => isViewable(image) || image.state === "available").slice(0, 2);
  for (const [i, { id }] of images.entries()) {
    const response = await fetch(`${server}/api/v1/images/${id}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ accession, part: "A", block: String(i + 1), stain: "HE" }) });
    expect(response.ok).toBe(true);
  }
  return images;
}

for (const { device, viewport, colorScheme } of screens) {
  test(`goes from a case to its slides, to the next one, and side by side, on a ${device}`, async ({ page, server }) => {
    await page.setViewportSize(viewport);
    await page.emulateMedia({ colorScheme });
    await page.addInitScript(() => localStorage.setItem("ptiffstore.panel", "false"));
    const [first, second] = await inOneCase(server);
    const check = async (what: string): Promise<void> => {
      await idle(page);
      await fits(page, what);
      expect(await accessibilityFaults(page)).toEqual([]);
    };

    await page.goto("/");
    await page.getByRole("link", { name: "Cases", exact: true }).click();
    await expect(page.locator(".case-link")).not.toHaveCount(0);
    await check("the list of cases");
    await page.locator(".case-link", { hasText: accession }).click();
    await expect(page.locator(".case-block-name")).toHaveText(["A1", "A2"]);
    expect(decodeURIComponent(new URL(page.url()).pathname)).toBe(`/cases/${accession}`);
    await check("the page of a case");

    await page.locator(`.card[data-id="${first!.id}"] a`).first().click();
    await expect(page).toHaveURL(new RegExp(`/slides/${first!.id}`));
    const strip = page.getByTestId("case-strip");
    if (device === "phone") await strip.getByRole("button", { name: "Slides of the case" }).click();
    await expect(strip.locator("[aria-current]")).toContainText("A1 HE");
    await check("a slide of a case");
    await idle(page);
    await page.keyboard.press("n");
    await expect(page).toHaveURL(new RegExp(`/slides/${second!.id}`));
    await expect(strip.locator("[aria-current]")).toContainText("A2 HE");
    await expect(page.getByTestId("next")).toHaveAttribute("aria-disabled", "true");

    await strip.getByRole("link", { name: "Show beside A1 HE" }).click({ force: true });
    await expect(page.getByTestId("compare")).toHaveAttribute("data-ready", "true");
    await expect(page.locator(".pane .stage")).toHaveCount(2);
  });
}
