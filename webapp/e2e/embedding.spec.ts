// The example page of docs/embedding.md: a viewer in its frame, and messages in both directions.

import { readFileSync } from "node:fs";

import { expect, test } from "./fixtures";

const example = new URL("../../docs/examples/embedding.html", import.meta.url);

test("the example of a page with a viewer works", async ({ page, server, slides }) => {
  const { id } = slides.largest;
  await page.route("**/embedding.html*", (route) => route.fulfill({ contentType: "text/html", body: readFileSync(example, "utf8") }));
  await page.goto(`${server}/embedding.html?image=${id}`);
  const viewer = page.frameLocator("#viewer");
  await expect(viewer.getByTestId("stage")).toBeVisible();
  await expect(viewer.locator(".viewer-bar")).toHaveCount(0);
  await expect(page.getByRole("status")).toHaveText(/^(Ready|x \d)/);
  await page.getByRole("button", { name: "Show the tumour" }).click();
  await expect(page.getByRole("status")).toHaveText(/^x 300, y 200, 20\.0×$/);
  // An invalid command changes nothing.
  await page.evaluate(() => document.querySelector("iframe")!.contentWindow!.postMessage({ ptiffstore: 1, type: "goTo", x: "0" }, location.origin));
  await expect(page.getByRole("status")).toHaveText("This is not a valid command.");
});
