// The page that opens a slide by its barcode or external id, or a case by its accession number: the
// door for links of other systems. It finds exact matches only.

import "../styles/gallery.css";
import "../styles/manage.css";

import type { ExactQuery, ListedImage } from "../api/client";
import { caseAddress } from "../cases/client";
import { navigate, type Page } from "../router";
import { t } from "../strings";
import { h, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { cardGrid, slideCard } from "./card";
import { Feed } from "./feed";
import { Grid } from "./grid";

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
  return name === "barcode" || name === "external_id" || name === "accession" ? { [name]: value } : null;
}

function main(...children: Node[]): HTMLElement {
  return h("main", { class: "page", id: "main", tabindex: "-1" }, ...children);
}

function toSlides(): HTMLElement {
  return h("a", { class: "button", href: "/", "data-page": true }, t.viewer.back);
}

class Matches {
  private readonly feed: Feed<ExactQuery>;
  private readonly list = h("ul", { class: "grid", role: "list", "aria-label": t.gallery.list, hidden: true });
  private readonly head = h("div", { class: "page-head", hidden: true });
  private readonly foot = h("div", { class: "page-foot" });
  private readonly grid: Grid<ListedImage>;

  constructor(root: HTMLElement, private readonly query: ExactQuery, signal: AbortSignal) {
    root.append(header("slides"), main(this.head, this.list, this.foot));
    this.feed = new Feed(query);
    this.grid = new Grid(this.list, {
      ...cardGrid,
      card: (image) => slideCard(image, ""),
      onEnd: () => {
        if (this.feed.status === "ready" && !this.feed.problem) void this.feed.load();
      },
    }, signal);
    this.feed.subscribe(() => this.render(), signal);
    signal.addEventListener("abort", () => this.feed.close());
    void this.feed.load();
  }

  private render(): void {
    const { items, status, problem, next, complete } = this.feed;
    if (complete && items.length === 1) {
      navigate(`/slides/${encodeURIComponent(items[0]!.id)}`, "replace");
      return;
    }
    if (this.query.accession && items.length > 1) {
      navigate(caseAddress(this.query.accession), "replace");
      return;
    }
    if (problem) {
      replace(this.foot, h("p", { class: "foot-line", role: "alert" }, problem.detail, " ", h("button", { type: "button", class: "button", onclick: () => void this.feed.load() }, t.retry)));
    } else if (status === "loading" || next !== null) {
      replace(this.foot, h("p", { class: "foot-line quiet" }, t.loading));
    } else if (items.length === 0) {
      replace(this.foot, this.none());
    } else {
      replace(this.foot);
    }
    if (items.length > 0) this.showItems();
    else if (status === "ready" && next !== null && !problem) void this.feed.load(); // a page may be empty before the end
  }

  private none(): HTMLElement {
    const { accession, barcode, external_id: externalID } = this.query;
    return message({ picture: icon("search", 44), title: t.open.noneTitle, text: accession ? t.open.noAccession(accession) : barcode ? t.open.noBarcode(barcode) : t.open.noExternalID(externalID ?? ""), alert: true, action: toSlides() });
  }

  private showItems(): void {
    const { barcode, external_id: externalID } = this.query;
    const { items, complete } = this.feed;
    this.head.hidden = this.list.hidden = false;
    replace(this.head, h("div", null, h("h1", null, barcode ? t.open.withBarcode(barcode) : t.open.withExternalID(externalID ?? "")), h("p", { class: "quiet", role: "status" }, complete ? t.gallery.count(items.length) : t.gallery.countMore(items.length))));
    this.grid.setItems(items, complete ? items.length : null);
  }
}
