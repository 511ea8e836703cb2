// Pages in a DOM without a browser: the whole application runs, the test answers its
// requests, and its clock stands still unless the test waits for something.

import { within, type BoundFunctions, type queries } from "@testing-library/dom";
import { vi } from "vitest";

type Answer = object | Response;

// Routes answer requests by "METHOD /path"; a * stands for one part of the path.
export type Routes = Record<string, (request: { url: URL; path: string[]; body: unknown }) => Answer>;

const step = 50; // milliseconds of the clock between two checks
const timeout = 30_000; // milliseconds of the clock

// network is the connection of the application to the test.
export const network = { down: false };

let listening: (() => void)[] = [];

// problem is an answer other than success.
export function problem(status: number, detail: string, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify({ status, detail }), { status, headers: { "Content-Type": "application/problem+json", ...headers } });
}

export const list = (items: object[]): Answer => ({ items, next_cursor: null });

const openAccess = { mode: "none", user: null, admin: true, scopes: ["tiles", "label", "write", "admin"], token: false, central: null, oidc: null };

// open shows the page at an address.
export async function open(address: string, routes: Routes): Promise<BoundFunctions<typeof queries>> {
  close();
  vi.stubGlobal("fetch", (input: string, init?: RequestInit) => answer({ "GET /api/v1/auth/session": () => openAccess, "GET /api/v1/stores": () => list([]), "GET /api/v1/workers": () => list([]), ...routes }, input, init));
  document.body.innerHTML = '<div id="app" tabindex="-1"></div>';
  history.replaceState(null, "", address);
  for (const target of [window, document]) {
    const add = target.addEventListener.bind(target);
    vi.spyOn(target, "addEventListener").mockImplementation((type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions) => {
      add(type, listener, options);
      listening.push(() => target.removeEventListener(type, listener, options));
    });
  }
  vi.resetModules();
  await import("../src/main");
  await loaded();
  return within(document.body);
}

// loaded waits until the code that the page needs is there.
async function loaded(): Promise<void> {
  for (let i = 0; i < 3; i++) {
    await vi.advanceTimersByTimeAsync(0);
    await vi.dynamicImportSettled();
  }
}

// close ends the application that open has begun.
function close(): void {
  for (const remove of listening) remove();
  listening = [];
  vi.restoreAllMocks();
  vi.clearAllTimers();
}

// reset puts everything back as it was before a test.
export function reset(): void {
  close();
  network.down = false;
  vi.useRealTimers();
  document.body.replaceChildren();
  document.documentElement.removeAttribute("class");
  localStorage.clear();
  sessionStorage.clear();
}

async function answer(routes: Routes, input: string, init?: RequestInit): Promise<Response> {
  init?.signal?.throwIfAborted();
  if (network.down) throw new TypeError("Failed to fetch");
  const url = new URL(input, location.href);
  const method = init?.method ?? "GET";
  for (const [route, handle] of Object.entries(routes)) {
    const [verb, pattern] = route.split(" ") as [string, string];
    const path = new RegExp(`^${pattern.replaceAll("*", "([^/]+)")}$`).exec(url.pathname);
    if (verb !== method || !path) continue;
    const result = handle({ url, path: path.slice(1), body: init?.body ? JSON.parse(String(init.body)) : null });
    return result instanceof Response ? result : Response.json(result, { status: method === "POST" ? 201 : 200 });
  }
  return problem(404, `nothing answers ${method} ${url.pathname}`);
}

// eventually repeats check until it no longer throws, and advances the clock
// in between.
export async function eventually<T>(check: () => T): Promise<T> {
  for (let waited = 0; ; waited += step) {
    try {
      return check();
    } catch (err) {
      if (waited >= timeout) throw err;
    }
    await vi.advanceTimersByTimeAsync(step);
    await vi.dynamicImportSettled();
  }
}

// text is what an element says, with single spaces.
export const text = (element: Element | null | undefined): string => element?.textContent?.replace(/\s+/g, " ").trim() ?? "";

// choose picks an option of a select element by its value.
export function choose(select: HTMLElement, value: string): void {
  (select as HTMLSelectElement).value = value;
  select.dispatchEvent(new Event("change", { bubbles: true }));
}

// type puts text into a field.
export function type(field: HTMLElement, value: string): void {
  (field as HTMLInputElement).value = value;
  field.dispatchEvent(new Event("input", { bubbles: true }));
}
