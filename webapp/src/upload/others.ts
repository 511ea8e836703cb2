// Incomplete uploads of other users, for admins of a store.

import type { Store } from "../api/types";
import { formatBytes } from "../format";
import { storeName } from "../stores/card";
import { ask, wordsOf } from "../stores/dialogs";
import { t } from "../strings";
import { announce } from "../ui/announce";
import { h, type Child } from "../ui/dom";
import { Parts } from "../ui/parts";
import { poll } from "../ui/poll";
import { freshenTimes, timeElement } from "../ui/time";
import { discardUpload, listOthers } from "./client";
import type { UploadView } from "./types";

const askEvery = 60_000; // milliseconds: each time, the audit log records that file names were shown

export class Others {
  private pages = 1; // number of shown pages
  private readonly count = h("p", { class: "quiet", "data-testid": "others-count" });
  private readonly list = h("ul", { class: "uploads", role: "list", "aria-label": t.upload.others.title });
  private readonly empty = h("p", { class: "quiet", hidden: true }, t.upload.others.none);
  private readonly problem = h("p", { class: "upload-bad", role: "alert", hidden: true });
  private readonly more = h("button", { type: "button", class: "button plain", hidden: true, onclick: () => this.showMore() }, t.upload.others.more);
  readonly element = h(
    "section",
    { class: "stack upload-others", "aria-labelledby": "others-title", hidden: true },
    h("div", null, h("div", { class: "upload-total" }, h("h2", { id: "others-title" }, t.upload.others.title), this.count), h("p", { class: "quiet" }, t.upload.others.about)),
    this.problem, this.empty, this.list, this.more,
  );
  private readonly parts = new Parts();
  private again: () => void = () => {};

  constructor(private readonly signal: AbortSignal) {}

  start(stores: Store[]): void {
    this.again = poll(() => this.load(stores), askEvery, this.signal);
  }

  private async load(stores: Store[]): Promise<void> {
    try {
      const views: UploadView[] = [];
      let cursor: string | null = null;
      for (let n = 0; n < this.pages; n++) {
        const page = await listOthers(cursor, this.signal);
        views.push(...page.items);
        cursor = page.next_cursor;
        if (cursor === null) break;
      }
      this.show(views, cursor !== null, stores);
    } catch (err) {
      if (this.signal.aborted) return;
      this.problem.textContent = `${t.upload.others.failed} ${wordsOf(err)}`;
      this.problem.hidden = false;
      this.element.hidden = false;
    }
  }

  private show(views: UploadView[], more: boolean, stores: Store[]): void {
    this.element.hidden = false;
    this.problem.hidden = true;
    this.empty.hidden = views.length > 0;
    this.list.hidden = views.length === 0;
    this.more.hidden = !more;
    this.count.textContent = views.length > 0 ? t.upload.others.count(views.length, more) : "";
    this.parts.show(this.list, views, () => views.map((view) => this.row(view, stores)));
    freshenTimes(this.list);
  }

  private row(view: UploadView, stores: Store[]): HTMLElement {
    const name = view.sent_as ?? t.upload.others.hidden;
    const store = stores.find(({ id }) => id === view.store);
    const words = [percent(view), t.tasks.progressOf(formatBytes(view.offset), formatBytes(view.length))].join(" · ");
    const bar = h("progress", { max: view.length, value: view.offset, "aria-label": t.upload.progressOf(name), "aria-valuetext": words });
    return h(
      "li",
      { class: "box upload", "data-upload": view.id },
      h(
        "div",
        { class: "upload-main" },
        h("div", { class: "upload-head" }, h("h3", { class: view.sent_as === null ? "upload-name quiet" : "upload-name" }, name), h("p", { class: "quiet upload-facts" }, [t.upload.others.by(ownerOf(view)), store ? storeName(store) : view.store].join(" · "))),
        h("div", { class: "task-progress upload-progress" }, bar, h("span", { class: "quiet" }, words)),
        h("p", { class: "quiet upload-facts" }, ...ages(view)),
      ),
      h("div", { class: "upload-actions" }, h("button", { type: "button", class: "button small plain", "data-focus": view.id, "aria-label": t.upload.of(t.upload.others.remove, name), onclick: () => this.remove(view, name) }, t.upload.others.remove)),
    );
  }

  private remove(view: UploadView, name: string): void {
    ask({
      title: t.upload.others.askTitle, name: "remove-upload", danger: true, yes: t.upload.others.remove,
      text: [h("p", { class: "upload-name" }, h("strong", null, t.upload.others.askText(name, ownerOf(view)))), h("p", null, t.upload.others.askThen(view.offset === 0 ? null : formatBytes(view.offset)))],
      run: async () => {
        await discardUpload(view.id);
        announce(t.upload.others.removed(name));
        this.again();
      },
    });
  }

  private showMore(): void {
    this.pages++;
    this.again();
  }
}

function ownerOf(view: UploadView): string {
  return view.owner === null ? t.upload.others.nobody : view.owner.name ?? view.owner.id;
}

function ages(view: UploadView): Child[] {
  return [t.upload.others.started, " ", timeElement(view.created_at), " · ", ...(view.offset === 0 ? [t.upload.others.nothing] : [t.upload.others.received, " ", timeElement(view.updated_at)])];
}

function percent({ offset, length }: UploadView): string {
  return `${Math.floor((100 * offset) / length)} %`;
}
