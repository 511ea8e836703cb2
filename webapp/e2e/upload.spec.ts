import { copyFileSync, mkdirSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { request as requests, type APIRequestContext, type Locator, type Page } from "@playwright/test";

import type { User } from "../src/access/types";
import type { Store } from "../src/api/types";
import type { UploadView } from "../src/upload/types";
import { cutterTo } from "./cutter";
import { accessibilityFaults, changing, expect } from "./fixtures";
import { demoSlides, startServer } from "./server";

const password = "seven brown owls at noon";

// withUsers runs a server with access control and a managed store. ada is an admin,
// rita a contributor.
async function withUsers(folder: string, run: (address: string, admin: APIRequestContext, rita: APIRequestContext, store: Store) => Promise<void>): Promise<void> {
  const root = join(folder, "archive");
  mkdirSync(root);
  const server = await startServer(folder, "serve", "--auth", "local");
  try {
    const baseURL = server.address;
    const [admin, rita] = [await requests.newContext({ baseURL }), await requests.newContext({ baseURL })];
    const post = async <T>(context: APIRequestContext, path: string, data: object): Promise<T> => {
      const answer = await context.post(`/api/v1/${path}`, { data });
      expect(answer.ok(), `${path}: ${answer.status()} ${await answer.text()}`).toBe(true);
      return (await answer.json()) as T;
    };
    await post(admin, "auth/bootstrap", { secret: new URL(server.link).hash.slice(1), name: "ada", password });
    const store = await post<Store>(admin, "stores", { mode: "managed", root, label: "Archive" });
    const user = await post<User>(admin, "users", { name: "rita", password });
    await post(admin, "grants", { user: user.id, store: store.id, role: "contributor" });
    await post(rita, "auth/login", { name: "rita", password });
    await run(baseURL, admin, rita, store);
    await Promise.all([admin.dispose(), rita.dispose()]);
  } finally {
    await server.stop();
  }
}

const tus = { "Tus-Resumable": "1.0.0" };
const base64 = (text: string): string => Buffer.from(text).toString("base64");

// begin starts an upload, and returns its address.
async function begin(context: APIRequestContext, store: Store, name: string, bytes: number): Promise<string> {
  const answer = await context.post("/api/v1/uploads", { headers: { ...tus, "Upload-Length": String(bytes), "Upload-Metadata": `store ${base64(store.id)},filename ${base64(name)}` } });
  expect(answer.status(), await answer.text()).toBe(201);
  return answer.headers().location!;
}

// Each test uploads a slide of the demo to a managed store of its own.
const test = changing.extend<{ store: Store; folder: string; slide: string }>({
  folder: async ({ own }, use) => {
    const folder = mkdtempSync(join(own.data, "upload-"));
    await use(folder);
    rmSync(folder, { recursive: true, force: true });
  },
  slide: async ({ folder }, use) => {
    const slide = join(folder, "S26-02001_A1_HE.tiff");
    copyFileSync(join(demoSlides(), "S26-01430_A1_HE.tiff"), slide); // 3 MB
    await use(slide);
  },
  store: async ({ server, folder }, use) => {
    const root = join(folder, "archive");
    mkdirSync(root);
    const answer = await fetch(`${server}/api/v1/stores`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ mode: "managed", root, label: "Archive" }) });
    expect(answer.status, await answer.clone().text()).toBe(201);
    const store = (await answer.json()) as Store;
    await use(store);
    await fetch(`${server}/api/v1/stores/${store.id}?keep_files=true`, { method: "DELETE" });
  },
});

test.describe.configure({ mode: "default" });

const row = (page: Page, name: string): Locator => page.locator(".upload", { hasText: name });
const choose = (page: Page, ...files: string[]): Promise<void> => page.getByTestId("files").setInputFiles(files);
const arrived = { timeout: 60_000 };

