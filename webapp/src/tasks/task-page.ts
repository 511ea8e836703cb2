// The page of one task: its progress, log and result.

import "../styles/manage.css";

import { cancelTask, getTask, listStores, listWorkers, Problem } from "../api/client";
import { watchTask } from "../api/events";
import type { Store, Task, Worker } from "../api/types";
import { formatTime } from "../format";
import type { Page } from "../router";
import { sentence, storeOf } from "../stores/condition";
import { wordsOf } from "../stores/dialogs";
import { t } from "../strings";
import { announce, notify } from "../ui/announce";
import { append, h, replace, type Child } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { Parts } from "../ui/parts";
import { freshenTimes, timeElement } from "../ui/time";
import { taskBadge } from "./badge";
import { progressBar } from "./progress";
import { mayCancel, waits } from "./row";
import { resultWords, taskName, tookWords } from "./words";
import { seesWorkers, workerHost } from "./workers";

export const taskPage: Page = {
  mount(root, [id], signal) {
    new OneTask(root, id!, signal);
  },
};

class OneTask {
  private task: Task | null = null;
  private stores: Store[] = [];
  private workers: Worker[] = [];
  private readonly parts = new Parts();
  private readonly head = h("div", { class: "page-head" });
  private readonly now = h("div", { class: "stack" }); // progress, or what the task waits for
  private readonly outcome = h("div", { class: "stack" });
  private readonly facts = h("dl", { class: "facts" });
  private readonly lines = h("ol", { role: "list" });
  private readonly scroll = h("div", { class: "log", role: "group", "aria-labelledby": "log-title", tabindex: "0" }, this.lines);
  private readonly log = h("section", { class: "box", hidden: true }, h("h2", { id: "log-title" }, t.tasks.log), this.scroll);
  private readonly body = h("div", { class: "stack" });

