import { expect, test } from "vitest";

import { choose, eventually, list, open, problem, text, type Routes } from "../../test/dom";
import type { Task } from "../api/types";

const minute = 60_000;
const ago = (ms: number): string => new Date(Date.now() - ms).toISOString();

const task = (values: Partial<Task>): Task => ({
  id: "7", kind: "sync_store", queue: "default", args: { store: "s1" }, state: "succeeded", ready: true, progress: null, result: null, error: null, attempts: 1, worker: "w1",
  request_id: null, submitted_at: ago(5 * minute), started_at: ago(4 * minute), finished_at: ago(3 * minute), log: null, waiting_for_worker: false, ...values,
});
const running = (values: Partial<Task>): Task => task({ state: "running", ready: false, finished_at: null, ...values });

const row = (of: Pick<Task, "id">): HTMLElement => document.querySelector<HTMLElement>(`.task[data-id="${of.id}"]`)!;
const rows = (): HTMLElement[] => [...document.querySelectorAll<HTMLElement>(".task")];

// taskRoutes answers requests for the list of tasks, and for each of them.
function taskRoutes(tasks: () => Task[]): Routes {
  return {
    "GET /api/v1/stores": () => list([{ id: "s1", label: "Scanner room", mode: "in-place", endpoint: null }, { id: "s2", label: "Teaching", mode: "in-place", endpoint: null }]),
    "GET /api/v1/workers": () => list([{ id: "w1", host: "scan-server", pid: 4711, version: "v1", queues: ["default", "night"], started_at: ago(90 * minute), seen_at: ago(1000) }]),
    "GET /api/v1/tasks": ({ url: { searchParams: params } }) => list(tasks().filter((t) => (!params.get("kind") || t.kind === params.get("kind")) && (!params.get("state") || t.state === params.get("state")) && (!params.get("store") || t.args?.store === params.get("store"))).map((t) => ({ ...t, log: null }))),
    "GET /api/v1/tasks/*": ({ path: [id] }) => tasks().find((t) => t.id === id) ?? problem(404, "There is no such task, or it ended long ago."),
  };
}

for (const { name, of, words, cancel } of [
  { name: "running", of: () => running({ progress: { done: 1200, total: 5000, unit: "files" } }), words: ["Sync: Scanner room", "Running", "1,200 of 5,000 files", "Worker: scan-server", "started 4 minutes ago"], cancel: true },
  { name: "without a worker", of: () => task({ state: "waiting", ready: false, queue: "host-nas", worker: null, started_at: null, finished_at: null, attempts: 0, waiting_for_worker: true }), words: ["Waiting for a worker of queue host-nas.", "submitted 5 minutes ago"], cancel: true },
  { name: "retried", of: () => task({ state: "retrying", ready: false, finished_at: null, attempts: 3, error: "the store's folder is unreachable; nothing was marked missing" }), words: ["Retrying", "attempt 3", "The store's folder is unreachable"], cancel: true },
  { name: "succeeded", of: () => task({ result: { count: 12, added: 2, missing: 1, duration: 2.4 } }), words: ["Succeeded", "12 files: 2 new, 1 missing; took 2.4 seconds", "finished 3 minutes ago"], cancel: false },
  { name: "failed", of: () => task({ state: "failed", error: "the disk is full" }), words: ["Failed", "The disk is full.", "took 1 min 0 s"], cancel: false },
  { name: "cancelled", of: () => task({ kind: "verify_store", args: { store: "s2" }, state: "cancelled" }), words: ["Verify: Teaching", "Cancelled"], cancel: false },
]) {
  test(`shows a task that is ${name}`, async () => {
    const shown = of();
    await open("/tasks", taskRoutes(() => [shown]));
    for (const part of words) await eventually(() => expect(text(row(shown))).toContain(part));
    expect(row(shown).querySelectorAll('button[aria-label^="Cancel"]')).toHaveLength(cancel ? 1 : 0);
    if (shown.progress) expect(row(shown).querySelector("progress")!.value).toBe(shown.progress.done);
  });
}

test("refreshes the list", async () => {
  const tasks = [task({ id: "1" })];
  await open("/tasks", taskRoutes(() => tasks));
  await eventually(() => expect(rows()).toHaveLength(1));
  tasks.unshift(task({ id: "2", state: "failed", error: "no" }));
  await eventually(() => expect(rows()).toHaveLength(2));
  expect(text(rows()[0])).toContain("Failed");
});

test("filters tasks by state and store, and keeps the filter in the address", async () => {
  const routes = taskRoutes(() => [task({ id: "1" }), task({ id: "2", state: "failed", error: "no", args: { store: "s2" } }), task({ id: "3", state: "failed", error: "no" })]);
  let page = await open("/tasks", routes);
  await eventually(() => expect(rows()).toHaveLength(3));
  choose(page.getByLabelText("State"), "failed");
  await eventually(() => expect(rows()).toHaveLength(2));
  choose(page.getByLabelText("Store"), "s2");
  await eventually(() => expect(rows()).toHaveLength(1));
  choose(page.getByLabelText("Kind"), "sync_store");
  await eventually(() => expect(location.pathname + location.search).toBe("/tasks?kind=sync_store&state=failed&store=s2"));
  page = await open(location.pathname + location.search, routes);
  await eventually(() => expect(rows()).toHaveLength(1));
  await eventually(() => expect((page.getByLabelText("Store") as HTMLSelectElement).value).toBe("s2"));
  choose(page.getByLabelText("State"), "cancelled");
  await eventually(() => page.getByText("No task matches the filters."));
  page.getByRole("button", { name: "Show all tasks" }).click();
  await eventually(() => expect(rows()).toHaveLength(3));
});

