// Tasks as text.

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

// taskName is the kind of a task and the name of its store.
export function taskName(task: Task, stores: Store[]): string {
  const id = storeOf(task);
  if (!id) return kindName(task);
  return t.tasks.of(kindName(task), stores.find((store) => store.id === id)?.label || id);
}

// progressWords is the progress of a task: "1,200 of 5,000 files"; "" if it is unknown.
export function progressWords(task: Pick<Task, "progress">): string {
  const { progress } = task;
  if (!progress) return "";
  const { done, total, unit } = progress;
  if (unit === "bytes") return total === null ? formatBytes(done) : t.tasks.progressOf(formatBytes(done), formatBytes(total));
  return `${total === null ? formatCount(done) : t.tasks.progressOf(formatCount(done), formatCount(total))} ${unit}`;
}

// resultWords is the result of a task as text; null if there is no result, or no text for it.
export function resultWords(task: Task): string | null {
  if (isSyncResult(task.result)) {
    const took = syncTook(task.result);
    return syncWords(task.result, isDryRun(task)) + (took ? `; ${took}` : "");
  }
  if (isVerifyResult(task.result)) return verifyWords(task.result);
  return isTally(task.result) ? tallyWords(task.result) : null;
}

// A Tally is the result of an operation on many slides.
interface Tally {
  count: number;
  failed: unknown[] | null;
}

function isTally(result: unknown): result is Tally {
  return typeof result === "object" && result !== null && Object.keys(result).sort().join() === "count,failed";
}

function tallyWords(result: Tally): string {
  return [t.tasks.done(result.count), result.failed?.length ? t.tasks.notDone(result.failed.length) : ""].filter(Boolean).join("; ");
}

interface VerifyResult {
  checked: number;
  hashed?: number;
  damaged?: unknown[] | null;
  unreadable?: unknown[] | null;
  bytes?: number;
  duration?: number; // seconds
}

function isVerifyResult(result: unknown): result is VerifyResult {
  return typeof result === "object" && result !== null && "checked" in result && "damaged" in result;
}

function verifyWords(result: VerifyResult): string {
  return [
    result.damaged?.length ? t.verify.damaged(result.damaged.length) : "",
    result.unreadable?.length ? t.verify.unreadable(result.unreadable.length) : "",
    result.checked ? t.verify.checked(result.checked, formatBytes(result.bytes ?? 0)) : t.verify.none,
    result.hashed ? t.verify.hashed(result.hashed) : "",
    typeof result.duration === "number" ? t.sync.took(formatSeconds(result.duration)) : "",
  ].filter(Boolean).join("; ");
}

// tookWords is the duration of the last attempt of a task, so far or in total; "" if it has not
// started.
export function tookWords(task: Task, now: number): string {
  if (!task.started_at) return "";
  const end = task.finished_at ? Date.parse(task.finished_at) : now;
  return formatSeconds((end - Date.parse(task.started_at)) / 1000);
}
