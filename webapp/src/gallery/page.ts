// The gallery: all slides, with search, filters and sorting.

import "../styles/gallery.css";

import { isLabelled, loadSession, may, session } from "../access/session";
import { listStores, preconnect, type ImageQuery, type ListedImage } from "../api/client";
import { onReconnect } from "../api/connection";
import type { ImageState, Store } from "../api/types";
import { leaveCase } from "../cases/current";
import { navigate, replaceAddress, type Page } from "../router";
import { t } from "../strings";
import { announce } from "../ui/announce";
import { browserIdle } from "../ui/browser-idle";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { barEnd, brand, navigation } from "../ui/header";
import { icon, logo } from "../ui/icons";
import { hasModifier } from "../ui/keyboard";
import { message } from "../ui/message";
import { fill, labelledSelect, type Select } from "../ui/select";
import { cardGrid, slideCard } from "./card";
import { feedFor, type Feed } from "./feed";
import { Grid } from "./grid";
import { lookControls, rememberedLook, shapes, type Look } from "./look";
import { everything, queryOf, searchOf } from "./query";
import { SlideTable, slideRow } from "./rows";
import { slideMenu } from "./slide-menu";
import { tray } from "./tray";

const searchDelay = 180; // milliseconds after the last key
const deleted = "deleted"; // no state of the list: leads to the page of deleted slides
const states: ImageState[] = ["available", "arriving", "missing", "broken", "unsupported", "quarantined"];

export const galleryPage: Page = {
  mount(root, _params, signal) {
    leaveCase();
    new Gallery(root, signal);
  },
};

class Gallery {
  private feed!: Feed;
  private feedSignal = new AbortController();
  private query: ImageQuery = queryOf(location.search);
  private stores: Store[] = [];
  private labelledSlide = false; // whether a listed slide has a name
  private announced = "";

