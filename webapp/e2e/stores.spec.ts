import { mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { Locator, Page } from "@playwright/test";

import type { Store, Task } from "../src/api/types";
import { refused, storeStates } from "../test/store-states";
import { accessibilityFaults, changing as test, expect, fits, screens } from "./fixtures";

test.describe.configure({ mode: "default" });

async function storesOf(server: string): Promise<Store[]> {
  return ((await (await fetch(`${server}/api/v1/stores`)).json()) as { items: Store[] }).items;
}

const card = (page: Page, store: Pick<Store, "id">): Locator => page.locator(`.store[data-id="${store.id}"]`);

// answerStores answers requests for the lists of stores and tasks.
async function answerStores(page: Page, answer: () => Store[], tasks: () => Task[] = () => []): Promise<void> {
  await page.route("**/api/v1/stores", (route) => (route.request().method() === "GET" ? route.fulfill({ json: { items: answer(), next_cursor: null } }) : route.fallback()));
  await page.route(/\/api\/v1\/tasks\?/, (route) => route.fulfill({ json: { items: tasks().filter((t) => t.kind === new URL(route.request().url()).searchParams.get("kind")), next_cursor: null } }));
}

function taskOf(store: Store, values: Partial<Task>): Task {
  const now = new Date().toISOString();
  return { id: "t1", kind: "sync_store", queue: "default", args: { store: store.id }, state: "running", ready: false, progress: null, result: null, error: null, attempts: 1, worker: null, request_id: null, submitted_at: now, started_at: now, finished_at: null, log: null, waiting_for_worker: false, ...values };
}

test("shows a card for each store", async ({ page, server }) => {
  const stores = await storesOf(server);
  await page.goto("/stores");
  await expect(page).toHaveTitle(/^Stores/);
  await expect(page.locator(".store")).toHaveCount(stores.length);
  for (const store of stores) {
    await expect(card(page, store).getByRole("heading", { level: 2 })).toHaveText(store.label || store.id);
    await expect(card(page, store)).toContainText(store.mode === "managed" ? "Managed" : "In place");
    if (store.root) await expect(card(page, store)).toContainText(store.root);
    await expect(card(page, store).getByTestId("condition")).toHaveText(/./);
  }
});

test("links the counts of a store to its slides", async ({ page, server }) => {
  const store = (await storesOf(server)).find((s) => (s.counts?.available ?? 0) > 0)!;
  await page.goto("/stores");
  await card(page, store).getByRole("link", { name: /available$/ }).click();
  await expect(page).toHaveURL(`${server}/?store=${store.id}&state=available`);
  await expect(page.getByTestId("count")).toHaveText(new RegExp(`^${store.counts!.available} slides?$`));
  await page.goBack();
  await expect(card(page, store)).toBeVisible();
});

test("navigates between slides, stores and tasks", async ({ page }) => {
  await page.goto("/");
  const nav = page.getByRole("navigation");
  for (const [name, path] of [["Stores", "/stores"], ["Tasks", "/tasks"], ["Slides", "/"]] as const) {
    await nav.getByRole("link", { name }).click();
    await expect(page).toHaveURL(new RegExp(`${path}$`));
    await expect(nav.getByRole("link", { name })).toHaveAttribute("aria-current", "page");
    await expect(page.getByRole("heading", { level: 1, name })).toBeAttached();
  }
  for (const path of ["/stores", "/tasks"]) expect((await page.goto(path))!.status()).toBe(200);
});

test("asks for confirmation before slides are marked missing", async ({ page, server }) => {
  const store: Store = { ...(await storesOf(server))[0]!, watch: { polling: false, why: null, error: refused, error_code: "too_many_missing", last_pass: new Date().toISOString(), arriving: 0 } };
  let sent = "";
  const tasks: Task[] = [];
  await answerStores(page, () => [store], () => tasks);
  await page.route("**/api/v1/stores/*/sync*", (route) => {
    sent = new URL(route.request().url()).search;
    tasks.unshift(taskOf(store, {}));
    return route.fulfill({ status: 202, json: tasks[0] });
  });
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Confirm/ }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("11 of 12");
  await page.keyboard.press("Escape");
  await expect(dialog).toHaveCount(0);
  await expect(card(page, store).getByRole("button", { name: /^Confirm/ })).toBeFocused();
  expect(sent, "nothing was sent yet").toBe("");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Mark as missing" }).click();
  await expect(card(page, store).getByTestId("condition")).toHaveText("Running");
  expect(sent).toBe("?confirm=true");
});

