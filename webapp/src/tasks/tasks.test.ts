import { expect, test } from "vitest";

import type { Store, Task } from "../api/types";
import { progressWords, resultWords, taskName, tookWords } from "./words";

const stores = [{ id: "s1", label: "Scanner room" }, { id: "s2", label: null }] as Store[];
const task = (values: Partial<Task>): Task => ({ id: "1", kind: "sync_store", args: {}, started_at: null, finished_at: null, result: null, progress: null, ...values }) as Task;

for (const [kind, args, want] of [
  ["sync_store", { store: "s1" }, "Sync: Scanner room"],
  ["sync_store", { store: "s1", dry_run: true }, "Dry run: Scanner room"],
  ["verify_store", { store: "s2" }, "Verify: s2"],
  ["resync_store", { store: "gone" }, "Resync: gone"],
  ["hash_image", { image: "i1" }, "Calculate digests"],
  ["something_new", null, "something_new"],
] as const) {
  test(`task name: ${want}`, () => expect(taskName(task({ kind, args }), stores)).toBe(want));
}

for (const [progress, want] of [
  [null, ""],
  [{ done: 1200, total: 5000, unit: "files" }, "1,200 of 5,000 files"],
  [{ done: 7, total: null, unit: "images" }, "7 images"],
  [{ done: 1.2e9, total: 5e9, unit: "bytes" }, "1.2 GB of 5 GB"],
  [{ done: 0, total: null, unit: "bytes" }, "0 bytes"],
] as const) {
  test(`progress: ${want || "none"}`, () => expect(progressWords({ progress })).toBe(want));
}

test("results as text", () => {
  expect(resultWords(task({ result: { count: 9, added: 4, missing: 0, duration: 83 } }))).toBe("9 files: 4 new; took 1 min 23 s");
  expect(resultWords(task({ args: { dry_run: true }, result: { count: 9, added: 4, missing: 0 } }))).toBe("9 files: would change: 4 new");
  expect(resultWords(task({ kind: "verify_store", result: { checked: 8, hashed: 2, damaged: [{}], unreadable: [], bytes: 4.1e9, duration: 95 } }))).toBe("1 damaged; 8 files verified (4.1 GB read); 2 digests calculated; took 1 min 35 s");
  expect(resultWords(task({ kind: "verify_store", result: { checked: 0, damaged: [] } }))).toBe("No files were read");
  expect(resultWords(task({ kind: "hash_image", result: { count: 1200, failed: [{}] } }))).toBe("1,200 slides done; 1 failed");
  expect(resultWords(task({ result: { digest: "x" } }))).toBeNull();
  expect(resultWords(task({ result: null }))).toBeNull();
});

test("duration of a task", () => {
  const now = Date.parse("2025-03-14T09:26:00Z");
  expect(tookWords(task({}), now)).toBe("");
  expect(tookWords(task({ started_at: "2025-03-14T09:25:00Z" }), now)).toBe("1 min 0 s");
  expect(tookWords(task({ started_at: "2025-03-14T09:25:00Z", finished_at: "2025-03-14T09:25:12Z" }), now)).toBe("12 seconds");
  expect(tookWords(task({ started_at: "2025-03-14T09:26:01Z" }), now), "the clocks differ").toBe("< 1 s");
});
