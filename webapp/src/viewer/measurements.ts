// Measurements on a slide: calculations, text, and their format in an address.

import { formatCount } from "../format";

export interface Point {
  x: number; // pixels of level 0
  y: number;
}

export type MeasurementKind = "distance" | "area";

export interface Measurement {
  kind: MeasurementKind;
  points: Point[]; // the ends of a distance, or the corners of an area in order
}

// A PixelSize is the size of a pixel of level 0 in µm. The pixels of a scanner are not always
// square.
export interface PixelSize {
  x: number;
  y: number;
}

export const mostMeasurements = 100; // on a slide: all of them are in its address
export const mostPoints = 200; // in one measurement
const letters: Record<string, MeasurementKind> = { d: "distance", a: "area" };

// pixelSize is the pixel size of a slide; null if it is unknown.
export function pixelSize(image: { mpp_x: number | null; mpp_y: number | null }): PixelSize | null {
  const { mpp_x, mpp_y } = image;
  if (!mpp_x || !(mpp_x > 0)) return null;
  return { x: mpp_x, y: mpp_y && mpp_y > 0 ? mpp_y : mpp_x };
}

// distance is in µm, or in pixels if the pixel size is unknown.
export function distance(a: Point, b: Point, size: PixelSize | null): number {
  return Math.hypot((b.x - a.x) * (size?.x ?? 1), (b.y - a.y) * (size?.y ?? 1));
}

// perimeter is the length of the closed line through points, in µm or pixels.
export function perimeter(points: Point[], size: PixelSize | null): number {
  return points.reduce((sum, point, i) => sum + distance(point, points[(i + 1) % points.length]!, size), 0);
}

// area is the area of a polygon in µm² or square pixels, in either direction of its corners. It is
// meaningless if sides cross.
export function area(points: Point[], size: PixelSize | null): number {
  const origin = points[0];
  if (!origin) return 0;
  let twice = 0;
  for (let i = 0; i < points.length; i++) {
    const a = points[i]!;
    const b = points[(i + 1) % points.length]!;
    // Relative to the first corner: products of absolute coordinates would leave few digits for a
    // small area.
    twice += (a.x - origin.x) * (b.y - origin.y) - (b.x - origin.x) * (a.y - origin.y);
  }
  return (Math.abs(twice) / 2) * (size?.x ?? 1) * (size?.y ?? 1);
}

// crosses reports whether two sides of the polygon cross.
export function crosses(points: Point[]): boolean {
  const n = points.length;
  for (let i = 0; i < n; i++) {
    for (let j = i + 2; j < n; j++) {
      if (i === 0 && j === n - 1) continue; // adjacent at the first corner
      if (meet(points[i]!, points[i + 1]!, points[j]!, points[(j + 1) % n]!)) return true;
    }
  }
  return false;
}

function meet(a: Point, b: Point, c: Point, d: Point): boolean {
  const side = (p: Point, q: Point, r: Point): number => Math.sign((q.x - p.x) * (r.y - p.y) - (q.y - p.y) * (r.x - p.x));
  return side(a, b, c) * side(a, b, d) < 0 && side(c, d, a) * side(c, d, b) < 0;
}

// centre is the position for the text of a measurement: the middle of a distance, the centroid of
// an area.
export function centre({ points }: Measurement): Point {
  const mean = { x: 0, y: 0 };
  for (const { x, y } of points) {
    mean.x += x / points.length;
    mean.y += y / points.length;
  }
  let weight = 0;
  const sum = { x: 0, y: 0 };
  for (let i = 0; i < points.length; i++) {
    const a = points[i]!;
    const b = points[(i + 1) % points.length]!;
    const cross = (a.x - mean.x) * (b.y - mean.y) - (b.x - mean.x) * (a.y - mean.y);
    weight += cross;
    sum.x += (a.x + b.x - 2 * mean.x) * cross;
    sum.y += (a.y + b.y - 2 * mean.y) * cross;
  }
  if (Math.abs(weight) < 1e-6) return mean;
  return { x: mean.x + sum.x / (3 * weight), y: mean.y + sum.y / (3 * weight) };
}

// formatDistance uses µm up to a millimetre, then mm; pixels if the pixel size is unknown.
export function formatDistance(value: number, size: PixelSize | null): string {
  if (!size) return `${formatCount(Math.round(value))} px`;
  return value >= 999.5 ? `${digits(value / 1000)} mm` : `${digits(value)} µm`;
}

// formatAreaOf uses µm² up to a hundredth of a square millimetre, then mm².
export function formatAreaOf(value: number, size: PixelSize | null): string {
  if (!size) return `${formatCount(Math.round(value))} px²`;
  return value >= 9_999.5 ? `${digits(value / 1e6)} mm²` : `${digits(value)} µm²`;
}

// digits uses four significant digits, more than the accuracy of a click.
function digits(value: number): string {
  return value >= 1000 ? formatCount(Math.round(value)) : String(Number(value.toPrecision(4)));
}

// formatMeasurements is measurements for an address: d or a, then the coordinates, separated by _.
// It is "" without measurements.
export function formatMeasurements(measurements: Measurement[]): string {
  return measurements.map(({ kind, points }) => kind[0]! + points.flatMap(({ x, y }) => [tenth(x), tenth(y)]).join(",")).join("_");
}

// parseMeasurements parses the result of formatMeasurements. It skips what is not valid.
export function parseMeasurements(text: string): Measurement[] {
  const found: Measurement[] = [];
  for (const part of text.split("_").slice(0, mostMeasurements)) {
    const kind = letters[part[0] ?? ""];
    const numbers = part.slice(1).split(",").map((s) => (s.trim() === "" ? NaN : Number(s)));
    if (!kind || numbers.length % 2 !== 0 || !numbers.every(Number.isFinite)) continue;
    const points: Point[] = [];
    for (let i = 0; i < numbers.length; i += 2) points.push({ x: numbers[i]!, y: numbers[i + 1]! });
    const fits = kind === "distance" ? points.length === 2 : points.length >= 3 && points.length <= mostPoints;
    if (fits) found.push({ kind, points });
  }
  return found;
}

// measurementsIn is the part of a fragment with the measurements; "" without them.
export function measurementsIn(fragment: string): string {
  return new URLSearchParams(fragment.replace(/^#/, "")).get("m") ?? "";
}

function tenth(value: number): string {
  return String(Number(value.toFixed(1)));
}
