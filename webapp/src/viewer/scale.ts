// The scale bar's arithmetic.

export interface Bar {
  pixels: number; // its length on the page
  micrometres: number; // what it measures
  text: string;
}

// scaleBar is the longest bar of a round length (1, 2 or 5 times a power of ten)
// that is at most max page pixels long. micrometresPerPixel is of the page, not
// of the scan.
export function scaleBar(micrometresPerPixel: number, max: number): Bar | null {
  if (!(micrometresPerPixel > 0) || !Number.isFinite(micrometresPerPixel)) return null;
  const longest = micrometresPerPixel * max;
  const power = 10 ** Math.floor(Math.log10(longest) + 1e-9);
  const factor = [5, 2, 1].find((f) => f * power <= longest * (1 + 1e-9)) ?? 1;
  const micrometres = factor * power;
  return { pixels: micrometres / micrometresPerPixel, micrometres, text: formatLength(micrometres) };
}

// formatLength writes a length in the unit people would say it in.
export function formatLength(micrometres: number): string {
  if (micrometres >= 10_000) return `${significant(micrometres / 10_000)} cm`;
  if (micrometres >= 1_000) return `${significant(micrometres / 1_000)} mm`;
  if (micrometres >= 1) return `${significant(micrometres)} µm`;
  return `${significant(micrometres * 1_000)} nm`;
}

function significant(value: number): string {
  return String(Number(value.toPrecision(3)));
}

// screenMPP is how many µm of the slide a page pixel measures horizontally, when
// the slide is turned by that many degrees and shown at scale page pixels per
// pixel of level 0. Scanners' pixels are not always square.
export function screenMPP(mppX: number, mppY: number | null, degrees: number, scale: number): number {
  const angle = (degrees * Math.PI) / 180;
  return Math.hypot(mppX * Math.cos(angle), (mppY ?? mppX) * Math.sin(angle)) / scale;
}