test("loads older tasks, and keeps them", async () => {
  const all = Array.from({ length: 120 }, (_, i) => task({ id: String(200 - i), submitted_at: ago((5 + i) * minute) }));
  const page = await open("/tasks", {
    ...taskRoutes(() => all),
    "GET /api/v1/tasks": ({ url }) => {
      const from = all.findIndex((t) => t.id === url.searchParams.get("cursor")) + 1;
      const items = all.slice(from, from + 50);
      return { items, next_cursor: from + 50 < all.length ? items.at(-1)!.id : null };
    },
  });
  const more = { name: "Show older tasks" };
  await eventually(() => expect(rows()).toHaveLength(50));
  page.getByRole("button", more).click();
  await eventually(() => expect(rows()).toHaveLength(100));
  all.unshift(task({ id: "201", submitted_at: ago(0) }));
  await eventually(() => expect(rows()[0]!.dataset.id).toBe("201"));
  expect(rows(), "tasks that are no longer on the newest page stay").toHaveLength(101);
  page.getByRole("button", more).click();
  await eventually(() => expect(rows()).toHaveLength(121));
  expect(page.queryByRole("button", more)).toBeNull();
});

test("lists the workers", async () => {
  const routes = taskRoutes(() => []);
  const page = await open("/tasks", routes);
  await eventually(() => page.getByRole("heading", { name: "No tasks" }));
  const worker = (): string => text(page.getByTestId("workers").querySelectorAll("tr")[1]);
  for (const part of ["scan-server", "default, night", "v1", "2 hours ago"]) await eventually(() => expect(worker()).toContain(part));
  routes["GET /api/v1/workers"] = () => list([]);
  const without = await open("/tasks", routes);
  await eventually(() => expect(text(without.getByTestId("workers"))).toContain("No worker is running"));
});

test("shows one task: its log, its result, and where it belongs", async () => {
  let now = running({ progress: { done: 3, total: null, unit: "files" }, log: [{ at: ago(2 * minute), text: "walked 4 folders" }] });
  const page = await open(`/tasks/${now.id}`, taskRoutes(() => [now]));
  const lines = (): string[] => [...document.querySelectorAll(".log li")].map(text);
  await eventually(() => expect(text(page.getByRole("heading", { level: 1 }))).toBe("Sync: Scanner room"));
  expect(document.title).toMatch(/^Sync: Scanner room/);
  await eventually(() => page.getByText("3 files"));
  expect(lines()).toEqual([expect.stringMatching(/walked 4 folders$/)]);
  now = { ...now, log: [...now.log!, { at: ago(0), text: "done" }] };
  await eventually(() => expect(lines()).toEqual([expect.stringMatching(/walked 4 folders$/), expect.stringMatching(/done$/)]));
  now = task({ log: now.log, result: { count: 3, added: 1, missing: 0, failed: [{ image: "i9", reason: "the file ends early" }], duration: 61 } });
  await eventually(() => expect(text(page.getByTestId("task-result"))).toContain("3 files: 1 new; 1 cannot be opened; took 1 min 1 s"));
  expect(page.getByRole("link", { name: "the file ends early" }).getAttribute("href")).toBe("/slides/i9");
  expect(page.getByRole("link", { name: "Scanner room" }).getAttribute("href")).toBe("/stores#store-s1");
  page.getByRole("link", { name: "All tasks" }).click();
  await eventually(() => expect(row(now)).not.toBeNull());
});

test("shows other results as JSON, and why a task failed", async () => {
  const routes = taskRoutes(() => [task({ id: "1", kind: "import_file", result: { digest: "sha256:ab" } }), task({ id: "2", state: "failed", error: "the file ends early" })]);
  const first = await open("/tasks/1", routes);
  await eventually(() => expect(text(first.getByTestId("task-result"))).toContain('"digest": "sha256:ab"'));
  const second = await open("/tasks/2", routes);
  await eventually(() => second.getByText("The file ends early."));
  const none = await open("/tasks/3", routes);
  await eventually(() => expect(text(none.getByRole("alert"))).toContain("Task not found"));
});

test("shows why the tasks cannot be loaded, and tries again", async () => {
  let broken = true;
  const routes = taskRoutes(() => [task({})]);
  const page = await open("/tasks", { ...routes, "GET /api/v1/tasks": (request) => (broken ? problem(503, "This server only reads and has no tasks.") : routes["GET /api/v1/tasks"]!(request)) });
  await eventually(() => expect(text(page.getByRole("alert"))).toContain("This server only reads and has no tasks."));
  broken = false;
  page.getByRole("button", { name: "Try again" }).click();
  await eventually(() => expect(rows()).toHaveLength(1));
});
