// One of the compared slides.

import { isLabelled, loadSession } from "../access/session";
import { logInAgain, permissionCheck, slideAfterOutage, type PermissionCheckOptions } from "../access/permission-check";
import { getImage, preconnect, Problem } from "../api/client";
import { onReconnect } from "../api/connection";
import { isViewable, type SlideImage, type ViewableImage } from "../api/types";
import { slideName } from "../gallery/card";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { openDialog } from "../ui/dialog";
import { message } from "../ui/message";
import { stateIcon, stateReason } from "../ui/state";
import { pictureKinds, pictures } from "../viewer/associated-images";
import { failure } from "../viewer/failure";
import { fitScale } from "../viewer/fit";
import { formatMagnification, formatPercent } from "../viewer/magnification";
import { magnificationBar, type MagnificationBar } from "../viewer/magnification-bar";
import { Measuring, type MeasuringOptions } from "../viewer/measuring";
import { maxHeight, maxWidth, minimap, type Minimap } from "../viewer/minimap";
import { formatView, withParts } from "../viewer/permalink";
import { scaleBarControl } from "../viewer/scale-bar";
import { SlideView } from "../viewer/slide-view";
import { snapshot } from "../viewer/snapshot";
import { neutral } from "../viewer/adjustments";
import { Colors, correctable } from "../viewer/colors";
import type { Pose } from "./link";

const fitMargin = 0.95;

export interface PaneOptions {
  id: string;
  grid: HTMLElement; // the parent, which must be in the document
  count: number; // number of panes
  measurements: string; // from the address
  measuring: Pick<MeasuringOptions, "onTool" | "onChange" | "onPanel" | "onKind">;
  onRemove: (() => void) | null;
  onFit: () => void; // all slides should be shown entirely
  onReady: () => void; // the slide is open, or cannot be opened
  signal: AbortSignal;
}

export class Pane {
  readonly element: HTMLElement;
  readonly view: SlideView;
  readonly stage = h("div", { class: "stage", role: "application", "aria-roledescription": t.viewer.roledescription, "aria-label": t.loading, tabindex: "0", "data-testid": "stage", "data-idle": "false" });
  image: SlideImage | null = null;
  private readonly checks: PermissionCheckOptions;
  settled = false; // the slide is open, or cannot be opened
  readonly frame: HTMLElement; // the stage and its controls
  readonly measuring: Measuring;
  private readonly colors: Colors;
  readonly magnifications: MagnificationBar;
  readonly overview: Minimap;
  private readonly href: string;
  private readonly subtitle = h("p", { class: "pane-subtitle" });
  private readonly picturesButton = iconButton("picture", t.viewer.panelImages, () => this.showPictures(), { class: "icon-button small", hidden: true });
  private readonly title = h("a", { class: "pane-title ellipsis", "data-page": true }, "\u00a0");
  private readonly current = h("output", { class: "pane-current", "data-testid": "magnification" });
  private readonly overlay = h("div", { class: "overlay" });
  private readonly curtain = h("div", { class: "curtain", hidden: true });

  constructor(private readonly o: PaneOptions) {
    this.href = `/slides/${encodeURIComponent(o.id)}`;
    this.title.href = this.href;
    this.frame = h("div", { class: "stage-frame" }, this.stage, h("div", { class: "progress", "aria-hidden": "true" }), this.overlay, this.curtain);
    this.element = h("div", { class: "pane", role: "group", "data-id": o.id }, // names may be equal, which landmarks must not be
      h("header", { class: "pane-head" }, h("div", { class: "pane-names" }, h("h2", { class: "ellipsis" }, this.title), this.subtitle), this.picturesButton, o.onRemove ? iconButton("close", t.compare.remove, o.onRemove, { class: "icon-button small" }) : null),
      this.frame);
    o.grid.append(this.element); // OpenSeadragon starts with the current size of the stage
    this.checks = {
      id: o.id, signal: o.signal, image: () => this.image, show: (image) => this.show(image), fail: (problem) => this.refuse(problem),
      loggedOut: () => this.fail(t.access.loggedOutTitle, "", logInAgain("button")),
    };
    this.view = new SlideView({ stage: this.stage, sharing: o.count, onStale: () => this.checkAgain(), onRefused: permissionCheck(this.checks) });
    this.colors = new Colors(this.view, o.signal);
    this.measuring = new Measuring({ view: this.view, stage: this.stage, overlay: this.overlay, signal: o.signal, ...o.measuring });
    this.magnifications = magnificationBar(this.view, o.onFit);
    this.overview = minimap(this.view, o.signal, () => Math.min(this.stage.clientWidth / 3.5 / maxWidth, this.stage.clientHeight / 3.5 / maxHeight));
    this.overlay.append(this.overview.element, h("div", { class: "float pane-scale" }, scaleBarControl(this.view, matchMedia("(max-width: 719px)").matches ? 60 : 130), this.current));
    this.view.onOpen(() => this.ready());
    this.view.onFrame(() => this.showMagnification());
    this.view.onSettle(() => {
      this.linkTitle();
    });
    onReconnect(() => void this.reconnected(), o.signal);
    void this.load();
  }

