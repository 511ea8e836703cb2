// The view as an image: with adjustments, measurements and scale bar.

import { adjustPixels, isNeutral, type Adjustments } from "./adjustments";
import type { SlideView } from "./slide-view";
import { scaleBar, screenMPP } from "./scale";

export interface SnapshotOptions {
  background: string;
  adjustments: Adjustments;
  draw?: (context: CanvasRenderingContext2D) => void; // adds to the image, in page pixels
}

// snapshot renders the stage at the resolution of the screen.
export function snapshot(view: SlideView, o: SnapshotOptions): Promise<Blob | null> {
  const source = (view.viewer.drawer as unknown as { canvas: HTMLCanvasElement }).canvas;
  const canvas = document.createElement("canvas");
  canvas.width = source.width;
  canvas.height = source.height;
  const context = canvas.getContext("2d")!;
  context.drawImage(source, 0, 0);
  if (!isNeutral(o.adjustments)) {
    // Without the filter of the context, which some browsers lack.
    const picture = context.getImageData(0, 0, canvas.width, canvas.height);
    adjustPixels(picture.data, o.adjustments);
    context.putImageData(picture, 0, 0);
  }
  context.globalCompositeOperation = "destination-over";
  context.fillStyle = o.background;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = "source-over";
  const density = source.width / source.clientWidth;
  context.scale(density, density);
  o.draw?.(context);
  drawScaleBar(context, view, source.clientHeight);
  return new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
}

function drawScaleBar(context: CanvasRenderingContext2D, view: SlideView, height: number): void {
  const { image } = view;
  if (!image?.mpp_x) return;
  const bar = scaleBar(screenMPP(image.mpp_x, image.mpp_y, view.rotation, view.scale), 150);
  if (!bar) return;
  const left = 20;
  const bottom = height - 20;
  context.font = "600 14px Arial, sans-serif";
  const width = Math.max(bar.pixels, context.measureText(bar.text).width);
  context.fillStyle = "rgb(255 255 255 / 0.85)";
  context.fillRect(left - 10, bottom - 34, width + 20, 44);
  context.fillStyle = "#16121f";
  context.fillRect(left, bottom - 4, bar.pixels, 4);
  context.fillText(bar.text, left, bottom - 12);
}

// save downloads a file.
export function save(blob: Blob, name: string): void {
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}
