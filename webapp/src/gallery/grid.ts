// A grid of any number of cards, of which only those near the window exist.

export interface GridOptions<T> {
  key: (item: T) => string;
  same: (a: T, b: T) => boolean; // whether both have the same card
  card: (item: T, position: number, count: number) => HTMLElement;
  minWidth: number; // of a card, page pixels
  height: number; // of a card
  gap: number;
  onEnd: () => void; // called when the last rows are near
  table?: boolean; // the cards are rows of a table
}

// A Shape is the size of cards.
export type Shape = Pick<GridOptions<unknown>, "minWidth" | "height" | "gap">;

interface Shown<T> {
  element: HTMLElement;
  item: T;
  index: number;
}

export class Grid<T> {
  readonly element: HTMLElement;
  private items: T[] = [];
  private count: number | null = null;
  private shown = new Map<string, Shown<T>>();
  private columns = 1;
  private cardWidth = 0;
  private frame = 0;

  constructor(element: HTMLElement, private o: GridOptions<T>, signal: AbortSignal) {
    this.element = element;
    this.o = { ...o };
    const schedule = (): void => {
      this.frame ||= requestAnimationFrame(() => {
        this.frame = 0;
        this.update();
      });
    };
    window.addEventListener("scroll", schedule, { passive: true, signal });
    const observer = new ResizeObserver(() => {
      this.measure();
      this.update();
    });
    observer.observe(element);
    element.addEventListener("keydown", (event) => this.onKey(event), { signal });
    signal.addEventListener("abort", () => {
      observer.disconnect();
      cancelAnimationFrame(this.frame);
    });
  }

  // setItems shows items. count is the final number of items; null if it is unknown.
  setItems(items: T[], count: number | null): void {
    this.items = items;
    this.count = count;
    this.measure();
    this.update();
  }

  // setShape changes the size of the cards, and what they look like. The first visible one stays in
  // view.
  setShape({ minWidth, height, gap }: Shape): void {
    const first = this.firstVisible();
    Object.assign(this.o, { minWidth, height, gap });
    this.clear();
    this.measure();
    if (first > 0) this.scrollTo(first, "top");
    this.update();
  }

  // firstVisible is the index of the first card in the window.
  firstVisible(): number {
    const top = -this.element.getBoundingClientRect().top;
    return Math.max(0, Math.floor(top / this.rowHeight)) * this.columns;
  }

  // focus focuses the card of a key, if it exists.
  focus(key: string): void {
    this.shown.get(key)?.element.querySelector<HTMLElement>("a")?.focus({ preventScroll: true });
  }

  // clear removes all cards.
  clear(): void {
    for (const shown of this.shown.values()) shown.element.remove();
    this.shown.clear();
  }

  private measure(): void {
    const width = this.element.clientWidth;
    if (width === 0) return;
    this.columns = Math.max(1, Math.floor((width + this.o.gap) / (this.o.minWidth + this.o.gap)));
    this.cardWidth = Math.floor((width - (this.columns - 1) * this.o.gap) / this.columns);
    const rows = Math.ceil(this.items.length / this.columns);
    this.element.style.height = `${Math.max(0, rows * this.rowHeight - this.o.gap)}px`;
  }

  private get rowHeight(): number {
    return this.o.height + this.o.gap;
  }

  private update(): void {
    if (this.cardWidth === 0 || this.element.clientWidth === 0) return; // hidden: its end only seems to be near
    const top = -this.element.getBoundingClientRect().top;
    const first = Math.max(0, Math.floor((top - window.innerHeight / 2) / this.rowHeight)) * this.columns;
    const last = Math.min(this.items.length, Math.ceil((top + window.innerHeight * 1.5) / this.rowHeight) * this.columns);
    const wanted = new Set<string>();
    for (let index = first; index < last; index++) {
      wanted.add(this.o.key(this.items[index]!));
    }
    this.drop(wanted);
    for (let index = first; index < last; index++) this.show(index);
    for (const shown of this.shown.values()) this.place(shown);
    if (top + window.innerHeight * 3 > this.element.offsetHeight) this.o.onEnd();
  }

  // drop removes cards that are far away, except the focused one, from which keyboard navigation
  // continues.
  private drop(wanted: Set<string>): void {
    for (const [key, shown] of this.shown) {
      if (wanted.has(key) || shown.element.contains(document.activeElement)) continue;
      for (const image of shown.element.querySelectorAll("img")) image.removeAttribute("src");
      shown.element.remove();
      this.shown.delete(key);
    }
  }

  private show(index: number): void {
    const item = this.items[index]!;
    const key = this.o.key(item);
    const old = this.shown.get(key);
    if (old && this.o.same(old.item, item)) {
      old.index = index;
      return;
    }
    const element = this.o.card(item, index, this.count ?? -1);
    if (old) {
      const focused = old.element.contains(document.activeElement);
      old.element.replaceWith(element);
      if (focused) element.querySelector<HTMLElement>("a")?.focus({ preventScroll: true });
    } else {
      this.insert(element, index);
    }
    this.shown.set(key, { element, item, index });
  }

  // insert keeps the order of the document the same as that of the list, for screen readers and the
  // Tab key.
  private insert(element: HTMLElement, index: number): void {
    let before: HTMLElement | null = null;
    let nearest = Infinity;
    for (const shown of this.shown.values()) {
      if (shown.index > index && shown.index < nearest) {
        nearest = shown.index;
        before = shown.element;
      }
    }
    this.element.insertBefore(element, before);
  }

  private place({ element, index }: Shown<T>): void {
    const column = index % this.columns;
    const row = Math.floor(index / this.columns);
    element.style.width = `${this.cardWidth}px`;
    element.style.height = `${this.o.height}px`;
    element.style.transform = `translate(${column * (this.cardWidth + this.o.gap)}px, ${row * this.rowHeight}px)`;
    if (this.o.table) {
      element.setAttribute("aria-rowindex", String(index + 2)); // 1 is the header
      return;
    }
    element.setAttribute("aria-posinset", String(index + 1));
    element.setAttribute("aria-setsize", String(this.count ?? -1));
  }

  // onKey moves the focus with the arrow keys, as in a grid.
  private onKey(event: KeyboardEvent): void {
    const step = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns }[event.key];
    if (step === undefined || event.altKey || event.ctrlKey || event.metaKey) return;
    const current = [...this.shown.values()].find((shown) => shown.element.contains(document.activeElement));
    if (!current) return;
    const target = this.items[current.index + step];
    if (!target) return;
    event.preventDefault();
    const index = current.index + step;
    this.scrollTo(index);
    this.show(index);
    const shown = this.shown.get(this.o.key(target))!;
    this.place(shown);
    shown.element.querySelector<HTMLElement>("a")?.focus({ preventScroll: true });
  }

  scrollTo(index: number, edge: "nearest" | "top" = "nearest"): void {
    const margin = 24;
    const header = document.querySelector("header")?.offsetHeight ?? 0;
    const top = this.element.getBoundingClientRect().top + Math.floor(index / this.columns) * this.rowHeight;
    if (edge === "top" || top < header + margin) window.scrollBy(0, top - header - margin);
    else if (top + this.o.height > window.innerHeight - margin) window.scrollBy(0, top + this.o.height + margin - window.innerHeight);
  }
}
