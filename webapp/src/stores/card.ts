// The card of a store: its condition, counts, settings and actions.

import { may, session } from "../access/session";
import type { ImageState, Store, SyncResult } from "../api/types";
import { formatBytes } from "../format";
import { t } from "../strings";
import { progressBar } from "../tasks/progress";
import { formatSchedule } from "../time";
import { h, type Child } from "../ui/dom";
import { icon, type IconName } from "../ui/icons";
import { Parts } from "../ui/parts";
import { stateIcon } from "../ui/state";
import { timeElement } from "../ui/time";
import type { Condition, ConditionKind } from "./condition";
import { syncTook, syncWords } from "./result";

export type Action = "sync" | "dryRun" | "resync" | "verifyNow" | "move" | "edit" | "remove" | "confirm";

const states: ImageState[] = ["available", "arriving", "missing", "broken", "unsupported", "quarantined"];
const shownFailures = 20;

const styles: Record<ConditionKind, { icon: IconName; badge: string }> = {
  inSync: { icon: "check", badge: "good" },
  polling: { icon: "check", badge: "good" },
  running: { icon: "turn", badge: "arriving" },
  waiting: { icon: "clock", badge: "arriving" },
  refused: { icon: "warning", badge: "broken" },
  unreachable: { icon: "warning", badge: "broken" },
  failed: { icon: "warning", badge: "broken" },
  never: { icon: "clock", badge: "unsupported" },
  syncedByHost: { icon: "check", badge: "good" },
  hostOffline: { icon: "warning", badge: "broken" },
  endpointOffline: { icon: "warning", badge: "broken" },
  unwatched: { icon: "clock", badge: "unsupported" },
  notWatched: { icon: "warning", badge: "broken" },
};

export const storeName = (store: Store): string => store.label || store.id;

// A StoreCard updates only the parts that change, so that buttons keep the focus.
export class StoreCard {
  readonly element = h("li", { class: "box store" });
  private readonly name = h("h2", null);
  private readonly marks = h("span", { class: "store-marks" });
  private readonly condition = h("div", { class: "store-condition" });
  private readonly counts = h("ul", { class: "store-counts", role: "list" });
  private readonly facts = h("div", { class: "store-facts" });
  private readonly actions = h("div", { class: "actions", role: "group" });
  private readonly parts = new Parts();
  private buckets = false;

  constructor(id: string, private readonly act: (action: Action) => void) {
    this.element.dataset.id = id;
    this.element.id = `store-${id}`;
    this.element.append(h("div", { class: "store-head" }, this.name, this.marks), this.condition, this.counts, this.facts, this.actions);
  }

  // update shows a store. Buckets is true if slides can be moved to one.
  update(store: Store, condition: Condition, buckets = false): void {
    this.buckets = buckets;
    const name = storeName(store);
    this.parts.show(this.name, name, () => [name]);
    this.parts.show(this.marks, [store.mode, store.public, store.declared], () => marks(store));
    this.parts.show(this.condition, [condition, name, store.scopes], () => this.conditionRow(condition, store));
    this.parts.show(this.counts, [store.counts, store.id], () => counts(store));
    this.parts.show(this.facts, [{ ...store, counts: null }, condition.kind], () => facts(store, condition.kind));
    this.parts.show(this.actions, [name, store.scopes, store.kind, provisionedAs(store), buckets], () => this.buttons(store));
    this.actions.hidden = this.actions.childElementCount === 0;
  }

  private conditionRow(condition: Condition, store: Store): Child[] {
    const name = storeName(store);
    const { kind, text, task, ask } = condition;
    const look = styles[kind];
    const running = kind === "running" || kind === "waiting";
    this.element.dataset.condition = kind;
    return [
      h("span", { class: `badge badge-${look.badge}`, "data-testid": "condition" }, icon(look.icon, 14), t.stores.condition[kind]),
      text ? h("p", { class: look.badge === "broken" ? "store-problem" : "quiet" }, text) : null,
      kind === "running" && task ? progressBar(task) : null,
      task ? h("a", { class: "link", href: `/tasks/${encodeURIComponent(task.id)}`, "data-page": true, "data-focus": "task", "aria-label": running ? null : `${t.stores.toTask}: ${name}` }, t.stores.toTask) : null,
      ask && may("write", store) ? this.button("confirm", t.stores.confirm, name, "button small") : null,
    ];
  }

