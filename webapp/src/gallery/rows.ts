// The list view of the gallery: a table with a row for each slide.

import type { ListedImage } from "../api/client";
import type { Store } from "../api/types";
import { blockOf } from "../cases/client";
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
  width: number; // in page pixels; wider if grow
  grow?: number; // share of the space that is left
  optional?: (image: ListedImage) => unknown; // a column that is shown if a slide has a value
  cell: (image: ListedImage, context: RowContext) => Child[];
}

const columns: Column[] = [
  { name: "name", width: 150, grow: 3, cell: (image, { query }) => [nameLink(image, query)] },
  { name: "store", width: 80, grow: 1.2, cell: (image, { stores }) => [ellipsis(storeText(image, stores))] },
  { name: "folder", width: 100, grow: 1.6, optional: (image) => image.folder, cell: (image, { query }) => [image.folder ? folderName(image.folder, query) : null] },
  { name: "accession", width: 90, grow: 1.2, optional: (image) => image.accession, cell: (image) => [ellipsis(image.accession)] },
  { name: "block", width: 60, optional: (image) => blockOf(image), cell: (image) => [ellipsis(blockOf(image))] },
  { name: "stain", width: 60, grow: 0.7, optional: (image) => image.stain, cell: (image) => [ellipsis(image.stain)] },
  { name: "scanner", width: 80, grow: 1, optional: (image) => image.vendor, cell: (image) => [ellipsis(image.vendor)] },
  { name: "magnification", width: 60, cell: (image) => [magnification(image)] },
  { name: "size", width: 76, cell: (image) => [image.size === null ? null : formatBytes(image.size)] },
  { name: "date", width: 100, cell: (image) => [image.created_at ? h("time", { datetime: image.created_at }, formatDay(image.created_at)) : null] },
  { name: "state", width: 116, cell: (image) => [image.state === "available" ? h("span", { class: "quiet" }, t.state.available ?? "") : stateBadge(image.state)] },
];

// dispensable columns are left out of a narrow window, in this order.
const dispensable: Column["name"][] = ["scanner", "size", "folder", "store", "state", "block", "accession", "date", "stain", "magnification"];
const gap = 12; // page pixels between columns
const ends = [36, 40]; // widths of the columns for selecting, and of the menu

const ellipsis = (text: string | null | undefined): Child => (text ? h("span", { class: "ellipsis", title: text }, text) : null);

function storeText(image: ListedImage, stores: Store[]): string {
  const store = stores.find(({ id }) => id === image.store);
  return store?.label || image.store;
}

function magnification(image: ListedImage): string | null {
  const full = fullMagnification(image);
  return full ? `${full.derived ? "≈ " : ""}${formatMagnification(full.power)}` : null;
}

// nameLink is the name of a slide; in a narrow window also what the columns left out would show.
function nameLink(image: ListedImage, query: string): HTMLElement {
  const name = slideName(image);
  const more = [image.accession, blockOf(image), image.stain, magnification(image)].filter(Boolean).join(" · ");
  return h("a", { class: "row-link", href: `/slides/${encodeURIComponent(image.id)}`, "data-page": true, title: name }, h("span", { class: "row-name" }, h("span", { class: "ellipsis" }, ...highlighted(name, query)), image.state === "available" ? null : h("span", { class: "row-state" }, stateBadge(image.state))), h("span", { class: "row-more quiet ellipsis" }, more));
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

  // fit shows the columns of which a slide has a value, as far as there is space.
  fit(images: ListedImage[], count: number | null, manyStores: boolean): void {
    const valued = columns.filter(({ name, optional }) => (name === "store" ? manyStores : !optional || images.some(optional)));
    const left = new Set<string>();
    const shown = (): Column[] => valued.filter(({ name }) => !left.has(name));
    const width = (): number => shown().reduce((sum, column) => sum + column.width + gap, ends[0]! + ends[1]! + gap);
    const space = this.element.clientWidth;
    for (const name of dispensable) if (space > 0 && width() > space) left.add(name);
    const narrow = left.has("state");
    if (narrow) for (const name of ["accession", "block", "stain", "magnification"]) left.add(name); // they are below the name
    for (const { name } of columns) this.element.classList.toggle(`without-${name}`, !shown().some((column) => column.name === name));
    this.element.classList.toggle("narrow", narrow);
    this.element.style.setProperty("--columns", `${ends[0]}px ${shown().map(({ width: least, grow }) => (grow ? `minmax(${least}px, ${grow}fr)` : `${least}px`)).join(" ")} ${ends[1]}px`);
    this.element.setAttribute("aria-rowcount", String(count === null ? -1 : count + 1));
  }
}
