// The Tasks page: running, waiting and finished tasks, and the workers.

import "../styles/manage.css";

import { cancelTask, listStores, listTasks, listWorkers, type TaskQuery } from "../api/client";
import { watchTask } from "../api/events";
import type { Store, Task, TaskState, Worker } from "../api/types";
import { replaceAddress, type Page } from "../router";
import { wordsOf } from "../stores/dialogs";
import { t } from "../strings";
import { announce, notify } from "../ui/announce";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { replaceKeepingFocus } from "../ui/keep-focus";
import { message } from "../ui/message";
import { poll } from "../ui/poll";
import { fill, labelledSelect } from "../ui/select";
import { freshenTimes } from "../ui/time";
import { taskRow } from "./row";
import { taskName } from "./words";
import { seesWorkers, workerHost, workersTable } from "./workers";

const pollEvery = 2000; // milliseconds
const pageSize = 50;
// Browsers open at most six connections to a server: streams must leave some for other requests,
// including those of other windows.
const maxStreams = 2;
const states: TaskState[] = ["running", "waiting", "retrying", "failed", "succeeded", "cancelled"];

export const tasksPage: Page = {
  mount(root, _params, signal) {
    new Tasks(root, signal);
  },
};

interface Row {
  element: HTMLElement;
  shown: string;
}

