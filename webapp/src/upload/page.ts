// The Upload page.

import "../styles/manage.css";
import "../styles/upload.css";

import { session } from "../access/session";
import { listStores } from "../api/client";
import type { Store } from "../api/types";
import type { Page } from "../router";
import { usageWords, storeName } from "../stores/card";
import { wordsOf } from "../stores/dialogs";
import { openStoreForm } from "../stores/form";
import { t } from "../strings";
import { notify } from "../ui/announce";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { remember, remembered } from "../ui/remember";
import { fill, labelledSelect } from "../ui/select";
import { managesUploads, acceptsUploads } from "./client";
import { filesOf } from "./files";
import type { Item } from "./item";
import { Others } from "./others";
import { Row, type Action } from "./row";
import { uploads } from "./uploads";

export const uploadPage: Page = {
  mount(root, _params, signal) {
    new UploadPage(root, signal);
  },
};

class UploadPage {
  private stores: Store[] = [];
  private readonly rows = new Map<Item, Row>();
  private chosenFor: Item | null = null; // the upload whose file is being chosen again
  private depth = 0; // number of nested elements that a file is dragged over

  private readonly store = labelledSelect("store", t.upload.store, (value) => {
    remember("upload.store", value);
    this.render();
  });
  private readonly checked = h("input", { type: "checkbox", id: "upload-checked", onchange: () => remember("upload.checked", String(this.checked.checked)) });
  private readonly files = h("input", { type: "file", multiple: true, class: "visually-hidden", tabindex: "-1", "aria-hidden": "true", "data-testid": "files", onchange: () => this.chosen() });
  private readonly choose = h("button", { type: "button", class: "button", onclick: () => this.pick(null) }, icon("upload", 18), t.upload.choose);
  private readonly zone = h(
    "section",
    { class: "drop-zone", "aria-labelledby": "drop-title" },
    icon("upload", 40),
    h("h2", { id: "drop-title" }, t.upload.drop),
    this.choose,
    h("p", { class: "quiet" }, t.upload.dropHint),
    this.files,
  );
  private readonly usage = h("p", { class: "quiet", "data-testid": "usage" });
  private readonly options = h("div", { class: "upload-options" }, h("div", { class: "upload-store" }, this.store.frame, this.usage), h("div", { class: "tick-field" }, this.checked, h("div", null, h("label", { for: "upload-checked" }, t.upload.checksum), h("p", { class: "hint quiet" }, t.upload.checksumHint))));
  private readonly total = h("p", { class: "quiet", "data-testid": "total" });
  private readonly list = h("ul", { class: "uploads", role: "list", "aria-label": t.upload.list });
  private readonly section = h("section", { class: "stack", hidden: true }, h("div", { class: "upload-total" }, h("h2", null, t.upload.list), this.total), this.list);
  private readonly others: Others;
  private readonly body = h("div", { class: "stack" });

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    document.title = `${t.upload.title} · ${t.name}`;
    root.append(header("upload"), h("main", { class: "page narrow", id: "main", tabindex: "-1" }, h("div", { class: "page-head" }, h("div", null, h("h1", null, t.upload.title), h("p", { class: "quiet" }, t.upload.about))), this.body));
    window.scrollTo(0, 0);
    this.others = new Others(signal);
    replace(this.body, h("p", { class: "quiet" }, t.loading));
    this.checked.checked = remembered("upload.checked") === "true";
    uploads.onChange(() => this.render(), signal);
    const timer = setInterval(() => this.render(), 1000);
    signal.addEventListener("abort", () => clearInterval(timer));
    this.listen();
    void this.load();
  }

  private async load(): Promise<void> {
    try {
      this.stores = (await listStores(this.signal)).filter(acceptsUploads);
      if (this.stores.length === 0) return replace(this.body, this.noStore());
      const wanted = new URLSearchParams(location.search).get("store") ?? remembered("upload.store");
      fill(this.store.input, this.stores.map((store): [string, string] => [store.id, storeName(store)]), this.stores.some(({ id }) => id === wanted) ? wanted! : this.stores[0]!.id);
      replace(this.body, this.options, this.zone, this.section, this.others.element);
      this.render();
      if (this.stores.some(managesUploads)) this.others.start(this.stores);
      await uploads.loadEarlier(this.signal);
    } catch (err) {
      if (this.signal.aborted) return;
      if (this.stores.length > 0) return notify(`${t.upload.listFailed} ${wordsOf(err)}`, 8000);
      replace(this.body, message({ picture: icon("warning", 40), title: t.upload.failedTitle, text: wordsOf(err), alert: true, action: h("button", { type: "button", class: "button", onclick: () => void this.load() }, t.retry) }));
    }
  }

  // noStore explains how to create a store that accepts uploads.
  private noStore(): HTMLElement {
    if (!session().admin) return message({ picture: icon("lock", 44), title: t.upload.noStoreTitle, text: t.upload.forbiddenText });
    return message(
      { picture: icon("folder", 48), title: t.upload.noStoreTitle, text: t.upload.noStoreText, action: h("button", { type: "button", class: "button", onclick: () => openStoreForm(null, () => void this.load(), { mode: "managed" }) }, icon("plus", 18), t.upload.addStore) },
      h("p", null, t.upload.noStoreCommand),
      h("pre", { class: "command" }, h("code", null, t.upload.command)),
    );
  }

  private listen(): void {
    const { signal } = this;
    const has = (event: DragEvent): boolean => !!event.dataTransfer?.types.includes("Files") && this.zone.isConnected;
    const over = (depth: number): void => {
      this.depth = Math.max(0, depth);
      this.zone.classList.toggle("over", this.depth > 0);
    };
    document.addEventListener("dragenter", (event) => has(event) && (event.preventDefault(), over(this.depth + 1)), { signal });
    document.addEventListener("dragleave", (event) => has(event) && over(this.depth - 1), { signal });
    document.addEventListener("dragover", (event) => {
      if (!has(event)) return;
      event.preventDefault();
      event.dataTransfer!.dropEffect = "copy";
    }, { signal });
    document.addEventListener("drop", (event) => {
      if (!has(event)) return;
      event.preventDefault();
      over(0);
      void filesOf(event.dataTransfer!).then((files) => this.add(files), () => notify(t.upload.unreadable, 8000));
    }, { signal });
  }

  private pick(item: Item | null): void {
    this.chosenFor = item;
    this.files.multiple = item === null;
    this.files.click();
  }

  private chosen(): void {
    const files = [...(this.files.files ?? [])];
    this.files.value = "";
    const item = this.chosenFor;
    this.chosenFor = null;
    if (!item) return this.add(files);
    if (files[0] && !uploads.choose(item, files[0])) notify(t.upload.otherFile(item.name), 8000);
  }

  private add(files: File[]): void {
    if (files.length > 0) uploads.add(files, this.store.input.value, this.checked.checked);
  }

  private render(): void {
    if (!this.list.isConnected) return;
    const now = Date.now();
    for (const [item, row] of this.rows) {
      if (uploads.items.includes(item)) continue;
      const next = row.element.nextElementSibling ?? row.element.previousElementSibling;
      const focused = row.element.contains(document.activeElement);
      row.element.remove();
      this.rows.delete(item);
      if (focused) (next?.querySelector<HTMLElement>("button, a") ?? this.choose).focus();
    }
    uploads.items.forEach((item, i) => {
      let row = this.rows.get(item);
      if (!row) {
        row = new Row(item, (action) => this.act(item, action));
        this.rows.set(item, row);
      }
      if (this.list.children[i] !== row.element) this.list.insertBefore(row.element, this.list.children[i] ?? null);
      row.update(this.stores, now);
    });
    const store = this.stores.find(({ id }) => id === this.store.input.value);
    const usage = store?.quota ? t.upload.usage(usageWords(store)) : "";
    if (this.usage.textContent !== usage) this.usage.textContent = usage;
    this.section.hidden = uploads.items.length === 0;
    const done = uploads.items.filter((item) => item.isSettled).length;
    const words = uploads.items.length > 1 ? t.upload.total(done, uploads.items.length) : "";
    if (this.total.textContent !== words) this.total.textContent = words;
  }

  private act(item: Item, action: Action): void {
    switch (action) {
      case "pause":
      case "resume":
        return uploads.pause(item, action === "pause");
      case "retry":
        return uploads.retry(item);
      case "choose":
        return this.pick(item);
      default:
        return void uploads.remove(item);
    }
  }
}
