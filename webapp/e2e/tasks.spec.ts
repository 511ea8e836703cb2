import AxeBuilder from "@axe-core/playwright";
import type { Locator, Page } from "@playwright/test";

import type { Store, Task } from "../src/api/types";
import { expect, screens, test } from "./fixtures";
import { needs } from "./needs";

const routes = ["get /api/v1/tasks", "get /api/v1/tasks/{task}", "get /api/v1/tasks/{task}/events", "post /api/v1/stores/{store}/sync"];
const minute = 60_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

const task = (values: Partial<Task>): Task => ({
  id: "7", kind: "sync_store", queue: "default", args: { store: "s1" }, state: "succeeded", ready: true, progress: null, result: null, error: null, attempts: 1, worker: "w1",
  request_id: null, submitted_at: ago(5 * minute), started_at: ago(4 * minute), finished_at: ago(3 * minute), log: null, waiting_for_worker: false, ...values,
});
const running = (values: Partial<Task>): Task => task({ state: "running", ready: false, finished_at: null, ...values });

const row = (page: Page, of: Pick<Task, "id">): Locator => page.locator(`.task[data-id="${of.id}"]`);

// answerTasks answers requests for the list of tasks with these, for each of them,
// and for its events with one that shows it as it is then. Stores and workers are
// made up besides.
async function answerTasks(page: Page, list: () => Task[]): Promise<void> {
  await page.route("**/api/v1/stores", (route) => route.fulfill({ json: { items: [{ id: "s1", label: "Scanner room", mode: "in-place", endpoint: null }, { id: "s2", label: "Teaching", mode: "in-place", endpoint: null }], next_cursor: null } }));
  await page.route("**/api/v1/workers", (route) => route.fulfill({ json: { items: [{ id: "w1", host: "scan-server", pid: 4711, version: "v1", queues: ["default", "night"], started_at: ago(90 * minute), seen_at: ago(1000) }], next_cursor: null } }));
  await page.route(/\/api\/v1\/tasks\?/, (route) => {
    const params = new URL(route.request().url()).searchParams;
    const items = list().filter((t) => (!params.get("kind") || t.kind === params.get("kind")) && (!params.get("state") || t.state === params.get("state")) && (!params.get("store") || t.args?.store === params.get("store")));
    return route.fulfill({ json: { items: items.map((t) => ({ ...t, log: null })), next_cursor: null } });
  });
  await page.route(/\/api\/v1\/tasks\/[^/?]+(\/events)?$/, (route) => {
    const [, id, events] = /\/tasks\/([^/]+)(\/events)?$/.exec(new URL(route.request().url()).pathname)!;
    const found = list().find((t) => t.id === id);
    if (!found) return route.fulfill({ status: 404, contentType: "application/problem+json", json: { status: 404, detail: "There is no such task, or it ended long ago." } });
    if (route.request().method() === "DELETE" || !events) return route.fallback();
    return route.fulfill({ contentType: "text/event-stream", body: `retry: 200\nevent: task\ndata: ${JSON.stringify(found)}\n\n` });
  });
  await page.route(/\/api\/v1\/tasks\/[^/?]+$/, (route) => {
    const found = list().find((t) => route.request().url().endsWith(`/${t.id}`));
    return found && route.request().method() === "GET" ? route.fulfill({ json: found }) : route.fallback();
  });
}

