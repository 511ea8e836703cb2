// The loaded part of the list of slides: loaded in pages by cursor, and refreshed in the
// background.

import { getImage, listed, listImages, Problem, type ExactQuery, type ImageQuery, type ListedImage } from "../api/client";
import { merge } from "./merge";

const pageSize = 60;
const largestPage = 500; // maximum of the server
const arrivingDelay = 4_000; // between refreshes while a slide is arriving
const idleDelay = 30_000;
const watched = 10; // maximum of arriving slides beyond the first page that are requested separately

export type FeedStatus = "loading" | "ready" | "failed";

export class Feed<Query extends ImageQuery | ExactQuery = ImageQuery> {
  items: ListedImage[] = [];
  status: FeedStatus = "loading";
  problem: Problem | null = null;
  next: string | null = null;
  pending = 0; // new slides held back so that the list does not jump
  scrollY = 0; // scroll position at which the gallery was left
  opened: string | null = null; // the slide that was opened from the gallery

  private listeners = new Set<() => void>();
  private abort = new AbortController();
  private busy = false;
  private held: ListedImage[] | null = null;
  private ids = new Set<string>();
  private timer = 0;

  constructor(readonly query: Query) {}

  subscribe(listener: () => void, signal: AbortSignal): void {
    this.listeners.add(listener);
    signal.addEventListener("abort", () => this.listeners.delete(listener));
  }

  get complete(): boolean {
    return this.status === "ready" && this.next === null;
  }

  // load requests the first or the next page.
  async load(): Promise<void> {
    if (this.busy || this.complete) return;
    this.busy = true;
    this.problem = null;
    const begun = this.items.length > 0;
    if (!begun) this.status = "loading";
    this.changed();
    try {
      const page = await listImages(this.query, this.next, this.nextSize(), this.abort.signal);
      for (const item of page.items) this.add(item);
      this.next = page.next_cursor || null;
      this.status = "ready";
    } catch (err) {
      if (this.abort.signal.aborted) return;
      this.problem = err instanceof Problem ? err : new Problem(0, String(err));
      this.status = begun ? "ready" : "failed";
    } finally {
      this.busy = false;
    }
    this.changed();
  }

  // resume continues after an outage of the server: it requests what failed, and refreshes the rest.
  async resume(atTop: boolean): Promise<void> {
    const begun = this.items.length > 0;
    if (this.status === "failed" || this.problem) await this.load();
    if (begun) await this.refresh(atTop);
  }

  // nextSize is the size of the next page: small at first, to show slides soon, then as many as are
  // loaded, so that the end of a long list is reached in few steps.
  private nextSize(): number {
    return Math.min(largestPage, Math.max(pageSize, this.items.length));
  }

  // update shows a changed slide.
  update(image: ListedImage): void {
    this.items = this.items.map((item) => (item.id === image.id ? listed(image) : item));
    this.changed();
  }

  // remove removes a slide that was deleted.
  remove(id: string): void {
    this.put(this.items.filter((item) => item.id !== id));
    this.changed();
  }

  // close cancels pending requests: another feed replaces this one.
  close(): void {
    this.abort.abort();
    this.listeners.clear();
    clearTimeout(this.timer);
  }

  // watch refreshes the list until signal is aborted, while the page is visible. atTop reports
  // whether new slides can be inserted without moving what is visible.
  watch(atTop: () => boolean, signal: AbortSignal): void {
    let last = Date.now();
    const tick = async (): Promise<void> => {
      const due = this.items.some((item) => item.state === "arriving") || Date.now() - last >= idleDelay;
      if (due && document.visibilityState === "visible") {
        last = Date.now();
        await this.refresh(atTop());
      }
      if (!signal.aborted) this.timer = window.setTimeout(tick, arrivingDelay);
    };
    this.timer = window.setTimeout(tick, arrivingDelay);
    document.addEventListener("visibilitychange", () => {
      if (document.visibilityState !== "visible") return;
      clearTimeout(this.timer);
      void tick();
    }, { signal });
    signal.addEventListener("abort", () => clearTimeout(this.timer));
  }

  // release inserts new slides that were held back.
  release(): void {
    if (!this.held) return;
    this.put(this.held);
    this.held = null;
    this.pending = 0;
    this.changed();
  }

  private async refresh(atTop: boolean): Promise<void> {
    if (this.busy || this.status !== "ready") return;
    try {
      const page = await listImages(this.query, null, pageSize, this.abort.signal);
      const merged = merge(this.items, page.items.map(listed), page.next_cursor === null);
      await this.refreshArriving(merged.items, new Set(page.items.map((item) => item.id)));
      if (this.busy || this.abort.signal.aborted) return; // another page was loaded meanwhile
      if (merged.fresh > 0 && !atTop) {
        this.held = merged.items;
        this.pending = merged.fresh;
        const current = new Map(merged.items.map((item) => [item.id, item]));
        this.items = this.items.map((item) => current.get(item.id) ?? item);
      } else {
        this.held = null;
        this.pending = 0;
        this.put(merged.items);
      }
      if (page.next_cursor === null) this.next = null;
      this.changed();
    } catch {
      // the next refresh tries again
    }
  }

  // refreshArriving requests arriving slides beyond the first page.
  private async refreshArriving(items: ListedImage[], fresh: Set<string>): Promise<void> {
    const arriving = items.filter((item) => item.state === "arriving" && !fresh.has(item.id)).slice(0, watched);
    await Promise.all(arriving.map(async (item) => {
      try {
        const image = await getImage(item.id, this.abort.signal);
        items[items.indexOf(item)] = listed(image);
      } catch (err) {
        if (err instanceof Problem && err.status === 404) items.splice(items.indexOf(item), 1);
      }
    }));
  }

  private add(item: ListedImage): void {
    if (this.ids.has(item.id)) return;
    this.ids.add(item.id);
    this.items.push(listed(item));
  }

  private put(items: ListedImage[]): void {
    this.items = items;
    this.ids = new Set(items.map((item) => item.id));
  }

  private changed(): void {
    for (const listener of this.listeners) listener();
  }
}

let feed: Feed | null = null;

// feedFor returns the feed of a query. It reuses the current feed for the same query, so that
// returning from a slide restores the list.
export function feedFor(query: ImageQuery): Feed {
  if (feed && sameQuery(feed.query, query)) return feed;
  feed?.close();
  feed = new Feed(query);
  void feed.load();
  return feed;
}

// currentFeed is the feed that the gallery showed last; null if it has shown none.
export function currentFeed(): Feed | null {
  return feed;
}

function sameQuery(a: ImageQuery, b: ImageQuery): boolean {
  return a.q === b.q && a.store === b.store && a.state === b.state && a.sort === b.sort;
}
