// The page of deleted slides, which admins can restore.

import "../styles/manage.css";
import "../styles/upload.css";

import { notAllowed } from "../access/not-allowed";
import { session } from "../access/session";
import { listDeleted, listStores, Problem, restoreImage, type DeletedImage } from "../api/client";
import type { Store } from "../api/types";
import { formatBytes, formatDay, formatTime } from "../format";
import type { Page } from "../router";
import { storeName } from "../stores/card";
import { wordsOf } from "../stores/dialogs";
import { t } from "../strings";
import { durationSeconds } from "../time";
import { notify } from "../ui/announce";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { slideName } from "./card";

const pageSize = 50;
const keepTrash = 30 * 24 * 3600; // seconds; the default of the server

export const deletedPage: Page = {
  mount(root, _params, signal) {
    document.title = `${t.slide.trash} · ${t.name}`;
    if (session().admin || (session().mode === "none" && session().scopes.includes("admin"))) new Deleted(root, signal);
    else notAllowed(root, "");
  },
};

class Deleted {
  private stores: Store[] = [];
  private next: string | null = null;
  private readonly list = h("ul", { class: "uploads deleted", role: "list", "aria-label": t.slide.trash });
  private readonly foot = h("div", { class: "page-foot" });

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    root.append(header("slides", true), h("main", { class: "page narrow", id: "main", tabindex: "-1" }, h("div", { class: "page-head" }, h("div", null, h("h1", null, t.slide.trash), h("p", { class: "quiet" }, t.slide.trashAbout))), this.list, this.foot));
    window.scrollTo(0, 0);
    void this.load(true);
  }

  private async load(first: boolean): Promise<void> {
    replace(this.foot, h("p", { class: "foot-line quiet" }, t.loading));
    try {
      if (first) this.stores = await listStores(this.signal);
      const page = await listDeleted(this.next, pageSize, this.signal);
      this.list.append(...page.items.map((image) => this.row(image)));
      this.next = page.next_cursor;
      this.renderFoot();
    } catch (err) {
      if (this.signal.aborted) return;
      replace(this.foot, h("p", { class: "foot-line", role: "alert" }, wordsOf(err), " ", h("button", { type: "button", class: "button", onclick: () => void this.load(first) }, t.retry)));
    }
  }

  private renderFoot(): void {
    this.list.hidden = this.list.childElementCount === 0;
    if (this.next !== null) replace(this.foot, h("p", { class: "foot-line" }, h("button", { type: "button", class: "button plain", onclick: () => void this.load(false) }, t.slide.more)));
    else if (this.list.hidden) replace(this.foot, message({ picture: icon("check", 40), title: t.slide.trashNone, text: t.slide.trashNoneText }));
    else replace(this.foot);
  }

  private row(image: DeletedImage): HTMLElement {
    const name = slideName(image);
    const store = this.stores.find(({ id }) => id === image.store);
    const problem = h("p", { class: "upload-bad", role: "alert", hidden: true });
    const restore = h("button", { type: "button", class: "button small plain", "aria-label": t.slide.restoreOf(name), onclick: async () => {
      restore.disabled = true;
      problem.hidden = true;
      try {
        await restoreImage(image.id);
        this.drop(row);
        notify(t.slide.restored(name), 5000);
      } catch (err) {
        problem.textContent = wordsOf(err);
        problem.hidden = false;
        restore.disabled = err instanceof Problem && err.status === 410;
      }
    } }, t.slide.restore);
    const facts = [image.label ? image.file_name : null, image.barcode, image.size === null ? null : formatBytes(image.size), store ? storeName(store) : image.store];
    const row = h(
      "li",
      { class: "box upload", "data-id": image.id },
      h("div", { class: "upload-main" }, h("div", { class: "upload-head" }, h("h2", { class: "upload-name" }, name), h("p", { class: "quiet upload-facts" }, facts.filter(Boolean).join(" · "))), h("p", { class: "upload-facts" }, ...when(image, store)), problem),
      h("div", { class: "upload-actions" }, restore),
    );
    return row;
  }

  // drop removes a row, and moves the focus to the next one.
  private drop(row: HTMLElement): void {
    const next = row.nextElementSibling ?? row.previousElementSibling;
    row.remove();
    next?.querySelector("button")?.focus();
    this.renderFoot();
  }
}

// when says when a slide was deleted, and how long it can be restored.
function when(image: DeletedImage, store: Store | undefined): (Node | string)[] {
  const time = (iso: string): HTMLElement => h("time", { datetime: iso }, formatTime(iso));
  if (!image.deleted_at) return image.missing_since ? [`${t.slide.missingSince} `, time(image.missing_since)] : [];
  const kept = store?.mode === "managed"
    ? t.slide.until(formatDay(new Date(Date.parse(image.deleted_at) + 1000 * (store.keep_trash ? durationSeconds(store.keep_trash) ?? keepTrash : keepTrash)).toISOString()))
    : t.slide.inPlace;
  return [`${t.slide.deletedAt} `, time(image.deleted_at), ` · ${kept}.`];
}