  private readonly search = h("input", { type: "search", class: "search-input", placeholder: t.gallery.searchHint, "aria-label": t.gallery.search, autocomplete: "off", spellcheck: "false", enterkeyhint: "search" });
  private readonly clear = iconButton("close", t.gallery.clearSearch, () => this.setSearch(""), { class: "icon-button search-clear" });
  private readonly store = this.select("store", t.gallery.store);
  private readonly state = this.select("state", t.gallery.state);
  private readonly sort = this.select("sort", t.gallery.sort);
  private readonly count = h("p", { class: "count", "data-testid": "count" });
  private readonly list = h("ul", { class: "grid", "aria-label": t.gallery.list, role: "list" });
  private readonly fresh = h("button", { type: "button", class: "fresh", hidden: true, onclick: () => this.showFresh() });
  private readonly foot = h("div", { class: "grid-foot" });
  private readonly table = new SlideTable();
  private readonly slides = h("div", { class: "slides" }, this.list, this.table.element);
  private look = rememberedLook();
  private readonly lookControls = lookControls({ ...this.look }, (look) => this.setLook(look));
  private readonly cards: Grid<ListedImage>;
  private readonly rows: Grid<ListedImage>;

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    document.title = `${t.gallery.title} · ${t.name}`;
    root.append(this.header(), h("main", { class: "gallery", id: "main" }, h("h1", { class: "visually-hidden" }, t.gallery.title), this.fresh, this.slides, this.foot), tray(this.slides, signal));
    const onEnd = (): void => {
      if (this.feed.status === "ready" && !this.feed.problem) void this.feed.load();
    };
    this.cards = new Grid(this.list, { ...cardGrid, ...shapes[this.look.size], card: (image) => slideCard(image, this.query.q, this.menu(image), this.look), onEnd }, signal);
    this.rows = new Grid(this.table.rows, { ...cardGrid, ...shapes.list, table: true, card: (image) => slideRow(image, { query: this.query.q, stores: this.stores, menu: this.menu(image) }), onEnd }, signal);
    this.slides.dataset.size = this.look.size;
    const resized = new ResizeObserver(() => this.fitTable());
    resized.observe(this.slides);
    signal.addEventListener("abort", () => resized.disconnect());
    this.search.value = this.query.q;
    this.listen();
    this.useFeed(feedFor(this.query));
    void this.loadStores();
    onReconnect(() => {
      void this.loadStores();
      void this.feed.resume(window.scrollY < 80);
    }, signal);
    // The gallery restores its scroll position after returning from a slide.
    if (this.feed.scrollY > 0) window.scrollTo(0, this.feed.scrollY);
    else window.scrollTo(0, 0);
    if (this.feed.opened) this.grid.focus(this.feed.opened);
    signal.addEventListener("abort", () => this.feedSignal.abort());
    void prefetchViewer();
  }

  private get grid(): Grid<ListedImage> {
    return this.look.size === "list" ? this.rows : this.cards;
  }

  // setLook shows the slides in another way. The first visible one stays in view.
  private setLook(look: Look): void {
    const first = this.grid.firstVisible();
    this.cards.clear();
    this.rows.clear();
    this.look = { ...look };
    this.slides.dataset.size = look.size;
    if (look.size !== "list") this.cards.setShape(shapes[look.size]);
    this.render();
    if (first > 0) this.grid.scrollTo(first, "top");
  }

  private header(): HTMLElement {
    return h(
      "header",
      { class: "bar" },
      h("a", { class: "skip", href: "#main" }, t.skip),
      brand(),
      navigation("slides"),
      h("div", { class: "search", role: "search" }, icon("search", 18), this.search, this.clear, h("kbd", { class: "search-key", "aria-hidden": "true" }, "/")),
      barEnd(),
      h("div", { class: "filters" }, this.count, h("div", { class: "filter-selects" }, this.store.frame, this.state.frame, this.sort.frame), this.lookControls.element),
    );
  }

  private select(name: keyof ImageQuery, label: string): Select {
    return labelledSelect(name, label, (value) => {
      if (name === "state" && value === deleted) navigate("/deleted");
      else this.setQuery({ ...this.query, [name]: value });
    });
  }

  private menu(image: ListedImage): HTMLElement | null {
    if (this.stores.length === 0) return null; // the permissions are not known yet
    return slideMenu(image, this.stores.find(({ id }) => id === image.store), { changed: (changed) => this.feed.update(changed), deleted: (id) => this.feed.remove(id) });
  }

  private listen(): void {
    const { signal } = this;
    let timer = 0;
    this.slides.addEventListener("click", (event) => {
      this.feed.opened = (event.target as Element).closest<HTMLElement>(".card")?.dataset.id ?? null;
    });
    this.search.addEventListener("input", () => {
      this.clear.hidden = this.search.value === "";
      clearTimeout(timer);
      timer = window.setTimeout(() => this.setQuery({ ...this.query, q: this.search.value.trim() }), searchDelay);
    });
    this.search.addEventListener("keydown", (event) => {
      if (event.key === "Enter") this.setQuery({ ...this.query, q: this.search.value.trim() });
      if (event.key === "Escape" && this.search.value) {
        event.preventDefault();
        this.setSearch("");
      }
      if (event.key === "ArrowDown") {
        event.preventDefault();
        this.grid.element.querySelector("a")?.focus();
      }
    });
    document.addEventListener("keydown", (event) => {
      if (event.key !== "/" || hasModifier(event) || isTyping(event.target)) return;
      event.preventDefault();
      this.search.focus();
      this.search.select();
    }, { signal });
    let frame = 0;
    window.addEventListener("scroll", () => {
      frame ||= requestAnimationFrame(() => {
        frame = 0;
        document.documentElement.classList.toggle("scrolled", window.scrollY > 4);
      });
    }, { passive: true, signal });
    signal.addEventListener("abort", () => {
      this.feed.scrollY = window.scrollY; // the page still exists; scroll events may be late
      clearTimeout(timer);
      document.documentElement.classList.remove("scrolled");
    });
  }

  private setSearch(value: string): void {
    this.search.value = value;
    this.clear.hidden = value === "";
    this.search.focus();
    this.setQuery({ ...this.query, q: value.trim() });
  }

  private setQuery(query: ImageQuery): void {
    if (searchOf(query) === searchOf(this.query)) return;
    this.query = query;
    replaceAddress(`/${searchOf(query)}`);
    window.scrollTo(0, 0);
    this.useFeed(feedFor(query));
  }

  private useFeed(feed: Feed): void {
    this.feedSignal.abort();
    this.feedSignal = new AbortController();
    this.feed = feed;
    this.grid.clear();
    feed.subscribe(() => this.render(), this.feedSignal.signal);
    feed.watch(() => window.scrollY < 80, this.feedSignal.signal);
    this.clear.hidden = this.search.value === "";
    this.renderFilters();
    this.render();
  }

  private async loadStores(): Promise<void> {
    try {
      [this.stores] = await Promise.all([listStores(this.signal), loadSession()]);
    } catch {
      return; // without stores there is no store filter and no total
    }
    if (this.signal.aborted) return;
    for (const store of this.stores) if (store.endpoint) preconnect(store.endpoint);
    this.grid.clear(); // cards get their menus
    this.renderSearch();
    this.renderFilters();
    this.render();
  }

  // labels reports on how many stores the caller can see labels and names: only those can be
  // searched, and single slides, except with a central server.
  private get labels(): "all" | "some" | "none" {
    if (may("label")) return "all";
    const seen = this.stores.filter((store) => may("label", store)).length;
    if (seen === 0) return this.labelledSlide ? "some" : "none";
    return seen < this.stores.length ? "some" : "all";
  }

  private renderSearch(): void {
    const { labels } = this;
    this.lookControls.showPictures(labels !== "none");
    this.search.disabled = labels === "none" && !this.query.q;
    this.search.placeholder = { all: t.gallery.searchHint, some: t.access.someLabelsHint, none: t.access.noLabels }[labels];
    this.search.title = { all: "", some: t.access.someLabels, none: t.access.noLabelsSearch }[labels];
  }

  private renderFilters(): void {
    const { query, stores } = this;
    this.store.frame.hidden = stores.length < 2;
    fill(this.store.input, [["", t.gallery.allStores], ...stores.map((store): [string, string] => [store.id, store.label || store.id])], query.store);
    fill(this.state.input, [["", t.gallery.allStates], ...states.map((state): [string, string] => [state, this.withCount(t.state[state], state)]), ...(session().scopes.includes("admin") ? [[deleted, t.slide.open] as [string, string]] : [])], query.state);
    const sorts = Object.entries(t.gallery.sorts).filter(([name]) => name !== "name" || query.sort === "name" || this.stores.length === 0 || this.labels !== "none");
    fill(this.sort.input, sorts, query.sort || "created");
  }

  private withCount(text: string, state: ImageState): string {
    const n = this.total(state);
    return n === null ? text : `${text} (${n})`;
  }

  // total is the number of slides in a state, or in any, from the counts of the stores; null if
  // they are unknown.
  private total(state: string): number | null {
    const stores = this.stores.filter((store) => !this.query.store || store.id === this.query.store);
    if (stores.length === 0 || stores.some((store) => !store.counts)) return null;
    return stores.reduce((sum, store) => sum + Object.entries(store.counts!).reduce((n, [name, count]) => n + (!state || name === state ? count : 0), 0), 0);
  }

  private render(): void {
    const { feed } = this;
    const known = feed.complete ? feed.items.length : this.query.q ? null : this.total(this.query.state);
    // Before the grid measures them.
    this.list.hidden = feed.items.length === 0 || this.look.size === "list";
    this.table.element.hidden = feed.items.length === 0 || this.look.size !== "list";
    this.fitTable();
    this.grid.setItems(feed.items, known);
    if (!this.labelledSlide && session().mode !== "central" && feed.items.some(isLabelled)) {
      this.labelledSlide = true;
      this.renderSearch();
    }
    this.fresh.hidden = feed.pending === 0;
    if (feed.pending > 0) replace(this.fresh, icon("up", 16), t.gallery.fresh(feed.pending));
    this.renderCount(known);
    this.renderFoot();
  }

  private fitTable(): void {
    if (this.look.size === "list") this.table.fit(this.feed.items, this.feed.complete ? this.feed.items.length : null, this.stores.length > 1);
  }

  private renderCount(known: number | null): void {
    const { feed } = this;
    let text = "";
    if (feed.status === "ready") text = known !== null ? t.gallery.count(Math.max(known, feed.items.length)) : t.gallery.countMore(feed.items.length);
    this.count.textContent = text;
    // The number is announced once per search, not for every page.
    const said = `${searchOf(this.query)} ${feed.status}`;
    if (feed.status === "ready" && said !== this.announced) announce(feed.items.length === 0 ? t.gallery.nothingTitle : text);
    this.announced = said;
  }

  private renderFoot(): void {
    const { feed } = this;
    if (feed.status === "loading") {
      replace(this.foot, skeleton());
    } else if (feed.status === "failed") {
      replace(this.foot, message({ picture: icon("warning", 40), title: t.gallery.failedTitle, text: feed.problem!.detail, alert: true, action: this.retryButton() }));
    } else if (feed.items.length === 0) {
      replace(this.foot, this.query.q || this.query.state || this.query.store ? this.nothing() : this.empty());
    } else if (feed.problem) {
      replace(this.foot, h("p", { class: "foot-line", role: "alert" }, `${t.gallery.moreFailed} ${feed.problem.detail} `, this.retryButton()));
    } else if (feed.next !== null) {
      replace(this.foot, h("p", { class: "foot-line quiet" }, t.gallery.more));
    } else if (feed.items.length > 60) {
      replace(this.foot, h("p", { class: "foot-line quiet" }, t.gallery.end(feed.items.length)));
    } else {
      replace(this.foot);
    }
  }

  private retryButton(): HTMLElement {
    return h("button", { type: "button", class: "button", onclick: () => void this.feed.load() }, t.retry);
  }

  private nothing(): HTMLElement {
    const { q } = this.query;
    return message(
      {
        picture: icon("search", 40),
        title: t.gallery.nothingTitle,
        text: t.gallery.nothingText(q),
        action: h("button", {
          type: "button",
          class: "button",
          onclick: () => {
            this.search.value = "";
            this.setQuery({ ...everything, sort: this.query.sort });
          },
        }, t.gallery.reset),
      },
      q && q.length < 3 ? h("p", { class: "quiet" }, t.gallery.shortQuery) : null,
      q && this.stores.length > 0 && this.labels !== "all" ? h("p", { class: "quiet" }, this.labels === "none" ? t.access.noLabelsSearch : t.access.someLabels) : null,
    );
  }

  private empty(): HTMLElement {
    if (session().mode !== "none" && !session().admin) return message({ picture: logo(56), title: t.access.emptyTitle, text: t.access.emptyText });
    return message({ picture: logo(56), title: t.gallery.emptyTitle, text: t.gallery.emptyText }, h("p", { class: "quiet" }, t.gallery.emptyHint), h("pre", { class: "command" }, h("code", null, t.gallery.emptyCommand)));
  }

  private showFresh(): void {
    this.feed.release();
    window.scrollTo({ top: 0 });
  }
}

// skeleton is a placeholder for the first cards.
function skeleton(): HTMLElement {
  const cards = Array.from({ length: 8 }, () => h("div", { class: "card skeleton" }, h("div", { class: "card-picture loading" }), h("div", { class: "card-text" }, h("span", { class: "bone" }), h("span", { class: "bone short" }))));
  return h("div", { class: "skeletons", "aria-busy": "true", "aria-label": t.loading, role: "img" }, ...cards);
}

function isTyping(target: EventTarget | null): boolean {
  return target instanceof HTMLElement && (target.isContentEditable || ["INPUT", "TEXTAREA", "SELECT"].includes(target.tagName));
}

// prefetchViewer loads the code of the viewer while the browser is idle.
async function prefetchViewer(): Promise<void> {
  await browserIdle();
  await import("../viewer/page").catch(() => {}); // it is loaded when it is needed
}
