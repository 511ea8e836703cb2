// A drawer for OpenSeadragon that renders tiles exactly: decoded off the main thread, without
// copies, on whole pixels.

import OpenSeadragon from "openseadragon";

// The type of tile data. The object looks like a drawing context to OpenSeadragon's CanvasDrawer.
export const bitmapType = "tile-bitmap";

export interface TileBitmap {
  canvas: ImageBitmap;
}

OpenSeadragon.converter.learn(bitmapType, bitmapType, (_tile: unknown, data: TileBitmap) => createImageBitmap(data.canvas).then((canvas) => ({ canvas })), 1, 1);
OpenSeadragon.converter.learnDestroy(bitmapType, (data: TileBitmap) => data.canvas.close());

interface DrawnTile {
  position: OpenSeadragon.Point;
  size: OpenSeadragon.Point;
}

interface CanvasDrawerInternals {
  _drawTile(tile: DrawnTile, ...rest: unknown[]): void;
}

export class BitmapDrawer extends OpenSeadragon.CanvasDrawer {
  override getType(): string {
    return "bitmap";
  }

  override getSupportedDataFormats(): string[] {
    return [bitmapType];
  }

  // minimumOverlapRequired makes OpenSeadragon render each tile a pixel too large, which hides
  // seams but blurs pixel-for-pixel views. Tiles that are not rotated are aligned to pixels
  // instead.
  minimumOverlapRequired(): boolean {
    return !this.upright;
  }

  private get upright(): boolean {
    return this.viewport.getRotation(true) % 90 === 0;
  }

  // pixelOffset is where whole pixels of the screen start for tiles, which are placed before the
  // canvas is rotated around its centre: half a pixel further after a quarter turn of a canvas
  // whose sides differ by an odd number.
  pixelOffset(): number {
    const quarter = this.viewport.getRotation(true) % 180 !== 0;
    return quarter && (this.canvas.width - this.canvas.height) % 2 !== 0 ? 0.5 : 0;
  }

  // _drawTile rounds the edges of a tile to pixels of the screen, so that its neighbour starts
  // exactly where it ends.
  _drawTile(tile: DrawnTile, ...rest: unknown[]): void {
    const draw = (OpenSeadragon.CanvasDrawer.prototype as unknown as CanvasDrawerInternals)._drawTile;
    if (!this.upright) {
      draw.call(this, tile, ...rest);
      return;
    }
    const { position, size } = tile;
    const density = OpenSeadragon.pixelDensityRatio;
    const offset = this.pixelOffset();
    const round = (at: number): number => (Math.round(at * density - offset) + offset) / density;
    const left = round(position.x);
    const top = round(position.y);
    tile.position = new OpenSeadragon.Point(left, top);
    tile.size = new OpenSeadragon.Point(round(position.x + size.x) - left, round(position.y + size.y) - top);
    draw.call(this, tile, ...rest);
    tile.position = position;
    tile.size = size;
  }
}