test("uploads a slide and links to it", async ({ page, server, store, slide, folder }) => {
  await page.goto("/");
  await page.getByRole("link", { name: "Upload", exact: true }).click();
  await expect(page).toHaveTitle("Upload · ptiffstore");
  await page.getByLabel("Store", { exact: true }).selectOption(store.id);
  await page.getByLabel("Verify checksums").check();
  await choose(page, slide);
  const it = row(page, "S26-02001_A1_HE.tiff");
  await expect(it.getByTestId("phase")).toHaveText("Done", arrived);
  await expect(it).toContainText("The slide is in the store.");
  await expect(it.getByRole("progressbar")).toBeHidden();
  const { items } = (await (await fetch(`${server}/api/v1/uploads`)).json()) as { items: UploadView[] };
  expect(items[0]).toMatchObject({ store: store.id, sent_as: "S26-02001_A1_HE.tiff", modified: String(Math.trunc(statSync(slide).mtimeMs)), state: "received", verdict: "slide" });

  // The same file under another name, and a file that is not a slide.
  const again = join(folder, "again.tiff");
  copyFileSync(slide, again);
  const damaged = join(folder, "damaged.tiff");
  writeFileSync(damaged, "II*\0 and nothing else");
  await choose(page, again, damaged);
  await expect(row(page, "again.tiff")).toContainText("This slide was already in the store", arrived);
  await expect(row(page, "damaged.tiff").getByTestId("phase")).toHaveText("Quarantined", arrived);
  await expect(row(page, "damaged.tiff")).toContainText(/incomplete|not a TIFF/i);
  await expect(page.getByTestId("total")).toHaveText("3 of 3 done");
  expect(await accessibilityFaults(page)).toEqual([]);

  await it.getByRole("link", { name: "Open slide" }).click();
  await expect(page.getByTestId("stage")).toHaveAttribute("data-picture", /\d/, { timeout: 30_000 });
  await page.goBack();
  await expect(page.locator(".upload"), "the uploads are still listed").toHaveCount(3);
  await row(page, "damaged.tiff").getByRole("button", { name: "Dismiss" }).click();
  await expect(page.locator(".upload")).toHaveCount(2);
});

test("resumes after lost connections, a pause and in another browser", async ({ page, browser, server, store, slide }) => {
  copyFileSync(join(demoSlides(), "S26-01417_A1_HE.tiff"), slide); // larger than the buffers of sockets
  const cutter = await cutterTo(server);
  cutter.rate = 1e6; // slow enough that the file is not complete before the last step, however slow the machine
  try {
    const name = "S26-02001_A1_HE.tiff";
    const { size } = statSync(slide);
    await page.goto(`${cutter.url}/upload?store=${store.id}`);
    await choose(page, slide);
    const it = row(page, name);
    await expect(it.getByTestId("phase")).toHaveText("Uploading");
    await expect(it).toContainText(/\d+ % · .* of [\d.]+ MB · .*\/s · .* left/);
    cutter.cut();
    await it.getByRole("button", { name: "Pause" }).click();
    await expect(it.getByTestId("phase")).toHaveText("Paused");
    await it.getByRole("button", { name: "Resume" }).click();
    await expect(it.getByTestId("phase")).toHaveText("Uploading");

    // Without a network it reports the error.
    cutter.open = false;
    cutter.cut();
    await expect(it.getByTestId("phase")).toHaveText("Interrupted", { timeout: 30_000 });
    await expect(it).toContainText("The server does not respond.");
    cutter.open = true;
    cutter.rate = 0.1e6;
    await it.getByRole("button", { name: "Retry now" }).click();
    await expect(it.getByTestId("phase")).toHaveText("Uploading");
    await page.close({ runBeforeUnload: false });
    cutter.cut();

    // Another browser, without any stored state.
    cutter.rate = 1e9;
    const other = await browser.newContext();
    const fresh = await other.newPage();
    await fresh.goto(`${cutter.url}/upload`);
    const left = row(fresh, name);
    await expect(left.getByTestId("phase")).toHaveText("Incomplete");
    await expect(left).toContainText("Choose the same file again");
    const before = cutter.bytes();
    const had = ((await (await fetch(`${server}/api/v1/uploads`)).json()) as { items: UploadView[] }).items[0]!.offset;
    expect(had).toBeGreaterThan(0);
    await choose(fresh, slide);
    await expect(fresh.locator(".upload"), "no second upload").toHaveCount(1);
    await expect(left.getByTestId("phase")).toHaveText("Done", arrived);
    expect(cutter.bytes() - before, "received bytes are not sent again").toBeLessThan(size - had + 200_000);
    await expect(left.getByRole("link", { name: "Open slide" })).toBeVisible();
    await other.close();
  } finally {
    cutter.close();
  }
});

