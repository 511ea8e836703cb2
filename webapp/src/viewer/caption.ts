// The caption below an exported image: what is shown, and how it was adjusted.

import type { ViewableImage } from "../api/types";
import { slideName } from "../gallery/card";
import { formatCount } from "../format";
import { t } from "../strings";
import { adjustmentsText, type Adjustments } from "./adjustments";
import { formatMagnification, formatPercent, type FullMagnification } from "./magnification";

export interface Shown {
  image: ViewableImage;
  full: FullMagnification | null;
  x: number; // centre, in pixels of level 0
  y: number;
  scale: number; // page pixels per pixel of level 0
  rotation: number; // degrees
  adjustments: Adjustments;
  corrected: boolean; // colours, with the profile of the slide
}

// captionParts are the parts of the caption, each of which stays on one line if it fits.
export function captionParts({ image, full, x, y, scale, rotation, adjustments, corrected }: Shown): string[] {
  const angle = Math.round(rotation * 10) / 10;
  return [
    slideName(image),
    full ? `${full.derived ? "≈ " : ""}${formatMagnification(scale * full.power)}` : formatPercent(scale),
    `x ${formatCount(Math.round(x))}, y ${formatCount(Math.round(y))}`,
    angle === 0 ? "" : `${t.viewer.rotate} ${t.viewer.angle(angle)}`,
    corrected ? t.colors.corrected : "",
    ...adjustmentsText(adjustments),
  ].filter(Boolean);
}

// captionLines arranges parts in lines of at most width, by the widths that measure returns. A part
// that is wider than a line is broken between characters: names of slides have no spaces.
export function captionLines(parts: string[], width: number, measure: (text: string) => number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const part of parts.flatMap((part) => broken(part, width, measure))) {
    const longer = line ? `${line} · ${part}` : part;
    if (line && measure(longer) > width) {
      lines.push(line);
      line = part;
    } else {
      line = longer;
    }
  }
  return line ? [...lines, line] : lines;
}

function broken(part: string, width: number, measure: (text: string) => number): string[] {
  const pieces: string[] = [];
  let piece = "";
  for (const character of part) {
    if (piece && measure(piece + character) > width) {
      pieces.push(piece);
      piece = "";
    }
    piece += character;
  }
  return piece ? [...pieces, piece] : pieces;
}
