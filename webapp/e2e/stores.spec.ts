import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import AxeBuilder from "@axe-core/playwright";
import type { Locator, Page } from "@playwright/test";

import type { Store, Task } from "../src/api/types";
import { expect, screens, test } from "./fixtures";
import { needs } from "./needs";

const refused = "ingest: so many slides are gone at once that none was marked missing: if that is meant, confirm the next sync (11 of 12)";
const syncs = ["post /api/v1/stores/{store}/sync", "get /api/v1/tasks", "get /api/v1/tasks/{task}/events"];

async function storesOf(server: string): Promise<Store[]> {
  return ((await (await fetch(`${server}/api/v1/stores`)).json()) as { items: Store[] }).items;
}

const card = (page: Page, store: Pick<Store, "id">): Locator => page.locator(`.store[data-id="${store.id}"]`);

// answerStores answers requests for the list of stores with this one, and for
// that of tasks with these.
async function answerStores(page: Page, answer: () => Store, tasks: () => Task[] = () => []): Promise<void> {
  await page.route("**/api/v1/stores", (route) => (route.request().method() === "GET" ? route.fulfill({ json: { items: [answer()], next_cursor: null } }) : route.fallback()));
  await page.route(/\/api\/v1\/tasks\?/, (route) => route.fulfill({ json: { items: tasks().filter((t) => t.kind === new URL(route.request().url()).searchParams.get("kind")), next_cursor: null } }));
}

function taskOf(store: Store, values: Partial<Task>): Task {
  const now = new Date().toISOString();
  return { id: "t1", kind: "sync_store", queue: "default", args: { store: store.id }, state: "running", ready: false, progress: null, result: null, error: null, attempts: 1, worker: null, request_id: null, submitted_at: now, started_at: now, finished_at: null, log: null, waiting_for_worker: false, ...values };
}

