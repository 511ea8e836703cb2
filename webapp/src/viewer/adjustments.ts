// Brightness, contrast and gamma: the calculation for a pixel, and the filter with which the
// browser applies it.

import type { SlideView } from "./slide-view";

export interface Adjustments {
  brightness: number; // factor: 1 is neutral
  contrast: number; // factor around middle grey
  gamma: number; // above 1 lightens mid-tones
}

export const neutral: Adjustments = { brightness: 1, contrast: 1, gamma: 1 };

export const ranges: Record<keyof Adjustments, [least: number, most: number]> = { brightness: [0.25, 4], contrast: [0.25, 4], gamma: [0.25, 4] };

const key = "ptiffstore.adjustments"; // in session storage
const steps = 256; // entries of the filter table: one for each value of a channel

export function isNeutral(a: Adjustments): boolean {
  return a.brightness === 1 && a.contrast === 1 && a.gamma === 1;
}

// adjust is the adjusted value of a channel, from 0 to 1.
export function adjust(value: number, a: Adjustments): number {
  const bright = value * a.brightness;
  const contrasted = (bright - 0.5) * a.contrast + 0.5;
  return Math.min(1, Math.max(0, contrasted)) ** (1 / a.gamma);
}

// table is adjust for each value of a byte, from 0 to 1.
export function table(a: Adjustments): number[] {
  return Array.from({ length: steps }, (_, i) => adjust(i / (steps - 1), a));
}

// adjustPixels applies to pixels what the filter applies to the canvas.
export function adjustPixels(data: Uint8ClampedArray, a: Adjustments): void {
  const bytes = Uint8ClampedArray.from(table(a), (value) => value * 255);
  for (let i = 0; i < data.length; i += 4) {
    data[i] = bytes[data[i]!]!;
    data[i + 1] = bytes[data[i + 1]!]!;
    data[i + 2] = bytes[data[i + 2]!]!;
  }
}

// An Adjuster applies adjustments to the canvas of a view. They are kept only for the session of
// the browser tab, because forgotten adjustments would mislead.
export class Adjuster {
  // defs must be in the document.
  readonly defs = svg("svg", { class: "visually-hidden", width: "0", height: "0", "aria-hidden": "true", focusable: "false" });
  private readonly channels = (["R", "G", "B"] as const).map((name) => svg(`feFunc${name}`, { type: "table" }));
  private current: Adjustments;

  constructor(private readonly view: SlideView) {
    // Without sRGB the table would apply to linear light.
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
      // storage is blocked in some frames
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

// restored reads stored adjustments, possibly of another version.
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
