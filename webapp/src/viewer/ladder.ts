// The zoom levels in powers of two: zoom 0 is a single tile with the entire slide, the largest zoom
// is level 0.

import type { Level, ViewableImage, Zoom } from "../api/types";

type Sized = Pick<ViewableImage, "width" | "height" | "tile_width" | "tile_height" | "max_zoom"> & {
  levels?: Level[] | null;
  zooms?: Zoom[] | null;
};

// ladder lists the zooms of an image, index z. The sizes are those of the image: edge tiles are
// stored in full size, with padding beyond it.
export function ladder(image: Sized): Zoom[] {
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

// A Part is the part of a tile within the image, in pixels from its top left.
export interface Part {
  width: number;
  height: number;
}

// tilePart is the part of a tile within the image: all of it except at the right and bottom edges.
export function tilePart(zoom: Zoom, tileWidth: number, tileHeight: number, x: number, y: number): Part {
  return {
    width: Math.max(1, Math.min(tileWidth, zoom.width - x * tileWidth)),
    height: Math.max(1, Math.min(tileHeight, zoom.height - y * tileHeight)),
  };
}

// tileURL fills a template with {z}, {x} and {y}.
export function tileURL(template: string, z: number, x: number, y: number): string {
  return template.replace("{z}", String(z)).replace("{x}", String(x)).replace("{y}", String(y));
}
