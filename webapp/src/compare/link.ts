// How compared slides move together.

import { measurementsIn } from "../viewer/measurements";
import { normalDegrees } from "../viewer/permalink";

// A Pose is the visible part of a slide and its scale.
export interface Pose {
  x: number; // centre, in pixels of level 0
  y: number;
  scale: number; // page pixels per pixel of level 0
  rotation: number; // degrees, clockwise
}

export const mostSlides = 4;
const smallestPart = 0.3; // of the scale at which all slides fit

// follow is the pose of a follower after another slide has moved between two poses: moved as far on
// the page, zoomed and rotated as much.
export function follow(follower: Pose, from: Pose, to: Pose): Pose {
  const moved = rotated((to.x - from.x) * from.scale, (to.y - from.y) * from.scale, from.rotation - follower.rotation);
  return {
    x: follower.x + moved.x / follower.scale,
    y: follower.y + moved.y / follower.scale,
    scale: follower.scale * (to.scale / from.scale),
    rotation: normalDegrees(follower.rotation + to.rotation - from.rotation),
  };
}

// sameScale gives all slides with known pixel size the same µm per page pixel as the leader, or as
// the first with known pixel size. mpp is the µm per pixel of each slide, or null.
export function sameScale(poses: Pose[], mpp: (number | null)[], leader: number): Pose[] {
  const known = mpp[leader] ? leader : mpp.findIndex((size) => size !== null);
  if (known < 0) return poses;
  const micrometres = mpp[known]! / poses[known]!.scale;
  return poses.map((pose, i) => (mpp[i] ? { ...pose, scale: mpp[i] / micrometres } : pose));
}

// fitAll shows all slides entirely. fits are the poses in which each just fits: the slide with
// known pixel size that needs the smallest scale determines the scale of all.
export function fitAll(fits: Pose[], mpp: (number | null)[]): Pose[] {
  let leader = 0;
  let most = 0;
  fits.forEach((pose, i) => {
    const micrometres = (mpp[i] ?? 0) / pose.scale;
    if (micrometres > most) [leader, most] = [i, micrometres];
  });
  return sameScale(fits, mpp, leader);
}

// An Arrangement is the poses of compared slides.
export interface Arrangement {
  poses: Pose[] | null; // null: each entirely
  linked: boolean;
}

// formatArrangement is an arrangement as the fragment of an address; "" for the initial one.
export function formatArrangement({ poses, linked }: Arrangement): string {
  const parts: string[] = [];
  if (poses) parts.push(`v=${poses.map(({ x, y, scale, rotation }) => [x.toFixed(1), y.toFixed(1), scale.toPrecision(6), normalDegrees(rotation).toFixed(1)].map(Number).join(",")).join("_")}`);
  if (!linked) parts.push("linked=no");
  return parts.length ? `#${parts.join("&")}` : "";
}

// parseArrangement parses the result of formatArrangement for n slides. Invalid parts are replaced
// by the initial ones.
export function parseArrangement(fragment: string, n: number): Arrangement {
  const params = new URLSearchParams(fragment.replace(/^#/, ""));
  const poses = (params.get("v") ?? "").split("_").map((text): Pose | null => {
    const numbers = text.split(",").map((s) => (s.trim() === "" ? NaN : Number(s)));
    const [x, y, scale, rotation] = numbers as [number, number, number, number];
    return numbers.length === 4 && numbers.every(Number.isFinite) && scale > 0 ? { x, y, scale, rotation: normalDegrees(rotation) } : null;
  });
  const whole = poses.length === n && poses.every((pose) => pose !== null);
  return { poses: whole ? poses : null, linked: params.get("linked") !== "no" };
}

// limits are the smallest scales to which each of several slides can be zoomed out. fits are the
// poses in which all are shown entirely.
export function limits(fits: Pose[]): number[] {
  return fits.map(({ scale }) => scale * smallestPart);
}

// formatSeveral is the measurements on each slide as the part of an address; "" without any.
export function formatSeveral(measurements: string[]): string {
  return measurements.some(Boolean) ? `m=${measurements.join("~")}` : "";
}

// measurementsOf parses the result of formatSeveral for n slides.
export function measurementsOf(fragment: string, n: number): string[] {
  const texts = measurementsIn(fragment).split("~");
  return Array.from({ length: n }, (_, i) => texts[i] ?? "");
}

// idsOf are the slides of an address, without duplicates.
export function idsOf(search: string): string[] {
  const ids = (new URLSearchParams(search).get("ids") ?? "").split(",").map((id) => id.trim()).filter(Boolean);
  return [...new Set(ids)].slice(0, mostSlides);
}

export function compareAddress(ids: string[]): string {
  return `/compare?ids=${ids.map(encodeURIComponent).join(",")}`;
}

function rotated(x: number, y: number, degrees: number): { x: number; y: number } {
  const angle = (degrees * Math.PI) / 180;
  return { x: x * Math.cos(angle) - y * Math.sin(angle), y: x * Math.sin(angle) + y * Math.cos(angle) };
}