  // buttons are the actions that the caller has permission for.
  private buttons(store: Store): Child[] {
    const name = storeName(store);
    this.actions.setAttribute("aria-label", t.stores.actions(name));
    const writing = [
      this.button("sync", t.stores.sync, name, "button small"),
      this.button("dryRun", t.stores.dryRun, name),
      this.button("resync", t.stores.resync, name),
      ...(verifiable(store) ? [this.button("verifyNow", t.stores.verifyNow, name)] : []),
      ...(this.buckets && isDirectory(store) ? [this.button("move", t.stores.move, name)] : []),
    ];
    return [
      ...(may("write", store) ? writing : []),
      may("admin", store) ? this.button("edit", t.stores.edit, name, "button small plain push") : null,
      session().admin && !provisionedAs(store) ? this.button("remove", t.stores.remove, name, "button small plain danger") : null,
    ];
  }

  private button(action: Action, text: string, name: string, look = "button small plain"): HTMLElement {
    return h("button", { type: "button", class: look, "aria-label": t.stores.actionOf(text, name), "data-action": action, "data-focus": action, onclick: () => this.act(action) }, text);
  }
}

// isBucket reports whether a store is managed and in a bucket: slides of folders can be moved to it.
export const isBucket = (store: Store): boolean => store.mode === "managed" && store.kind === "s3";

const isDirectory = (store: Store): boolean => (store.kind ?? "directory") === "directory";

// verifiable reports whether the files of a store have digests to compare them with. Those of other
// buckets are read at the command line, because that may cost money.
const verifiable = (store: Store): boolean => isDirectory(store) || isBucket(store);

function mark(text: string, title: string | undefined): HTMLElement {
  return h("span", { class: "mark", title }, text);
}

function marks(store: Store): Child[] {
  const key = provisionedAs(store);
  return [
    mark(t.stores.modes[store.mode] ?? store.mode, t.stores.modeHints[store.mode]),
    store.kind && t.stores.kinds[store.kind] ? mark(t.stores.kinds[store.kind]!, t.stores.kindHints[store.kind]) : null,
    store.public ? mark(t.stores.public, t.stores.publicHint) : null,
    key ? mark(t.stores.provisioned, t.stores.provisionedHint(key)) : null,
  ];
}

// provisionedAs is the key of a provisioned store in the configuration file; "" for other stores.
// The file always sets the mode.
const provisionedAs = (store: Store): string => (store.declared?.mode ?? "").replace(/\.mode$/, "");

// counts are links to the slides in each state.
function counts(store: Store): Child[] {
  const entries = states.filter((state) => store.counts?.[state]).map((state) => [state, store.counts![state]!] as const);
  if (entries.length === 0) return [h("li", { class: "quiet" }, t.stores.noSlides)];
  return entries.map(([state, n]) => {
    const href = `/?${new URLSearchParams({ store: store.id, state })}`;
    return h("li", null, h("a", { class: `count-link badge badge-${state}`, href, "data-page": true, "data-focus": state }, icon(stateIcon(state), 14), t.stores.count(n, state)));
  });
}