test("syncs a store and shows the result", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Sync/ }).click();
  await expect(page.locator(".notice")).toContainText("started.");
  await expect(async () => {
    const { last_sync } = (await (await fetch(`${server}/api/v1/stores/${store.id}`)).json()) as Store;
    expect(Date.parse(last_sync!)).toBeGreaterThan(Date.parse(store.last_sync ?? "1970-01-01T00:00:00Z"));
  }).toPass({ timeout: 30_000 });
  await expect(card(page, store).getByTestId("condition")).toHaveText(/^Up to date|^Not watched/);
  await expect(card(page, store).getByTestId("result")).toContainText(/^\d+ files?: /);
});

test("shows what a sync would change, without changing anything", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Dry run/ }).click();
  const dialog = page.getByRole("dialog", { name: /^Dry run of/ });
  await expect(dialog.getByTestId("dry-run")).toContainText(/\d+ files?: (would change|no changes needed)/, { timeout: 30_000 });
  await expect(dialog).toContainText("Nothing was changed.");
  await dialog.getByRole("link", { name: "Show task" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(/^Dry run: /);
});

test.describe("the form", () => {
  let folder = "";
  test.beforeEach(({ own }) => {
    folder = mkdtempSync(join(own.data, "added-"));
  });
  test.afterEach(async ({ server }) => {
    if (!folder) return;
    for (const store of await storesOf(server)) {
      if (store.root?.endsWith(folder.slice(folder.lastIndexOf("/")))) await fetch(`${server}/api/v1/stores/${store.id}?keep_files=true`, { method: "DELETE" });
    }
    rmSync(folder, { recursive: true, force: true });
  });

  test("adds a store, changes it and removes it", async ({ page, server }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add store" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog.getByLabel("Folder", { exact: true })).toBeFocused();
    await page.keyboard.type(folder);
    await dialog.getByLabel("Name", { exact: true }).fill("Night shift");
    await dialog.locator("summary", { hasText: "Sync" }).click();
    await dialog.getByLabel("Schedule").fill("15m");
    await dialog.locator("summary", { hasText: "Missing and deleted slides" }).click();
    await dialog.getByLabel("Ask for confirmation if more than this share disappears (%)").fill("20");
    await dialog.locator("summary", { hasText: "Files" }).click();
    await dialog.getByLabel("Include").fill("*.tiff\n*.svs");
    await page.keyboard.press("Tab");
    await dialog.getByRole("button", { name: "Add store" }).click();
    await expect(dialog).toHaveCount(0);
    const added = page.locator(".store", { has: page.getByRole("heading", { name: "Night shift" }) });
    await expect(added).toContainText("every 15 minutes");
    const found = (await storesOf(server)).find((s) => s.label === "Night shift")!;
    expect(found).toMatchObject({ mode: "in-place", schedule: "15m", max_missing: 0.2, include: ["*.tiff", "*.svs"] });

    await added.getByRole("button", { name: /^Edit/ }).click();
    await expect(dialog.getByLabel("Ask for confirmation if more than this share disappears (%)")).toHaveValue("20");
    await expect(dialog.getByLabel("Kind")).toBeDisabled();
    await dialog.getByLabel("Schedule").fill("");
    await dialog.getByLabel("Name", { exact: true }).fill("Day shift");
    const patch = page.waitForRequest((request) => request.method() === "PATCH");
    await page.keyboard.press("Enter");
    expect((await patch).postDataJSON()).toEqual({ schedule: null, label: "Day shift" });
    await expect(dialog).toHaveCount(0);
    const changed = card(page, found);
    await expect(changed.getByRole("heading", { level: 2 })).toHaveText("Day shift");
    await expect(changed.getByRole("button", { name: /^Edit/ })).toBeFocused();

    await changed.getByRole("button", { name: /^Remove/ }).click();
    await expect(dialog).toContainText("its files are not changed");
    await dialog.getByRole("button", { name: "Remove store" }).click();
    await expect(changed).toHaveCount(0);
    expect((await storesOf(server)).some((s) => s.id === found.id)).toBe(false);
  });

  test("shows errors at their fields", async ({ page }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Folder", { exact: true }).fill("relative/path");
    await dialog.locator("summary", { hasText: "Missing and deleted slides" }).click();
    await dialog.getByLabel("Hide missing slides after").fill("some time");
    await dialog.locator("summary", { hasText: "Missing and deleted slides" }).click();
    await expect(dialog.getByLabel("Hide missing slides after")).toBeHidden();
    await dialog.getByRole("button", { name: "Add store" }).click();
    const root = dialog.getByLabel("Folder", { exact: true });
    await expect(root).toHaveAttribute("aria-invalid", "true");
    await expect(root).toHaveAccessibleDescription(/(whole|absolute) path/i);
    await expect(root).toBeFocused();
    await expect(dialog.getByLabel("Hide missing slides after"), "its group is expanded").toBeVisible();
    await expect(dialog.getByLabel("Hide missing slides after")).toHaveAccessibleDescription(/duration/);
    await expect(dialog.getByRole("alert")).toContainText(/Folder: .*(whole|absolute) path/);
    await root.fill(folder);
    await dialog.getByLabel("Hide missing slides after").fill("30d");
    await dialog.getByRole("button", { name: "Add store" }).click();
    await expect(dialog).toHaveCount(0);
  });

  test("reports a folder that is not allowed, and keeps the input", async ({ page }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Folder", { exact: true }).fill("/usr/share");
    await page.keyboard.press("Enter");
    await expect(dialog.getByRole("alert")).toContainText(/outside|not allowed|not within/);
    await page.mouse.click(4, 4);
    await expect(dialog.getByLabel("Folder", { exact: true }), "a click outside does not close it").toHaveValue("/usr/share");
  });

  test("shows fields of managed stores only for them", async ({ page, server }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add store" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog.getByLabel("Incoming folder")).toBeHidden();
    await dialog.getByLabel("Kind").selectOption("managed");
    await expect(dialog.getByLabel("Incoming folder")).toBeVisible();
    await dialog.getByLabel("Folder", { exact: true }).fill(folder);
    await dialog.getByRole("button", { name: "Add store" }).click();
    await expect(dialog).toHaveCount(0);
    const found = (await storesOf(server)).find((s) => s.mode === "managed" && s.root?.endsWith(folder.slice(folder.lastIndexOf("/"))))!;
    await expect(card(page, found)).toContainText("Managed");
    await expect(card(page, found)).toContainText(found.incoming!);
  });
});

