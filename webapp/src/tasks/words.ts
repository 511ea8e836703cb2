// Tasks in words.

import type { Store, Task } from "../api/types";
import { formatBytes, formatCount } from "../format";
import { isDryRun, storeOf } from "../stores/condition";
import { isSyncResult, syncTook, syncWords } from "../stores/result";
import { t } from "../strings";
import { formatSeconds } from "../time";

export function kindName(task: Task): string {
  if (task.kind === "sync_store" && isDryRun(task)) return t.tasks.dryRun;
  return t.tasks.kinds[task.kind] ?? task.kind;
}

// taskName is the kind of a task, and the store it is about.
export function taskName(task: Task, stores: Store[]): string {
  const id = storeOf(task);
  if (!id) return kindName(task);
  return t.tasks.of(kindName(task), stores.find((store) => store.id === id)?.label || id);
}

// progressWords says how far a task has come: "1,200 of 5,000 files"; "" where
// that is not known.
export function progressWords(task: Pick<Task, "progress">): string {
  const { progress } = task;
  if (!progress) return "";
  const { done, total, unit } = progress;
  if (unit === "bytes") return total === null ? formatBytes(done) : t.tasks.progressOf(formatBytes(done), formatBytes(total));
  return `${total === null ? formatCount(done) : t.tasks.progressOf(formatCount(done), formatCount(total))} ${unit}`;
}

// resultWords is the result of a sync in words; null for other kinds and where
// there is none.
export function resultWords(task: Task): string | null {
  if (!isSyncResult(task.result)) return null;
  const took = syncTook(task.result);
  return syncWords(task.result, isDryRun(task)) + (took ? `; ${took}` : "");
}

// tookWords says how long the last attempt of a task took, or has taken so far;
// "" if it has not begun.
export function tookWords(task: Task, now: number): string {
  if (!task.started_at) return "";
  const end = task.finished_at ? Date.parse(task.finished_at) : now;
  return formatSeconds(Math.max(0, (end - Date.parse(task.started_at)) / 1000));
}
