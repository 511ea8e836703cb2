import { expect, test } from "vitest";

import type { ViewableImage } from "../api/types";
import { neutral } from "./adjustments";
import { captionLines, captionParts } from "./caption";

const image = { label: "S26-01417 A1", file_name: "S26-01417_A1_HE.tiff", objective_power: 40, mpp_x: 0.25 } as ViewableImage;
const shown = { image, full: { power: 40, derived: false }, x: 12_345.6, y: 678.2, scale: 0.25, rotation: 0, adjustments: neutral, corrected: false };

for (const [name, value, want] of [
  ["plain", shown, ["S26-01417 A1", "10×", "x 12,346, y 678"]],
  ["rotated and adjusted", { ...shown, rotation: -33.04, adjustments: { brightness: 1.2, contrast: 0.5, gamma: 1.5 } }, ["S26-01417 A1", "10×", "x 12,346, y 678", "Rotation -33°", "Brightness +20 %", "Contrast \u221250 %", "Gamma 1.5"]],
  ["magnification from the pixel size", { ...shown, full: { power: 40, derived: true } }, ["S26-01417 A1", "≈ 10×", "x 12,346, y 678"]],
  ["unknown magnification", { ...shown, full: null }, ["S26-01417 A1", "25 %", "x 12,346, y 678"]],
] as const) {
  test(`caption: ${name}`, () => expect(captionParts(value)).toEqual(want));
}

for (const [name, parts, want] of [
  ["fits", ["one", "two"], ["one · two"]],
  ["breaks between parts", ["one", "two", "three"], ["one · two", "three"]],
  ["breaks a part that is too long", ["one", "a-very-long-name"], ["one", "a-very-lon", "g-name"]],
  ["empty", [], []],
] as const) {
  test(`lines: ${name}`, () => expect(captionLines([...parts], 10, (text) => text.length)).toEqual(want));
}
