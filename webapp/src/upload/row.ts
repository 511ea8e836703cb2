// A file in the list of uploads.

import { logInAddress } from "../access/return";
import type { Store } from "../api/types";
import { formatBytes } from "../format";
import { storeName } from "../stores/card";
import { t } from "../strings";
import { progressWords } from "../tasks/words";
import { formatSeconds } from "../time";
import { h, type Child } from "../ui/dom";
import { icon, type IconName } from "../ui/icons";
import { Parts } from "../ui/parts";
import { reasonParts } from "../ui/state";
import type { Item, Phase } from "./item";
import { taskOf } from "./verdict";

export type Action = "pause" | "resume" | "cancel" | "retry" | "choose" | "discard" | "remove";

const styles: Record<Phase, { icon: IconName; badge: string }> = {
  reading: { icon: "turn", badge: "arriving" },
  queued: { icon: "clock", badge: "unsupported" },
  sending: { icon: "upload", badge: "arriving" },
  paused: { icon: "pause", badge: "unsupported" },
  waiting: { icon: "clock", badge: "missing" },
  checking: { icon: "turn", badge: "arriving" },
  done: { icon: "check", badge: "good" },
  failed: { icon: "warning", badge: "broken" },
  left: { icon: "pause", badge: "missing" },
};

export class Row {
  readonly element = h("li", { class: "box upload" });
  private readonly head = h("div", { class: "upload-head" });
  private readonly bar = h("progress", { max: 1 });
  private readonly figures = h("span", { class: "quiet" });
  private readonly progress = h("div", { class: "task-progress upload-progress" }, this.bar, this.figures);
  private readonly words = h("div", { class: "upload-words" });
  private readonly actions = h("div", { class: "upload-actions", role: "group" });
  private readonly parts = new Parts();

  constructor(private readonly item: Item, private readonly act: (action: Action) => void) {
    this.element.dataset.key = item.key;
    this.bar.setAttribute("aria-label", t.upload.progressOf(item.name));
    this.actions.setAttribute("aria-label", t.upload.actionsOf(item.name));
    this.element.append(h("div", { class: "upload-main" }, this.head, this.progress, this.words), this.actions);
  }

  update(stores: Store[], now: number): void {
    const { item } = this;
    const bad = item.verdict?.kind === "bad";
    const store = stores.find(({ id }) => id === item.store);
    this.element.dataset.phase = item.phase;
    const look = bad ? styles.failed : styles[item.phase];
    const state = bad ? (item.verdict!.state ? t.state[item.verdict!.state] : t.upload.phases.failed) : t.upload.phases[item.phase];
    this.parts.show(this.head, [state, store?.label], () => [
      h("h3", { class: "upload-name" }, item.name),
      h("span", { class: `badge badge-${look.badge}`, "data-testid": "phase" }, icon(look.icon, 14), state),
      h("p", { class: "quiet upload-facts" }, [formatBytes(item.size), store ? storeName(store) : item.store].join(" · ")),
    ]);
    this.showProgress(now);
    const wait = item.phase === "waiting" && item.retryAt !== null ? Math.max(0, Math.ceil((item.retryAt - now) / 1000)) : null;
    this.parts.show(this.words, [item.phase, item.problem, item.verdict, wait, item.needsLogin], () => this.messages(wait));
    this.parts.show(this.actions, [item.phase, item.verdict], () => this.buttons());
  }

  private showProgress(now: number): void {
    const { item } = this;
    const { done, total, words } = this.progressNow(now);
    this.progress.hidden = item.isSettled || item.verdict?.kind === "bad";
    if (total === null) this.bar.removeAttribute("value");
    else this.bar.value = total === 0 ? 0 : done / total;
    if (this.figures.textContent !== words) this.figures.textContent = words;
    this.bar.setAttribute("aria-valuetext", words);
  }

  private progressNow(now: number): { done: number; total: number | null; words: string } {
    const { item } = this;
    const { size } = item;
    if (item.phase === "reading") return { done: item.read, total: size, words: t.upload.reading(percent(item.read, size)) };
    if (item.phase === "checking") {
      const task = item.view?.image ? taskOf(item.tasks, item.view.image.id) : null;
      const what = task ? t.upload.doing[task.kind] ?? t.tasks.kinds[task.kind] ?? task.kind : item.view?.image?.state === "available" ? t.upload.importing : t.upload.inspecting;
      const of = task ? progressWords(task) : "";
      const total = task?.progress?.total ?? null;
      return { done: task?.progress?.done ?? 0, total, words: of ? `${what}: ${of}` : `${what} …` };
    }
    const speed = item.phase === "sending" ? item.speed.perSecond(now) : null;
    const left = speed === null ? null : item.speed.secondsLeft(size, now);
    return {
      done: item.sent, total: size,
      words: [
        percent(item.sent, size), t.tasks.progressOf(formatBytes(item.sent), formatBytes(size)),
        speed === null ? "" : t.upload.perSecond(formatBytes(speed)), left === null ? "" : t.upload.left(formatSeconds(left)),
      ].filter(Boolean).join(" · "),
    };
  }

  private messages(wait: number | null): Child[] {
    const { item } = this;
    const parts: Child[] = [];
    if (item.problem) parts.push(h("p", { class: item.phase === "failed" ? "upload-bad" : "upload-interrupted" }, item.problem, wait === null ? null : ` ${item.needsLogin ? "" : t.upload.again(wait)}`));
    if (item.needsLogin && item.phase === "waiting") parts.push(h("p", null, h("a", { class: "link", href: logInAddress("/upload"), target: "_blank", rel: "noopener" }, t.upload.logIn)));
    if (item.phase === "left") parts.push(h("p", null, t.upload.leftText));
    if (item.verdict?.kind === "good") parts.push(h("p", { class: "upload-good" }, item.verdict.words));
    if (item.verdict?.kind === "bad") parts.push(...reasonParts(item.verdict.words, "upload-bad"));
    return parts;
  }

  private buttons(): Child[] {
    const { item } = this;
    const slide = item.verdict?.slide;
    const open = slide && item.verdict?.kind === "good" ? [h("a", { class: "button small", href: `/slides/${encodeURIComponent(slide)}`, "data-page": true, "data-focus": "open", "aria-label": t.upload.of(t.upload.open, item.name) }, t.upload.open)] : [];
    const list: Partial<Record<Phase, Action[]>> = {
      reading: ["cancel"], queued: ["cancel"], sending: ["pause", "cancel"], paused: ["resume", "cancel"], waiting: ["retry", "cancel"],
      left: ["choose", "discard"], done: ["remove"], failed: ["remove"],
    };
    return [...open, ...(list[item.phase] ?? []).map((action) => this.button(action))];
  }

  private button(action: Action): HTMLElement {
    const main = ["resume", "retry", "choose"].includes(action);
    // A button that replaces another keeps its focus.
    const focus = ["pause", "resume", "retry", "choose"].includes(action) ? "go" : "end";
    return h("button", { type: "button", class: `button small${main ? "" : " plain"}`, "data-action": action, "data-focus": focus, "aria-label": t.upload.of(t.upload.actions[action], this.item.name), onclick: () => this.act(action) }, t.upload.actions[action]);
  }
}

function percent(done: number, total: number): string {
  return `${total === 0 ? 0 : Math.floor((100 * done) / total)} %`;
}
