// The Stores page: lists, adds, changes and removes stores, and starts syncs.

import "../styles/manage.css";

import { session } from "../access/session";
import { listStores, listTasks, Problem, submitTask, syncStore } from "../api/client";
import type { Store, Task } from "../api/types";
import type { Page } from "../router";
import { t } from "../strings";
import { announce, notify } from "../ui/announce";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { poll } from "../ui/poll";
import { freshenTimes } from "../ui/time";
import { isBucket, StoreCard, storeName, type Action } from "./card";
import { conditionOf, storeKinds } from "./condition";
import { askConfirm, askMove, askRemove, askResync, showDryRun, wordsOf } from "./dialogs";
import { openStoreForm } from "./form";

const pollEvery = 2000; // milliseconds
const recentTasks = 100; // of each kind, from which the conditions of the stores are derived

export const storesPage: Page = {
  mount(root, _params, signal) {
    new Stores(root, signal);
  },
};

class Stores {
  private stores: Store[] | null = null;
  private tasks: Task[] = [];
  private stale = false;
  private readonly cards = new Map<string, StoreCard>();
  private readonly announced = new Map<string, string>(); // the last announced condition of each store
  private readonly list = h("ul", { class: "stores", role: "list", "aria-label": t.stores.list });
  private readonly foot = h("div", { class: "page-foot" });
  private readonly ask: () => void;

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    document.title = `${t.stores.title} · ${t.name}`;
    const add = h("button", { type: "button", class: "button", onclick: () => this.edit(null) }, icon("plus", 18), t.stores.add);
    root.append(
      header("stores"),
      h("main", { class: "page", id: "main", tabindex: "-1" }, h("div", { class: "page-head" }, h("div", null, h("h1", null, t.stores.title), h("p", { class: "quiet" }, t.stores.about)), session().admin ? add : null), this.list, this.foot),
    );
    window.scrollTo(0, 0);
    replace(this.foot, h("p", { class: "foot-line quiet" }, t.stores.loading));
    this.ask = poll(() => this.load(), pollEvery, signal);
    signal.addEventListener("abort", () => document.querySelectorAll("dialog").forEach((dialog) => dialog.close()));
  }

  private async load(): Promise<void> {
    try {
      // A server without tasks still has stores.
      const [stores, tasks] = await Promise.all([listStores(this.signal), this.listTasks().catch(() => [])]);
      const first = this.stores === null;
      this.stores = stores;
      this.tasks = tasks;
      this.stale = false;
      this.render();
      if (first && location.hash) document.getElementById(decodeURIComponent(location.hash.slice(1)))?.scrollIntoView();
    } catch (err) {
      if (this.signal.aborted) return;
      this.fail(err);
    }
  }

  // listTasks requests each kind separately, because a list of all tasks would mostly contain
  // digests and previews of single slides.
  private async listTasks(): Promise<Task[]> {
    const pages = await Promise.all(storeKinds.map((kind) => listTasks({ kind }, null, recentTasks, this.signal)));
    return pages.flatMap((page) => page.items).sort((a, b) => b.submitted_at.localeCompare(a.submitted_at));
  }

  private fail(err: unknown): void {
    const words = wordsOf(err);
    if (this.stores !== null) {
      if (!this.stale) replace(this.foot, h("p", { class: "foot-line", role: "alert" }, `${t.stores.stale} ${words}`));
      this.stale = true;
      return;
    }
    // The same error is announced only once.
    if (this.foot.querySelector("[role=alert]")?.textContent?.includes(words)) return;
    replace(this.foot, message({ picture: icon("warning", 40), title: t.stores.failedTitle, text: words, alert: true, action: h("button", { type: "button", class: "button", onclick: () => this.ask() }, t.retry) }));
  }

  private render(): void {
    const stores = this.stores ?? [];
    const ids = new Set(stores.map((store) => store.id));
    for (const [id, card] of this.cards) {
      if (ids.has(id)) continue;
      card.element.remove();
      this.cards.delete(id);
    }
    stores.forEach((store, i) => {
      let card = this.cards.get(store.id);
      if (!card) {
        card = new StoreCard(store.id, (action) => this.act(store.id, action));
        this.cards.set(store.id, card);
      }
      if (this.list.children[i] !== card.element) this.list.insertBefore(card.element, this.list.children[i] ?? null);
      const condition = conditionOf(store, this.tasks);
      card.update(store, condition, stores.some(isBucket));
      this.say(store, t.stores.condition[condition.kind]);
    });
    this.list.hidden = stores.length === 0;
    if (stores.length > 0) replace(this.foot);
    else if (!this.foot.querySelector(".message")) replace(this.foot, message({ picture: icon("folder", 48), title: t.stores.emptyTitle, text: session().admin ? t.stores.emptyText : t.access.emptyStores }));
    freshenTimes(this.list);
  }

  // say announces a changed condition of a store to screen readers.
  private say(store: Store, condition: string): void {
    const before = this.announced.get(store.id);
    this.announced.set(store.id, condition);
    if (before !== undefined && before !== condition) announce(`${storeName(store)}: ${condition}`);
  }

  private act(id: string, action: Action): void {
    const store = this.stores?.find((s) => s.id === id);
    if (!store) return;
    const begun = (words: string) => (task: Task): void => this.begun(task, words);
    const name = storeName(store);
    switch (action) {
      case "sync":
        return void this.run(() => syncStore(id), begun(t.stores.started.sync(name)));
      case "verifyNow":
        return void this.run(() => submitTask("verify_store", null, { store: id }), begun(t.stores.started.verify(name)));
      case "dryRun":
        return showDryRun(store, begun(""), () => this.act(id, "sync"));
      case "resync":
        return askResync(store, begun(t.stores.started.resync(name)));
      case "confirm":
        return askConfirm(store, conditionOf(store, this.tasks), begun(t.stores.started.confirm(name)));
      case "move":
        return askMove(store, this.stores ?? [], begun(t.stores.started.move(name)));
      case "edit":
        return this.edit(store);
      case "remove":
        return askRemove(store, () => this.removed(store));
    }
  }

  private async run(submit: () => Promise<Task>, done: (task: Task) => void): Promise<void> {
    try {
      done(await submit());
    } catch (err) {
      if (this.signal.aborted) return;
      notify(err instanceof Problem ? err.detail : t.error.title, 8000);
    }
  }

  // begun shows a task before the list of tasks is loaded again.
  private begun(task: Task, words: string): void {
    this.tasks = [task, ...this.tasks.filter((known) => known.id !== task.id)];
    if (words) notify(task.waiting_for_worker ? `${words} ${t.stores.queued(task.queue)}` : words);
    this.render();
    this.ask();
  }

  private edit(store: Store | null): void {
    openStoreForm(store, (saved) => {
      notify(store ? t.stores.changed(storeName(saved)) : t.stores.added(storeName(saved)));
      const rest = this.stores ?? [];
      this.stores = rest.some((s) => s.id === saved.id) ? rest.map((s) => (s.id === saved.id ? saved : s)) : [...rest, saved];
      this.render();
      this.ask();
      if (!store) this.cards.get(saved.id)?.element.scrollIntoView({ block: "nearest" });
    });
  }

  private removed(store: Store): void {
    notify(t.stores.removed(storeName(store)));
    this.stores = (this.stores ?? []).filter((s) => s.id !== store.id);
    this.render();
    this.ask();
    // The focused element was removed with the card.
    requestAnimationFrame(() => document.getElementById("main")?.focus({ preventScroll: true }));
  }
}