async function axe(page: Page, what: string): Promise<void> {
  expect(await accessibilityFaults(page), what).toEqual([]);
}

for (const { device, viewport, colorScheme, wide } of screens) {
  test(`fits the window and has no accessibility fault, ${device}, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    const check = async (what: string): Promise<void> => {
      await axe(page, what);
      await fits(page, what, wide);
    };
    await page.goto("/stores");
    await expect(page.locator(".store").first()).toBeVisible();
    await check("the page");
    await page.getByRole("button", { name: "Add store" }).click();
    for (const summary of await page.locator("dialog summary").all()) await summary.click();
    await check("the form");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^Remove/ }).first().click();
    await check("the confirmation");
  });
}

test("has no accessibility fault in any state of a store, nor in the form of a provisioned one", async ({ page, server }) => {
  const [store] = await storesOf(server);
  const declared = { mode: "stores.a.mode", root: "stores.a.root", label: "stores.a.label", schedule: "store_defaults.schedule", public: "stores.a.public" };
  const stores = storeStates.map(({ name, values }, i): Store => ({ ...store!, ...values(), id: `s${i}`, label: name, declared: i === 0 ? declared : null }));
  await answerStores(page, () => stores);
  await page.goto("/stores");
  await expect(page.locator(".store")).toHaveCount(stores.length);
  for (const [i, { badge }] of storeStates.entries()) await expect(card(page, stores[i]!).getByTestId("condition")).toHaveText(badge);
  await axe(page, "the page");
  await card(page, stores[0]!).getByRole("button", { name: /^Edit/ }).click();
  await expect(page.locator("#store-mode")).toBeDisabled();
  await axe(page, "the form");
  await expect(page.locator("#store-queue")).toBeHidden(); // its group is collapsed
  await page.locator("summary", { hasText: "Host and queue" }).click();
  await expect(page.locator("#store-queue")).toBeEnabled();
});

test("edits, deletes and restores a slide", async ({ page, server }) => {
  await page.goto("/");
  const card = page.locator(".card", { has: page.locator(".card-select") }).first();
  const id = await card.getAttribute("data-id");
  const act = async (name: string): Promise<void> => {
    await page.locator(`.card[data-id="${id}"] .card-menu summary`).click();
    await page.locator(`.card[data-id="${id}"]`).getByRole("button", { name }).click();
  };
  await act("Edit label and external id");
  await page.getByLabel("Label", { exact: true }).fill("Control slide");
  await page.getByLabel("External id").fill("LIS-7");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.locator(`.card[data-id="${id}"] h2`)).toHaveText("Control slide");
  expect(await (await fetch(`${server}/api/v1/images/${id}`)).json()).toMatchObject({ label: "Control slide", external_id: "LIS-7" });
  await act("Delete slide");
  await page.getByRole("dialog").getByRole("button", { name: "Delete slide" }).click();
  await expect(page.locator(`.card[data-id="${id}"]`)).toHaveCount(0);
  await page.locator("select[name=state]").selectOption({ label: "Deleted …" });
  await expect(page).toHaveTitle("Deleted slides · ptiffstore");
  await page.getByRole("button", { name: "Restore: Control slide" }).click();
  await expect(page.getByText("No deleted slides")).toBeVisible();
  await page.goto("/");
  await expect(page.locator(`.card[data-id="${id}"] h2`)).toHaveText("Control slide");
});
