import type { Locator, Page } from "@playwright/test";

import type { Store, Task } from "../src/api/types";
import { accessibilityFaults, changing as test, expect, fits, screens } from "./fixtures";

test.describe.configure({ mode: "default" });

const minute = 60_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

const task = (values: Partial<Task>): Task => ({
  id: "7", kind: "sync_store", queue: "default", args: { store: "s1" }, state: "succeeded", ready: true, progress: null, result: null, error: null, attempts: 1, worker: "w1",
  request_id: null, submitted_at: ago(5 * minute), started_at: ago(4 * minute), finished_at: ago(3 * minute), log: null, waiting_for_worker: false, ...values,
});
const running = (values: Partial<Task>): Task => task({ state: "running", ready: false, finished_at: null, ...values });

const row = (page: Page, of: Pick<Task, "id">): Locator => page.locator(`.task[data-id="${of.id}"]`);

// answerTasks answers requests for the list of tasks, for each of them, and for its
// events; and for stores and workers.
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
    if (!found) return route.fulfill({ status: 404, contentType: "application/problem+json", json: { status: 404, detail: "Unknown task." } });
    if (route.request().method() === "DELETE" || !events) return route.fallback();
    return route.fulfill({ contentType: "text/event-stream", body: `retry: 200\nevent: task\ndata: ${JSON.stringify(found)}\n\n` });
  });
  await page.route(/\/api\/v1\/tasks\/[^/?]+$/, (route) => {
    const found = list().find((t) => route.request().url().endsWith(`/${t.id}`));
    return found && route.request().method() === "GET" ? route.fulfill({ json: found }) : route.fallback();
  });
}

test("follows a running task by events", async ({ page }) => {
  let now = running({ progress: { done: 1, total: 10, unit: "files" } });
  let listed = 0;
  await answerTasks(page, () => [now]);
  await page.route(/\/api\/v1\/tasks\?/, (route) => (listed++ === 0 ? route.fallback() : route.abort()));
  await page.goto("/tasks");
  await expect(row(page, now)).toContainText("1 of 10 files");
  now = { ...now, progress: { done: 6, total: 10, unit: "files" } };
  await expect(row(page, now), "although the list cannot be loaded").toContainText("6 of 10 files");
  now = task({ result: { count: 10, added: 10, missing: 0 } });
  await expect(row(page, now)).toContainText("10 files: 10 new");
});

test("shows a sync until it has finished", async ({ page, server }) => {
  const { items } = (await (await fetch(`${server}/api/v1/stores`)).json()) as { items: Store[] };
  await page.goto("/tasks");
  await expect(page.getByRole("heading", { level: 1, name: "Tasks" })).toBeVisible();
  const submitted = (await (await fetch(`${server}/api/v1/stores/${items[0]!.id}/sync`, { method: "POST" })).json()) as Task;
  await expect(row(page, submitted)).toContainText("Sync: ");
  await expect(row(page, submitted).getByTestId("task-state")).toHaveText("Succeeded", { timeout: 30_000 });
  await expect(row(page, submitted)).toContainText(/\d+ files?: /);
  await row(page, submitted).getByRole("link").click();
  await expect(page).toHaveURL(`${server}/tasks/${submitted.id}`);
  await expect(page.getByTestId("task-result")).toContainText(/\d+ files?: /);
});

test("cancels a task", async ({ page, server }) => {
  // No worker serves this queue, so the task waits until it is cancelled.
  const { items } = (await (await fetch(`${server}/api/v1/stores`)).json()) as { items: Store[] };
  const submitted = (await (await fetch(`${server}/api/v1/tasks`, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify({ kind: "verify_store", queue: "no-worker", args: { store: items[0]!.id } }) })).json()) as Task;
  await page.goto("/tasks");
  await expect(row(page, submitted)).toContainText("Waiting for a worker of queue no-worker.");
  await row(page, submitted).getByRole("button", { name: /^Cancel/ }).click();
  await expect(row(page, submitted).getByTestId("task-state")).toHaveText("Cancelled");
  await expect(row(page, submitted).getByRole("button", { name: /^Cancel/ })).toHaveCount(0);
});

for (const { device, viewport, colorScheme, wide } of screens) {
  test(`fits the window and has no accessibility fault, ${device}, ${colorScheme}`, async ({ page }) => {
    await page.emulateMedia({ colorScheme, reducedMotion: "reduce" });
    await page.setViewportSize(viewport);
    const long = "a reason that is very long, with/a/path/that/has/no/space/to/break/at/and/is/longer/than/a/telephone/is/wide".repeat(2);
    const list = [running({ id: "1", progress: { done: 4_000_000_000, total: 21_000_000_000, unit: "bytes" }, log: [{ at: ago(0), text: long }] }), task({ id: "2", state: "failed", error: long, queue: "host-with-quite-a-long-name-of-its-own" }), task({ id: "3", state: "waiting", ready: false, waiting_for_worker: true }), task({ id: "4", kind: "import_file", result: { reason: long } })];
    await answerTasks(page, () => list);
    const check = async (path: string, shown: string): Promise<void> => {
      await page.goto(path);
      await expect(page.locator(shown).first()).toBeVisible();
      expect(await accessibilityFaults(page), path).toEqual([]);
      await fits(page, path, wide);
    };
    await check("/tasks", ".task");
    await check("/tasks/1", ".log");
    await check("/tasks/4", ".json");
  });
}
