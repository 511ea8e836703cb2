// How slides that are compared move together.

import { normalDegrees } from "../viewer/permalink";

// A Pose is what part of a slide is shown, and how large.
export interface Pose {
  x: number; // centre, in pixels of level 0
  y: number;
  scale: number; // page pixels per pixel of level 0
  rotation: number; // degrees, clockwise
}

export const mostSlides = 4;

// follow is where a slide goes that was at follower when another was at from, now
// that the other is at to: moved as far on the page, zoomed and turned as much.
export function follow(follower: Pose, from: Pose, to: Pose): Pose {
  const moved = turned((to.x - from.x) * from.scale, (to.y - from.y) * from.scale, from.rotation - follower.rotation);
  return {
    x: follower.x + moved.x / follower.scale,
    y: follower.y + moved.y / follower.scale,
    scale: follower.scale * (to.scale / from.scale),
    rotation: normalDegrees(follower.rotation + to.rotation - from.rotation),
  };
}

// sameScale gives all slides whose pixel size is known as many µm in a page pixel
// as the leading one has, or the first whose size is known. mpp is the µm per pixel
// of each, null where nobody knows.
export function sameScale(poses: Pose[], mpp: (number | null)[], leader: number): Pose[] {
  const known = mpp[leader] ? leader : mpp.findIndex((size) => size !== null);
  if (known < 0) return poses;
  const micrometres = mpp[known]! / poses[known]!.scale;
  return poses.map((pose, i) => (mpp[i] ? { ...pose, scale: mpp[i] / micrometres } : pose));
}

// fitAll shows each slide whole. fits are the poses in which each just fits: of
// those of known pixel size, the one that needs it most says how large all are.
export function fitAll(fits: Pose[], mpp: (number | null)[]): Pose[] {
  let leader = 0;
  let most = 0;
  fits.forEach((pose, i) => {
    const micrometres = (mpp[i] ?? 0) / pose.scale;
    if (micrometres > most) [leader, most] = [i, micrometres];
  });
  return sameScale(fits, mpp, leader);
}

// An Arrangement is how slides stand beside one another.
export interface Arrangement {
  poses: Pose[] | null; // null: each whole
  linked: boolean;
}

// formatArrangement writes an arrangement as the fragment of an address, "" if it
// is that which every comparison begins with.
export function formatArrangement({ poses, linked }: Arrangement): string {
  const parts: string[] = [];
  if (poses) parts.push(`v=${poses.map(({ x, y, scale, rotation }) => [x.toFixed(1), y.toFixed(1), scale.toPrecision(6), normalDegrees(rotation).toFixed(1)].map(Number).join(",")).join("_")}`);
  if (!linked) parts.push("linked=no");
  return parts.length ? `#${parts.join("&")}` : "";
}

// parseArrangement reads what formatArrangement wrote of n slides. What it does
// not understand is as in the beginning.
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

// idsOf reads which slides an address compares, each once.
export function idsOf(search: string): string[] {
  const ids = (new URLSearchParams(search).get("ids") ?? "").split(",").map((id) => id.trim()).filter(Boolean);
  return [...new Set(ids)].slice(0, mostSlides);
}

export function compareAddress(ids: string[]): string {
  return `/compare?ids=${ids.map(encodeURIComponent).join(",")}`;
}

function turned(x: number, y: number, degrees: number): { x: number; y: number } {
  const angle = (degrees * Math.PI) / 180;
  return { x: x * Math.cos(angle) - y * Math.sin(angle), y: x * Math.sin(angle) + y * Math.cos(angle) };
}
