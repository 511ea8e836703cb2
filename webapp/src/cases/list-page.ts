// The list of cases, with search.

import "../styles/gallery.css";
import "../styles/manage.css";
import "../styles/cases.css";

import { listStores, Problem } from "../api/client";
import { formatCount, formatDay } from "../format";
import { replaceAddress, type Page } from "../router";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h, highlighted, replace } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { onPictureError } from "../ui/picture";
import { fill, labelledSelect } from "../ui/select";
import { storeName } from "../stores/card";
import { caseAddress, listCases, type Case, type CaseQuery } from "./client";
import { completeness } from "./completeness";

const searchDelay = 180; // milliseconds after the last key
const pageSize = 50;

export const casesPage: Page = {
  mount(root, _params, signal) {
    new Cases(root, signal);
  },
};

// The list that was left last: returning to it restores what was loaded, and where it was.
let left: { query: string; items: Case[]; next: string | null; scrollY: number } | null = null;

class Cases {
  private query: CaseQuery;
  private items: Case[] = [];
  private next: string | null = null;
  private request = new AbortController();
  private readonly search = h("input", { type: "search", class: "search-input", placeholder: t.cases.searchHint, "aria-label": t.cases.search, autocomplete: "off", spellcheck: "false", enterkeyhint: "search" });
  private readonly clear = iconButton("close", t.gallery.clearSearch, () => this.setSearch(""), { class: "icon-button search-clear" });
  private readonly store = labelledSelect("store", t.gallery.store, (store) => this.setQuery({ ...this.query, store }));
  private readonly sort = labelledSelect("sort", t.gallery.sort, (sort) => this.setQuery({ ...this.query, sort }));
  private readonly count = h("p", { class: "count", role: "status" });
  private readonly list = h("ul", { class: "case-list", role: "list", "aria-label": t.cases.title });
  private readonly foot = h("div", { class: "grid-foot" });
  private readonly end = new IntersectionObserver((entries) => {
    if (entries.some((entry) => entry.isIntersecting) && this.next) void this.load();
  }, { rootMargin: "600px" });
  private loading = false;

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    document.title = `${t.cases.title} · ${t.name}`;
    const params = new URLSearchParams(location.search);
    this.query = { q: params.get("q") ?? "", store: params.get("store") ?? "", sort: params.get("sort") === "accession" ? "accession" : "" };
    this.search.value = this.query.q;
    this.clear.hidden = !this.query.q;
    const bar = header("cases", false, h("div", { class: "search", role: "search" }, icon("search", 18), this.search, this.clear));
    bar.append(h("div", { class: "filters" }, this.count, this.store.frame, this.sort.frame));
    root.append(bar, h("main", { class: "gallery", id: "main", tabindex: "-1" }, h("h1", { class: "visually-hidden" }, t.cases.title), this.list, this.foot));
    fill(this.sort.input, [["", t.cases.newest], ["accession", t.cases.byAccession]], this.query.sort);
    this.store.frame.hidden = true;
    void this.loadStores();
    let timer = 0;
    this.search.addEventListener("input", () => {
      this.clear.hidden = this.search.value === "";
      clearTimeout(timer);
      timer = window.setTimeout(() => this.setQuery({ ...this.query, q: this.search.value.trim() }), searchDelay);
    });
    this.end.observe(this.foot);
    signal.addEventListener("abort", () => {
      clearTimeout(timer);
      this.end.disconnect();
      this.request.abort();
      left = this.items.length > 0 ? { query: JSON.stringify(this.query), items: this.items, next: this.next, scrollY: window.scrollY } : null;
    });
    void this.begin();
  }

  // begin shows the list as it was left, if the query is the same and nothing has changed in its first
  // page; else its first page.
  private async begin(): Promise<void> {
    const kept = left?.query === JSON.stringify(this.query) ? left : null;
    if (kept) {
      ({ items: this.items, next: this.next } = kept);
      this.render(null);
    }
    window.scrollTo(0, kept?.scrollY ?? 0);
    if (!kept) return this.load();
    const { signal } = this.request;
    const page = await listCases(this.query, null, pageSize, signal).catch(() => null);
    if (!page || signal.aborted || JSON.stringify(page.items) === JSON.stringify(this.items.slice(0, page.items.length))) return;
    this.items = page.items;
    this.next = page.next_cursor || null;
    replace(this.list);
    this.render(null);
  }

  private async loadStores(): Promise<void> {
    const stores = await listStores(this.signal).catch(() => []);
    if (this.signal.aborted) return;
    this.store.frame.hidden = stores.length < 2 && !this.query.store;
    fill(this.store.input, [["", t.gallery.allStores], ...stores.map((s): [string, string] => [s.id, storeName(s)])], this.query.store);
  }

  private setSearch(q: string): void {
    this.search.value = q;
    this.clear.hidden = !q;
    this.search.focus();
    this.setQuery({ ...this.query, q });
  }

  private setQuery(query: CaseQuery): void {
    if (JSON.stringify(query) === JSON.stringify(this.query)) return;
    this.query = query;
    const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
    replaceAddress(`/cases${params.size ? `?${params}` : ""}`);
    this.request.abort();
    this.request = new AbortController();
    this.items = [];
    this.next = null;
    this.loading = false;
    void this.load();
  }

  private async load(): Promise<void> {
    if (this.loading) return;
    this.loading = true;
    const { signal } = this.request;
    try {
      const page = await listCases(this.query, this.next, pageSize, signal);
      if (signal.aborted) return;
      this.items.push(...page.items);
      this.next = page.next_cursor || null;
      this.render(null);
    } catch (err) {
      if (signal.aborted) return;
      this.render(err instanceof Problem ? err : new Problem(0, String(err)));
    }
    this.loading = false;
  }

  private render(problem: Problem | null): void {
    this.count.textContent = problem ? "" : this.next ? t.cases.countMore(this.items.length) : t.cases.count(this.items.length);
    const shown = this.list.children.length <= this.items.length && this.list.dataset.query === JSON.stringify(this.query) ? this.list.children.length : 0;
    if (shown === 0) replace(this.list);
    this.list.dataset.query = JSON.stringify(this.query);
    this.list.append(...this.items.slice(shown).map((c) => caseRow(c, this.query.q)));
    if (problem) replace(this.foot, message({ picture: icon("warning", 44), title: t.cases.failed, text: problem.detail, alert: true, action: h("button", { type: "button", class: "button", onclick: () => void this.load() }, t.retry) }));
    else if (this.items.length === 0) replace(this.foot, message({ picture: icon("search", 44), title: this.query.q ? t.cases.noneFound : t.cases.none, text: this.query.q ? t.cases.noneFoundText(this.query.q) : t.cases.noneText }));
    else replace(this.foot, this.next ? h("p", { class: "foot-line quiet" }, t.loading) : null);
  }
}

