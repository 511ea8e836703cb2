import { loadSession } from "../access/session";
import { userMenu } from "../access/user-menu";
import { listCases } from "../cases/client";
import { t } from "../strings";
import { mayUpload } from "../upload/client";
import { h, type Child } from "./dom";
import { icon, logo } from "./icons";
import { themeButton } from "./theme";

export type Place = "slides" | "cases" | "upload" | "stores" | "tasks";

const places: [Place, string][] = [["slides", "/"], ["cases", "/cases"], ["upload", "/upload"], ["stores", "/stores"], ["tasks", "/tasks"]];

// navigation links the main pages. A page below one of them is marked as that page, and its link
// still works; here is null on other pages. Upload is shown to users who have the permission, and
// cases to those who may see some.
export function navigation(here: Place | null, below = false): HTMLElement {
  const links = places.map(([place, href]) => h("a", { class: "nav-link", href, "data-page": true, "data-place": place, "aria-current": place === here ? (below ? "true" : "page") : null }, t.nav[place]));
  const cases = links[1]!;
  const upload = links[2]!;
  if (here !== "cases") {
    cases.hidden = true;
    void loadSession().then(hasCases).then((has) => { cases.hidden = !has; });
  }
  if (here !== "upload") {
    upload.hidden = true;
    void loadSession().then(mayUpload).then((may) => { upload.hidden = !may; });
  }
  return h("nav", { class: "nav", "aria-label": t.nav.label }, ...links);
}

let seenCases: Promise<boolean> | null = null;

// hasCases asks once for each document.
function hasCases({ mode, user }: { mode: string; user: unknown }): Promise<boolean> {
  if (mode !== "none" && !user) return Promise.resolve(false);
  seenCases ??= listCases({ q: "", store: "", sort: "" }, null, 1).then(({ items }) => items.length > 0).catch(() => {
    seenCases = null;
    return false;
  });
  return seenCases;
}

export function brand(): HTMLElement {
  return h("a", { class: "brand", href: "/", "data-page": true, "aria-label": t.name }, logo(), h("span", { class: "brand-name" }, t.name));
}

export function aboutLink(): HTMLElement {
  return h("a", { class: "icon-button about-link", href: "/about", "data-page": true, "aria-label": t.about.title, title: t.about.title }, icon("info"));
}

// header is the bar at the top of pages that need nothing special there.
export function header(here: Place | null, below = false, ...children: Child[]): HTMLElement {
  return h("header", { class: "bar" }, h("a", { class: "skip", href: "#main" }, t.skipMain), brand(), navigation(here, below), ...children, barEnd());
}

// barEnd is the end of each header: about, theme and user menu.
export function barEnd(): HTMLElement {
  return h("div", { class: "bar-end" }, aboutLink(), themeButton(), userMenu());
}