for (const { name, of, words, cancel } of [
  { name: "running", of: running({ progress: { done: 1200, total: 5000, unit: "files" } }), words: ["Sync: Scanner room", "Running", "1,200 of 5,000 files", "Worker: scan-server", "began 4 minutes ago"], cancel: true },
  { name: "without a worker", of: task({ state: "waiting", ready: false, queue: "host-nas", worker: null, started_at: null, finished_at: null, attempts: 0, waiting_for_worker: true }), words: ["Waiting for a worker of queue host-nas.", "submitted 5 minutes ago"], cancel: true },
  { name: "tried again", of: task({ state: "retrying", ready: false, finished_at: null, attempts: 3, error: "ingest: the store's folder is out of reach, nothing was marked missing" }), words: ["Trying again", "attempt 3", "The store's folder is out of reach"], cancel: true },
  { name: "succeeded", of: task({ result: { count: 12, added: 2, missing: 1, duration: 2.4 } }), words: ["Succeeded", "12 files: 2 new, 1 gone missing; took 2.4 seconds", "ended 3 minutes ago"], cancel: false },
  { name: "failed", of: task({ state: "failed", error: "the disk is full" }), words: ["Failed", "The disk is full.", "took 1 min 0 s"], cancel: false },
  { name: "cancelled", of: task({ kind: "verify_store", args: { store: "s2" }, state: "cancelled" }), words: ["Verify: Teaching", "Cancelled"], cancel: false },
]) {
  test(`shows a task that is ${name}`, async ({ page }) => {
    await answerTasks(page, () => [of]);
    await page.goto("/tasks");
    for (const text of words) await expect(row(page, of)).toContainText(text);
    await expect(row(page, of).getByRole("button", { name: /^Cancel/ })).toHaveCount(cancel ? 1 : 0);
    if (of.progress) await expect(row(page, of).getByRole("progressbar")).toHaveAttribute("value", String(of.progress.done));
  });
}

test("follows a task that runs, by events", async ({ page }) => {
  let now = running({ progress: { done: 1, total: 10, unit: "files" } });
  let listed = 0;
  await answerTasks(page, () => [now]);
  await page.route(/\/api\/v1\/tasks\?/, (route) => (listed++ === 0 ? route.fallback() : route.abort()));
  await page.goto("/tasks");
  await expect(row(page, now)).toContainText("1 of 10 files");
  now = { ...now, progress: { done: 6, total: 10, unit: "files" } };
  await expect(row(page, now), "though the list cannot be had").toContainText("6 of 10 files");
  now = task({ result: { count: 10, added: 10, missing: 0 } });
  await expect(row(page, now)).toContainText("10 files: 10 new");
});

test("asks for the list again while it is seen", async ({ page }) => {
  const list = [task({ id: "1" })];
  await answerTasks(page, () => list);
  await page.goto("/tasks");
  await expect(page.locator(".task")).toHaveCount(1);
  list.unshift(task({ id: "2", state: "failed", error: "no" }));
  await expect(page.locator(".task")).toHaveCount(2);
  await expect(page.locator(".task").first()).toContainText("Failed");
});

test("picks tasks by state and store, and keeps that in the address", async ({ page }) => {
  await answerTasks(page, () => [task({ id: "1" }), task({ id: "2", state: "failed", error: "no", args: { store: "s2" } }), task({ id: "3", state: "failed", error: "no" })]);
  await page.goto("/tasks");
  await expect(page.locator(".task")).toHaveCount(3);
  await page.getByLabel("State", { exact: true }).selectOption("failed");
  await expect(page.locator(".task")).toHaveCount(2);
  await page.getByLabel("Store", { exact: true }).selectOption("s2");
  await expect(page.locator(".task")).toHaveCount(1);
  await page.getByLabel("Kind").selectOption("sync_store");
  await expect(page).toHaveURL(/\/tasks\?kind=sync_store&state=failed&store=s2$/);
  await page.reload();
  await expect(page.locator(".task")).toHaveCount(1);
  await expect(page.getByLabel("Store", { exact: true })).toHaveValue("s2");
  await page.getByLabel("State", { exact: true }).selectOption("cancelled");
  await expect(page.getByText("No task is like that.")).toBeVisible();
  await page.getByRole("button", { name: "Show all tasks" }).click();
  await expect(page.locator(".task")).toHaveCount(3);
});

