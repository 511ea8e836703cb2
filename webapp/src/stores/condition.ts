// How it stands with a store, from its record and its tasks.

import type { Store, Task, Watch } from "../api/types";
import { formatTime } from "../format";
import { t } from "../strings";

export type ConditionKind = keyof typeof t.stores.condition;

export interface Condition {
  kind: ConditionKind;
  text: string; // why, in words; "" if there is nothing to add
  task: Task | null; // that is under way, or went wrong
  ask: "many" | "other" | null; // what a person can confirm: many slides gone, another folder
}

const passes = ["sync_store", "resync_store"];

// storeKinds are the kinds of tasks that tell how it stands with a store.
export const storeKinds = [...passes, "verify_store"];

export const storeOf = (task: Task): string | null => (typeof task.args?.store === "string" ? task.args.store : null);
export const isDryRun = (task: Task): boolean => task.args?.dry_run === true;

// conditionOf looks at the tasks of all stores, newest first.
export function conditionOf(store: Store, tasks: Task[]): Condition {
  const own = tasks.filter((task) => storeOf(task) === store.id && storeKinds.includes(task.kind));
  const busy = own.find((task) => task.state === "running") ?? own.find((task) => task.state === "waiting");
  if (busy?.state === "running") return underWay(busy);
  if (store.host_away) return { kind: "hostAway", text: hostAwayText(store), task: busy ?? null, ask: null };
  if (busy) return underWay(busy);
  if (store.watch?.failing_since) return { kind: "notWatched", text: notWatchedText(store.watch), task: null, ask: null };
  const problem = problemOf(store, own);
  if (problem) return problem;
  if (store.endpoint_away) return { kind: "endpointAway", text: t.stores.endpointAwayText(store.endpoint ?? "", store.endpoint_error ?? ""), task: null, ask: null };
  const { watch } = store;
  if (watch?.polling) return { kind: "polling", text: watch.why ?? "", task: null, ask: null };
  if (watch) return { kind: "inStep", text: "", task: null, ask: null };
  if (!store.last_sync) return { kind: "never", text: t.stores.neverText, task: null, ask: null };
  if (store.host_away === false) return { kind: "elsewhere", text: t.stores.elsewhereText(store.host ?? ""), task: null, ask: null };
  return { kind: "unwatched", text: t.stores.unwatchedText, task: null, ask: null };
}

function hostAwayText(store: Store): string {
  const text = t.stores.hostAwayText(store.host ?? "", store.host_seen_at ? formatTime(store.host_seen_at) : "");
  return store.endpoint_away ? `${text} ${t.stores.bothAwayText}` : text;
}

function notWatchedText(watch: Watch): string {
  const why = watch.error ? problemWords(watch.error).replace(/[.]$/, "") : "";
  return t.stores.notWatchedText(why, formatTime(watch.failing_since ?? ""), watch.next_try ? formatTime(watch.next_try) : "");
}

function underWay(task: Task): Condition {
  if (task.state === "waiting") return { kind: "waiting", text: task.waiting_for_worker ? sentence(t.tasks.waitingForWorker(task.queue)) : t.stores.waitingText, task, ask: null };
  return { kind: "running", text: isDryRun(task) ? t.stores.dryRunning : t.stores.runningKinds[task.kind] ?? "", task, ask: null };
}

// problemOf is what went wrong last: as the one who watches the folder says, else
// as the last sync did, unless one has succeeded since.
function problemOf(store: Store, own: Task[]): Condition | null {
  let words = store.watch?.error ?? null;
  let task: Task | null = null;
  if (!words) {
    const last = own.find((t) => passes.includes(t.kind) && !isDryRun(t) && t.state !== "cancelled");
    if (last?.error && (last.state === "failed" || last.state === "retrying") && !endedBefore(last, store.last_sync)) [words, task] = [last.error, last];
  }
  if (!words) return null;
  const text = problemWords(words);
  if (/slides are gone at once/.test(words)) return { kind: "refused", text, task, ask: "many" };
  if (/another folder is where/.test(words)) return { kind: "refused", text, task, ask: "other" };
  if (/out of reach/.test(words)) return { kind: "unreachable", text, task, ask: null };
  return { kind: "failed", text, task, ask: null };
}

function endedBefore(task: Task, time: string | null | undefined): boolean {
  const ended = task.finished_at ?? task.started_at;
  return !!time && !!ended && Date.parse(ended) < Date.parse(time);
}

// sentence makes one of words that the server has for the middle of one.
export function sentence(words: string): string {
  const text = words.trim();
  if (!text) return "";
  return text[0]!.toUpperCase() + text.slice(1) + (/[.!?]$/.test(text) ? "" : ".");
}

// problemWords is an error of a task or a pass as a sentence, without the part of
// the program that it comes from.
export function problemWords(error: string): string {
  return sentence(error.replace(/^(ingest|verify|jobs|catalog): /, ""));
}
