// The condition of a store, derived from its record and its tasks.

import type { Store, SyncErrorCode, Task, Watch } from "../api/types";
import { formatTime } from "../format";
import { t } from "../strings";

export type ConditionKind = keyof typeof t.stores.condition;

export interface Condition {
  kind: ConditionKind;
  text: string; // the reason; "" if there is nothing to add
  task: Task | null; // that is running or has failed
  ask: "many" | "other" | null; // what a person can confirm: many missing slides, or another folder
}

const syncKinds = ["sync_store", "resync_store"];

// storeKinds are the kinds of tasks that affect the condition of a store.
export const storeKinds = [...syncKinds, "verify_store"];

export const storeOf = (task: Task): string | null => (typeof task.args?.store === "string" ? task.args.store : null);
export const isDryRun = (task: Task): boolean => task.args?.dry_run === true;

// conditionOf expects the tasks of all stores, newest first.
export function conditionOf(store: Store, tasks: Task[]): Condition {
  const own = tasks.filter((task) => storeOf(task) === store.id && storeKinds.includes(task.kind));
  const busy = own.find((task) => task.state === "running") ?? own.find((task) => task.state === "waiting");
  if (busy?.state === "running") return inProgress(busy);
  if (store.host_away) return { kind: "hostOffline", text: hostOfflineText(store), task: busy ?? null, ask: null };
  if (busy) return inProgress(busy);
  if (store.watch?.failing_since) return { kind: "notWatched", text: notWatchedText(store.watch), task: null, ask: null };
  const problem = problemOf(store, own);
  if (problem) return problem;
  if (store.endpoint_away) return { kind: "endpointOffline", text: t.stores.endpointOfflineText(store.endpoint ?? "", store.endpoint_error ?? ""), task: null, ask: null };
  const { watch } = store;
  if (watch?.polling) return { kind: "polling", text: watch.why ?? "", task: null, ask: null };
  if (watch) return { kind: "inSync", text: "", task: null, ask: null };
  if (!store.last_sync) return { kind: "never", text: t.stores.neverText, task: null, ask: null };
  if (store.host_away === false) return { kind: "syncedByHost", text: t.stores.syncedByHostText(store.host ?? ""), task: null, ask: null };
  return { kind: "unwatched", text: t.stores.unwatchedText, task: null, ask: null };
}

function hostOfflineText(store: Store): string {
  const text = t.stores.hostOfflineText(store.host ?? "", store.host_seen_at ? formatTime(store.host_seen_at) : "");
  return store.endpoint_away ? `${text} ${t.stores.bothOfflineText}` : text;
}

function notWatchedText(watch: Watch): string {
  const why = watch.error ? sentence(watch.error).replace(/[.]$/, "") : "";
  return t.stores.notWatchedText(why, formatTime(watch.failing_since ?? ""), watch.next_try ? formatTime(watch.next_try) : "");
}

function inProgress(task: Task): Condition {
  if (task.state === "waiting") return { kind: "waiting", text: task.waiting_for_worker ? sentence(t.tasks.waitingForWorker(task.queue)) : t.stores.waitingText, task, ask: null };
  return { kind: "running", text: isDryRun(task) ? t.stores.dryRunning : t.stores.runningKinds[task.kind] ?? "", task, ask: null };
}

// problemOf is the last error: of the watcher of the folder, or else of the last sync, unless a
// later one succeeded.
function problemOf(store: Store, own: Task[]): Condition | null {
  let { error, error_code: code } = store.watch ?? {};
  let task: Task | null = null;
  if (!error && !code) {
    const last = own.find((t) => syncKinds.includes(t.kind) && !isDryRun(t) && t.state !== "cancelled");
    if (!last || (last.state !== "failed" && last.state !== "retrying") || endedBefore(last, store.last_sync)) return null;
    ({ error, error_code: code } = task = last);
    if (!error && !code) return null;
  }
  return { ...(code ? refusals[code] : undefined) ?? { kind: "failed", ask: null }, text: sentence(error ?? ""), task };
}

// Callers who may not see labels get the code of an error without its text.
const refusals: Record<SyncErrorCode, Pick<Condition, "kind" | "ask">> = {
  too_many_missing: { kind: "refused", ask: "many" },
  other_folder: { kind: "refused", ask: "other" },
  folder_unreachable: { kind: "unreachable", ask: null },
};

function endedBefore(task: Task, time: string | null | undefined): boolean {
  const ended = task.finished_at ?? task.started_at;
  return !!time && !!ended && Date.parse(ended) < Date.parse(time);
}

// sentence adds a capital letter and a full stop to a message of the server.
export function sentence(words: string): string {
  const text = words.trim();
  if (!text) return "";
  return text[0]!.toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}
