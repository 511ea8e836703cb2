// Sends files with Uppy and tus. It is loaded when the first file is chosen.

import Uppy, { type UppyFile } from "@uppy/core";
import Tus, { type TusBody } from "@uppy/tus";

import { Problem } from "../api/client";
import { endpoint } from "./client";

type Meta = { key: string; store: string; filename: string; modified: string; sha256?: string };
type UploadedFile = UppyFile<Meta, TusBody>;

// A Sending is a file to send.
export interface Sending {
  key: string; // of the Item
  file: File;
  store: string;
  sha256: string | null; // in hexadecimal; the server compares it with what has arrived
  address: string | null; // of an upload to resume
}

// Events report the progress.
export interface Events {
  progress(key: string, bytes: number): void;
  address(key: string, address: string): void;
  done(key: string, address: string): void;
  failed(key: string, problem: Problem): void;
}

// A request sends one chunk, so that a server with a full disk can refuse the next one.
const chunkSize = 64 * 1024 * 1024; // bytes
const atOnce = 2; // files
const retryDelays = [300, 1000, 3000]; // milliseconds; then the page retries

export class Sender {
  // The page shows the errors.
  private readonly uppy = new Uppy<Meta, TusBody>({ allowMultipleUploadBatches: true, logger: { debug: () => {}, warn: () => {}, error: () => {} } });
  private readonly ids = new Map<string, string>(); // Uppy's, by key

  constructor(events: Events) {
    this.uppy.use(Tus, {
      endpoint, chunkSize, retryDelays, limit: atOnce,
      // The server knows the incomplete uploads of its users; the browser, which others may use,
      // stores no names.
      storeFingerprintForResuming: false,
      onShouldRetry: (err, _attempt, _options, otherwise) => {
        const status = err.originalResponse?.getStatus() ?? 0;
        return [0, 409, 423, 502, 504].includes(status) && otherwise(err);
      },
    });
    const of = (file: UploadedFile | undefined): string | undefined => file?.meta.key;
    this.uppy.on("upload-progress", (file, { bytesUploaded }) => {
      const key = of(file);
      if (!key || typeof bytesUploaded !== "number") return;
      const address = addressOf(this.uppy.getFile(file!.id));
      if (address) events.address(key, address);
      events.progress(key, bytesUploaded);
    });
    this.uppy.on("upload-success", (file, response) => {
      const key = of(file);
      if (!key) return;
      const address = response.uploadURL ?? addressOf(this.uppy.getFile(file!.id)) ?? "";
      this.forget(key);
      events.done(key, new URL(address, location.href).pathname);
    });
    this.uppy.on("upload-error", (file, _error, response) => {
      const key = of(file);
      if (key) events.failed(key, problemIn(response as Answer | undefined));
    });
  }

  start({ key, file, store, sha256, address }: Sending): void {
    const meta: Meta & { relativePath: string } = { key, relativePath: key, store, filename: file.name, modified: String(file.lastModified) };
    if (sha256) meta.sha256 = sha256;
    const allowedMetaFields = ["store", "filename", "modified", ...(sha256 ? ["sha256"] : [])];
    const id = this.uppy.addFile({ name: file.name, type: file.type || "application/octet-stream", data: file, source: "page", meta: meta as never });
    this.ids.set(key, id);
    this.uppy.setFileState(id, { tus: { allowedMetaFields, uploadUrl: address } } as never);
    void this.uppy.upload().catch(() => {}); // reported by events
  }

  pause(key: string, paused: boolean): void {
    const id = this.ids.get(key);
    if (!id || !!this.uppy.getFile(id)?.isPaused === paused) return;
    this.uppy.pauseResume(id);
  }

  retry(key: string): void {
    const id = this.ids.get(key);
    if (id) void this.uppy.retryUpload(id).catch(() => {});
  }

  // cancel cancels an upload, and deletes it on the server.
  cancel(key: string): void {
    const id = this.ids.get(key);
    if (!id) return;
    this.ids.delete(key);
    this.uppy.removeFile(id);
  }

  private forget(key: string): void {
    const id = this.ids.get(key);
    if (!id) return;
    this.ids.delete(key);
    // Uppy still uses the file while it reports its success.
    setTimeout(() => this.uppy.getFile(id) && this.uppy.removeFile(id), 0);
  }
}

function addressOf(file: UploadedFile | undefined): string | null {
  return (file as { tus?: { uploadUrl?: string | null } } | undefined)?.tus?.uploadUrl ?? null;
}

interface Answer {
  status?: number;
  body?: { xhr?: XMLHttpRequest };
}

// problemIn reads why an upload failed, from the server's message if there is one.
function problemIn(answer: Answer | undefined): Problem {
  const xhr = answer?.body?.xhr;
  const status = answer?.status ?? 0;
  let detail = "";
  try {
    const body = JSON.parse(xhr?.responseText ?? "") as { detail?: unknown };
    if (typeof body.detail === "string") detail = body.detail;
  } catch {
    // there was no response, or it was not from the server itself
  }
  const after = Number(xhr?.getResponseHeader("Retry-After") || Number.NaN);
  return new Problem(status, detail, Number.isFinite(after) ? after : null);
}
