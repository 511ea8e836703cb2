// One of the compared slides.

import { logInAgain, permissionCheck } from "../access/permission-check";
import { getImage, preconnect, Problem } from "../api/client";
import { isViewable, type SlideImage } from "../api/types";
import { slideName } from "../gallery/card";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { stateIcon, stateReason } from "../ui/state";
import { failure } from "../viewer/failure";
import { fitScale } from "../viewer/fit";
import { formatMagnification, formatPercent } from "../viewer/magnification";
import { formatView } from "../viewer/permalink";
import { scaleBarControl } from "../viewer/scale-bar";
import { SlideView } from "../viewer/slide-view";
import type { Pose } from "./link";

const fitMargin = 0.95;

export interface PaneOptions {
  id: string;
  grid: HTMLElement; // the parent, which must be in the document
  count: number; // number of panes
  onRemove: (() => void) | null;
  onReady: () => void; // the slide is open, or cannot be opened
  signal: AbortSignal;
}

export class Pane {
  readonly element: HTMLElement;
  readonly view: SlideView;
  readonly stage = h("div", { class: "stage", role: "application", "aria-roledescription": t.viewer.roledescription, "aria-label": t.loading, tabindex: "0", "data-testid": "stage", "data-idle": "false" });
  image: SlideImage | null = null;
  settled = false; // the slide is open, or cannot be opened
  private readonly title = h("a", { class: "pane-title ellipsis", "data-page": true }, "\u00a0");
  private readonly current = h("output", { class: "pane-current", "data-testid": "magnification" });
  private readonly overlay = h("div", { class: "overlay" });
  private readonly curtain = h("div", { class: "curtain", hidden: true });

  constructor(private readonly o: PaneOptions) {
    const href = `/slides/${encodeURIComponent(o.id)}`;
    this.title.href = href;
    this.element = h("div", { class: "pane", role: "group", "data-id": o.id }, // names may be equal, which landmarks must not be
      h("header", { class: "pane-head" }, h("h2", { class: "ellipsis" }, this.title), o.onRemove ? iconButton("close", t.compare.remove, o.onRemove, { class: "icon-button small" }) : null),
      h("div", { class: "stage-frame" }, this.stage, h("div", { class: "progress", "aria-hidden": "true" }), this.overlay, this.curtain));
    o.grid.append(this.element); // OpenSeadragon starts with the current size of the stage
    this.view = new SlideView({ stage: this.stage, sharing: o.count, onStale: () => this.checkAgain(), onRefused: permissionCheck({
      id: o.id, signal: o.signal, image: () => this.image, show: (image) => this.show(image), fail: (problem) => this.refuse(problem),
      loggedOut: () => this.fail(t.access.loggedOutTitle, "", logInAgain("button")),
    }) });
    this.overlay.append(h("div", { class: "float pane-scale" }, scaleBarControl(this.view, matchMedia("(max-width: 719px)").matches ? 60 : 130), this.current));
    this.view.onOpen(() => this.ready());
    this.view.onFrame(() => this.showMagnification());
    this.view.onSettle(() => {
      if (this.view.isOpen) this.title.href = href + formatView(this.view.view());
    });
    void this.load();
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
    this.stage.setAttribute("aria-label", t.viewer.stage(name));
    if (!isViewable(image)) {
      this.fail(t.state[image.state] ?? image.state, stateReason(image));
      return;
    }
    this.curtain.hidden = true;
    preconnect(image.tile_url);
    this.view.show(image, this.view.isOpen ? this.view.view() : null);
  }

  private refuse(problem: Problem): void {
    const { title, text } = failure(problem);
    if (problem.status === 403) this.image = null; // reveal nothing about it
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
      const image = await getImage(this.o.id, this.o.signal);
      if (image.revision === this.image?.revision && image.state === this.image.state) return false;
      this.show(image);
      return true;
    } catch {
      return this.o.signal.aborted;
    }
  }
}