test("shows a card for each store, with what it holds and how it is kept", async ({ page, server }) => {
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

test("leads from the counts of a store to its slides", async ({ page, server }) => {
  const store = (await storesOf(server)).find((s) => (s.counts?.available ?? 0) > 0)!;
  await page.goto("/stores");
  await card(page, store).getByRole("link", { name: /available$/ }).click();
  await expect(page).toHaveURL(`${server}/?store=${store.id}&state=available`);
  await expect(page.getByTestId("count")).toHaveText(new RegExp(`^${store.counts!.available} slides?$`));
  await page.goBack();
  await expect(card(page, store)).toBeVisible();
});

test("leads between slides, stores and tasks", async ({ page }) => {
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

const now = (): string => new Date().toISOString();
for (const { name, values, badge, words, confirm } of [
  { name: "in step", values: { watch: { polling: false, why: null, error: null, last_pass: now(), arriving: 2 } }, badge: "In step", words: ["the system tells of changes at once", "2 files are being waited for"], confirm: false },
  { name: "polled", values: { watch: { polling: true, why: "nfs4 tells nothing", error: null, last_pass: now(), arriving: 0 } }, badge: "In step, by polling", words: ["nfs4 tells nothing"], confirm: false },
  { name: "refused", values: { watch: { polling: false, why: null, error: refused, last_pass: now(), arriving: 0 } }, badge: "Refused", words: ["(11 of 12)"], confirm: true },
  { name: "out of reach", values: { watch: { polling: false, why: null, error: "ingest: the store's folder is out of reach, nothing was marked missing", last_pass: null, arriving: 0 } }, badge: "Folder out of reach", words: ["The store's folder is out of reach"], confirm: false },
  { name: "not watched", values: { watch: null, last_sync: new Date(Date.now() - 7_200_000).toISOString(), last_result: { count: 12, added: 2, missing: 1, failed: [{ image: "i1", reason: "the file ends early" }], duration: 2.4 } }, badge: "Not watched", words: ["12 files: 2 new, 1 gone missing; 1 cannot be shown; took 2.4 seconds", "2 hours ago"], confirm: false },
  { name: "its host away", values: { watch: null, host: "nas", host_away: true, host_seen_at: "2025-03-14T09:00:00Z", endpoint: "https://tiles.example.org", endpoint_away: true, last_sync: now() }, badge: "Host away", words: ["The host nas has said nothing since", "Its tile server does not answer either"], confirm: false },
  { name: "its tile server away", values: { watch: { polling: false, why: null, error: null, last_pass: now(), arriving: 0 }, host_away: null, endpoint: "https://tiles.example.org", endpoint_away: true, endpoint_error: "connection refused" }, badge: "Tile server away", words: ["The tile server at https://tiles.example.org does not answer this server (connection refused)"], confirm: false },
  { name: "kept by its host", values: { watch: null, host: "nas", host_away: false, last_sync: now() }, badge: "In step, by its host", words: ["A worker on nas watches the folder."], confirm: false },
  { name: "never synced", values: { watch: null, last_sync: null, last_result: null, schedule: "0 3 * * *", time_zone: "Europe/Vienna", host: "nas", queue: null, endpoint: "https://tiles.example.org" }, badge: "Never synced", words: ["every day at 03:00 (Europe/Vienna)", "host-nas", "https://tiles.example.org", "never"], confirm: false },
] as { name: string; values: Partial<Store>; badge: string; words: string[]; confirm: boolean }[]) {
  test(`says of a store how it stands: ${name}`, async ({ page, server }) => {
    const store = { ...(await storesOf(server))[0]!, ...values };
    await answerStores(page, () => store);
    await page.goto("/stores");
    await expect(card(page, store).getByTestId("condition")).toHaveText(badge);
    for (const text of words) await expect(card(page, store)).toContainText(text);
    await expect(card(page, store).getByRole("button", { name: /^Confirm/ })).toHaveCount(confirm ? 1 : 0);
    expect((await new AxeBuilder({ page }).analyze()).violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`)).toEqual([]);
  });
}

test("asks a person before slides count as gone", async ({ page, server }) => {
  const store: Store = { ...(await storesOf(server))[0]!, watch: { polling: false, why: null, error: refused, last_pass: now(), arriving: 0 } };
  let asked = "";
  const tasks: Task[] = [];
  await answerStores(page, () => store, () => tasks);
  await page.route("**/api/v1/stores/*/sync*", (route) => {
    asked = new URL(route.request().url()).search;
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
  expect(asked, "nothing was sent yet").toBe("");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "They are gone on purpose" }).click();
  await expect(card(page, store).getByTestId("condition")).toHaveText("Running");
  expect(asked).toBe("?confirm=true");
});

test("syncs a store and shows what came of it", async ({ page, server }) => {
  await needs(server, ...syncs);
  const store = (await storesOf(server))[0]!;
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Sync/ }).click();
  await expect(page.locator(".notice")).toContainText("has begun");
  await expect(async () => {
    const { last_sync } = (await (await fetch(`${server}/api/v1/stores/${store.id}`)).json()) as Store;
    expect(Date.parse(last_sync!)).toBeGreaterThan(Date.parse(store.last_sync ?? "1970-01-01T00:00:00Z"));
  }).toPass({ timeout: 30_000 });
  await expect(card(page, store).getByTestId("condition")).toHaveText(/^In step|^Not watched/);
  await expect(card(page, store).getByTestId("result")).toContainText(/^\d+ files?: /);
});

test("shows what a sync would do, and does nothing", async ({ page, server }) => {
  await needs(server, ...syncs);
  const store = (await storesOf(server))[0]!;
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Dry run/ }).click();
  const dialog = page.getByRole("dialog", { name: /^Dry run of/ });
  await expect(dialog.getByTestId("dry-run")).toContainText(/\d+ files?: (there would be|nothing would change)/, { timeout: 30_000 });
  await expect(dialog).toContainText("Nothing was changed.");
  await dialog.getByRole("link", { name: "Show the task" }).click();
  await expect(page.getByRole("heading", { level: 1 })).toHaveText(/^Dry run: /);
});

test("says when a sync waits for a worker that is not there", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  await answerStores(page, () => store, () => [taskOf(store, { state: "waiting", queue: "host-nas", started_at: null, waiting_for_worker: true })]);
  await page.goto("/stores");
  await expect(card(page, store).getByTestId("condition")).toHaveText("Waiting");
  await expect(card(page, store)).toContainText("Waiting for a worker of queue host-nas.");
});

test("knows of a sync behind many tasks of other kinds", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  await page.route(/\/api\/v1\/tasks\?/, (route) => {
    const params = new URL(route.request().url()).searchParams;
    const all = [...Array.from({ length: 500 }, (_, i) => taskOf(store, { id: `h${i}`, kind: "hash_image" })), taskOf(store, { id: "sync" })];
    return route.fulfill({ json: { items: all.filter((t) => !params.get("kind") || t.kind === params.get("kind")).slice(0, Number(params.get("limit"))), next_cursor: null } });
  });
  await page.goto("/stores");
  await expect(card(page, store).getByTestId("condition")).toHaveText("Running");
});

test("asks before every file is read again", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  let asked = "";
  await answerStores(page, () => store);
  await page.route("**/api/v1/stores/*/sync*", (route) => {
    asked = new URL(route.request().url()).search;
    return route.fulfill({ status: 503, contentType: "application/problem+json", json: { status: 503, detail: "The database does not answer." } });
  });
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Resync/ }).click();
  await page.getByRole("dialog").getByRole("button", { name: "Resync" }).click();
  await expect(page.getByRole("dialog").getByRole("alert")).toHaveText("The database does not answer.");
  expect(asked).toBe("?resync=true");
});

test("verifies a store", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  let sent: unknown = null;
  await page.route("**/api/v1/tasks", (route) => {
    if (route.request().method() !== "POST") return route.fallback();
    sent = route.request().postDataJSON();
    return route.fulfill({ status: 202, json: taskOf(store, { kind: "verify_store" }) });
  });
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Verify/ }).click();
  await expect(page.locator(".notice")).toContainText("are being verified");
  expect(sent).toEqual({ kind: "verify_store", args: { store: store.id } });
});

test.describe("the form", () => {
  let folder = "";
  test.beforeEach(async ({ server }) => {
    await needs(server, "post /api/v1/stores", "patch /api/v1/stores/{store}", "delete /api/v1/stores/{store}");
    mkdirSync(process.env.PTIFFSTORE_E2E_DATA!, { recursive: true });
    folder = mkdtempSync(join(process.env.PTIFFSTORE_E2E_DATA!, "added-"));
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
    await page.getByRole("button", { name: "Add a store" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog.getByLabel("Folder", { exact: true })).toBeFocused();
    await page.keyboard.type(folder);
    await dialog.getByLabel("Name", { exact: true }).fill("Night shift");
    await dialog.getByText("When it is synced").click();
    await dialog.getByLabel("Schedule").fill("15m");
    await dialog.getByText("Missing and deleted slides").click();
    await dialog.getByLabel("Ask when more are gone, in percent").fill("20");
    await dialog.getByText("Which files are slides").click();
    await dialog.getByLabel("Names of slides").fill("*.tiff\n*.svs");
    await page.keyboard.press("Tab");
    await dialog.getByRole("button", { name: "Add the store" }).click();
    await expect(dialog).toHaveCount(0);
    const added = page.locator(".store", { has: page.getByRole("heading", { name: "Night shift" }) });
    await expect(added).toContainText("every 15 minutes");
    const found = (await storesOf(server)).find((s) => s.label === "Night shift")!;
    expect(found).toMatchObject({ mode: "in-place", schedule: "15m", max_missing: 0.2, include: ["*.tiff", "*.svs"] });

    await added.getByRole("button", { name: /^Edit/ }).click();
    await expect(dialog.getByLabel("Ask when more are gone, in percent")).toHaveValue("20");
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
    await expect(dialog).toContainText("No file is touched");
    await dialog.getByRole("button", { name: "Remove the store" }).click();
    await expect(changed).toHaveCount(0);
    expect((await storesOf(server)).some((s) => s.id === found.id)).toBe(false);
  });

  test("says at the fields what is wrong with them", async ({ page }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add a store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Folder", { exact: true }).fill("relative/path");
    await dialog.getByText("Missing and deleted slides").click();
    await dialog.getByLabel("Hide missing slides after").fill("some time");
    await dialog.getByText("Missing and deleted slides").click();
    await expect(dialog.getByLabel("Hide missing slides after")).toBeHidden();
    await dialog.getByRole("button", { name: "Add the store" }).click();
    const root = dialog.getByLabel("Folder", { exact: true });
    await expect(root).toHaveAttribute("aria-invalid", "true");
    await expect(root).toHaveAccessibleDescription(/give the whole path/i);
    await expect(root).toBeFocused();
    await expect(dialog.getByLabel("Hide missing slides after"), "its group is unfolded").toBeVisible();
    await expect(dialog.getByLabel("Hide missing slides after")).toHaveAccessibleDescription(/duration above 0/);
    await expect(dialog.getByRole("alert")).toContainText("Folder: give the whole path");
    await root.fill(folder);
    await dialog.getByLabel("Hide missing slides after").fill("30d");
    await dialog.getByRole("button", { name: "Add the store" }).click();
    await expect(dialog).toHaveCount(0);
  });

  test("says so when a folder is out of bounds, and keeps what was typed", async ({ page }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add a store" }).click();
    const dialog = page.getByRole("dialog");
    await dialog.getByLabel("Folder", { exact: true }).fill("/usr/share");
    await page.keyboard.press("Enter");
    await expect(dialog.getByRole("alert")).toContainText("lies outside of those in which the server may have stores");
    await page.mouse.click(4, 4);
    await expect(dialog.getByLabel("Folder", { exact: true }), "a click outside does not close it").toHaveValue("/usr/share");
  });

  test("shows what managed stores have only for them", async ({ page, server }) => {
    await page.goto("/stores");
    await page.getByRole("button", { name: "Add a store" }).click();
    const dialog = page.getByRole("dialog");
    await expect(dialog.getByLabel("Folder for arrivals")).toBeHidden();
    await dialog.getByLabel("Kind").selectOption("managed");
    await expect(dialog.getByLabel("Folder for arrivals")).toBeVisible();
    await dialog.getByLabel("Folder", { exact: true }).fill(folder);
    await dialog.getByRole("button", { name: "Add the store" }).click();
    await expect(dialog).toHaveCount(0);
    const found = (await storesOf(server)).find((s) => s.mode === "managed" && s.root?.endsWith(folder.slice(folder.lastIndexOf("/"))))!;
    await expect(card(page, found)).toContainText("Managed");
    await expect(card(page, found)).toContainText(found.incoming!);
  });
});

test("explains what becomes of the slides of a managed store", async ({ page, server }) => {
  const store: Store = { ...(await storesOf(server))[0]!, mode: "managed", counts: { available: 9, missing: 2 } };
  let asked = "";
  await answerStores(page, () => store);
  await page.route("**/api/v1/stores/*", (route) => {
    asked = `${route.request().method()} ${new URL(route.request().url()).search}`;
    return route.fulfill({ status: 204 });
  });
  await page.goto("/stores");
  await card(page, store).getByRole("button", { name: /^Remove/ }).click();
  const dialog = page.getByRole("dialog");
  await expect(dialog).toContainText("still holds 9 slides");
  await dialog.getByRole("button", { name: "Remove the store" }).click();
  expect(asked, "it is not agreed to yet").toBe("");
  await dialog.getByRole("checkbox").check();
  await dialog.getByRole("button", { name: "Remove the store" }).click();
  await expect(dialog).toHaveCount(0);
  expect(asked).toBe("DELETE ?keep_files=true");
});

test("keeps the focus while the page brings itself up to date", async ({ page, server }) => {
  const store = (await storesOf(server))[0]!;
  let n = 0;
  await answerStores(page, () => ({ ...store, counts: { available: 10 + n++ } }));
  await page.goto("/stores");
  const link = card(page, store).getByRole("link", { name: /available$/ });
  await link.focus();
  const before = await link.textContent();
  await expect(link).not.toHaveText(before!);
  await expect(link).toBeFocused();
});

test("says why the stores cannot be had, and tries again", async ({ page }) => {
  let broken = true;
  await page.route("**/api/v1/stores", (route) => (broken ? route.fulfill({ status: 503, contentType: "application/problem+json", json: { status: 503, detail: "The catalog is being moved." } }) : route.fallback()));
  await page.goto("/stores");
  await expect(page.getByRole("alert")).toContainText("The catalog is being moved.");
  broken = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.locator(".store").first()).toBeVisible();
});

for (const { device, viewport, colorScheme } of screens) {
  test(`has no accessibility fault, ${device}, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    const check = async (what: string): Promise<void> => {
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`), what).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), `${what} is wider than the window`).toBeLessThanOrEqual(0);
    };
    await page.goto("/stores");
    await expect(page.locator(".store").first()).toBeVisible();
    await check("the page");
    await page.getByRole("button", { name: "Add a store" }).click();
    for (const summary of await page.locator("dialog summary").all()) await summary.click();
    await check("the form");
    await page.keyboard.press("Escape");
    await page.getByRole("button", { name: /^Remove/ }).first().click();
    await check("the question");
  });
}

test("shows what the site's file sets, and lets only the rest be changed", async ({ page, server }) => {
  const declared = { mode: "stores.a.mode", root: "stores.a.root", label: "stores.a.label", schedule: "store_defaults.schedule", public: "stores.a.public" };
  const store: Store = { ...(await storesOf(server))[0]!, schedule: "15m", declared };
  await answerStores(page, () => store);
  let sent: unknown = null;
  await page.route(`**/api/v1/stores/${store.id}`, async (route) => {
    sent = route.request().postDataJSON();
    await route.fulfill({ json: { ...store, queue: "nights" } });
  });
  await page.goto("/stores");
  await expect(card(page, store)).toContainText("In the site file");
  await expect(card(page, store).getByRole("button", { name: /^Remove/ })).toHaveCount(0);
  await card(page, store).getByRole("button", { name: /^Edit/ }).click();
  for (const name of Object.keys(declared)) {
    await expect(page.locator(`#store-${name}`)).toBeDisabled();
    await expect(page.getByTestId(`store-${name}-declared`)).toHaveText("set in the site file");
  }
  await expect(page.locator("#store-schedule-hint")).toContainText("store_defaults.schedule");
  const axe = await new AxeBuilder({ page }).include("dialog").analyze();
  expect(axe.violations.filter((v) => v.impact === "serious" || v.impact === "critical")).toEqual([]);
  if (!(await page.locator("#store-queue").isVisible())) await page.getByText("Where the work is done").click();
  await expect(page.locator("#store-queue")).toBeEnabled();
  await page.locator("#store-queue").fill("nights");
  await page.getByRole("button", { name: "Save" }).click();
  await expect(page.getByRole("dialog")).toHaveCount(0);
  expect(sent).toEqual({ queue: "nights" });
});
