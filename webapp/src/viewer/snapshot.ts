// The view as an image: with adjustments, measurements, scale bar and caption.

import { adjustPixels, isNeutral, type Adjustments } from "./adjustments";
import { captionLines, captionParts } from "./caption";
import type { SlideView } from "./slide-view";
import { scaleBar, screenMPP } from "./scale";

const font = "13px Arial, sans-serif";
const lineHeight = 19; // page pixels
const margin = 10;
const ink = "#16121f";

export interface SnapshotOptions {
  background: string;
  adjustments: Adjustments;
  draw?: (context: CanvasRenderingContext2D) => void; // adds to the image, in page pixels
}

// snapshot renders the stage at the resolution of the screen, and the caption below it.
export function snapshot(view: SlideView, o: SnapshotOptions): HTMLCanvasElement {
  const stage = render(view, o);
  const density = densityOf(view);
  const canvas = document.createElement("canvas");
  const lines = linesFor(view, o.adjustments, stage.width / density - 2 * margin);
  canvas.width = stage.width;
  canvas.height = stage.height + Math.round(density * (2 * margin + lineHeight * lines.length));
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.drawImage(stage, 0, 0);
  context.scale(density, density);
  context.font = font;
  context.fillStyle = ink;
  lines.forEach((line, i) => context.fillText(line, margin, stage.height / density + margin + lineHeight * (i + 1) - 5));
  return canvas;
}

// sideBySide arranges images in rows of n.
export function sideBySide(images: HTMLCanvasElement[], n: number): HTMLCanvasElement {
  const gap = 4; // pixels of the image
  const widths = Array.from({ length: Math.min(n, images.length) }, (_, column) => Math.max(...images.filter((_, i) => i % n === column).map(({ width }) => width)));
  const heights = Array.from({ length: Math.ceil(images.length / n) }, (_, row) => Math.max(...images.slice(row * n, (row + 1) * n).map(({ height }) => height)));
  const sum = (sizes: number[]): number => sizes.reduce((all, size) => all + size + gap, 0);
  const canvas = document.createElement("canvas");
  canvas.width = sum(widths) - gap;
  canvas.height = sum(heights) - gap;
  const context = canvas.getContext("2d")!;
  context.fillStyle = "#ffffff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  images.forEach((image, i) => context.drawImage(image, sum(widths.slice(0, i % n)), sum(heights.slice(0, Math.floor(i / n)))));
  return canvas;
}

// save downloads an image.
export async function save(canvas: HTMLCanvasElement, name: string): Promise<void> {
  const blob = await new Promise<Blob | null>((resolve) => canvas.toBlob(resolve, "image/png"));
  if (!blob) throw new Error("the image is too large for the browser");
  const address = URL.createObjectURL(blob);
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10_000);
}

// fileName is text as part of a file name.
export function fileName(text: string): string {
  return text.replace(/[^\w.-]+/g, "_");
}

function render(view: SlideView, o: SnapshotOptions): HTMLCanvasElement {
  const source = sourceOf(view);
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
  const density = densityOf(view);
  context.scale(density, density);
  o.draw?.(context);
  drawScaleBar(context, view, source.clientWidth, source.clientHeight);
  return canvas;
}

function linesFor(view: SlideView, adjustments: Adjustments, width: number): string[] {
  const { image, full, scale, rotation } = view;
  if (!image) return [];
  const { x, y } = view.view();
  const context = document.createElement("canvas").getContext("2d")!;
  context.font = font;
  return captionLines(captionParts({ image, full, x, y, scale, rotation, adjustments, corrected: view.fetcher.correction !== null }), width, (text) => context.measureText(text).width);
}

function drawScaleBar(context: CanvasRenderingContext2D, view: SlideView, width: number, height: number): void {
  const { image } = view;
  if (!image?.mpp_x) return;
  const bar = scaleBar(screenMPP(image.mpp_x, image.mpp_y, view.rotation, view.scale), Math.min(150, width / 3));
  if (!bar) return;
  const left = 20;
  const bottom = height - 20;
  context.font = "600 14px Arial, sans-serif";
  const wide = Math.max(bar.pixels, context.measureText(bar.text).width);
  context.fillStyle = "rgb(255 255 255 / 0.85)";
  context.fillRect(left - 10, bottom - 34, wide + 20, 44);
  context.fillStyle = ink;
  context.fillRect(left, bottom - 4, bar.pixels, 4);
  context.fillText(bar.text, left, bottom - 12);
}

function sourceOf(view: SlideView): HTMLCanvasElement {
  return (view.viewer.drawer as unknown as { canvas: HTMLCanvasElement }).canvas;
}

// densityOf is the number of pixels of the screen per page pixel.
function densityOf(view: SlideView): number {
  const source = sourceOf(view);
  return source.width / source.clientWidth;
}
