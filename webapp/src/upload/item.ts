// An upload in the list of the page.

import type { Task } from "../api/types";
import { Speed } from "./speed";
import type { UploadView } from "./types";
import type { Verdict } from "./verdict";

// A Phase is the state of an upload. A file that is "left" was not sent completely, in this or
// another browser: it resumes when it is chosen again.
export type Phase = "reading" | "queued" | "sending" | "paused" | "waiting" | "checking" | "done" | "failed" | "left";

let keys = 0;

export class Item {
  readonly key = `upload-${++keys}`;
  readonly speed = new Speed();
  phase: Phase = "queued";
  file: File | null = null;
  sent = 0; // bytes
  read = 0; // bytes included in the checksum so far
  digest: string | null = null; // expected SHA-256, in hexadecimal
  checked = false; // with a checksum
  address: string | null = null; // on the server
  view: UploadView | null = null;
  tasks: Task[] = []; // tasks of the server for this file
  verdict: Verdict | null = null;
  problem = ""; // the error message
  needsLogin = false; // it resumes after the user has logged in
  retryAt: number | null = null; // milliseconds since 1970
  readonly ended = new AbortController();

  constructor(readonly name: string, readonly size: number, readonly store: string) {}

  get id(): string | null {
    return this.view?.id ?? this.address?.split("/").pop() ?? null;
  }

  // isBusy reports whether closing the page would interrupt the upload.
  get isBusy(): boolean {
    return ["reading", "queued", "sending", "waiting"].includes(this.phase);
  }

  // isSettled reports whether the upload has finished or failed.
  get isSettled(): boolean {
    return this.phase === "done" || this.phase === "failed";
  }
}

// itemOf is an upload from the server, whose file the page does not have.
export function itemOf(view: UploadView): Item {
  const item = new Item(view.sent_as ?? view.file_name ?? view.id, view.length, view.store);
  item.view = view;
  item.address = `/api/v1/uploads/${view.id}`;
  item.sent = view.offset;
  item.phase = view.state === "uploading" ? "left" : "checking";
  return item;
}

// continues reports whether a file is the one of an incomplete upload: same name, length, and
// modification time if it is known.
export function continues(view: UploadView, file: Pick<File, "name" | "size" | "lastModified">): boolean {
  return view.state === "uploading" && view.length === file.size && view.sent_as === file.name && (view.modified === null || view.modified === String(file.lastModified));
}
