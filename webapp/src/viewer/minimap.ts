// The overview: the entire slide with the visible part marked.

import { fetchTile } from "../osd/tile-fetcher";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h } from "../ui/dom";
import { remember, remembered } from "../ui/remember";
import { ladder, tilePart, tileURL } from "./ladder";
import type { SlideView } from "./slide-view";

export const maxWidth = 200; // page pixels; a third of the width on small windows
export const maxHeight = 160;
const smallMark = 10; // a smaller visible part is marked with a cross

export interface Minimap {
  element: HTMLElement;
  toggle: () => void;
  show: (visible: boolean) => void;
  isVisible: () => boolean;
}

// minimap creates the overview. room is its largest part of the usual size, from 0 to 1.
export function minimap(view: SlideView, signal: AbortSignal, room = (): number => window.innerWidth / 3 / maxWidth): Minimap {
  const canvas = h("canvas", { class: "minimap-canvas", "aria-hidden": "true" });
  const hide = iconButton("close", t.viewer.minimapHide, () => toggle(), { class: "icon-button small minimap-hide" });
  const body = h("div", { class: "minimap-body" }, canvas, hide);
  const show = iconButton("map", t.viewer.minimapShow, () => toggle(), { class: "icon-button minimap-show" });
  const element = h("div", { class: "minimap float", role: "group", "aria-label": t.viewer.minimap }, body, show);
  let picture: ImageBitmap | null = null;
  let opened = 0; // the slide whose image is being loaded

  const apply = (visible: boolean): void => {
    body.hidden = !visible;
    show.hidden = visible;
    draw();
  };
  const toggle = (): void => {
    apply(body.hidden !== false);
    remember("minimap", String(!body.hidden));
  };
  const scale = (): number => {
    const largest = Math.min(1, room());
    return Math.min((maxWidth * largest) / view.image!.width, (maxHeight * largest) / view.image!.height);
  };

  const draw = (): void => {
    const { image } = view;
    if (!image || body.hidden) return;
    const density = window.devicePixelRatio;
    const width = Math.max(24, Math.round(image.width * scale()));
    const height = Math.max(24, Math.round(image.height * scale()));
    if (canvas.width !== width * density || canvas.height !== height * density) {
      canvas.width = width * density;
      canvas.height = height * density;
      canvas.style.width = `${width}px`;
      canvas.style.height = `${height}px`;
    }
    const context = canvas.getContext("2d")!;
    context.setTransform(density, 0, 0, density, 0, 0);
    context.clearRect(0, 0, width, height);
    context.imageSmoothingQuality = "high";
    if (picture) context.drawImage(picture, 0, 0, width, height);
    mark(context, view.corners().map(({ x, y }) => ({ x: x * scale(), y: y * scale() })), width, height);
  };

  apply(remembered("minimap") !== "false");
  view.onFrame(draw);
  view.onLoad(() => {
    const { image } = view;
    if (!image) return;
    const mine = ++opened;
    picture = null;
    draw();
    fetchTile(tileURL(image.tile_url, 0, 0, 0), tilePart(image, ladder(image), 0, 0, 0)!, view.fetcher.correction, signal).then(
      (bitmap) => {
        if (mine !== opened) return;
        picture = bitmap;
        draw();
      },
      () => {}, // the slide itself reports the error
    );
  });

  const go = (event: PointerEvent): void => {
    const frame = canvas.getBoundingClientRect();
    view.panTo((event.clientX - frame.left) / scale(), (event.clientY - frame.top) / scale(), event.type === "pointermove");
  };
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    go(event);
  });
  canvas.addEventListener("pointermove", (event) => {
    if (canvas.hasPointerCapture(event.pointerId)) go(event);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    view.zoomBy(event.deltaY < 0 ? 1.25 : 0.8);
  }, { passive: false });
  return { element, toggle, show: apply, isVisible: () => !body.hidden };
}

// mark outlines the visible part and dims the rest.
function mark(context: CanvasRenderingContext2D, corners: { x: number; y: number }[], width: number, height: number): void {
  if (corners.length < 4) return;
  const path = new Path2D();
  for (const { x, y } of corners) path.lineTo(x, y);
  path.closePath();
  const outside = new Path2D(path);
  outside.rect(0, 0, width, height);
  context.fillStyle = "rgb(20 16 34 / 0.14)";
  context.fill(outside, "evenodd");
  context.lineJoin = "round";
  for (const [style, line] of [["rgb(255 255 255 / 0.9)", 3.5], ["#5b3fc4", 1.75]] as const) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.stroke(path);
  }
  const size = Math.hypot(corners[1]!.x - corners[0]!.x, corners[1]!.y - corners[0]!.y);
  if (size >= smallMark) return;
  const x = (corners[0]!.x + corners[2]!.x) / 2;
  const y = (corners[0]!.y + corners[2]!.y) / 2;
  const cross = new Path2D();
  for (const [dx, dy] of [[1, 0], [-1, 0], [0, 1], [0, -1]] as const) {
    cross.moveTo(x + dx * 6, y + dy * 6);
    cross.lineTo(x + dx * 13, y + dy * 13);
  }
  for (const [style, line] of [["rgb(255 255 255 / 0.9)", 3.5], ["#5b3fc4", 1.75]] as const) {
    context.strokeStyle = style;
    context.lineWidth = line;
    context.stroke(cross);
  }
}
