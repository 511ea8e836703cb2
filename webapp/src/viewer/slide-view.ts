// A slide on a stage: which part of it is shown, and how that changes. Scale bar, overview and
// other controls observe a SlideView. Several views can be shown side by side.

import OpenSeadragon from "openseadragon";

import type { ViewableImage } from "../api/types";
import { BitmapDrawer } from "../osd/bitmap-drawer";
import { TileFetcher, type TileFailure } from "../osd/tile-fetcher";
import { SlideTiles, type OSDTile } from "../osd/tile-source";
import { setBusy } from "../ui/activity";
import { fitScale } from "./fit";
import { fullMagnification, type FullMagnification } from "./magnification";
import { normalDegrees, type View } from "./permalink";

const fitMargin = 0.97; // of the stage, if the entire slide is shown
const maxScale = 4; // page pixels per pixel of the scan
const visiblePart = 0.35; // of the slide or the stage, that dragging keeps in view
const unlimited = -1e6; // as the visible part: dragging is not limited
const unseenTimeout = 400; // milliseconds after which a pending tile that is no longer needed is cancelled

export interface SlideViewOptions {
  stage: HTMLElement;
  sharing?: number; // number of slides that share the memory for tiles
  onStale: () => Promise<boolean>; // see TileFetcherOptions
  onRefused: () => Promise<boolean>; // the same
}

type Listener = () => void;

export class SlideView {
  readonly fetcher: TileFetcher;
  readonly viewer: OpenSeadragon.Viewer;
  private source: SlideTiles | null = null;
  private item: OpenSeadragon.TiledImage | null = null;
  private moving = false; // during an animation
  private unrendered = 0; // movements that are not rendered yet
  private frame = new Set<Listener>(); // called for each rendered frame
  private settle = new Set<Listener>(); // called when the view has come to rest
  private failure = new Set<Listener>();
  private open = new Set<Listener>();
  private loaded = new Set<Listener>();
  private lastUpdate = 0;
  private unseenTimer = 0;
  private destroyed = false;
  private wanted: View | "fit" = "fit";
  private smallest = 0; // scale to which users can zoom out; 0: a part of the scale that fits
  private fitted = true; // the entire slide is shown, also after a resize

  constructor(private readonly o: SlideViewOptions) {
    this.fetcher = new TileFetcher({ onFailure: () => emit(this.failure), onStale: o.onStale, onRefused: o.onRefused });
    quietConsole();
    keepOutStyles();
    this.viewer = OpenSeadragon({
      element: o.stage,
      drawer: BitmapDrawer as unknown as OpenSeadragon.DrawerConstructor,
      tabIndex: -1,
      showNavigationControl: false,
      keyboardNavEnabled: false,
      immediateRender: false,
      blendTime: 0,
      animationTime: matchMedia("(prefers-reduced-motion: reduce)").matches ? 0.001 : 0.45,
      springStiffness: 8,
      zoomPerScroll: 1.25,
      clickTimeThreshold: Infinity, // a click may be slow: only a movement makes it a drag
      // A zoom is rendered between 1:2 and 1:1. At exactly 1:2 the next smaller zoom is used pixel
      // for pixel, with a quarter of the tiles.
      minPixelRatio: 0.51,
      maxTilesPerFrame: 8,
      maxImageCacheCount: Math.ceil(cachedTiles() / (o.sharing ?? 1)),
      timeout: 2 ** 31 - 1, // the fetcher has its own timeout, and waits during an outage of the server
      visibilityRatio: visiblePart,
      minZoomImageRatio: 0.3,
      maxZoomPixelRatio: maxScale,
      smoothTileEdgesMinZoom: Infinity, // tiles are aligned to pixels
      preserveImageSizeOnResize: true,
      gestureSettingsMouse: { clickToZoom: false, dblClickToZoom: true, flickEnabled: true, flickMinSpeed: 160 },
      gestureSettingsTouch: { pinchRotate: false, dblClickToZoom: true },
      gestureSettingsPen: { clickToZoom: false, dblClickToZoom: true },
    } as OpenSeadragon.Options);
    this.listen();
  }

  get image(): ViewableImage | null {
    return this.source?.image ?? null;
  }

  get full(): FullMagnification | null {
    return this.image ? fullMagnification(this.image) : null;
  }

  // isOpen reports whether the slide is open.
  get isOpen(): boolean {
    return this.item !== null;
  }

  // scale is in page pixels per pixel of level 0.
  get scale(): number {
    return this.item ? this.item.viewportToImageZoom(this.viewer.viewport.getZoom(true)) : 0;
  }

  // targetScale is the scale at the end of the current movement.
  get targetScale(): number {
    return this.item ? this.item.viewportToImageZoom(this.viewer.viewport.getZoom(false)) : 0;
  }

