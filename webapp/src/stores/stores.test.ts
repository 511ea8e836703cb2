import { expect, test } from "vitest";

import type { Store, Task, Watch } from "../api/types";
import { conditionOf, sentence } from "./condition";
import { fieldErrors, patchOf, valuesOf } from "./fields";
import { isSyncResult, syncTook, syncWords } from "./result";

const none = { count: 24, added: 0, updated: 0, moved: 0, missing: 0, returned: 0, arriving: 0, failed: [], links: 0, duration: 0.4 };

for (const [name, result, dry, want] of [
  ["nothing", none, false, "24 files: no changes"],
  ["nothing, dry", none, true, "24 files: no changes needed"],
  ["one file", { ...none, count: 1, added: 1 }, false, "1 file: 1 new"],
  ["much", { ...none, count: 1204, added: 1003, updated: 2, moved: 1, returned: 4, missing: 5 }, false, "1,204 files: 1,003 new, 2 changed, 1 renamed or moved, 4 found again, 5 missing"],
  ["much, dry", { ...none, added: 2, missing: 1 }, true, "24 files: would change: 2 new, 1 missing"],
  ["failures", { ...none, failed: [{ reason: "a" }, { reason: "b" }], arriving: 1, links: 1 }, false, "24 files: no changes; 2 cannot be opened; 1 still arriving; 1 symbolic link skipped"],
  ["an older server", { added: 1, missing: 0 }, false, "1 new"],
] as const) {
  test(`result of a sync: ${name}`, () => expect(syncWords(result as Parameters<typeof syncWords>[0], dry)).toBe(want));
}

test("duration of a sync, and results of other tasks", () => {
  expect(syncTook(none)).toBe("took < 1 s");
  expect(syncTook({ ...none, duration: null })).toBe("");
  expect([none, { checked: 3 }, null, "x", 4].map(isSyncResult)).toEqual([true, false, false, false, false]);
});

const store = (values: Partial<Store>): Store => ({ id: "s1", label: "One", mode: "in-place", endpoint: null, ...values });
const watch = (values: Partial<Watch>): Watch => ({ polling: false, why: null, error: null, last_pass: null, arriving: 0, ...values });
const task = (values: Partial<Task>): Task => ({
  id: "1", kind: "sync_store", queue: "default", args: { store: "s1" }, state: "succeeded", ready: true, progress: null, result: null, error: null, attempts: 1, worker: null,
  request_id: null, submitted_at: "2025-03-14T09:00:00Z", started_at: "2025-03-14T09:00:00Z", finished_at: "2025-03-14T09:01:00Z", ...values,
});
const many = "too many slides are missing at once, so none was marked missing; if this is intended, confirm the next sync (11 of 12)";
const other = "another folder is at the store's path, with hardly any of its slides; check that its disk is mounted. Nothing was changed";
const failed = task({ state: "failed", error: many, error_code: "too_many_missing" });

