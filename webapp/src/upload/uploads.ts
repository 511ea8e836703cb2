// The uploads of this document. They continue while other pages are shown.

import { listTasks, Problem } from "../api/client";
import type { Task } from "../api/types";
import { t } from "../strings";
import { announce } from "../ui/announce";
import { discardUpload, getUpload, listUploads, uploadPath } from "./client";
import { digestOf } from "./digest";
import { continues, Item, itemOf } from "./item";
import type { Sender } from "./sender";
import { verdictOf } from "./verdict";

const askEvery = 1000; // milliseconds between requests for the result
const tryAgainAfter = 10; // seconds, if the server sends no Retry-After
const recent = 24 * 3600 * 1000; // milliseconds; uploads that finished earlier are not listed
const recentTasks = 50;

class Uploads {
  readonly items: Item[] = [];
  private sender: Promise<Sender> | null = null;
  private readonly listeners = new Set<() => void>();
  private timer = 0;
  private asking = false;
  private scheduled = 0;

  constructor() {
    addEventListener("beforeunload", (event) => {
      if (this.items.some((item) => item.isBusy)) event.preventDefault();
    });
    addEventListener("online", () => this.items.filter((item) => item.phase === "waiting").forEach((item) => this.retry(item)));
  }

  onChange(listener: () => void, signal: AbortSignal): void {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  // changed updates the page once for many changes.
  private changed(): void {
    this.scheduled ||= requestAnimationFrame(() => {
      this.scheduled = 0;
      this.listeners.forEach((listener) => listener());
    });
  }

  // loadEarlier lists uploads that were started elsewhere or before the browser was closed.
  async loadEarlier(signal: AbortSignal): Promise<void> {
    const views = await listUploads(signal);
    const known = new Set(this.items.map((item) => item.id));
    for (const view of views.reverse()) {
      if (known.has(view.id)) continue;
      if (view.state !== "uploading" && Date.now() - Date.parse(view.created_at) > recent) continue;
      const item = itemOf(view);
      this.items.unshift(item);
      if (item.phase === "checking") this.updateVerdict(item, false);
    }
    this.ask();
    this.changed();
  }

  // add uploads files to a store. A file that the server has a part of resumes.
  add(files: File[], store: string, checked: boolean): void {
    for (const file of files) {
      if (this.items.some((item) => item.store === store && !item.isSettled && item.phase !== "left" && item.name === file.name && item.size === file.size)) continue;
      const left = this.items.find((item) => item.phase === "left" && item.store === store && item.view && continues(item.view, file));
      const item = left ?? new Item(file.name, file.size, store);
      if (!left) this.items.unshift(item);
      item.checked = checked && !left;
      void this.begin(item, file);
    }
  }

  // choose resumes an upload with a file that the user chose. It reports whether the file can be
  // the right one.
  choose(item: Item, file: File): boolean {
    const { view } = item;
    if (!view || file.size !== view.length || (view.modified !== null && view.modified !== String(file.lastModified))) return false;
    void this.begin(item, file);
    return true;
  }

  private async begin(item: Item, file: File): Promise<void> {
    item.file = file;
    item.problem = "";
    if (file.size === 0) return this.fail(item, t.upload.empty);
    if (item.checked) {
      item.phase = "reading";
      this.changed();
      try {
        item.digest = await digestOf(file, (done) => {
          item.read = done;
          this.changed();
        }, item.ended.signal);
      } catch {
        if (!item.ended.signal.aborted) this.fail(item, t.upload.unreadable);
        return;
      }
    }
    item.phase = "queued";
    this.changed();
    const sender = await this.start();
    if (item.ended.signal.aborted) return;
    sender?.start({ key: item.key, file, store: item.store, sha256: item.digest, address: item.address });
  }

  private async start(): Promise<Sender | null> {
    this.sender ??= import("./sender").then(({ Sender }) => new Sender({
      progress: (key, bytes) => this.withItem(key, (item) => this.progress(item, bytes)),
      address: (key, address) => this.withItem(key, (item) => { item.address = new URL(address, location.href).pathname; }),
      done: (key, address) => this.withItem(key, (item) => this.arrived(item, address)),
      failed: (key, problem) => this.withItem(key, (item) => this.interrupt(item, problem)),
    }));
    try {
      return await this.sender;
    } catch {
      this.sender = null; // the page may be older than the server
      this.items.filter((item) => item.phase === "queued").forEach((item) => this.fail(item, t.upload.reload));
      return null;
    }
  }

  private withItem(key: string, what: (item: Item) => void): void {
    const item = this.items.find((one) => one.key === key);
    if (!item) return;
    what(item);
    this.changed();
  }

  private progress(item: Item, bytes: number): void {
    if (item.phase === "paused" || item.isSettled || item.phase === "checking") return;
    item.phase = "sending";
    item.problem = "";
    item.sent = bytes;
    item.speed.count(bytes, Date.now());
  }

  private arrived(item: Item, address: string): void {
    item.sent = item.size;
    item.address = address;
    item.phase = "checking";
    item.file = null;
    this.ask();
  }

  // interrupt shows why an upload is interrupted, and schedules a retry if that may help.
  private interrupt(item: Item, problem: Problem): void {
    item.speed.reset();
    item.problem = problem.status === 0 ? t.error.offline : problem.detail || t.error.status(problem.status);
    item.needsLogin = problem.status === 401;
    const passing = problem.status === 0 || problem.status >= 500 || [401, 408, 409, 423, 429].includes(problem.status);
    if (!passing) return this.fail(item, item.problem);
    item.phase = "waiting";
    const seconds = problem.retryAfter ?? tryAgainAfter;
    item.retryAt = Date.now() + seconds * 1000;
    window.setTimeout(() => item.phase === "waiting" && item.retryAt !== null && Date.now() >= item.retryAt - 50 && this.retry(item), seconds * 1000);
  }

  private fail(item: Item, words: string): void {
    item.phase = "failed";
    item.problem = words;
    announce(`${item.name}: ${words}`);
    this.changed();
  }

  retry(item: Item): void {
    if (item.phase !== "waiting") return;
    item.phase = "queued";
    item.retryAt = null;
    this.changed();
    void this.start().then((sender) => sender?.retry(item.key));
  }

  pause(item: Item, paused: boolean): void {
    item.speed.reset();
    item.phase = paused ? "paused" : "queued";
    this.changed();
    void this.start().then((sender) => sender?.pause(item.key, paused));
  }

  // remove cancels an upload or dismisses it. A received file stays in its store.
  async remove(item: Item): Promise<void> {
    const { phase, id } = item;
    item.ended.abort();
    this.items.splice(this.items.indexOf(item), 1);
    this.changed();
    if (this.sender) (await this.start())?.cancel(item.key);
    if ((phase === "left" || item.isSettled || phase === "waiting" || phase === "paused") && id) await discardUpload(id).catch(() => {});
  }

  // ask requests the results of received files until all are known.
  private ask(): void {
    clearTimeout(this.timer);
    if (this.asking || !this.items.some((item) => item.phase === "checking")) return;
    this.asking = true;
    void this.askAll().finally(() => {
      this.asking = false;
      if (this.items.some((item) => item.phase === "checking")) this.timer = window.setTimeout(() => this.ask(), askEvery);
    });
  }

  private async askAll(): Promise<void> {
    const items = this.items.filter((item) => item.phase === "checking" && item.id);
    const stores = [...new Set(items.map((item) => item.store))];
    const tasks = (await Promise.all(stores.map((store) => tasksOf(store)))).flat();
    await Promise.all(items.map(async (item) => {
      try {
        item.view = await getUpload(item.id!, item.ended.signal);
        item.tasks = tasks.filter((task) => task.args?.image === item.view?.image?.id);
        item.problem = "";
        this.updateVerdict(item, true);
      } catch (err) {
        if (item.ended.signal.aborted) return;
        if (err instanceof Problem && (err.status === 404 || err.status === 410)) this.fail(item, err.detail);
        else item.problem = err instanceof Problem ? err.detail : String(err);
      }
    }));
    this.changed();
  }

  private updateVerdict(item: Item, announced: boolean): void {
    const before = item.verdict?.words;
    item.verdict = verdictOf(item.view!);
    if (item.verdict?.final) item.phase = "done";
    if (announced && item.verdict && item.verdict.words !== before) announce(`${item.name}: ${item.verdict.words}`);
  }

  // addressOf is the address of an upload, for troubleshooting.
  addressOf(item: Item): string | null {
    return item.id && uploadPath(item.id);
  }
}

// tasksOf are the tasks that import received files. Servers without tasks import files directly.
async function tasksOf(store: string): Promise<Task[]> {
  const pages = await Promise.all(["import_file", "convert_image"].map((kind) => listTasks({ store, kind }, null, recentTasks).catch(() => ({ items: [] as Task[] }))));
  return pages.flatMap((page) => page.items);
}

export const uploads = new Uploads();