test("goes on to older tasks, and keeps them", async ({ page }) => {
  const all = Array.from({ length: 120 }, (_, i) => task({ id: String(200 - i), submitted_at: ago((5 + i) * minute) }));
  await answerTasks(page, () => all);
  await page.route(/\/api\/v1\/tasks\?/, (route) => {
    const from = all.findIndex((t) => t.id === new URL(route.request().url()).searchParams.get("cursor")) + 1;
    const items = all.slice(from, from + 50);
    return route.fulfill({ json: { items, next_cursor: from + 50 < all.length ? items.at(-1)!.id : null } });
  });
  await page.goto("/tasks");
  await expect(page.locator(".task")).toHaveCount(50);
  await page.getByRole("button", { name: "Show older tasks" }).click();
  await expect(page.locator(".task")).toHaveCount(100);
  all.unshift(task({ id: "201", submitted_at: ago(0) }));
  await expect(page.locator(".task").first()).toHaveAttribute("data-id", "201");
  await expect(page.locator(".task"), "what the newest page no longer holds is still there").toHaveCount(101);
  await page.getByRole("button", { name: "Show older tasks" }).click();
  await expect(page.locator(".task")).toHaveCount(121);
  await expect(page.getByRole("button", { name: "Show older tasks" })).toHaveCount(0);
});

test("lists the workers", async ({ page }) => {
  await answerTasks(page, () => []);
  await page.goto("/tasks");
  await expect(page.getByRole("heading", { name: "No tasks" })).toBeVisible();
  const worker = page.getByTestId("workers").getByRole("row").nth(1);
  for (const text of ["scan-server", "default, night", "v1", "2 hours ago"]) await expect(worker).toContainText(text);
  await page.route("**/api/v1/workers", (route) => route.fulfill({ json: { items: [], next_cursor: null } }));
  await expect(page.getByTestId("workers")).toContainText("No worker is running");
});

test("shows one task: its log, its outcome, and what led to it", async ({ page }) => {
  let now = running({ progress: { done: 3, total: null, unit: "files" }, log: [{ at: ago(2 * minute), text: "walked 4 folders" }] });
  await answerTasks(page, () => [now]);
  await page.goto(`/tasks/${now.id}`);
  await expect(page.getByRole("heading", { level: 1 })).toHaveText("Sync: Scanner room");
  await expect(page).toHaveTitle(/^Sync: Scanner room/);
  await expect(page.getByText("3 files")).toBeVisible();
  await expect(page.locator(".log li")).toHaveText([/walked 4 folders$/]);
  now = { ...now, log: [...now.log!, { at: ago(0), text: "done" }] };
  await expect(page.locator(".log li")).toHaveText([/walked 4 folders$/, /done$/]);
  now = task({ log: now.log, result: { count: 3, added: 1, missing: 0, failed: [{ image: "i9", reason: "the file ends early" }], duration: 61 } });
  await expect(page.getByTestId("task-result")).toContainText("3 files: 1 new; 1 cannot be shown; took 1 min 1 s");
  await expect(page.getByRole("link", { name: "the file ends early" })).toHaveAttribute("href", "/slides/i9");
  await expect(page.getByRole("link", { name: "Scanner room" })).toHaveAttribute("href", "/stores#store-s1");
  await page.getByRole("link", { name: "All tasks" }).click();
  await expect(row(page, now)).toBeVisible();
});

test("shows a result without words as JSON, and says why a task failed", async ({ page }) => {
  const list = [task({ id: "1", kind: "import_file", result: { digest: "sha256:ab" } }), task({ id: "2", state: "failed", error: "verify: the file ends early" })];
  await answerTasks(page, () => list);
  await page.goto("/tasks/1");
  await expect(page.getByTestId("task-result")).toContainText('"digest": "sha256:ab"');
  await page.goto("/tasks/2");
  await expect(page.getByText("The file ends early.")).toBeVisible();
  await page.goto("/tasks/3");
  await expect(page.getByRole("alert")).toContainText("There is no such task");
});