  get magnification(): number | null {
    return this.full && this.item ? this.scale * this.full.power : null;
  }

  get rotation(): number {
    return normalDegrees(this.viewer.viewport?.getRotation(true) ?? 0);
  }

  get targetRotation(): number {
    return normalDegrees(this.viewer.viewport?.getRotation(false) ?? 0);
  }

  // isWhole reports whether the entire slide is shown, not rotated, as when it is opened.
  get isWhole(): boolean {
    return this.fitted && this.targetRotation === 0;
  }

  onFrame(listener: Listener): void {
    this.frame.add(listener);
  }

  onSettle(listener: Listener): void {
    this.settle.add(listener);
  }

  onFailure(listener: Listener): void {
    this.failure.add(listener);
  }

  // onOpen is called for each slide when it is open.
  onOpen(listener: Listener): void {
    this.open.add(listener);
  }

  // onLoad is called when the tiles of a slide are requested: when it is open, and when it is
  // loaded again.
  onLoad(listener: Listener): void {
    this.loaded.add(listener);
  }

  // reload requests all tiles again, such as after a change of the colours. The view stays.
  reload(): void {
    if (!this.item) return;
    this.fetcher.clear();
    (this.item as unknown as { reset(): void }).reset();
    this.setIdle(false);
    this.viewer.forceRedraw();
    this.markMoving();
    emit(this.loaded);
  }

  // show opens a slide, at view or entirely.
  show(image: ViewableImage, view: View | null): void {
    this.wanted = view ?? "fit";
    this.fetcher.close();
    this.item = null;
    this.source = new SlideTiles(image, this.fetcher);
    this.setIdle(false);
    this.viewer.open(this.source as unknown as OpenSeadragon.TileSourceSpecifier);
  }

  destroy(): void {
    this.destroyed = true;
    setBusy(this, false);
    this.fetcher.close();
    clearTimeout(this.unseenTimer);
    this.viewer.destroy();
  }

  // view is the visible part of the slide.
  view(): View {
    const centre = this.item!.viewportToImageCoordinates(this.viewer.viewport.getCenter(true));
    const known = this.full !== null;
    return { x: centre.x, y: centre.y, z: known ? this.magnification : null, scale: known ? null : this.scale, rotation: this.rotation };
  }

  goTo(view: View, immediately = false): void {
    if (!this.item) {
      this.wanted = view;
      return;
    }
    const { viewport } = this.viewer;
    const scale = view.z !== null && this.full ? view.z / this.full.power : (view.scale ?? view.z ?? this.targetScale);
    this.fitted = false;
    viewport.setRotation(view.rotation, immediately);
    viewport.zoomTo(this.zoomOf(scale), undefined, immediately);
    viewport.panTo(this.item.imageToViewportCoordinates(view.x, view.y), immediately);
    viewport.applyConstraints(immediately);
  }

  // place shows a part of the slide at once, even beyond the limits of dragging. The scale is in
  // page pixels per pixel of level 0.
  place({ x, y, scale, rotation }: { x: number; y: number; scale: number; rotation: number }): void {
    if (!this.item) return;
    const { viewport } = this.viewer;
    this.fitted = false;
    viewport.setRotation(rotation, true);
    viewport.zoomTo(this.zoomOf(scale), undefined, true);
    viewport.panTo(this.item.imageToViewportCoordinates(x, y), true);
    this.loosen();
  }

  // limit sets the smallest scale to which users can zoom out, in page pixels per pixel of level 0.
  limit(scale: number): void {
    this.smallest = scale;
    this.loosen();
  }

  // fit shows the entire slide with its current rotation.
  fit(immediately = false): void {
    if (!this.item || !this.image) return;
    const { viewport } = this.viewer;
    const { width, height } = this.image;
    const size = viewport.getContainerSize();
    const scale = Math.min(maxScale, fitScale(width, height, this.targetRotation, size.x, size.y) * fitMargin);
    viewport.zoomTo(this.zoomOf(scale), undefined, immediately);
    viewport.panTo(this.item.imageToViewportCoordinates(width / 2, height / 2), immediately);
    this.fitted = true;
  }

  // setScale zooms around the centre of the stage.
  setScale(scale: number): void {
    this.fitted = false;
    this.viewer.viewport.zoomTo(this.zoomOf(scale)).applyConstraints();
  }

  zoomBy(factor: number): void {
    this.fitted = false;
    this.viewer.viewport.zoomBy(factor).applyConstraints();
  }

  // panBy moves the view by page pixels.
  panBy(x: number, y: number): void {
    const { viewport } = this.viewer;
    this.fitted = false;
    viewport.panBy(viewport.deltaPointsFromPixels(new OpenSeadragon.Point(x, y))).applyConstraints();
  }

