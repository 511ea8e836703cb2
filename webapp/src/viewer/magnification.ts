// Magnification: the scale in terms of objective power. At the power of the objective, one pixel of
// the scan is one pixel of the page.

import type { SlideImage } from "../api/types";

export interface FullMagnification {
  power: number; // of level 0 at one page pixel per pixel
  derived: boolean; // from the pixel size, because the file does not contain the objective power
}

// fullMagnification is the magnification of level 0; null if neither the objective power nor the
// pixel size is known. A pixel of 0.25 µm is 40×.
export function fullMagnification(image: Pick<SlideImage, "objective_power" | "mpp_x">): FullMagnification | null {
  if (image.objective_power && image.objective_power > 0) return { power: image.objective_power, derived: false };
  if (image.mpp_x && image.mpp_x > 0) return { power: 10 / image.mpp_x, derived: true };
  return null;
}

export const magnificationSteps = [1, 2, 5, 10, 20, 40] as const;

// availableSteps are the magnifications up to that of the scan. A derived power slightly below a
// step includes it.
export function availableSteps(full: FullMagnification): number[] {
  return magnificationSteps.filter((step) => step <= full.power * (full.derived ? 1.1 : 1.001));
}

// The scales if the magnification is unknown, in page pixels per pixel of level 0.
export const pixelSteps = [1 / 32, 1 / 16, 1 / 8, 1 / 4, 1 / 2, 1] as const;

// formatMagnification formats 40 as "40×", 1.234 as "1.2×", 0.0567 as "0.057×".
export function formatMagnification(value: number): string {
  if (value >= 9.95) return `${Math.round(value)}×`;
  if (value >= 0.995) return `${trim(value.toFixed(1))}×`;
  return `${trim(value.toPrecision(2))}×`;
}

// formatPercent formats a scale in pixels: 0.125 as "12.5 %".
export function formatPercent(scale: number): string {
  const percent = scale * 100;
  return `${percent >= 99.5 ? Math.round(percent) : trim(percent.toPrecision(3))} %`;
}

function trim(s: string): string {
  return s.includes(".") ? s.replace(/\.?0+$/, "") : s;
}
