// Brightness, contrast and gamma: the calculation for a pixel, the filter with which the browser
// applies it, and the adjustments as text and in an address.

import { t } from "../strings";
import type { SlideView } from "./slide-view";

export interface Adjustments {
  brightness: number; // factor: 1 is neutral
  contrast: number; // factor around middle grey
  gamma: number; // above 1 lightens mid-tones
}

export const neutral: Adjustments = { brightness: 1, contrast: 1, gamma: 1 };

export const ranges: Record<keyof Adjustments, [least: number, most: number]> = { brightness: [0.25, 4], contrast: [0.25, 4], gamma: [0.25, 4] };

export const adjustmentNames = ["brightness", "contrast", "gamma"] as const;

const steps = 256; // entries of the filter table: one for each value of a channel
const letters = { brightness: "b", contrast: "c", gamma: "g" } as const; // in an address

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

// formatValue is one adjustment as text: "+20 %", or "1.2" for gamma.
export function formatValue(name: keyof Adjustments, value: number): string {
  if (name === "gamma") return String(Number(value.toFixed(2)));
  const percent = Math.round((value - 1) * 100);
  return `${percent > 0 ? "+" : percent < 0 ? "\u2212" : ""}${Math.abs(percent)} %`;
}

// adjustmentsText names what is adjusted, such as "Brightness +20 %" and "Gamma 1.2".
export function adjustmentsText(a: Adjustments): string[] {
  return adjustmentNames.filter((name) => a[name] !== 1).map((name) => `${t.adjust[name]} ${formatValue(name, a[name])}`);
}

// formatAdjustments is adjustments for the fragment of an address, as b=1.2&g=1.5; "" without any.
export function formatAdjustments(a: Adjustments): string {
  return adjustmentNames.filter((name) => a[name] !== 1).map((name) => `${letters[name]}=${rounded(a[name])}`).join("&");
}

// adjustmentsIn are the adjustments in a fragment. Those that are missing or invalid are neutral.
export function adjustmentsIn(fragment: string): Adjustments {
  const params = new URLSearchParams(fragment.replace(/^#/, ""));
  const value = (name: keyof Adjustments): number => {
    const text = params.get(letters[name])?.trim();
    const [least, most] = ranges[name];
    const n = text ? Number(text) : 1;
    return n >= least && n <= most ? rounded(n) : 1;
  };
  return { brightness: value("brightness"), contrast: value("contrast"), gamma: value("gamma") };
}

// rounded is a value as it is shown, so that text, address and image agree.
export function rounded(value: number): number {
  return Number(value.toFixed(2));
}

// An Adjuster applies adjustments to the canvas of a view. They belong to one slide: on the next
// one, forgotten adjustments would mislead.
export class Adjuster {
  // defs must be in the document.
  readonly defs = svg("svg", { class: "visually-hidden", width: "0", height: "0", "aria-hidden": "true", focusable: "false" });
  private readonly channels = (["R", "G", "B"] as const).map((name) => svg(`feFunc${name}`, { type: "table" }));
  private readonly listeners: (() => void)[] = [];
  private current = neutral;

  constructor(private readonly view: SlideView) {
    // Without sRGB the table would apply to linear light.
    const filter = svg("filter", { id: "adjustments", x: "0", y: "0", width: "100%", height: "100%", "color-interpolation-filters": "sRGB" });
    const transfer = svg("feComponentTransfer", {});
    transfer.append(...this.channels);
    filter.append(transfer);
    this.defs.append(filter);
  }

  get value(): Adjustments {
    return this.current;
  }

  // onChange calls listener now and after each change.
  onChange(listener: () => void): void {
    this.listeners.push(listener);
    listener();
  }

  set(a: Adjustments): void {
    this.current = a;
    this.apply();
    for (const listener of this.listeners) listener();
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

function svg(name: string, attributes: Record<string, string>): SVGElement {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  return element;
}
