// Brightness, contrast and gamma of the picture: what they do to a pixel, and
// the filter that has the browser do it.

import type { SlideView } from "./slide-view";

export interface Adjustments {
  brightness: number; // factor: 1 leaves the picture as it is
  contrast: number; // factor about middle grey
  gamma: number; // above 1 lightens what is between black and white
}

export const neutral: Adjustments = { brightness: 1, contrast: 1, gamma: 1 };

export const ranges: Record<keyof Adjustments, [least: number, most: number]> = { brightness: [0.25, 4], contrast: [0.25, 4], gamma: [0.25, 4] };

const key = "ptiffstore.adjustments"; // in the session's storage
const steps = 256; // of the filter's table: one for each value of a channel

export function isNeutral(a: Adjustments): boolean {
  return a.brightness === 1 && a.contrast === 1 && a.gamma === 1;
}

// adjust is what becomes of a channel's value; both are from 0 to 1.
export function adjust(value: number, a: Adjustments): number {
  const bright = value * a.brightness;
  const contrasted = (bright - 0.5) * a.contrast + 0.5;
  return Math.min(1, Math.max(0, contrasted)) ** (1 / a.gamma);
}

// table is adjust for each of the values of a byte, from 0 to 1.
export function table(a: Adjustments): number[] {
  return Array.from({ length: steps }, (_, i) => adjust(i / (steps - 1), a));
}

// adjustPixels does to a picture what the filter does to the canvas.
export function adjustPixels(data: Uint8ClampedArray, a: Adjustments): void {
  const bytes = Uint8ClampedArray.from(table(a), (value) => value * 255);
  for (let i = 0; i < data.length; i += 4) {
    data[i] = bytes[data[i]!]!;
    data[i + 1] = bytes[data[i + 1]!]!;
    data[i + 2] = bytes[data[i + 2]!]!;
  }
}

// An Adjuster applies adjustments to what a view has drawn, and keeps them as
// long as the browser's tab: they are about one look at slides, and would
// mislead tomorrow.
export class Adjuster {
  // defs must be part of the document.
  readonly defs = svg("svg", { class: "visually-hidden", width: "0", height: "0", "aria-hidden": "true", focusable: "false" });
  private readonly channels = (["R", "G", "B"] as const).map((name) => svg(`feFunc${name}`, { type: "table" }));
  private current: Adjustments;

  constructor(private readonly view: SlideView) {
    // Without sRGB the table would be of linear light.
    const filter = svg("filter", { id: "adjustments", x: "0", y: "0", width: "100%", height: "100%", "color-interpolation-filters": "sRGB" });
    const transfer = svg("feComponentTransfer", {});
    transfer.append(...this.channels);
    filter.append(transfer);
    this.defs.append(filter);
    this.current = restored();
    this.apply();
  }

  get value(): Adjustments {
    return this.current;
  }

  set(a: Adjustments): void {
    this.current = a;
    this.apply();
    try {
      sessionStorage.setItem(key, JSON.stringify(a));
    } catch {
      // storage is forbidden in some frames
    }
  }

  private apply(): void {
    const { canvas } = this.view.viewer.drawer as unknown as { canvas: HTMLElement };
    if (isNeutral(this.current)) {
      canvas.style.filter = "";
      return;
    }
    const values = table(this.current).map((value) => value.toFixed(4)).join(" ");
    for (const channel of this.channels) channel.setAttribute("tableValues", values);
    canvas.style.filter = "url(#adjustments)";
  }
}

// restored reads what was kept, which may be from another version.
function restored(): Adjustments {
  try {
    const kept = JSON.parse(sessionStorage.getItem(key) ?? "{}") as Partial<Adjustments>;
    const value = (name: keyof Adjustments): number => {
      const [least, most] = ranges[name];
      const n = Number(kept[name] ?? 1);
      return n >= least && n <= most ? n : 1;
    };
    return { brightness: value("brightness"), contrast: value("contrast"), gamma: value("gamma") };
  } catch {
    return neutral;
  }
}

function svg(name: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