class Tasks {
  private query: TaskQuery = queryOf(location.search);
  private stores: Store[] = [];
  private workers: Worker[] = [];
  private page: Task[] | null = null; // the newest tasks, polled
  private older: Task[] = []; // older tasks, as they were when they were loaded
  private next: string | null = null;
  private stale = false;
  private asked = 0; // counts queries: answers to earlier queries are discarded
  private readonly rows = new Map<string, Row>();
  private readonly streams = new Map<string, AbortController>();
  private readonly announced = new Map<string, TaskState>();
  private readonly kind = labelledSelect("kind", t.tasks.kind, (value) => this.setQuery({ ...this.query, kind: value }));
  private readonly state = labelledSelect("state", t.tasks.state, (value) => this.setQuery({ ...this.query, state: value }));
  private readonly store = labelledSelect("store", t.tasks.store, (value) => this.setQuery({ ...this.query, store: value }));
  private readonly list = h("ul", { class: "tasks", role: "list", "aria-label": t.tasks.list });
  private readonly foot = h("div", { class: "page-foot" });
  private readonly workerList = h("div", { "data-testid": "workers" });
  private readonly ask: () => void;

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    document.title = `${t.tasks.title} · ${t.name}`;
    root.append(
      header("tasks"),
      h(
        "main",
        { class: "page", id: "main", tabindex: "-1" },
        h("div", { class: "page-head" }, h("h1", null, t.tasks.title), h("div", { class: "page-filters" }, this.store.frame, this.kind.frame, this.state.frame)),
        this.list,
        this.foot,
        h("section", { class: "box workers", hidden: !seesWorkers(), "aria-labelledby": "workers-title" }, h("h2", { id: "workers-title" }, t.tasks.workers), this.workerList),
      ),
    );
    window.scrollTo(0, 0);
    this.renderFilters();
    replace(this.foot, h("p", { class: "foot-line quiet" }, t.loading));
    this.ask = poll(() => this.load(), pollEvery, signal);
    if (seesWorkers()) poll(() => this.loadWorkers(), pollEvery * 2, signal);
    document.addEventListener("visibilitychange", () => this.follow(), { signal });
    signal.addEventListener("abort", () => this.streams.forEach((stream) => stream.abort()));
    void listStores(signal).then((stores) => {
      this.stores = stores;
      this.renderFilters();
      this.render();
    }, () => {}); // ids are shown instead of names then
  }

  private setQuery(query: TaskQuery): void {
    this.query = query;
    const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
    replaceAddress(`/tasks${params.size ? `?${params}` : ""}`);
    this.asked++;
    this.older = [];
    this.next = null;
    this.renderFilters();
    this.ask();
  }

  private async load(): Promise<void> {
    const { asked } = this;
    try {
      const { items, next_cursor } = await listTasks(this.query, null, pageSize, this.signal);
      if (asked !== this.asked) return;
      // Tasks that move from the first page to later pages stay in the list.
      const ids = new Set(items.map((task) => task.id));
      if (this.older.length === 0) this.next = next_cursor;
      else this.older = [...(this.page ?? []), ...this.older].filter((task, i, all) => !ids.has(task.id) && all.findIndex((other) => other.id === task.id) === i && isBehind(task, items));
      this.page = items;
      this.stale = false;
      this.render();
    } catch (err) {
      if (!this.signal.aborted && asked === this.asked) this.fail(wordsOf(err));
    }
  }

  private fail(words: string): void {
    if (this.page !== null) {
      if (!this.stale) replace(this.foot, h("p", { class: "foot-line", role: "alert" }, `${t.stores.stale} ${words}`));
      this.stale = true;
    } else if (!this.foot.querySelector("[role=alert]")?.textContent?.includes(words)) {
      replace(this.foot, message({ picture: icon("warning", 40), title: t.tasks.failedTitle, text: words, alert: true, action: h("button", { type: "button", class: "button", onclick: () => this.ask() }, t.retry) }));
    }
  }

  private async loadWorkers(): Promise<void> {
    try {
      this.workers = await listWorkers(this.signal);
      replace(this.workerList, ...workersTable(this.workers));
      this.render();
    } catch {
      if (!this.signal.aborted && this.workers.length === 0) replace(this.workerList, h("p", { class: "quiet" }, t.tasks.workersFailed));
    }
  }

  private renderFilters(): void {
    fill(this.state.input, [["", t.tasks.allStates], ...states.map((state): [string, string] => [state, t.tasks.states[state]])], this.query.state);
    fill(this.kind.input, [["", t.tasks.allKinds], ...Object.entries(t.tasks.kinds)], this.query.kind);
    const stores = this.stores.map((store): [string, string] => [store.id, store.label || store.id]);
    // A removed store still has tasks.
    if (this.query.store && !this.stores.some((store) => store.id === this.query.store)) stores.push([this.query.store, this.query.store]);
    fill(this.store.input, [["", t.tasks.allStores], ...stores], this.query.store);
    this.store.frame.hidden = stores.length < 2 && !this.query.store;
  }

  private get all(): Task[] {
    return [...(this.page ?? []), ...this.older];
  }

  private render(): void {
    if (this.page === null) return;
    const { all } = this;
    const ids = new Set(all.map((task) => task.id));
    for (const [id, row] of this.rows) {
      if (ids.has(id)) continue;
      row.element.remove();
      this.rows.delete(id);
    }
    all.forEach((task, i) => this.renderRow(task, i));
    this.list.hidden = all.length === 0;
    this.renderFoot();
    this.follow();
    freshenTimes(this.list);
  }

  private renderRow(task: Task, at: number): void {
    let row = this.rows.get(task.id);
    if (!row) {
      row = { element: h("li", { class: "box task", "data-id": task.id }), shown: "" };
      this.rows.set(task.id, row);
    }
    if (this.list.children[at] !== row.element) this.list.insertBefore(row.element, this.list.children[at] ?? null);
    const name = taskName(task, this.stores);
    const worker = (id: string): string => { const known = this.workers.find((w) => w.id === id); return known ? workerHost(known) : id; };
    const shown = JSON.stringify([task, name, task.worker && worker(task.worker)]);
    if (shown !== row.shown) {
      row.shown = shown;
      row.element.dataset.state = task.state;
      replaceKeepingFocus(row.element, ...taskRow(task, this.stores, worker, (cancelled) => void this.cancel(cancelled)));
    }
    const before = this.announced.get(task.id);
    if (before && before !== task.state && task.ready) announce(t.tasks.ended(name, t.tasks.states[task.state]));
    this.announced.set(task.id, task.state);
  }

  private renderFoot(): void {
    const filtered = Object.values(this.query).some(Boolean);
    if (this.all.length === 0) {
      if (this.foot.querySelector(".message:not([role])")) return;
      replace(this.foot, message({ picture: icon("list", 44), title: t.tasks.emptyTitle, text: filtered ? t.tasks.nothingText : t.tasks.emptyText, action: filtered ? h("button", { type: "button", class: "button", onclick: () => this.setQuery({ kind: "", state: "", store: "" }) }, t.tasks.reset) : null }));
    } else if (this.next !== null) {
      if (!this.foot.querySelector(".more")) replace(this.foot, h("p", { class: "foot-line" }, h("button", { type: "button", class: "button plain more", onclick: () => void this.loadOlder() }, t.tasks.more)));
    } else {
      replace(this.foot);
    }
  }

  private async loadOlder(): Promise<void> {
    const { asked, next } = this;
    if (next === null) return;
    try {
      const { items, next_cursor } = await listTasks(this.query, next, pageSize, this.signal);
      if (asked !== this.asked || next !== this.next) return;
      const ids = new Set(this.all.map((task) => task.id));
      this.older = [...this.older, ...items.filter((task) => !ids.has(task.id))];
      this.next = next_cursor;
      this.render();
    } catch (err) {
      if (!this.signal.aborted) notify(`${t.tasks.moreFailed} ${wordsOf(err)}`);
    }
  }

  // follow streams the events of the newest running tasks. The state of other tasks comes from
  // polling, every two seconds.
  private follow(): void {
    const running = document.hidden ? [] : this.all.filter((task) => task.state === "running").slice(0, maxStreams).map((task) => task.id);
    for (const [id, stream] of this.streams) {
      if (running.includes(id)) continue;
      stream.abort();
      this.streams.delete(id);
    }
    for (const id of running) {
      if (this.streams.has(id)) continue;
      const stream = new AbortController();
      this.streams.set(id, stream);
      watchTask(id, (task) => this.update(task), stream.signal);
    }
  }

  private update(task: Task): void {
    const put = (known: Task): Task => (known.id === task.id ? { ...task, log: null } : known);
    this.page = this.page?.map(put) ?? null;
    this.older = this.older.map(put);
    this.render();
    if (task.ready) this.ask();
  }

  private async cancel(task: Task): Promise<void> {
    try {
      await cancelTask(task.id);
      notify(t.tasks.cancelled);
      this.ask();
    } catch (err) {
      if (!this.signal.aborted) notify(wordsOf(err), 8000);
    }
  }
}

// isBehind reports whether a task is older than those of a page.
function isBehind(task: Task, page: Task[]): boolean {
  const last = page.at(-1);
  return !!last && task.submitted_at <= last.submitted_at;
}

function queryOf(search: string): TaskQuery {
  const params = new URLSearchParams(search);
  const state = params.get("state") ?? "";
  const kind = params.get("kind") ?? "";
  return { kind: kind in t.tasks.kinds ? kind : "", state: states.includes(state as TaskState) ? state : "", store: params.get("store") ?? "" };
}