test("runs a sync to its end before one's eyes", async ({ page, server }) => {
  await needs(server, ...routes);
  const { items } = (await (await fetch(`${server}/api/v1/stores`)).json()) as { items: Store[] };
  await page.goto("/tasks");
  await expect(page.getByRole("heading", { level: 1, name: "Tasks" })).toBeVisible();
  const begun = (await (await fetch(`${server}/api/v1/stores/${items[0]!.id}/sync`, { method: "POST" })).json()) as Task;
  await expect(row(page, begun)).toContainText("Sync: ");
  await expect(row(page, begun).getByTestId("task-state")).toHaveText("Succeeded", { timeout: 30_000 });
  await expect(row(page, begun)).toContainText(/\d+ files?: /);
  await row(page, begun).getByRole("link").click();
  await expect(page).toHaveURL(`${server}/tasks/${begun.id}`);
  await expect(page.getByTestId("task-result")).toContainText(/\d+ files?: /);
});

test("cancels a task", async ({ page, server }) => {
  await needs(server, ...routes, "post /api/v1/tasks", "delete /api/v1/tasks/{task}");
  // Nobody serves this queue, so it waits until it is cancelled.
  const { items } = (await (await fetch(`${server}/api/v1/stores`)).json()) as { items: Store[] };
  const begun = (await (await fetch(`${server}/api/v1/tasks`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ kind: "verify_store", queue: "nobody-serves-this", args: { store: items[0]!.id } }) })).json()) as Task;
  await page.goto("/tasks");
  await expect(row(page, begun)).toContainText("Waiting for a worker of queue nobody-serves-this.");
  await row(page, begun).getByRole("button", { name: /^Cancel/ }).click();
  await expect(row(page, begun).getByTestId("task-state")).toHaveText("Cancelled");
  await expect(row(page, begun).getByRole("button", { name: /^Cancel/ })).toHaveCount(0);
});

test("says why the tasks cannot be had, and tries again", async ({ page }) => {
  let broken = true;
  await answerTasks(page, () => [task({})]);
  await page.route(/\/api\/v1\/tasks\?/, (route) => (broken ? route.fulfill({ status: 503, contentType: "application/problem+json", json: { status: 503, detail: "This server only reads and has no tasks." } }) : route.fallback()));
  await page.goto("/tasks");
  await expect(page.getByRole("alert")).toContainText("This server only reads and has no tasks.");
  broken = false;
  await page.getByRole("button", { name: "Try again" }).click();
  await expect(page.locator(".task")).toHaveCount(1);
});

for (const { device, viewport, colorScheme } of screens) {
  test(`has no accessibility fault, ${device}, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    const long = "a reason that goes on and on, with/a/path/that/has/no/space/to/break/at/and/is/longer/than/a/telephone/is/wide".repeat(2);
    const list = [running({ id: "1", progress: { done: 4_000_000_000, total: 21_000_000_000, unit: "bytes" }, log: [{ at: ago(0), text: long }] }), task({ id: "2", state: "failed", error: long, queue: "host-with-quite-a-long-name-of-its-own" }), task({ id: "3", state: "waiting", ready: false, waiting_for_worker: true }), task({ id: "4", kind: "import_file", result: { reason: long } })];
    await answerTasks(page, () => list);
    const check = async (path: string, shown: string): Promise<void> => {
      await page.goto(path);
      await expect(page.locator(shown).first()).toBeVisible();
      const { violations } = await new AxeBuilder({ page }).analyze();
      expect(violations.map((v) => `${v.impact} ${v.id}: ${v.nodes.map((n) => n.target).join(" ")}`), path).toEqual([]);
      expect(await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth), `${path} is wider than the window`).toBeLessThanOrEqual(0);
    };
    await check("/tasks", ".task");
    await check("/tasks/1", ".log");
    await check("/tasks/4", ".json");
  });
}
