// The audit log, for admins.

import "../styles/manage.css";
import "../styles/access.css";

import type { Store } from "../api/types";
import { formatSecond } from "../format";
import { replaceAddress, type Page } from "../router";
import { t } from "../strings";
import { h, replace, type Child } from "../ui/dom";
import { header } from "../ui/header";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { fill } from "../ui/select";
import { auditExport, listAudit, type AuditQuery } from "./client";
import { field, selectInput, textInput } from "./field";
import { loadNames, userName, type Names } from "./grants";
import { badge } from "./parts";
import { requireAdmin } from "./people-page";
import type { AuditEvent } from "./types";
import { problemWords } from "./words";

const pageSize = 100;
const typingDelay = 350; // milliseconds after the last key
const outcomes: [string, string][] = [["", t.access.anyOutcome], ["allowed", t.access.allowed], ["refused", t.access.refused]];
const names: (keyof AuditQuery)[] = ["user", "act", "object", "outcome", "since", "until"];

export const auditPage: Page = {
  mount(root, _params, signal) {
    document.title = `${t.access.audit} · ${t.name}`;
    if (requireAdmin(root)) new Audit(root, signal);
  },
};

class Audit {
  private query: AuditQuery;
  private known: Names | null = null;
  private next: string | null = "";
  private asked = 0; // counts queries: answers to earlier queries are discarded
  private busy = false;
  private count = 0;
  private readonly user = field(t.access.auditUser, selectInput("user", [["", t.access.anyone]]));
  private readonly act = field(t.access.auditAct, selectInput("act", [["", t.access.anyAct], ...Object.entries(t.access.acts)]));
  private readonly object = field(t.access.auditObject, textInput("object", { type: "search", maxlength: 200 }));
  private readonly outcome = field(t.access.auditOutcome, selectInput("outcome", outcomes));
  private readonly since = field(t.access.auditSince, h("input", { type: "datetime-local", name: "since" }));
  private readonly until = field(t.access.auditUntil, h("input", { type: "datetime-local", name: "until" }));
  private readonly exports = { csv: exportLink(t.access.exportCSV), jsonl: exportLink(t.access.exportJSON) };
  private readonly rows = h("tbody");
  private readonly table = h("div", { class: "table-frame" }, h("table", { class: "table audit", "aria-label": t.access.audit }, h("thead", null, h("tr", null, ...t.access.auditColumns.map((name) => h("th", { scope: "col" }, name)))), this.rows));
  private readonly foot = h("div", { class: "page-foot", "data-testid": "audit-end" });

  constructor(root: HTMLElement, private readonly signal: AbortSignal) {
    const params = new URLSearchParams(location.search);
    this.query = Object.fromEntries(names.map((name) => [name, params.get(name) ?? ""])) as unknown as AuditQuery;
    const refresh = h("button", { type: "button", class: "button plain", onclick: () => this.restart() }, icon("turn", 18), t.access.refresh);
    const clear = h("button", { type: "button", class: "button small plain", onclick: () => this.set({ user: "", act: "", object: "", outcome: "", since: "", until: "" }) }, t.access.clearFilters);
    root.append(
      header(null),
      h(
        "main",
        { class: "page", id: "main", tabindex: "-1" },
        h("div", { class: "page-head" }, h("div", null, h("h1", null, t.access.audit), h("p", { class: "quiet" }, t.access.auditAbout)), h("div", { class: "head-actions" }, ...Object.values(this.exports), refresh)),
        h("form", { class: "box audit-filters", role: "search", "aria-label": t.access.auditFilters, onsubmit: (event: Event) => { event.preventDefault(); this.read(); } }, this.user.row, this.act.row, this.object.row, this.outcome.row, this.since.row, this.until.row, clear),
        h("section", { class: "box", "aria-label": t.access.audit }, this.table, this.foot),
      ),
    );
    window.scrollTo(0, 0);
    this.listen();
    this.showQuery();
    this.restart();
    void loadNames(signal).then((known) => {
      this.known = known;
      this.showQuery();
    }, () => {}); // the filter has no users then
  }

  private listen(): void {
    let timer = 0;
    for (const { control } of [this.user, this.act, this.outcome, this.since, this.until]) control.addEventListener("change", () => this.read());
    this.object.control.addEventListener("input", () => {
      clearTimeout(timer);
      timer = window.setTimeout(() => this.read(), typingDelay);
    });
    const end = new IntersectionObserver(([entry]) => {
      if (entry?.isIntersecting && this.count > 0) void this.load();
    }, { rootMargin: "600px" });
    end.observe(this.foot);
    this.signal.addEventListener("abort", () => {
      clearTimeout(timer);
      end.disconnect();
    });
  }

  // showQuery writes the query to the fields.
  private showQuery(): void {
    const { query } = this;
    for (const format of ["csv", "jsonl"] as const) this.exports[format].href = auditExport(query, format);
    const users = (this.known?.users ?? []).map((u): [string, string] => [u.id, userName(u)]);
    // The log keeps the actions of removed users.
    if (query.user && !users.some(([id]) => id === query.user)) users.push([query.user, query.user]);
    fill(this.user.control, [["", t.access.anyone], ...users], query.user);
    const acts = Object.entries(t.access.acts);
    if (query.act && !(query.act in t.access.acts)) acts.push([query.act, query.act]);
    fill(this.act.control, [["", t.access.anyAct], ...acts], query.act);
    fill(this.outcome.control, outcomes, query.outcome);
    if (document.activeElement !== this.object.control) this.object.control.value = query.object;
    this.since.control.value = localTime(query.since);
    this.until.control.value = localTime(query.until);
  }