test("refuses a different file, and discards the upload", async ({ page, server, store, slide, folder }) => {
  const coded = (text: string): string => Buffer.from(text).toString("base64");
  const begun = await fetch(`${server}/api/v1/uploads`, { method: "POST", headers: { "Tus-Resumable": "1.0.0", "Upload-Length": String(statSync(slide).size), "Upload-Metadata": `store ${coded(store.id)},filename ${coded("S26-02001_A1_HE.tiff")},modified ${coded("1")}` } });
  expect(begun.status).toBe(201);
  await page.goto("/upload");
  const it = row(page, "S26-02001_A1_HE.tiff");
  await expect(it.getByTestId("phase")).toHaveText("Incomplete");
  const other = join(folder, "other.tiff");
  writeFileSync(other, "x".repeat(100));
  const [chooser] = await Promise.all([page.waitForEvent("filechooser"), it.getByRole("button", { name: "Choose file" }).click()]);
  await chooser.setFiles(other);
  await expect(page.getByText("This is not the file of the upload")).toBeVisible();
  await it.getByRole("button", { name: "Discard" }).click();
  await expect(it).toHaveCount(0);
  await expect.poll(async () => ((await (await fetch(`${server}/api/v1/uploads`)).json()) as { items: UploadView[] }).items.length).toBe(0);
  utimesSync(slide, 1, 1);
});

test("reports why the server refuses data, and resumes", async ({ page, store, slide }) => {
  let full = true;
  await page.route("**/api/v1/uploads/*", (route) => {
    if (route.request().method() !== "PATCH" || !full) return route.fallback();
    return route.fulfill({ status: 507, contentType: "application/problem+json", headers: { "Retry-After": "60", "Tus-Resumable": "1.0.0" }, body: JSON.stringify({ status: 507, detail: "The disk of the store is full. The uploaded part is kept; resume when there is space." }) });
  });
  await page.goto(`/upload?store=${store.id}`);
  await choose(page, slide);
  const it = row(page, "S26-02001_A1_HE.tiff");
  await expect(it.getByTestId("phase")).toHaveText("Interrupted");
  await expect(it).toContainText("The disk of the store is full.");
  await expect(it).toContainText(/Retrying in \d+ s/);
  full = false;
  await it.getByRole("button", { name: "Retry now" }).click();
  await expect(it.getByTestId("phase")).toHaveText("Done", arrived);
});

test("converts an image, and observes the quota", async ({ page, server, store, slide, folder }) => {
  await page.goto("/stores");
  const card = page.locator(`[data-id="${store.id}"]`);
  await card.getByRole("button", { name: /^Edit/ }).click();
  await page.getByLabel("Quota (GB)").fill("0.001");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(card).toContainText("0 bytes of 1 MB (0 %)");
  await page.goto(`/upload?store=${store.id}`);
  await expect(page.getByTestId("usage")).toHaveText("Used space: 0 bytes of 1 MB (0 %).");
  const picture = join(folder, "camera.png");
  const colours = await page.evaluate(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [900, 700];
    const context = canvas.getContext("2d")!;
    for (let x = 0; x < 900; x += 10) {
      context.fillStyle = `hsl(${x / 3} 70% 60%)`;
      context.fillRect(x, 0, 10, 700);
    }
    return canvas.toDataURL("image/png").split(",")[1]!;
  });
  writeFileSync(picture, Buffer.from(colours, "base64"));
  await choose(page, picture, slide);
  const full = row(page, "S26-02001_A1_HE.tiff");
  await expect(full).toContainText(/1000000 bytes|1 MB|quota/i);
  const it = row(page, "camera.png");
  await expect(it.getByTestId("phase")).toHaveText("Done", arrived);
  await expect(it).toContainText("The image was converted to a pyramid.");
  const change = await fetch(`${server}/api/v1/stores/${store.id}`, { method: "PATCH", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ quota: null }) });
  expect(change.status).toBe(200);
  await full.getByRole("button", { name: "Retry now" }).click();
  await expect(full.getByTestId("phase")).toHaveText("Done", arrived);
  await it.getByRole("link", { name: "Open slide" }).click();
  await expect(page.getByTestId("stage")).toHaveAttribute("data-picture", /\d/, { timeout: 30_000 });
});

