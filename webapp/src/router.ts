// The router: shows the page of an address without loading a new document. Each page cleans up when
// its signal is aborted.

import { throughOutages } from "./api/connection";
import { t } from "./strings";
import { busyWith } from "./ui/activity";
import { announce } from "./ui/announce";
import { h } from "./ui/dom";
import { icon } from "./ui/icons";
import { message } from "./ui/message";

const newDocument = 10_000; // milliseconds during which a document has the code of the server's version

export interface Page {
  // mount fills root. The signal is aborted when another page replaces this one.
  mount(root: HTMLElement, params: string[], signal: AbortSignal): void;
}

export interface Route {
  pattern: RegExp; // of the path; its groups are the params of the page
  load: () => Page | Promise<Page>;
}

let routes: Route[] = [];
let root: HTMLElement;
let fallback: Route["load"];
let leave = new AbortController();
let shown = "";
let first = true;

// start shows the page of the current address, and of later ones.
export function start(into: HTMLElement, table: Route[], notFound: Route["load"]): void {
  root = into;
  routes = table;
  fallback = notFound;
  history.scrollRestoration = "manual";
  document.addEventListener("click", follow);
  window.addEventListener("popstate", () => {
    // Pages handle changes of the fragment themselves.
    if (location.pathname + location.search !== shown) void show();
  });
  void show();
}

// navigate goes to an address of the application.
export function navigate(address: string, how: "push" | "replace" = "push"): void {
  if (how === "push") history.pushState({ inside: true }, "", address);
  else history.replaceState(history.state, "", address);
  void show();
}

// replaceAddress changes the address without changing the page.
export function replaceAddress(address: string): void {
  history.replaceState(history.state, "", address);
  shown = location.pathname + location.search;
}

// goBack returns to the previous page, or goes to address if that was of another site.
export function goBack(address: string): void {
  if ((history.state as { inside?: boolean } | null)?.inside) history.back();
  else navigate(address);
}

function follow(event: MouseEvent): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  const link = (event.target as Element).closest?.("a[data-page]");
  if (!(link instanceof HTMLAnchorElement) || link.origin !== location.origin) return;
  event.preventDefault();
  navigate(link.pathname + link.search + link.hash);
}

async function show(): Promise<void> {
  leave.abort();
  leave = new AbortController();
  const { signal } = leave;
  shown = location.pathname + location.search;
  let load = fallback;
  let params: string[] = [];
  for (const route of routes) {
    const match = route.pattern.exec(location.pathname);
    if (match) {
      load = route.load;
      params = match.slice(1).map(decodeURIComponent);
      break;
    }
  }
  const page = await busyWith(throughOutages(load)).catch(missingCode);
  if (signal.aborted) return;
  root.replaceChildren();
  document.title = t.name;
  page.mount(root, params, signal);
  // Keyboard and screen reader users continue at the beginning of the page, unless the page has
  // restored the focus.
  if (!first && !root.contains(document.activeElement)) root.focus({ preventScroll: true });
  if (!first) announce(document.title);
  first = false;
}

// missingCode is the page if the code of a page cannot be loaded. After an update of the server the
// code of the old version is gone; a new document has the new one.
function missingCode(err: unknown): Page {
  console.error(err);
  if (performance.now() > newDocument) location.reload();
  return {
    mount: (root) => root.append(h("main", { class: "centre" }, message({ picture: icon("warning", 44), title: t.error.pageTitle, text: t.error.page, alert: true, action: h("button", { type: "button", class: "button", onclick: () => location.reload() }, t.error.reload) }))),
  };
}