  panTo(x: number, y: number, immediately = false): void {
    if (!this.item) return;
    this.fitted = false;
    this.viewer.viewport.panTo(this.item.imageToViewportCoordinates(x, y), immediately);
  }

  setRotation(degrees: number, immediately = false): void {
    const { viewport } = this.viewer;
    // The shorter direction.
    const from = viewport.getRotation(false);
    viewport.setRotation(from + normalDegrees(degrees - from), immediately);
    if (this.fitted) this.fit(immediately);
  }

  rotateBy(degrees: number): void {
    this.setRotation(this.targetRotation + degrees);
  }

  // slidePoint converts a point of the stage to pixels of level 0.
  slidePoint(x: number, y: number): { x: number; y: number } {
    if (!this.item) return { x: 0, y: 0 };
    const { x: left, y: top } = this.item.viewerElementToImageCoordinates(new OpenSeadragon.Point(x, y));
    return { x: left, y: top };
  }

  // stagePoint converts a point of the slide to the stage.
  stagePoint(x: number, y: number): { x: number; y: number } {
    return this.item?.imageToViewerElementCoordinates(new OpenSeadragon.Point(x, y)) ?? { x: 0, y: 0 };
  }

  // corners are the corners of the stage in pixels of level 0, clockwise from the top left.
  corners(): { x: number; y: number }[] {
    if (!this.item) return [];
    const size = this.viewer.viewport.getContainerSize();
    return [[0, 0], [size.x, 0], [size.x, size.y], [0, size.y]].map(([x, y]) => this.item!.viewerElementToImageCoordinates(new OpenSeadragon.Point(x, y)));
  }

  // failureAt is the failed tile at a point of the stage.
  failureAt(x: number, y: number): TileFailure | null {
    const { failures } = this.fetcher;
    if (failures.size === 0 || !this.item || !this.image || !this.source) return null;
    const at = this.item.viewerElementToImageCoordinates(new OpenSeadragon.Point(x, y));
    const rendered = (this.item as unknown as { getTilesToDraw(): { tile: OSDTile }[] }).getTilesToDraw();
    let found: OSDTile | null = null;
    for (const { tile } of rendered) {
      const bounds = this.source.getTileBounds(tile.level, tile.x, tile.y).times(this.image.width);
      const inside = at.x >= bounds.x && at.y >= bounds.y && at.x < bounds.x + bounds.width && at.y < bounds.y + bounds.height;
      if (inside && (!found || tile.level > found.level)) found = tile;
    }
    return found ? (failures.get(`${found.level}/${found.x}/${found.y}`) ?? null) : null;
  }

  // loosen moves the limits of zooming and dragging as far as the current view needs. Otherwise the
  // next gesture would first move a slide that was placed beyond them.
  private loosen(): void {
    if (!this.item) return;
    const viewport = this.viewer.viewport as OpenSeadragon.Viewport & { minZoomLevel: number | null; maxZoomLevel: number | null; visibilityRatio: number };
    viewport.minZoomLevel = this.smallest > 0 ? this.zoomOf(this.smallest) : null;
    viewport.maxZoomLevel = null;
    viewport.visibilityRatio = visiblePart;
    const zoom = viewport.getZoom(false);
    if (zoom < viewport.getMinZoom()) viewport.minZoomLevel = zoom;
    if (zoom > viewport.getMaxZoom()) viewport.maxZoomLevel = zoom;
    if ((viewport.getConstrainedBounds(false) as { constraintApplied?: boolean }).constraintApplied) viewport.visibilityRatio = unlimited;
  }

  private zoomOf(scale: number): number {
    return this.item!.imageToViewportZoom(scale);
  }

  private listen(): void {
    const { viewer } = this;
    viewer.addHandler("open", () => this.opened());
    viewer.addHandler("update-level", (event) => {
      this.lastUpdate = (event as unknown as { currenttime: number }).currenttime;
    });
    viewer.addHandler("update-viewport", () => {
      this.dropUnseen();
      emit(this.frame);
    });
    viewer.addHandler("animation-start", () => {
      this.moving = true;
      this.showIdle();
    });
    viewer.addHandler("animation-finish", () => {
      this.moving = false;
      this.align();
      emit(this.settle);
      this.showIdle();
    });
    for (const change of ["pan", "zoom", "rotate"] as const) viewer.addHandler(change, () => this.markMoving());
    for (const gesture of ["canvas-drag", "canvas-scroll", "canvas-pinch", "canvas-double-click"] as const) {
      viewer.addHandler(gesture, () => {
        this.fitted = false;
      });
    }
    viewer.addHandler("after-resize", () => {
      if (this.fitted) this.fit(true);
      emit(this.settle);
    });
    viewer.addHandler("tile-drawn", () => {
      if (this.o.stage.dataset.picture) return;
      this.o.stage.dataset.picture = String(Math.round(performance.now()));
      performance.mark("ptiffstore-first-picture");
    });
  }