test("accepts dropped files, and works on a phone", async ({ page, store, slide }) => {
  await page.setViewportSize({ width: 320, height: 740 });
  await page.emulateMedia({ colorScheme: "dark" });
  await page.goto(`/upload?store=${store.id}`);
  await expect(page.getByRole("button", { name: "Choose files" })).toBeVisible();
  const dropped = await page.evaluateHandle(() => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["no slide"], "a name that is much longer than a phone is wide S26-02002_A1_HE.tiff"));
    return transfer;
  });
  await page.dispatchEvent("body", "dragenter", { dataTransfer: dropped });
  await expect(page.locator(".drop-zone")).toHaveClass(/over/);
  await page.dispatchEvent("body", "drop", { dataTransfer: dropped });
  await expect(page.locator(".drop-zone")).not.toHaveClass(/over/);
  await expect(page.locator(".upload").getByTestId("phase")).toHaveText("Quarantined", arrived);
  expect(await page.evaluate(() => document.documentElement.scrollWidth)).toBeLessThanOrEqual(320);
  expect(await accessibilityFaults(page)).toEqual([]);
  expect(slide).toBeTruthy();
});

test("shows an admin the incomplete uploads of others, and removes one", async ({ browser, folder }) => {
  await withUsers(folder, async (address, admin, rita, store) => {
    const first = await begin(rita, store, "S26-02001_A1_HE.tiff", 4_000_000);
    const sent = await rita.patch(first, { headers: { ...tus, "Upload-Offset": "0", "Content-Type": "application/offset+octet-stream" }, data: Buffer.alloc(1_000_000) });
    expect(sent.status()).toBe(204);
    await begin(rita, store, "S26-02002_A1_HE.tiff", 2_000_000);
    await begin(admin, store, "S26-02003_A1_HE.tiff", 3_000_000);

    const open = async (who: APIRequestContext): Promise<Page> => {
      const context = await browser.newContext({ baseURL: address, storageState: await who.storageState() });
      const page = await context.newPage();
      await page.goto("/upload");
      return page;
    };
    const page = await open(admin);
    const others = page.getByRole("region", { name: "Uploads of other users" });
    await expect(page.getByTestId("others-count")).toHaveText("2 incomplete");
    await expect(others.locator(".upload")).toHaveCount(2);
    await expect(page.locator(".uploads").first(), "the admin's own upload is in their list").toContainText("S26-02003_A1_HE.tiff");
    await expect(others).not.toContainText("S26-02003_A1_HE.tiff");
    const it = others.locator(".upload", { hasText: "S26-02001_A1_HE.tiff" });
    await expect(it).toContainText("By rita · Archive");
    await expect(it).toContainText("25 % · 1 MB of 4 MB");
    await expect(it).toContainText(/Started .* · last data/);
    await expect(others.locator(".upload", { hasText: "S26-02002_A1_HE.tiff" })).toContainText("no data yet");
    expect(await accessibilityFaults(page)).toEqual([]);

    await it.getByRole("button", { name: "Remove: S26-02001_A1_HE.tiff" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog).toContainText("1 MB received; this data will be deleted.");
    await dialog.getByRole("button", { name: "Cancel" }).click();
    await expect(others.locator(".upload")).toHaveCount(2);
    await it.getByRole("button", { name: "Remove" }).click();
    await dialog.getByRole("button", { name: "Remove" }).click();
    await expect(others.locator(".upload")).toHaveCount(1);
    expect((await rita.get(first)).status()).toBe(404);
    await page.context().close();

    const hers = await open(rita);
    await expect(hers.locator(".upload")).toHaveCount(1);
    await expect(hers.getByText("Uploads of other users")).toBeHidden();
    await hers.context().close();
  });
});
