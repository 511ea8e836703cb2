// Which page an address shows. Pages come and go without the document being
// loaded anew; each cleans up when its signal is aborted.

import { t } from "./strings";
import { busyWith } from "./ui/activity";
import { announce } from "./ui/announce";

export interface Page {
  // mount fills root. The signal is aborted when another page takes its place.
  mount(root: HTMLElement, params: string[], signal: AbortSignal): void;
}

export interface Route {
  pattern: RegExp; // of the path; its groups are the page's params
  load: () => Page | Promise<Page>;
}

let routes: Route[] = [];
let root: HTMLElement;
let fallback: Route["load"];
let leave = new AbortController();
let shown = "";
let first = true;

// start shows the page of the current address, and of every later one.
export function start(into: HTMLElement, table: Route[], notFound: Route["load"]): void {
  root = into;
  routes = table;
  fallback = notFound;
  history.scrollRestoration = "manual";
  document.addEventListener("click", follow);
  window.addEventListener("popstate", () => {
    // A changed fragment is the page's own business.
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

// replaceAddress changes the address without showing another page.
export function replaceAddress(address: string): void {
  history.replaceState(history.state, "", address);
  shown = location.pathname + location.search;
}

// goBack returns to the page before, or to address if the user came from
// elsewhere.
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
  const page = await busyWith(Promise.resolve(load()));
  if (signal.aborted) return;
  root.replaceChildren();
  document.title = t.name;
  page.mount(root, params, signal);
  // Who uses the keyboard or hears the page goes on at its beginning, unless the
  // page has put the focus where it was left.
  if (!first && !root.contains(document.activeElement)) root.focus({ preventScroll: true });
  if (!first) announce(document.title);
  first = false;
}