  // picture is what the pane shows, with measurements, scale bar and caption.
  picture(): HTMLCanvasElement {
    return snapshot(this.view, { background: "#ffffff", adjustments: neutral, draw: (context) => this.measuring.tool?.draw(context) });
  }

  // linkTitle makes the title lead to the same view of the slide alone.
  linkTitle(): void {
    if (this.view.isOpen) this.title.href = this.href + withParts(formatView(this.view.view()), this.measuring.text && `m=${this.measuring.text}`);
  }

  // isShown reports whether the slide is open.
  get isShown(): boolean {
    return this.view.isOpen;
  }

  get mpp(): number | null {
    return this.image?.mpp_x || null;
  }

  get pose(): Pose {
    const { x, y } = this.view.view();
    return { x, y, scale: this.view.scale, rotation: this.view.rotation };
  }

  // place applies a pose at once.
  place(pose: Pose): void {
    const now = this.pose;
    const near = Math.hypot(now.x - pose.x, now.y - pose.y) * pose.scale < 0.01 && Math.abs(now.scale / pose.scale - 1) < 1e-6 && Math.abs(now.rotation - pose.rotation) < 1e-6;
    if (!near) this.view.place(pose);
  }

  // fit is the pose in which the entire slide just fits with its current rotation.
  fit(): Pose {
    const { width, height } = this.view.image!;
    const { rotation } = this.view;
    const { clientWidth, clientHeight } = this.stage;
    return { x: width / 2, y: height / 2, scale: fitScale(width, height, rotation, clientWidth, clientHeight) * fitMargin, rotation };
  }

  private async load(): Promise<void> {
    try {
      this.show(await getImage(this.o.id, this.o.signal));
    } catch (err) {
      if (this.o.signal.aborted) return;
      this.refuse(err instanceof Problem ? err : new Problem(0, String(err)));
    }
  }

  private show(image: SlideImage): void {
    this.image = image;
    const name = slideName(image);
    this.title.textContent = name;
    this.title.title = t.compare.open(name);
    this.element.setAttribute("aria-label", name);
    replace(this.subtitle, image.barcode ? h("span", { class: "barcode" }, icon("barcode", 15), h("span", { class: "visually-hidden" }, `${t.gallery.barcode} `), h("span", { class: "ellipsis" }, image.barcode)) : null, image.label && image.file_name ? h("span", { class: "ellipsis" }, image.file_name) : null);
    this.picturesButton.hidden = !isLabelled(image) || pictureKinds(image).length === 0;
    this.stage.setAttribute("aria-label", t.viewer.stage(name));
    if (!isViewable(image)) {
      this.fail(t.state[image.state] ?? image.state, stateReason(image));
      return;
    }
    this.curtain.hidden = true;
    this.overlay.hidden = false;
    this.element.classList.remove("closed");
    preconnect(image.tile_url);
    void this.openView(image);
    void this.measuring.restore(image, this.o.measurements);
  }

  // openView shows the slide in the colours that the site wants.
  private async openView(image: ViewableImage): Promise<void> {
    const corrected = correctable(image) !== null && !!(await loadSession()).correct_colors;
    if (corrected) await this.colors.open(image, true).catch(() => {});
    else void this.colors.open(image, false);
    this.stage.dataset.colors = this.colors.corrected ? "corrected" : "scanned";
    if (!this.o.signal.aborted && this.image === image) this.view.show(image, this.view.isOpen ? this.view.view() : null);
  }

  private showPictures(): void {
    if (this.image) openDialog(slideName(this.image), "pictures", pictures(this.image));
  }

  private refuse(problem: Problem): void {
    const { title, text } = failure(problem);
    if (problem.status === 403) this.image = null; // reveal nothing about it
    replace(this.subtitle);
    this.picturesButton.hidden = true;
    this.fail(title, text);
  }

  private fail(title: string, text: string, action?: HTMLElement): void {
    this.curtain.hidden = false;
    this.overlay.hidden = true;
    this.element.classList.add("closed");
    if (!this.image) this.title.textContent = title;
    replace(this.curtain, message({ picture: icon(this.image ? stateIcon(this.image.state) : "warning", 36), title, text, action, alert: true }));
    this.ready();
  }

  private ready(): void {
    this.settled = true;
    this.showMagnification();
    this.o.onReady();
  }

  private showMagnification(): void {
    const { full, scale, isOpen } = this.view;
    if (!isOpen) return;
    const text = full ? `${full.derived ? "≈ " : ""}${formatMagnification(scale * full.power)}` : formatPercent(scale);
    if (this.current.textContent !== text) this.current.textContent = text;
  }

  private async checkAgain(): Promise<boolean> {
    try {
      return this.showChanged(await getImage(this.o.id, this.o.signal));
    } catch {
      return this.o.signal.aborted;
    }
  }

  // showChanged shows image if it is another one than before, and reports whether it is.
  private showChanged(image: SlideImage): boolean {
    if (image.revision === this.image?.revision && image.state === this.image.state) return false;
    this.show(image);
    return true;
  }

  // reconnected continues after an outage of the server.
  private async reconnected(): Promise<void> {
    const image = await slideAfterOutage(this.checks);
    if (!image) return;
    if (!this.curtain.hidden) this.show(image);
    else if (!this.showChanged(image)) this.view.fetcher.retry();
  }
}