function caseRow(c: Case, q: string): HTMLElement {
  return h(
    "li",
    { class: "case-row" },
    h("a", { class: "case-link", href: caseAddress(c.accession, c.store), "data-page": true },
      thumbnail(c.thumbnail_id),
      h("span", { class: "case-names" },
        h("span", { class: "case-title-line" }, h("strong", { class: "case-accession" }, ...highlighted(c.accession, q)), completeness(c)),
        h("span", { class: "quiet ellipsis" }, c.store_label)),
      h("span", { class: "case-stains" }, ...c.stains.slice(0, 8).map((stain) => h("span", { class: "chip" }, stain)), c.stains.length > 8 ? h("span", { class: "quiet" }, `+${formatCount(c.stains.length - 8)}`) : null),
      h("span", { class: "case-facts quiet" }, h("span", null, t.cases.slides(c.images)), c.blocks.length ? h("span", null, t.cases.blocks(c.blocks.length)) : null, c.newest ? h("time", { datetime: c.newest }, formatDay(c.newest)) : null)),
  );
}

function thumbnail(id: string | null): HTMLElement {
  const frame = h("span", { class: "case-picture" });
  if (!id) return frame;
  const picture = h("img", { alt: "", loading: "lazy", decoding: "async", src: `/api/v1/images/${encodeURIComponent(id)}/thumbnail?width=160&height=112` });
  onPictureError(picture, () => picture.remove());
  frame.append(picture);
  return frame;
}