function facts(store: Store, kind: ConditionKind): Child[] {
  return [
    h(
      "dl",
      { class: "facts" },
      ...fact(t.stores.lastSync, store.last_sync ? timeElement(store.last_sync) : t.stores.never, store.last_result ? h("span", { class: "quiet", "data-testid": "result" }, resultWords(store.last_result)) : null),
      ...fact(t.stores.schedule, scheduleWords(store), store.next_sync ? h("span", { class: "quiet" }, `${t.stores.nextSync} `, timeElement(store.next_sync)) : null),
      ...fact(t.stores.watched, watchWords(store, kind), store.watch?.arriving ? h("span", { class: "quiet" }, t.stores.watchArriving(store.watch.arriving)) : null),
      ...(store.verify ? fact(t.stores.verify, formatSchedule(store.verify)) : []),
      ...(store.bytes || store.quota ? fact(t.stores.usage, usageWords(store)) : []),
      ...(store.root ? fact(t.stores.folder, h("code", { class: "path" }, store.root)) : []),
      ...(store.incoming ? fact(t.stores.incoming, h("code", { class: "path" }, store.incoming)) : []),
      ...fact(t.stores.queue, store.queue || (store.host ? `host-${store.host}` : "default"), h("a", { class: "link", href: `/tasks?store=${encodeURIComponent(store.id)}`, "data-page": true, "data-focus": "tasks", "aria-label": `${t.stores.tasks}: ${storeName(store)}` }, t.stores.tasks)),
      ...(store.host ? fact(t.stores.host, store.host) : []),
      ...fact(t.stores.endpoint, store.endpoint ? h("code", { class: "path" }, store.endpoint) : t.stores.thisServer),
    ),
    failures(store.last_result),
  ];
}

// usageWords is the used space of a store, and its quota.
export function usageWords(store: Pick<Store, "bytes" | "quota">): string {
  const held = formatBytes(store.bytes ?? 0);
  return store.quota ? t.stores.ofQuota(held, formatBytes(store.quota), percentOf(store.bytes ?? 0, store.quota)) : held;
}

function percentOf(part: number, whole: number): string {
  const share = Math.floor((100 * part) / whole);
  return share === 0 && part > 0 ? t.stores.belowOne : `${share} %`;
}

function fact(name: string, ...values: Child[]): Child[] {
  return [h("div", { class: "fact" }, h("dt", null, name), h("dd", null, ...values.flatMap((value, i) => (i === 0 ? [value] : [" ", value]))))];
}

function resultWords(result: SyncResult): string {
  const took = syncTook(result);
  return syncWords(result) + (took ? `; ${took}` : "");
}

function scheduleWords(store: Store): string {
  if (store.schedule) return formatSchedule(store.schedule) + (store.time_zone ? ` (${store.time_zone})` : "");
  if (!store.watch) return t.stores.noSchedule;
  return store.watch.polling ? t.stores.polledSchedule : t.stores.watchedSchedule;
}

// watchWords omit the reason for polling if the condition contains it.
function watchWords(store: Store, kind: ConditionKind): string {
  if (!store.watch) return store.host_away === false ? t.stores.watchHost(store.host ?? "") : t.stores.watchNone;
  if (store.watch.failing_since) return t.stores.watchFailing;
  return store.watch.polling ? t.stores.watchPolling(kind === "polling" ? "" : store.watch.why ?? "") : t.stores.watchKernel;
}

// failures lists the reasons why files cannot be opened.
function failures(result: SyncResult | null | undefined): HTMLElement | null {
  const list = result?.failed ?? [];
  if (list.length === 0) return null;
  return h(
    "details",
    { class: "failures" },
    h("summary", { "data-focus": "failures" }, t.stores.failures(list.length)),
    h(
      "ul",
      { role: "list" },
      ...list.slice(0, shownFailures).map(({ image, reason }) => h("li", null, image ? h("a", { class: "link", href: `/slides/${encodeURIComponent(image)}`, "data-page": true }, reason) : reason)),
      list.length > shownFailures ? h("li", { class: "quiet" }, t.stores.failuresMore(list.length - shownFailures)) : null,
    ),
  );
}

export const totalOf = (store: Store): number => Object.values(store.counts ?? {}).reduce((sum, n) => sum + (n ?? 0), 0);
