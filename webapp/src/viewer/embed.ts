// Messages between the viewer in a frame and the page around it. Each has the version of the
// interface, ptiffstore: 1. See docs/embedding.md.

import { loadSession } from "../access/session";
import { isFramed } from "../share/place";
import type { View } from "./permalink";

export interface EmbedOptions {
  id: string;
  view: () => View | null; // null while no slide is open
  size: () => { width: number; height: number }; // of what is in view, in pixels of level 0
  goTo: (view: View) => void;
  open: (id: string) => boolean; // false if the slide cannot be opened here
  signal: AbortSignal;
}

const version = 1;
const mostZoom = 400; // magnification
const idPattern = /^[a-z0-9]{1,64}$/;

export type Command = { type: "open"; image: string } | { type: "goTo"; x: number; y: number; z: number | null; scale: number | null; rotation: number } | { type: "get" };

// parseCommand checks a message; null if it is not a valid command.
export function parseCommand(data: unknown): Command | null {
  if (typeof data !== "object" || data === null || (data as { ptiffstore?: unknown }).ptiffstore !== version) return null;
  const message = data as Record<string, unknown>;
  const finite = (value: unknown, most: number): value is number => typeof value === "number" && Number.isFinite(value) && Math.abs(value) <= most;
  switch (message["type"]) {
    case "get":
      return { type: "get" };
    case "open":
      return typeof message["image"] === "string" && idPattern.test(message["image"]) ? { type: "open", image: message["image"] } : null;
    case "goTo": {
      const { x, y, zoom, scale, rotation = 0 } = message;
      if (!finite(x, 1e7) || !finite(y, 1e7) || !finite(rotation, 1e4)) return null;
      const z = finite(zoom, mostZoom) && zoom > 0 ? zoom : null;
      const s = z === null && finite(scale, 100) && scale > 0 ? scale : null;
      return z === null && s === null ? null : { type: "goTo", x, y, z, scale: s, rotation };
    }
  }
  return null;
}

// embed answers the commands of the page around the viewer. report sends it what is in view.
export function embed(o: EmbedOptions): { ready: () => void; report: () => void; fail: (text: string) => void } {
  let origins: string[] = [];
  let parent = ""; // origin of the page around, once it is known
  let last = "";
  const loaded = loadSession().then(({ frame_origins }) => (origins = [location.origin, ...(frame_origins ?? [])]));

  const post = async (message: object): Promise<void> => {
    await loaded;
    if (!isFramed() || o.signal.aborted) return;
    const around = window.location.ancestorOrigins?.[0] ?? parent;
    // A browser delivers a message only if the page around has this origin.
    for (const origin of around ? origins.filter((one) => one === around) : origins) window.parent.postMessage({ ptiffstore: version, ...message }, origin);
  };
  const state = (): object | null => {
    const view = o.view();
    return view && { image: o.id, x: view.x, y: view.y, zoom: view.z, scale: view.scale, rotation: view.rotation, ...o.size() };
  };
  const report = (): void => {
    const now = state();
    const text = JSON.stringify(now);
    if (!now || text === last) return;
    last = text;
    void post({ type: "view", ...now });
  };
  window.addEventListener("message", async (event) => {
    if (event.source !== window.parent || !isFramed()) return;
    await loaded;
    if (!origins.includes(event.origin) || o.signal.aborted) return;
    parent = event.origin;
    const command = parseCommand(event.data);
    if (!command) {
      if ((event.data as { ptiffstore?: unknown } | null)?.ptiffstore !== undefined) void post({ type: "error", text: "This is not a valid command." });
      return;
    }
    if (command.type === "goTo") o.goTo({ x: command.x, y: command.y, z: command.z, scale: command.scale, rotation: command.rotation });
    else if (command.type === "open" && command.image !== o.id && !o.open(command.image)) void post({ type: "error", text: "This slide cannot be opened here." });
    else if (command.type === "get") {
      last = "";
      report();
    }
  }, { signal: o.signal });
  return { ready: () => void post({ type: "ready", image: o.id }), report, fail: (text) => void post({ type: "error", text }) };
}
