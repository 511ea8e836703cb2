// The tiles of a slide for OpenSeadragon.

import OpenSeadragon from "openseadragon";

import type { ViewableImage, Zoom } from "../api/types";
import { ladder, tilePart, tileURL, type Part } from "../viewer/ladder";

// A Tile of OpenSeadragon, with the members that are used here.
export interface OSDTile {
  level: number;
  x: number;
  y: number;
  exists: boolean;
  lastTouchTime: number;
  unload(erase?: boolean): void;
}

// A Job of OpenSeadragon: a tile to fetch.
export interface OSDJob {
  src: string;
  tile: OSDTile;
  finish(data: unknown, request: null, type: string): void;
  fail(message: string, request: null): void;
}

// A Fetcher fetches tiles. part is the part of the tile to render.
export interface Fetcher {
  start(job: OSDJob, part: Part): void;
  abort(job: OSDJob): void;
}

// SlideTiles are the zooms of a slide. OpenSeadragon's level is the zoom z.
//
// Tiles at the edges are stored in full size, with padding beyond the image. Their bounds here are
// those of the image, to which the fetcher crops them: nothing is stretched, and padding is never
// rendered. The width of the image is 1; its corner is that of its bounds.
export class SlideTiles extends OpenSeadragon.TileSource {
  readonly zooms: Zoom[];

  constructor(readonly image: ViewableImage, private readonly fetcher: Fetcher) {
    super({ width: image.width, height: image.height, tileWidth: image.tile_width, tileHeight: image.tile_height, tileOverlap: 0, minLevel: 0, maxLevel: image.max_zoom, ready: true } as OpenSeadragon.TileSourceOptions);
    this.zooms = ladder(image);
  }

  override getNumTiles(level: number): OpenSeadragon.Point {
    const zoom = this.zooms[level];
    return new OpenSeadragon.Point(zoom?.columns ?? 0, zoom?.rows ?? 0);
  }

  // @ts-expect-error OpenSeadragon's types say Tile; what it takes is a Point.
  override getTileAtPoint(level: number, point: OpenSeadragon.Point): OpenSeadragon.Point {
    const zoom = this.zooms[level]!;
    const { width, tile_width, tile_height, bounds } = this.image;
    const downsample = 2 ** (this.image.max_zoom - level);
    const index = (at: number, corner: number, tile: number, count: number): number => Math.max(0, Math.min(count - 1, Math.floor((at * width + corner) / downsample / tile)));
    return new OpenSeadragon.Point(index(point.x, bounds?.x ?? 0, tile_width, zoom.columns), index(point.y, bounds?.y ?? 0, tile_height, zoom.rows));
  }

  override getTileBounds(level: number, x: number, y: number, isSource?: boolean): OpenSeadragon.Rect {
    const { width, tile_width, tile_height, bounds } = this.image;
    const part = this.part(level, x, y);
    if (isSource) return new OpenSeadragon.Rect(0, 0, part.width, part.height);
    const downsample = 2 ** (this.image.max_zoom - level);
    const at = (tile: number, inside: number, corner: number): number => ((tile + inside) * downsample - corner) / width;
    return new OpenSeadragon.Rect(at(x * tile_width, part.x, bounds?.x ?? 0), at(y * tile_height, part.y, bounds?.y ?? 0), (part.width * downsample) / width, (part.height * downsample) / width);
  }

  override tileExists(level: number, x: number, y: number): boolean {
    return super.tileExists(level, x, y) && tilePart(this.image, this.zooms, level, x, y) !== null;
  }

  override getTileUrl(level: number, x: number, y: number): string {
    return tileURL(this.image.tile_url, level, x, y);
  }

  override hasTransparency(): boolean {
    return false;
  }

  override downloadTileStart(job: unknown): void {
    const { tile } = job as OSDJob;
    this.fetcher.start(job as OSDJob, this.part(tile.level, tile.x, tile.y));
  }

  override downloadTileAbort(job: unknown): void {
    this.fetcher.abort(job as OSDJob);
  }

  private part(level: number, x: number, y: number): Part {
    return tilePart(this.image, this.zooms, level, x, y) ?? { x: 0, y: 0, width: 1, height: 1 };
  }
}
