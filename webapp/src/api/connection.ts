// The connection to the server. Requests report when they get no response; then the server is asked
// again and again until it responds, and everything that was waiting for it continues.

import { t } from "../strings";

// The connection is lost when the server does not respond, and the server is starting when it
// responds that it is not ready.
export type ConnectionState = "connected" | "lost" | "starting";

const pauses = [1_000, 2_000, 4_000, 8_000, 15_000]; // milliseconds between two questions; the last is repeated
const answerTime = 5_000; // milliseconds for an answer
const shortestPause = 5_000; // milliseconds between two reports of reconnection
const question = "/api/v1/auth/session"; // answered for every caller

let state: ConnectionState = "connected";
let reason = ""; // why the server is not ready
let asking: Promise<void> | null = null;
let pause = { end: (): void => {} }; // the current pause between two questions
let failed = false; // whether a request is known to have failed since the last report
let leaving = false; // the document is being unloaded, which ends its requests
let reported = -Infinity; // when a reconnection was reported, by Date.now
const stateListeners = new Set<() => void>();
const reconnectListeners = new Set<() => void>();

export function connection(): { state: ConnectionState; reason: string } {
  return { state, reason };
}

// onConnection calls listener when the state changes.
export function onConnection(listener: () => void): void {
  stateListeners.add(listener);
}

// onReconnect calls listener when the server responds after requests have failed.
export function onReconnect(listener: () => void, signal: AbortSignal): void {
  reconnectListeners.add(listener);
  signal.addEventListener("abort", () => reconnectListeners.delete(listener));
}

// watchConnection reacts to what the browser knows about the network.
export function watchConnection(): void {
  window.addEventListener("online", askNow);
  window.addEventListener("offline", () => void outage());
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) askNow();
  });
  window.addEventListener("pagehide", () => {
    leaving = true;
  });
  window.addEventListener("pageshow", () => {
    leaving = false;
  });
}

// askNow ends the pause before the next question, if the connection is lost.
export function askNow(): void {
  pause.end();
}

// outage is called after a request without a response. It waits until the server responds, and
// reports whether there was an outage: if not, the request failed for another reason. Of an image
// it is not certain that there was no response: the browser reports any error alike.
export async function outage(certain = true): Promise<boolean> {
  if (leaving) return false;
  failed ||= certain;
  const before = state;
  asking ??= reconnect().finally(() => {
    asking = null;
  });
  let lost = before !== "connected";
  const notice = (): void => {
    lost ||= state !== "connected";
  };
  stateListeners.add(notice);
  await asking;
  stateListeners.delete(notice);
  return lost;
}

// throughOutages calls work, and calls it again if it fails during an outage: for code that is
// loaded when it is needed.
export async function throughOutages<T>(work: () => T | Promise<T>): Promise<T> {
  for (;;) {
    try {
      return await work();
    } catch (err) {
      if (!(await outage())) throw err;
    }
  }
}

// isGatewayError reports whether a proxy answers in place of the server. The server's own errors
// are JSON.
export function isGatewayError(response: Response): boolean {
  return [502, 503, 504].includes(response.status) && !response.headers.get("Content-Type")?.includes("json");
}

async function reconnect(): Promise<void> {
  for (let n = 0; ; n++) {
    const next = await ask();
    if (next.state === "connected") break;
    failed = true;
    set(next.state, next.reason);
    await rest(pauses[Math.min(n, pauses.length - 1)]! * (0.8 + 0.4 * Math.random()));
  }
  set("connected", "");
  if (!failed) return;
  failed = false;
  // Not more often: a request that always fails must not repeat itself without a pause.
  const wait = reported + shortestPause - Date.now();
  if (wait > 0) setTimeout(report, wait);
  else report();
}

function report(): void {
  reported = Date.now();
  for (const listener of [...reconnectListeners]) listener();
}

async function ask(): Promise<{ state: ConnectionState; reason: string }> {
  try {
    const response = await fetch(question, { headers: { Accept: "application/json" }, cache: "no-store", signal: AbortSignal.timeout(answerTime) });
    if (isGatewayError(response)) return { state: "lost", reason: "" };
    if (response.status !== 503) return { state: "connected", reason: "" };
    const { detail } = (await response.json()) as { detail?: unknown };
    return { state: "starting", reason: typeof detail === "string" ? detail : t.error.status(503) };
  } catch {
    return { state: "lost", reason: "" };
  }
}

function set(next: ConnectionState, why: string): void {
  if (next === state && why === reason) return;
  state = next;
  reason = why;
  for (const listener of [...stateListeners]) listener();
}

function rest(milliseconds: number): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    pause = { end: () => {
      clearTimeout(timer);
      resolve();
    } };
  });
}
