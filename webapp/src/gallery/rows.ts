// The list view of the gallery: a table with a row for each slide.

import type { ListedImage } from "../api/client";
import type { Store } from "../api/types";
import { formatBytes, formatDay } from "../format";
import { t } from "../strings";
import { h, highlighted, type Child } from "../ui/dom";
import { icon } from "../ui/icons";
import { stateBadge } from "../ui/state";
import { formatMagnification, fullMagnification } from "../viewer/magnification";
import { folderName, selector, slideName } from "./card";

export interface RowContext {
  query: string;
  stores: Store[];
  menu: Node | null;
}

interface Column {
  name: keyof typeof t.look.columns;
  width: string; // of a grid column
  optional?: (image: ListedImage) => unknown; // a column that is shown if a slide has a value
  cell: (image: ListedImage, context: RowContext) => Child[];
}

const columns: Column[] = [
  { name: "name", width: "minmax(160px, 3fr)", cell: (image, { query }) => [nameLink(image, query)] },
  { name: "store", width: "minmax(80px, 1.2fr)", cell: (image, { stores }) => [ellipsis(storeText(image, stores))] },
  { name: "folder", width: "minmax(90px, 1.6fr)", optional: (image) => image.folder, cell: (image, { query }) => [image.folder ? folderName(image.folder, query) : null] },
  { name: "accession", width: "minmax(90px, 1.2fr)", optional: (image) => image.accession, cell: (image) => [ellipsis(image.accession)] },
  { name: "block", width: "64px", optional: (image) => image.block || image.part, cell: (image) => [ellipsis(`${image.part ?? ""}${image.block ?? ""}`)] },
  { name: "stain", width: "minmax(56px, 0.7fr)", optional: (image) => image.stain, cell: (image) => [ellipsis(image.stain)] },
  { name: "scanner", width: "minmax(70px, 1fr)", optional: (image) => image.vendor, cell: (image) => [ellipsis(image.vendor)] },
  { name: "magnification", width: "64px", cell: (image) => [magnification(image)] },
  { name: "size", width: "78px", cell: (image) => [image.size === null ? null : formatBytes(image.size)] },
  { name: "date", width: "106px", cell: (image) => [image.created_at ? h("time", { datetime: image.created_at }, formatDay(image.created_at)) : null] },
  { name: "state", width: "104px", optional: (image) => image.state !== "available", cell: (image) => [image.state === "available" ? h("span", { class: "quiet" }, t.state.available ?? "") : stateBadge(image.state)] },
];

const ellipsis = (text: string | null | undefined): Child => (text ? h("span", { class: "ellipsis", title: text }, text) : null);

function storeText(image: ListedImage, stores: Store[]): string {
  const store = stores.find(({ id }) => id === image.store);
  return store?.label || image.store;
}

function magnification(image: ListedImage): string | null {
  const full = fullMagnification(image);
  return full ? `${full.derived ? "≈ " : ""}${formatMagnification(full.power)}` : null;
}

// nameLink is the name of a slide, and on narrow screens what tells it from others below it.
function nameLink(image: ListedImage, query: string): HTMLElement {
  const name = slideName(image);
  const more = [image.accession, [image.part, image.block].filter(Boolean).join(""), image.stain, magnification(image)].filter(Boolean).join(" · ");
  return h("a", { class: "row-link", href: `/slides/${encodeURIComponent(image.id)}`, "data-page": true, title: name }, h("span", { class: "ellipsis" }, ...highlighted(name, query)), h("span", { class: "row-more quiet ellipsis", "aria-hidden": "true" }, more));
}

// slideRow is a row of the table. It has the class of a card, as what can be done with both is the
// same.
export function slideRow(image: ListedImage, context: RowContext): HTMLElement {
  const available = image.state === "available";
  return h(
    "div",
    { class: "card slide-row", role: "row", "data-state": image.state, "data-id": image.id },
    h("div", { role: "cell", class: "cell cell-select" }, available ? selector(image.id, slideName(image)) : icon("slides", 16)),
    ...columns.map((column) => h("div", { role: "cell", class: `cell cell-${column.name}` }, ...column.cell(image, context))),
    h("div", { role: "cell", class: "cell cell-menu" }, context.menu),
  );
}

// SlideTable is the frame of the rows, which a Grid fills.
export class SlideTable {
  readonly rows = h("div", { class: "grid rows", role: "rowgroup" });
  readonly element: HTMLElement;

  constructor() {
    const head = (name: string, text: string, hidden = false): HTMLElement => h("div", { role: "columnheader", class: `cell cell-${name}` }, hidden ? h("span", { class: "visually-hidden" }, text) : h("span", { class: "ellipsis" }, text));
    this.element = h(
      "div",
      { class: "slide-table", role: "table", "aria-label": t.gallery.list, hidden: true },
      h("div", { role: "rowgroup" }, h("div", { class: "slide-row slide-head", role: "row" }, head("select", t.look.select, true), ...columns.map(({ name }) => head(name, t.look.columns[name])), head("menu", t.look.actions, true))),
      this.rows,
    );
  }

  // fit shows the columns of which a slide has a value.
  fit(images: ListedImage[], count: number | null, manyStores: boolean): void {
    const shown = columns.filter(({ name, optional }) => (name === "store" ? manyStores : !optional || images.some(optional)));
    for (const { name } of columns) this.element.classList.toggle(`without-${name}`, !shown.some((column) => column.name === name));
    this.element.style.setProperty("--columns", `36px ${shown.map(({ width }) => width).join(" ")} 40px`);
    this.element.setAttribute("aria-rowcount", String(count === null ? -1 : count + 1));
  }
}
