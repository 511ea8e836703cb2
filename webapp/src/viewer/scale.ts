// Calculations for the scale bar.

export interface Bar {
  pixels: number; // length on the page
  micrometres: number; // length on the slide
  text: string;
}

// scaleBar is the longest bar of a round length (1, 2 or 5 times a power of ten) of at most max
// page pixels. micrometresPerPixel refers to the page, not to the scan.
export function scaleBar(micrometresPerPixel: number, max: number): Bar | null {
  if (!(micrometresPerPixel > 0) || !Number.isFinite(micrometresPerPixel)) return null;
  const longest = micrometresPerPixel * max;
  const power = 10 ** Math.floor(Math.log10(longest) + 1e-9);
  const factor = [5, 2, 1].find((f) => f * power <= longest * (1 + 1e-9)) ?? 1;
  const micrometres = factor * power;
  return { pixels: micrometres / micrometresPerPixel, micrometres, text: formatLength(micrometres) };
}

// formatLength is a length in a suitable unit.
export function formatLength(micrometres: number): string {
  if (micrometres >= 10_000) return `${significant(micrometres / 10_000)} cm`;
  if (micrometres >= 1_000) return `${significant(micrometres / 1_000)} mm`;
  if (micrometres >= 1) return `${significant(micrometres)} µm`;
  return `${significant(micrometres * 1_000)} nm`;
}

function significant(value: number): string {
  return String(Number(value.toPrecision(3)));
}

// screenMPP is the horizontal size of a page pixel on the slide in µm, for a rotation in degrees
// and a scale in page pixels per pixel of level 0. The pixels of a scanner are not always square.
export function screenMPP(mppX: number, mppY: number | null, degrees: number, scale: number): number {
  const angle = (degrees * Math.PI) / 180;
  return Math.hypot(mppX * Math.cos(angle), (mppY ?? mppX) * Math.sin(angle)) / scale;
}
