// One file that is uploaded, as the page knows it.

import type { Task } from "../api/types";
import { Speed } from "./speed";
import type { UploadView } from "./types";
import type { Verdict } from "./verdict";

// A Phase is how far it is. A file that is "left" was not sent to its end, in this
// browser or another: it goes on once it is chosen again.
export type Phase = "reading" | "queued" | "sending" | "paused" | "waiting" | "checking" | "done" | "failed" | "left";

let keys = 0;

export class Item {
  readonly key = `upload-${++keys}`;
  readonly speed = new Speed();
  phase: Phase = "queued";
  file: File | null = null;
  sent = 0; // bytes
  read = 0; // bytes whose checksum has been reckoned
  digest: string | null = null; // SHA-256 that the server is to find, in hexadecimal
  checked = false; // a checksum is wanted
  address: string | null = null; // at the server
  view: UploadView | null = null;
  tasks: Task[] = []; // what the server does with it
  verdict: Verdict | null = null;
  problem = ""; // why it does not go on, in words
  signIn = false; // it goes on once someone has signed in
  retryAt: number | null = null; // milliseconds since 1970
  readonly ended = new AbortController();

  constructor(readonly name: string, readonly size: number, readonly store: string) {}

  get id(): string | null {
    return this.view?.id ?? this.address?.split("/").pop() ?? null;
  }

  // isBusy reports whether something would be lost if the page were closed now.
  get isBusy(): boolean {
    return ["reading", "queued", "sending", "waiting"].includes(this.phase);
  }

  // isSettled reports whether nothing more will be heard of it.
  get isSettled(): boolean {
    return this.phase === "done" || this.phase === "failed";
  }
}

// itemOf is an upload that the server tells of, whose file this page does not have.
export function itemOf(view: UploadView): Item {
  const item = new Item(view.sent_as ?? view.file_name ?? view.id, view.length, view.store);
  item.view = view;
  item.address = `/api/v1/uploads/${view.id}`;
  item.sent = view.offset;
  item.phase = view.state === "uploading" ? "left" : "checking";
  return item;
}

// continues reports whether a file is the one of which the server has a part: of the
// same name, length, and time of change if that is known.
export function continues(view: UploadView, file: Pick<File, "name" | "size" | "lastModified">): boolean {
  return view.state === "uploading" && view.length === file.size && view.sent_as === file.name && (view.modified === null || view.modified === String(file.lastModified));
}