  constructor(root: HTMLElement, private readonly id: string, private readonly signal: AbortSignal) {
    document.title = `${t.tasks.title} · ${t.name}`;
    root.append(header("tasks", true), h("main", { class: "page narrow", id: "main", tabindex: "-1" }, h("a", { class: "link back", href: "/tasks", "data-page": true }, icon("back", 16), t.tasks.back), this.body));
    window.scrollTo(0, 0);
    replace(this.body, h("p", { class: "quiet" }, t.loading));
    const timer = setInterval(() => this.task && this.tick(), 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
    void this.load();
    void Promise.all([listStores(signal), seesWorkers() ? listWorkers(signal).catch(() => []) : []]).then(([stores, workers]) => {
      [this.stores, this.workers] = [stores, workers];
      if (this.task) this.show(this.task);
    }, () => {}); // ids are shown instead of names then
  }

  private async load(): Promise<void> {
    try {
      const task = await getTask(this.id, this.signal);
      this.show(task);
      if (!task.ready) watchTask(this.id, (now) => this.show(now), this.signal);
    } catch (err) {
      if (this.signal.aborted) return;
      const none = err instanceof Problem && err.status === 404;
      const retry = h("button", { type: "button", class: "button", onclick: () => void this.load() }, t.retry);
      replace(this.body, message({ picture: icon("warning", 40), title: none ? t.tasks.noTaskTitle : t.tasks.taskFailedTitle, text: none ? t.tasks.noTaskText : wordsOf(err), alert: true, action: none ? null : retry }));
    }
  }

  private tick(): void {
    freshenTimes(this.body);
    const took = this.body.querySelector("[data-took]");
    if (took && !this.task!.ready) took.textContent = tookWords(this.task!, Date.now());
  }

  private show(task: Task): void {
    const before = this.task;
    this.task = task;
    const name = taskName(task, this.stores);
    document.title = `${name} · ${t.name}`;
    if (before && before.state !== task.state) announce(t.tasks.ended(name, t.tasks.states[task.state]));
    if (!this.head.isConnected) replace(this.body, this.head, this.now, this.outcome, h("section", { class: "box" }, this.facts), this.log);
    const cancels = !task.ready && mayCancel(task, this.stores);
    this.parts.show(this.head, [name, task.state, cancels], () => [
      h("div", { class: "task-title" }, h("h1", null, name), taskBadge(task)),
      cancels ? h("button", { type: "button", class: "button plain", "data-focus": "cancel", onclick: () => void this.cancel() }, t.tasks.cancel) : null,
    ]);
    this.parts.show(this.now, [task.state, task.progress, task.waiting_for_worker], () => [task.state === "running" ? progressBar(task) : null, waits(task)]);
    this.parts.show(this.outcome, [task.state, task.error, task.result], () => outcome(task));
    this.parts.show(this.facts, [{ ...task, log: null, progress: null }, this.stores, this.workers], () => this.rows(task));
    this.showLog(task);
  }

  // showLog appends new lines, and keeps the log scrolled to its end if it is there.
  private showLog(task: Task): void {
    const lines = task.log ?? [];
    const { lines: list, scroll } = this;
    this.log.hidden = lines.length === 0;
    // A new attempt may restart the log.
    if (lines.length < list.children.length) list.replaceChildren();
    const stick = scroll.scrollTop + scroll.clientHeight >= scroll.scrollHeight - 4;
    append(list, ...lines.slice(list.children.length).map((line) => h("li", null, h("time", { datetime: line.at, title: formatTime(line.at) }, clock(line.at)), " ", line.text)));
    if (stick) scroll.scrollTop = scroll.scrollHeight;
  }

  private rows(task: Task): Child[] {
    const store = storeOf(task);
    const image = task.args?.image;
    const worker = task.worker ? this.workers.find((w) => w.id === task.worker) : null;
    const time = (iso: string | null): Child => (iso ? timeElement(iso) : "–");
    const rows: [string, Child][] = [
      [t.tasks.store, store ? h("a", { class: "link", href: `/stores#store-${encodeURIComponent(store)}`, "data-page": true, "data-focus": "store" }, this.stores.find((s) => s.id === store)?.label || store) : null],
      [t.tasks.slide, typeof image === "string" ? h("a", { class: "link", href: `/slides/${encodeURIComponent(image)}`, "data-page": true, "data-focus": "slide" }, image) : null],
      [t.tasks.queue, task.queue],
      [t.tasks.worker, worker ? workerHost(worker) : task.worker ?? t.tasks.noWorker],
      [t.tasks.attempts, task.attempts],
      [t.tasks.submitted, time(task.submitted_at)],
      [t.tasks.started, time(task.started_at)],
      [t.tasks.finished, time(task.finished_at)],
      [t.tasks.took, task.started_at ? h("span", { "data-took": true }, tookWords(task, Date.now())) : null],
      [t.tasks.id, h("code", { class: "path" }, task.id)],
      [t.tasks.request, task.request_id ? h("code", { class: "path" }, task.request_id) : null],
      [t.tasks.args, hasArgs(task) ? h("code", { class: "path" }, JSON.stringify(task.args)) : null],
    ];
    return rows.filter(([, value]) => value !== null).map(([title, value]) => h("div", { class: "fact" }, h("dt", null, title), h("dd", null, value)));
  }

  private async cancel(): Promise<void> {
    try {
      await cancelTask(this.id);
      notify(t.tasks.cancelled);
    } catch (err) {
      if (!this.signal.aborted) notify(wordsOf(err), 8000);
    }
  }
}

const hasArgs = (task: Task): boolean => Object.keys(task.args ?? {}).some((name) => name !== "store" && name !== "image");

// outcome is the result of a task, as text if possible, else as JSON.
function outcome(task: Task): Child[] {
  const parts: Child[] = [];
  if (task.error && task.state !== "succeeded") parts.push(h("section", { class: "box bad" }, h("h2", null, t.tasks.error), h("p", { class: "task-error" }, sentence(task.error))));
  if (task.result !== null && task.result !== undefined) {
    const words = resultWords(task);
    const json = h("pre", { class: "json", tabindex: "0", "aria-label": t.tasks.result, "data-focus": "json" }, JSON.stringify(task.result, null, 2));
    parts.push(h("section", { class: "box", "data-testid": "task-result" }, h("h2", null, t.tasks.result), words ? h("p", { class: "outcome" }, words) : json, ...reasons(task.result)));
  }
  return parts;
}

// reasons lists the errors of single slides in a result, with links to the slides.
function reasons(result: unknown): Child[] {
  const lists = ["failed", "damaged", "unreadable"].map((name) => (result as Record<string, unknown> | null)?.[name]).filter(Array.isArray) as { image?: string; reason?: string }[][];
  const found = lists.flat().filter((finding) => typeof finding?.reason === "string");
  if (found.length === 0) return [];
  return [h("ul", { class: "reasons", role: "list" }, ...found.slice(0, 100).map(({ image, reason }, i) => h("li", null, image ? h("a", { class: "link", href: `/slides/${encodeURIComponent(image)}`, "data-page": true, "data-focus": `reason-${i}` }, reason) : reason)))];
}

function clock(iso: string): string {
  const time = new Date(iso);
  return Number.isNaN(time.getTime()) ? iso : time.toLocaleTimeString("en", { hour12: false });
}