  private read(): void {
    const iso = (value: string): string => (value ? new Date(value).toISOString() : "");
    this.set({ user: this.user.control.value, act: this.act.control.value, object: this.object.control.value.trim(), outcome: this.outcome.control.value, since: iso(this.since.control.value), until: iso(this.until.control.value) });
  }

  private set(query: AuditQuery): void {
    if (JSON.stringify(query) === JSON.stringify(this.query)) return;
    this.query = query;
    const params = new URLSearchParams(Object.entries(query).filter(([, value]) => value));
    replaceAddress(`/audit${params.size ? `?${params}` : ""}`);
    this.showQuery();
    this.restart();
  }

  private restart(): void {
    this.asked++;
    this.busy = false;
    this.next = "";
    this.count = 0;
    replace(this.rows);
    void this.load();
  }

  private async load(): Promise<void> {
    if (this.busy || this.next === null) return;
    this.busy = true;
    const { asked } = this;
    replace(this.foot, h("p", { class: "foot-line quiet" }, t.loading));
    try {
      const page = await listAudit(this.query, this.next || null, pageSize, this.signal);
      if (asked !== this.asked || this.signal.aborted) return;
      this.rows.append(...page.items.map((event) => this.row(event)));
      this.count += page.items.length;
      this.next = page.next_cursor;
      this.table.hidden = this.count === 0;
      this.busy = false;
      this.renderFoot();
    } catch (err) {
      if (asked !== this.asked || this.signal.aborted) return;
      this.busy = false;
      replace(this.foot, h("p", { class: "foot-line", role: "alert" }, problemWords(err), h("button", { type: "button", class: "button", onclick: () => void this.load() }, t.retry)));
    }
  }

  private renderFoot(): void {
    if (this.count === 0 && this.next === null) {
      replace(this.foot, message({ picture: icon("list", 40), title: t.access.auditNone, text: t.access.auditNoneText }));
    } else if (this.next === null) {
      replace(this.foot, h("p", { class: "foot-line quiet" }, t.access.auditEnd(this.count)));
    } else {
      replace(this.foot, h("p", { class: "foot-line" }, h("button", { type: "button", class: "button plain", onclick: () => void this.load() }, t.access.auditMore)));
      // The end may still be visible, of which the observer does not notify again.
      if (this.foot.getBoundingClientRect().top < innerHeight) void this.load();
    }
  }

  private row(event: AuditEvent): HTMLElement {
    const cell = (i: number, ...children: Child[]): HTMLElement => h("td", { "data-label": t.access.auditColumns[i] }, ...children);
    return h(
      "tr",
      { "data-allowed": String(event.allowed) },
      h("th", { scope: "row" }, h("time", { datetime: event.at }, formatSecond(event.at))),
      cell(1, h("span", { "data-user": event.user ?? "" }, this.userOf(event.user, event.names))),
      cell(2, h("span", { title: event.act }, t.access.acts[event.act] ?? event.act)),
      cell(3, h("span", { "data-object": event.object ?? "", "data-act": event.act }, ...(event.act === "login" && !event.user && event.object ? [`${t.access.attempted} `] : []), ...this.objectOf(event.object, event.act, event.names))),
      cell(4, event.allowed ? badge(t.access.allowed, "good") : badge(t.access.refused, "broken")),
      cell(5, event.from ? h("code", null, event.from) : "–"),
      cell(6, event.detail ?? (event.image_count ? t.access.auditImages(event.image_count) : "")),
    );
  }

  private userOf(id: string | null, known: AuditEvent["names"]): Child {
    if (!id) return h("span", { class: "quiet" }, t.access.nobody);
    return h("a", { class: "link", href: `/people/${encodeURIComponent(id)}`, "data-page": true, title: id }, known?.[id] ?? h("code", { class: "id" }, id));
  }

  private objectOf(ids: string | null, act: string, known: AuditEvent["names"]): Child[] {
    if (!ids) return ["–"];
    return ids.split(" ").flatMap((id, i) => [i > 0 ? " " : null, this.oneObject(id, act, known?.[id])]);
  }

  private oneObject(id: string, act: string, name: string | undefined): Child {
    const link = (href: string): Child => h("a", { class: "link", href, "data-page": true, title: id }, name ?? h("code", { class: "id" }, id));
    if (this.known?.stores.some((s: Store) => s.id === id)) return link(`/stores#store-${encodeURIComponent(id)}`);
    if (this.known?.users.some((u) => u.id === id)) return link(`/people/${encodeURIComponent(id)}`);
    if (this.known?.groups.some((g) => g.id === id)) return link(`/people/groups/${encodeURIComponent(id)}`);
    if (act === "label.show" || act.startsWith("image.")) return link(`/slides/${encodeURIComponent(id)}`);
    if (act.startsWith("task.")) return link(`/tasks/${encodeURIComponent(id)}`);
    return name ?? h("code", { class: "id" }, id);
  }
}

// exportLink is a link that downloads the entries.
function exportLink(words: string): HTMLAnchorElement {
  return h("a", { class: "button plain", download: true }, words);
}

// localTime formats a time for a datetime-local field.
function localTime(iso: string): string {
  const time = new Date(iso);
  if (!iso || Number.isNaN(time.getTime())) return "";
  return new Date(time.getTime() - time.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
}
