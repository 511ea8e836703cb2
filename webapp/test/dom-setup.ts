// What the DOM of the tests lacks: a size of the window, canvases, and streams of events.

import { afterEach, beforeEach, vi } from "vitest";

import { reset } from "./dom";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setTimeout", "clearTimeout", "setInterval", "clearInterval", "requestAnimationFrame", "cancelAnimationFrame", "Date"] });
});
afterEach(reset);

for (const [name, size] of [["clientWidth", 1440], ["clientHeight", 900], ["offsetHeight", 900]] as const) {
  Object.defineProperty(HTMLElement.prototype, name, { configurable: true, get: () => size });
}

// Canvases accept everything and render nothing.
const context: object = new Proxy({}, {
  get: (_target, name) => (name === "getImageData" ? () => ({ data: new Uint8ClampedArray(4) }) : () => context),
  set: () => true,
});
HTMLCanvasElement.prototype.getContext = (() => context) as unknown as typeof HTMLCanvasElement.prototype.getContext;
vi.stubGlobal("Path2D", class {
  addPath(): void {}
  arc(): void {}
  closePath(): void {}
  lineTo(): void {}
  moveTo(): void {}
  rect(): void {}
});
vi.stubGlobal("createImageBitmap", async () => ({ width: 512, height: 512, close: () => {} }));

// The server refuses to stream events: the application polls instead.
class NoEvents extends EventTarget {
  static readonly CLOSED = 2;
  readonly readyState = NoEvents.CLOSED;

  constructor() {
    super();
    setTimeout(() => this.dispatchEvent(new Event("error")));
  }

  close(): void {}
}
vi.stubGlobal("EventSource", NoEvents);
