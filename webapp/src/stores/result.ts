// The result of a sync as text.

import type { SyncResult } from "../api/types";
import { t } from "../strings";
import { formatSeconds } from "../time";

const changes = ["added", "updated", "moved", "returned", "missing"] as const;

// isSyncResult distinguishes the result of a sync from those of other tasks.
export function isSyncResult(result: unknown): result is SyncResult {
  return typeof result === "object" && result !== null && "count" in result && "added" in result && "missing" in result;
}

// syncWords describes what a sync changed, or what a dry run would change: "1,204 files: 3 new, 1
// missing; 2 cannot be opened".
export function syncWords(result: SyncResult, dry = false): string {
  const changed = changes.filter((name) => result[name]).map((name) => t.sync.parts[name](result[name]!));
  let text = dry ? t.sync.wouldNone : t.sync.none;
  if (changed.length > 0) text = dry ? t.sync.would(changed.join(", ")) : changed.join(", ");
  const also = [
    result.failed?.length ? t.sync.failed(result.failed.length) : "",
    result.arriving ? t.sync.arriving(result.arriving) : "",
    result.links ? t.sync.links(result.links) : "",
  ].filter(Boolean);
  const files = typeof result.count === "number" ? `${t.sync.files(result.count)}: ` : "";
  return `${files}${files ? text[0]!.toLowerCase() + text.slice(1) : text}${also.length ? `; ${also.join("; ")}` : ""}`;
}

// syncTook is the duration of a sync; "" if it is unknown.
export function syncTook(result: SyncResult): string {
  return typeof result.duration === "number" ? t.sync.took(formatSeconds(result.duration)) : "";
}
