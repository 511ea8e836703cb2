// The zoom levels in powers of two: zoom 0 is a single tile with the entire slide, the largest zoom
// is level 0.
//
// An image may be only a part of its levels, its bounds. Coordinates of the slide count from the
// corner of the bounds, columns and rows of tiles from that of the levels.

import type { Bounds, Level, ViewableImage, Zoom } from "../api/types";

type Sized = Pick<ViewableImage, "width" | "height" | "tile_width" | "tile_height" | "max_zoom"> & {
  bounds?: Bounds | null;
  levels?: Level[] | null;
  zooms?: Zoom[] | null;
};

// ladder lists the zooms of an image, index z. The sizes are those of the image: edge tiles are
// stored in full size, with padding beyond it.
export function ladder(image: Sized): Zoom[] {
  if (image.bounds) return squares(image);
  if (image.zooms && image.zooms.length === image.max_zoom + 1) return image.zooms;
  const zooms: Zoom[] = [];
  for (let z = 0; z <= image.max_zoom; z++) {
    const downsample = 2 ** (image.max_zoom - z);
    // A stored level has its own size; some scanners round it down, others up.
    const stored = image.levels?.find((level) => Math.abs(level.downsample / downsample - 1) < 0.01);
    const width = stored?.width ?? Math.ceil(image.width / downsample);
    const height = stored?.height ?? Math.ceil(image.height / downsample);
    zooms.push({ width, height, columns: Math.ceil(width / image.tile_width), rows: Math.ceil(height / image.tile_height) });
  }
  return zooms;
}

// squares are the zooms of an image with bounds: squares of 2^z × 2^z tiles.
function squares(image: Sized): Zoom[] {
  return Array.from({ length: image.max_zoom + 1 }, (_, z) => ({ width: image.tile_width * 2 ** z, height: image.tile_height * 2 ** z, columns: 2 ** z, rows: 2 ** z }));
}

// A Part is the part of a tile within the image, in pixels.
export interface Part {
  x: number; // from the left of the tile
  y: number;
  width: number;
  height: number;
}

// The end of the image in a zoom, and its corner, in pixels from the top left of the zoom. Pixels
// that the image only covers in part belong to it.
function extent(image: Sized, zoom: Zoom, z: number): { left: number; top: number; right: number; bottom: number } {
  const { bounds } = image;
  if (!bounds) return { left: 0, top: 0, right: zoom.width, bottom: zoom.height };
  const downsample = 2 ** (image.max_zoom - z);
  return {
    left: Math.floor(bounds.x / downsample),
    top: Math.floor(bounds.y / downsample),
    right: Math.ceil((bounds.x + bounds.width) / downsample),
    bottom: Math.ceil((bounds.y + bounds.height) / downsample),
  };
}

// tilePart is the part of a tile within the image: all of it except at the edges. It is null for a
// tile outside of the image.
export function tilePart(image: Sized, zooms: Zoom[], z: number, x: number, y: number): Part | null {
  const { tile_width, tile_height } = image;
  const { left, top, right, bottom } = extent(image, zooms[z]!, z);
  const part = { x: Math.max(0, left - x * tile_width), y: Math.max(0, top - y * tile_height) };
  const width = Math.min(tile_width, right - x * tile_width) - part.x;
  const height = Math.min(tile_height, bottom - y * tile_height) - part.y;
  return width > 0 && height > 0 ? { ...part, width, height } : null;
}

// tileURL fills a template with {z}, {x} and {y}.
export function tileURL(template: string, z: number, x: number, y: number): string {
  return template.replace("{z}", String(z)).replace("{x}", String(x)).replace("{y}", String(y));
}