  private opened(): void {
    const { world, viewport } = this.viewer;
    this.item = world.getItemAt(0);
    const { width, height } = this.image!;
    // The size of a zoom is rounded up, so its tiles can extend a fraction of a pixel too far.
    this.item.setClip(new OpenSeadragon.Rect(0, 0, width, height));
    this.item.addHandler("fully-loaded-change", () => this.markMoving());
    if (this.wanted === "fit") {
      viewport.setRotation(0, true);
      this.fit(true);
    } else {
      this.goTo(this.wanted, true);
    }
    this.align();
    emit(this.open);
    emit(this.loaded);
    emit(this.settle);
  }

  // dropUnseen cancels tiles that have left the view. After the last frame of a movement a timer does.
  private dropUnseen(): void {
    this.fetcher.dropUnseen(this.lastUpdate - unseenTimeout);
    clearTimeout(this.unseenTimer);
    this.unseenTimer = window.setTimeout(() => this.fetcher.dropUnseen(this.lastUpdate), unseenTimeout);
  }

  // markMoving records that the view may start to move. OpenSeadragon's next frame shows whether it does.
  private markMoving(): void {
    this.unrendered++;
    this.showIdle();
    requestAnimationFrame(() => requestAnimationFrame(() => {
      this.unrendered--;
      this.showIdle();
    }));
  }

  // showIdle reports whether the view stands still with all its tiles.
  private showIdle(): void {
    this.setIdle(!this.moving && this.unrendered === 0 && (this.item?.getFullyLoaded() ?? false));
  }

  private setIdle(isIdle: boolean): void {
    if (this.destroyed || !this.source) return;
    this.o.stage.dataset.idle = String(isIdle);
    setBusy(this, !isIdle);
  }

  // align moves a slide that is shown pixel for pixel onto the pixels of the screen, so that it is
  // not blurred.
  private align(): void {
    const density = OpenSeadragon.pixelDensityRatio;
    if (!this.item || !pixelForPixel(this.scale * density) || this.rotation % 90 !== 0) return;
    const { viewport } = this.viewer;
    const offset = (this.viewer.drawer as unknown as BitmapDrawer).pixelOffset();
    const corner = viewport.pixelFromPointNoRotate(this.item.imageToViewportCoordinates(0, 0), true);
    const away = (at: number): number => (at * density - offset - Math.round(at * density - offset)) / density;
    const delta = new OpenSeadragon.Point(away(corner.x), away(corner.y));
    if (Math.abs(delta.x) < 1e-4 && Math.abs(delta.y) < 1e-4) return;
    viewport.panBy(viewport.deltaPointsFromPixelsNoRotate(delta), true);
  }
}

// cachedTiles is the number of tiles in memory: those of two full screens at the smallest scale of
// a zoom, 1:2.
function cachedTiles(): number {
  const density = window.devicePixelRatio;
  const visible = (screen.width * screen.height * density ** 2 * 4) / 512 ** 2;
  return Math.max(120, Math.min(400, Math.ceil(visible * 2)));
}

// pixelForPixel reports whether a pixel of some zoom covers a whole number of screen pixels at that
// scale.
function pixelForPixel(scale: number): boolean {
  const near = (value: number): boolean => Math.abs(value - Math.round(value)) < 1e-3;
  return scale < 1 ? near(Math.log2(scale)) : near(scale);
}

function emit(listeners: Set<Listener>): void {
  for (const listener of listeners) listener();
}

// quietConsole keeps OpenSeadragon from logging cancelled tiles as errors.
function quietConsole(): void {
  const library = OpenSeadragon as unknown as { console: Console };
  const { console } = library;
  if (console !== window.console) return;
  library.console = Object.assign(Object.create(console) as Console, {
    error: (...args: unknown[]) => {
      if (!String(args[0]).startsWith("Tile %s failed to load")) window.console.error(...args);
    },
  });
}

// keepOutStyles keeps OpenSeadragon from adding a style element, which the Content-Security-Policy
// forbids. OpenSeadragon skips this if an element of that name exists.
function keepOutStyles(): void {
  const mark = "data-openseadragon-mobile-css";
  if (document.querySelector(`style[${mark}]`)) return;
  const decoy = document.createElementNS("urn:ptiffstore", "style");
  decoy.setAttribute(mark, "true");
  document.head.append(decoy);
}
