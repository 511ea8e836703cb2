// The position in the address: #x=…&y=…&z=…&r=…, followed by measurements (m) and adjustments
// (b, c, g).

// A View is the visible part of a slide.
export interface View {
  x: number; // centre, in pixels of level 0
  y: number;
  z: number | null; // magnification; null if it is unknown
  scale: number | null; // page pixels per pixel of level 0, in place of z
  rotation: number; // degrees, clockwise
}

// formatView is a view as the fragment of an address, with "#". A slide of unknown magnification
// has s, the scale in pixels, instead of z.
export function formatView(view: View): string {
  const parts = [`x=${decimals(view.x, 1)}`, `y=${decimals(view.y, 1)}`];
  if (view.z !== null) parts.push(`z=${significant(view.z)}`);
  else if (view.scale !== null) parts.push(`s=${significant(view.scale)}`);
  const rotation = normalDegrees(view.rotation);
  if (Math.abs(rotation) >= 0.05) parts.push(`r=${decimals(rotation, 1)}`);
  return `#${parts.join("&")}`;
}

// parseView parses the result of formatView; null if it is not a view.
export function parseView(fragment: string): View | null {
  const params = new URLSearchParams(fragment.replace(/^#/, ""));
  const number = (name: string): number | null => {
    const text = params.get(name);
    if (text === null || text.trim() === "") return null;
    const value = Number(text);
    return Number.isFinite(value) ? value : null;
  };
  const x = number("x");
  const y = number("y");
  const z = positive(number("z"));
  const scale = positive(number("s"));
  if (x === null || y === null || (z === null && scale === null)) return null;
  return { x, y, z, scale: z === null ? scale : null, rotation: normalDegrees(number("r") ?? 0) };
}

// withParts adds parts, such as "m=…", to the fragment of a view. Any of them may be empty.
export function withParts(fragment: string, ...parts: string[]): string {
  const all = [fragment.replace(/^#/, ""), ...parts].filter(Boolean);
  return all.length > 0 ? `#${all.join("&")}` : "";
}

// normalDegrees normalizes an angle to (−180, 180].
export function normalDegrees(degrees: number): number {
  const turned = ((degrees % 360) + 360) % 360;
  return turned > 180 ? turned - 360 : turned;
}

function positive(value: number | null): number | null {
  return value !== null && value > 0 ? value : null;
}

function decimals(value: number, digits: number): string {
  return String(Number(value.toFixed(digits)));
}

function significant(value: number): string {
  return String(Number(value.toPrecision(5)));
}