for (const [name, of, tasks, kind, ask] of [
  ["watched", { watch: watch({}) }, [], "inSync", null],
  ["polled", { watch: watch({ polling: true, why: "nfs" }) }, [], "polling", null],
  ["not watched", { watch: null, last_sync: "2025-03-14T09:00:00Z" }, [], "unwatched", null],
  ["kept by its host", { watch: null, host: "a", host_away: false }, [], "never", null],
  ["kept by its host, synced", { watch: null, host: "a", host_away: false, last_sync: "2025-03-14T09:00:00Z" }, [], "syncedByHost", null],
  ["its host is away", { watch: null, host: "a", host_away: true, endpoint_away: true, last_sync: "2025-03-14T09:00:00Z" }, [], "hostOffline", null],
  ["its host is away, a task waits for it", { host_away: true }, [task({ state: "waiting", ready: false })], "hostOffline", null],
  ["its tile server is away", { watch: watch({}), endpoint: "https://a.example", endpoint_away: true }, [], "endpointOffline", null],
  ["never synced", { watch: null, last_sync: null }, [], "never", null],
  ["too many gone", { watch: watch({ error: many, error_code: "too_many_missing" }) }, [], "refused", "many"],
  ["another folder", { watch: watch({ error: other, error_code: "other_folder" }) }, [], "refused", "other"],
  ["no folder", { watch: watch({ error: "the store's folder is unreachable; nothing was marked missing", error_code: "folder_unreachable" }) }, [], "unreachable", null],
  ["an unknown code", { watch: watch({ error: "the disk is on fire", error_code: "fire" as never }) }, [], "failed", null],
  ["without the text of the error", { watch: watch({ error_code: "too_many_missing" }) }, [], "refused", "many"],
  ["not watched because of an error", { watch: watch({ error: "the database does not answer", failing_since: "2025-03-14T09:00:00Z", next_try: "2025-03-14T09:01:00Z" }) }, [], "notWatched", null],
  ["another error", { watch: watch({ error: "the database does not answer" }) }, [], "failed", null],
  ["running", { watch: watch({}) }, [task({ state: "running", ready: false })], "running", null],
  ["running while refused", { watch: watch({ error: many, error_code: "too_many_missing" }) }, [task({ state: "running", ready: false })], "running", null],
  ["waiting", { watch: watch({}) }, [task({ state: "waiting", ready: false })], "waiting", null],
  ["one runs, a newer one waits", { watch: watch({}) }, [task({ state: "waiting", ready: false }), task({ state: "running", ready: false })], "running", null],
  ["a task of another store", { watch: watch({}) }, [task({ state: "running", ready: false, args: { store: "s2" } })], "inSync", null],
  ["the last sync failed", { watch: null, last_sync: "2025-03-14T08:00:00Z" }, [failed], "refused", "many"],
  ["tried again", { watch: null }, [task({ state: "retrying", ready: false, error: many, error_code: "too_many_missing", finished_at: null })], "refused", "many"],
  ["a pass since", { watch: null, last_sync: "2025-03-14T10:00:00Z" }, [failed], "unwatched", null],
  ["a newer sync went well", { watch: null, last_sync: "2025-03-14T08:00:00Z" }, [task({}), failed], "unwatched", null],
  ["a dry run failed", { watch: watch({}) }, [task({ state: "failed", error: many, error_code: "too_many_missing", args: { store: "s1", dry_run: true } })], "inSync", null],
  ["cancelled after a failure", { watch: null, last_sync: "2025-03-14T08:00:00Z" }, [task({ state: "cancelled" }), failed], "refused", "many"],
] as [string, Partial<Store>, Task[], string, string | null][]) {
  test(`condition of a store: ${name}`, () => {
    const got = conditionOf(store(of), tasks);
    expect([got.kind, got.ask]).toEqual([kind, ask]);
  });
}

test("an error as a sentence", () => {
  expect(sentence("the folder is empty")).toBe("The folder is empty.");
  expect(sentence("Is it mounted?")).toBe("Is it mounted?");
});

test("the form returns a store unchanged", () => {
  const full = store({ root: "/s", incoming: null, schedule: "15m0s", settle: "10m0s", hide_after: "720h0m0s", max_missing: 0.07, verify_rate: 52_500_000, include: ["*.tiff", "a/**"], exclude: [], background: "#ffffff", origin: "top-left", public: true, hide_labels: false });
  const values = valuesOf(full);
  expect(values).toMatchObject({ schedule: "15m", settle: "10m", hide_after: "30d", max_missing: "7", verify_rate: "52.5", include: "*.tiff\na/**", public: true, incoming: "" });
  expect(patchOf(values, { ...values })).toEqual({});
});

test("sends changed fields, and null for empty ones", () => {
  const before = valuesOf(store({ root: "/s", schedule: "15m", max_missing: 0.5, include: ["*.tiff"], public: false }));
  expect(patchOf(before, { ...before, label: " Two ", schedule: "", max_missing: "33.3", include: " *.tif \n\n*.svs\n", public: true, verify_rate: "50", settle: "x" })).toEqual({ label: "Two", schedule: null, max_missing: 0.333, include: ["*.tif", "*.svs"], public: true, verify_rate: 50_000_000, settle: "x" });
  expect(patchOf(before, { ...before, max_missing: "half" }), "the server refuses text that is not a number").toEqual({ max_missing: "half" });
});

test("assigns errors to fields", () => {
  const found = fieldErrors(["root: a store needs a folder", "body.max_missing: expected number", "include[1]: a [ without its ]", "the folder incoming in the root: is a link", "root: twice"], ["root", "max_missing", "include"]);
  expect([...found]).toEqual([["root", "a store needs a folder; twice"], ["max_missing", "expected number"], ["include", "a [ without its ]"], ["", "the folder incoming in the root: is a link"]]);
});
