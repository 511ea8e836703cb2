// The page that opens a slide by its barcode or external id: the door for links of other
// systems. It finds exact matches only.

import "../styles/gallery.css";

import { listImages, type ExactQuery, type ListedImage } from "../api/client";
import { navigate, type Page } from "../router";
import { wordsOf } from "../stores/dialogs";
import { t } from "../strings";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { sameCard, slideCard } from "./card";
import { Grid } from "./grid";

const pageSize = 60;

export const openPage: Page = {
  mount(root, _params, signal) {
    document.title = `${t.open.title} · ${t.name}`;
    const query = queryOf(new URLSearchParams(location.search));
    if (query) new Matches(root, query, signal);
    else root.append(header("slides"), main(message({ picture: icon("search", 44), title: t.open.howTitle, text: t.open.how, alert: true, action: toSlides() })));
  },
};

// queryOf is null unless the address has exactly one of the parameters, once.
export function queryOf(params: URLSearchParams): ExactQuery | null {
  const [[name, value] = ["", ""], ...more] = [...params];
  if (more.length > 0 || !value) return null;
  return name === "barcode" || name === "external_id" ? { [name]: value } : null;
}

function main(...children: Node[]): HTMLElement {
  return h("main", { class: "page", id: "main", tabindex: "-1" }, ...children);
}

function toSlides(): HTMLElement {
  return h("a", { class: "button", href: "/", "data-page": true }, t.viewer.back);
}

class Matches {
  private items: ListedImage[] = [];
  private next: string | null = null;
  private loading = false;
  private readonly list = h("ul", { class: "grid", role: "list", "aria-label": t.gallery.list, hidden: true });
  private readonly head = h("div", { class: "page-head", hidden: true });
  private readonly foot = h("div", { class: "page-foot" });
  private readonly grid: Grid<ListedImage>;

  constructor(root: HTMLElement, private readonly query: ExactQuery, private readonly signal: AbortSignal) {
    root.append(header("slides"), main(this.head, this.list, this.foot));
    this.grid = new Grid(this.list, {
      key: (image) => image.id,
      same: sameCard,
      card: (image) => slideCard(image, ""),
      minWidth: 300,
      height: 246,
      gap: 16,
      onEnd: () => void this.load(),
    }, signal);
    void this.load();
  }

  private async load(): Promise<void> {
    if (this.loading || (this.items.length > 0 && this.next === null)) return;
    this.loading = true;
    replace(this.foot, h("p", { class: "foot-line quiet" }, t.loading));
    try {
      const page = await listImages(this.query, this.next, pageSize, this.signal);
      this.items.push(...page.items);
      this.next = page.next_cursor;
      this.loading = false;
    } catch (err) {
      this.loading = false;
      if (this.signal.aborted) return;
      replace(this.foot, h("p", { class: "foot-line", role: "alert" }, wordsOf(err), " ", h("button", { type: "button", class: "button", onclick: () => void this.load() }, t.retry)));
      return;
    }
    if (this.items.length === 0 && this.next !== null) void this.load(); // a page may be empty before the end
    else this.show();
  }

  private show(): void {
    const { barcode, external_id: externalID } = this.query;
    const [only] = this.items;
    if (only && this.items.length === 1 && this.next === null) {
      navigate(`/slides/${encodeURIComponent(only.id)}`, "replace");
      return;
    }
    replace(this.foot);
    if (!only) {
      replace(this.foot, message({ picture: icon("search", 44), title: t.open.noneTitle, text: barcode ? t.open.noBarcode(barcode) : t.open.noExternalID(externalID ?? ""), alert: true, action: toSlides() }));
      return;
    }
    this.head.hidden = this.list.hidden = false;
    replace(this.head, h("div", null, h("h1", null, barcode ? t.open.withBarcode(barcode) : t.open.withExternalID(externalID ?? "")), h("p", { class: "quiet", role: "status" }, this.next === null ? t.gallery.count(this.items.length) : t.gallery.countMore(this.items.length))));
    this.grid.setItems(this.items, this.next === null ? this.items.length : null);
  }
}
