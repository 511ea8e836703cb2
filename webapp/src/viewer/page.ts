// The page of a slide.

import "../styles/viewer.css";
import "../styles/tools.css";

import { logInAgain, permissionCheck, slideAfterOutage, type PermissionCheckOptions } from "../access/permission-check";
import { loadSession, session } from "../access/session";
import { userMenu } from "../access/user-menu";
import { getImage, preconnect, Problem } from "../api/client";
import { onReconnect } from "../api/connection";
import { isViewable, type SlideImage, type ViewableImage } from "../api/types";
import { caseSlides } from "../cases/current";
import { caseStrip } from "../cases/strip";
import { compareAddress } from "../compare/link";
import { folderName, slideName } from "../gallery/card";
import { currentFeed } from "../gallery/feed";
import { searchOf } from "../gallery/query";
import { goBack, navigate, replaceAddress, type Page } from "../router";
import { isEmbedded } from "../share/place";
import { t } from "../strings";
import { setBusy } from "../ui/activity";
import { announce, notify } from "../ui/announce";
import { browserIdle } from "../ui/browser-idle";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { icon } from "../ui/icons";
import { message } from "../ui/message";
import { stateBadge, stateIcon, stateReason } from "../ui/state";
import { themeButton } from "../ui/theme";
import { adjustLine, adjustPanel } from "./adjust-panel";
import { Adjuster, adjustmentsIn, adjustmentsText, formatAdjustments, isNeutral } from "./adjustments";
import { Colors, correctable, correctionIn, formatCorrection } from "./colors";
import { embed } from "./embed";
import { failure } from "./failure";
import { openHelp } from "./help";
import { listenToKeys } from "./keys";
import { magnificationBar } from "./magnification-bar";
import { Measuring } from "./measuring";
import { measurementsIn, type MeasurementKind } from "./measurements";
import { minimap } from "./minimap";
import { findNeighbours } from "./neighbours";
import { Panel } from "./panel";
import { formatView, parseView, withParts } from "./permalink";
import { rotationControl } from "./rotation";
import { scaleBarControl } from "./scale-bar";
import { slideActions } from "./slide-actions";
import { SlideView } from "./slide-view";
import { fileName, save, snapshot } from "./snapshot";
import { tileFailures } from "./tile-failures";
import { tileServerLine } from "./tile-server";

const arrivingDelay = 4_000; // milliseconds between requests for a slide that is arriving

export interface Early {
  id: string;
  image: Promise<SlideImage>;
}

// viewerPage creates the page. early is the description of the first slide, if it was requested
// already.
export function viewerPage(early: Early | null): Page {
  return {
    mount(root, params, signal) {
      const id = params[0]!;
      const image = early?.id === id ? early.image : getImage(id, signal);
      early = null;
      void new SlidePage(root, id, signal, isEmbedded() ? embeddedPage : null).load(image);
    },
  };
}

// Surroundings replace the application around the viewer: behind a share link, and in frames of
// other pages.
export interface Surroundings {
  embedded: boolean; // without a header
  address: (id: string) => string; // of the page with another slide
  title: string;
  strip: HTMLElement | null; // the other slides
  previous: string | null;
  next: string | null;
  has: (id: string) => boolean; // whether another slide can be opened
  gone: () => void; // shows that the link has ended
}

// embeddedPage is the page of a slide for frames of other pages.
const embeddedPage: Surroundings = {
  embedded: true, address: (id) => `/slides/${encodeURIComponent(id)}?embed=1`, title: "", strip: null, previous: null, next: null, has: () => true, gone: () => {},
};

type Popover = "rotation" | "measure" | "adjust"; // of which at most one is open

export class SlidePage {
  private image: SlideImage | null = null;
  private serverWatched = false;
  private checking: Promise<boolean> | null = null;
  private readonly view: SlideView;
  private readonly checks: PermissionCheckOptions;
  private readonly panel: Panel;

  private readonly frame: HTMLElement;
  private readonly stage = h("div", { class: "stage", role: "application", "aria-roledescription": t.viewer.roledescription, "aria-label": t.loading, tabindex: "0", "data-testid": "stage", "data-idle": "false" });
  private readonly overlay = h("div", { class: "overlay" });
  private readonly notes = h("div", { class: "stage-notes" }); // above the slide
  private readonly loggedOut = h("div", { class: "failures logged-out", hidden: true, role: "alert", "data-testid": "logged-out" });
  private readonly curtain = h("div", { class: "curtain", hidden: true });
  private readonly title = h("h1", { class: "slide-title" }, "\u00a0");
  private readonly subtitle = h("p", { class: "slide-subtitle" });
  private readonly previous = this.neighbourLink("previous", t.viewer.previous);
  private readonly next = this.neighbourLink("next", t.viewer.next);
  private readonly panelButton = iconButton("info", t.viewer.panel, () => this.panel.toggle(), { "aria-pressed": "false", "data-testid": "panel-button" });
  private readonly rotationButton = iconButton("rotateRight", t.viewer.rotate, () => this.togglePopover("rotation"), { "data-testid": "rotation-button" });
  private readonly measureButton = iconButton("ruler", t.measure.title, () => void this.openMeasuring(), { "data-testid": "measure-button" });
  private readonly adjustButton = iconButton("sliders", t.adjust.title, () => this.togglePopover("adjust"), { "data-testid": "adjust-button" });
  private readonly colorsButton = iconButton("palette", t.colors.correct, () => void this.toggleColors(), { hidden: true, "data-testid": "colors-button" });
  private readonly popovers: Record<Popover, { element: HTMLElement | null; button: HTMLButtonElement }> = {
    rotation: { element: null, button: this.rotationButton },
    measure: { element: null, button: this.measureButton },
    adjust: { element: null, button: this.adjustButton },
  };
  private adjuster!: Adjuster;
  private readonly colors: Colors;
  private readonly measuring: Measuring;
  private frameMessages: ReturnType<typeof embed> | null = null;
  private restoring = false; // the measurements of the address and the session are being shown, or are
  private written = ""; // the fragment that was written to the address
  private writing = 0; // a timer
  private readonly fullscreenButton = iconButton("fullscreen", t.viewer.fullscreen, () => this.toggleFullscreen());

  constructor(root: HTMLElement, private readonly id: string, private readonly signal: AbortSignal, private readonly around: Surroundings | null = null) {
    this.panel = new Panel(() => this.panelChanged());
    this.frame = h("div", { class: around ? `viewer shared${around.embedded ? " embedded" : ""}` : "viewer" }, around?.embedded ? null : this.header(), h("main", { class: "viewer-main" }, h("div", { class: "stage-frame" }, this.stage, h("div", { class: "progress", "aria-hidden": "true" }), this.overlay, this.curtain), this.panel.element));
    root.append(this.frame);
    this.panelChanged();
    document.documentElement.classList.add("viewing");
    this.checks = { id, signal, image: () => this.image, show: (image) => this.show(image), fail: (problem) => this.fail(problem), loggedOut: () => this.showLoggedOut() };
    this.view = new SlideView({ stage: this.stage, onStale: () => this.checkAgain(), onRefused: permissionCheck(this.checks) });
    this.colors = new Colors(this.view, signal);
    this.measuring = new Measuring({
      view: this.view, stage: this.stage, overlay: this.overlay, signal,
      onTool: ({ panel }) => {
        panel.hidden = true;
        this.popovers.measure.element = panel;
        this.overlay.append(panel);
      },
      onChange: () => this.measured(),
      onPanel: () => this.showPopover("measure"),
    });
    this.fillOverlay();
    if (around?.embedded) this.listenToFrame(around);
    this.colors.onChange(() => this.colorsChanged());
    this.followAddress();
    onReconnect(() => void this.reconnected(), signal);
    document.addEventListener("fullscreenchange", () => this.fullscreenChanged(), { signal });
    signal.addEventListener("abort", () => {
      document.documentElement.classList.remove("viewing");
      this.view.destroy();
    });
  }

  async load(image: Promise<SlideImage>): Promise<void> {
    try {
      this.show(await image);
    } catch (err) {
      if (this.signal.aborted) return;
      this.fail(err instanceof Problem ? err : new Problem(0, String(err)));
      return;
    }
    await browserIdle(); // tiles first
    if (this.around) {
      link(this.previous, this.around.previous, this.around.address);
      link(this.next, this.around.next, this.around.address);
      if (this.around.strip && !this.signal.aborted) this.overlay.append(this.around.strip);
      return;
    }
    await Promise.all([this.linkNeighbours(), this.showActions(), this.showCase()]);
  }

  private async showActions(): Promise<void> {
    this.panel.setActions(...await slideActions({ image: () => this.image, changed: (image) => this.show(image), deleted: () => goBack(galleryAddress()), signal: this.signal }));
  }

  // showCase shows the other slides of the case.
  private async showCase(): Promise<void> {
    if (!this.image?.accession) return;
    const inCase = caseSlides(this.id) !== null;
    const strip = await caseStrip(this.image, this.signal);
    if (!strip || this.signal.aborted) return;
    this.overlay.append(strip);
    if (!inCase && !currentFeed()) await this.linkNeighbours(); // the slide was opened by a link
  }

  private async linkNeighbours(): Promise<void> {
    const neighbours = await findNeighbours(this.id, this.signal);
    if (this.signal.aborted) return;
    link(this.previous, neighbours.previous);
    link(this.next, neighbours.next);
  }

  private header(): HTMLElement {
    const back = galleryAddress();
    if (this.around) {
      return h("header", { class: "bar viewer-bar" },
        h("div", { class: "slide-names" }, this.title, this.subtitle),
        h("div", { class: "bar-end" }, this.previous, this.next, h("span", { class: "divider" }), this.panelButton, h("span", { class: "wide-only" }, iconButton("help", t.viewer.help, () => openHelp()), themeButton())));
    }
    return h(
      "header",
      { class: "bar viewer-bar" },
      h("a", { class: "icon-button", href: back, "aria-label": t.viewer.back, title: t.viewer.back, onclick: (event: MouseEvent) => {
        if (event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
        event.preventDefault();
        goBack(back);
      } }, icon("back")),
      h("div", { class: "slide-names" }, this.title, this.subtitle),
      h("div", { class: "bar-end" }, this.previous, this.next, h("span", { class: "divider" }), iconButton("compare", t.compare.with, () => void this.compareWith(), { "data-testid": "compare-with" }), this.panelButton, h("span", { class: "wide-only" }, iconButton("help", t.viewer.help, () => openHelp()), themeButton()), userMenu()),
    );
  }

  private neighbourLink(name: "previous" | "next", label: string): HTMLAnchorElement {
    return h("a", { class: "icon-button", role: "link", "aria-label": label, title: label, "aria-disabled": "true", "data-testid": name, onclick: (event: MouseEvent) => {
      const href = this[name].getAttribute("href");
      if (!href || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
      event.preventDefault();
      navigate(href, "replace"); // so that Back still leads to the gallery
    } }, icon(name));
  }

  private fillOverlay(): void {
    const { view, signal } = this;
    const magnifications = magnificationBar(view);
    const overview = minimap(view, signal);
    const rotation = rotationControl(view);
    this.adjuster = new Adjuster(view);
    const adjust = adjustPanel(this.adjuster);
    this.popovers.rotation.element = rotation;
    this.popovers.adjust.element = adjust;
    this.showPopover(null);
    this.readAdjustments();
    this.adjuster.onChange(() => this.adjusted());
    const link = (): void => this.copyLink();
    const picture = (): void => void this.saveSnapshot();
    this.fullscreenButton.hidden = !document.fullscreenEnabled;
    this.overlay.append(
      h("div", { class: "tools float", role: "toolbar", "aria-orientation": "vertical", "aria-label": t.viewer.roledescription },
        iconButton("plus", t.viewer.zoomIn, () => view.zoomBy(1.5)),
        iconButton("minus", t.viewer.zoomOut, () => view.zoomBy(1 / 1.5)),
        this.rotationButton,
        this.measureButton,
        this.adjustButton,
        this.colorsButton,
        this.fullscreenButton,
        h("span", { class: "wide-only" }, this.around ? null : iconButton("link", t.viewer.link, link), iconButton("camera", t.viewer.snapshot, picture))),
      rotation,
      adjust,
      this.adjuster.defs,
      overview.element,
      h("div", { class: "stage-foot" }, h("div", { class: "float scale-frame" }, scaleBarControl(view)), magnifications.element),
    );
    this.notes.append(this.loggedOut, adjustLine(this.adjuster, () => this.stage.focus({ preventScroll: true })));
    this.overlay.append(this.notes);
    tileFailures(view, this.stage, this.overlay, this.notes);
    listenToKeys({
      pan: (x, y) => view.panBy(x, y),
      zoom: (factor) => view.zoomBy(factor),
      fit: () => view.fit(),
      magnification: magnifications.press,
      rotate: (degrees) => {
        view.rotateBy(degrees);
        announce(`${t.viewer.rotate} ${t.viewer.angle(Math.round(view.targetRotation))}`);
      },
      fullscreen: () => this.toggleFullscreen(),
      panel: () => this.panel.toggle(),
      pictures: () => this.panel.showTab("pictures"),
      minimap: overview.toggle,
      distance: () => void this.measure("distance"),
      area: () => void this.measure("area"),
      adjust: () => this.toggleAdjust(),
      link,
      snapshot: picture,
      previous: () => this.previous.click(),
      next: () => this.next.click(),
      escape: () => this.escape(),
      help: () => openHelp(),
    }, signal);
  }

  // show displays a slide, or the reason why it cannot be opened.
  private show(image: SlideImage): void {
    this.image = image;
    this.panelButton.hidden = false;
    const name = this.around?.title || slideName(image);
    document.title = `${name} · ${t.name}`;
    this.title.textContent = name;
    this.title.title = name;
    replace(this.subtitle, image.barcode ? h("span", { class: "barcode" }, icon("barcode", 15), image.barcode) : null, image.label && image.file_name ? h("span", { class: "ellipsis" }, image.file_name) : null, image.folder ? folderName(image.folder) : null, image.state === "available" ? null : stateBadge(image.state));
    this.stage.setAttribute("aria-label", t.viewer.stage(name));
    this.panel.setImage(image);
    this.curtain.dataset.state = image.state;
    if (isViewable(image)) {
      preconnect(image.tile_url);
      this.watchTileServer(image);
      this.setCurtain(undefined);
      void this.openView(image);
      if (!this.restoring) void this.measuring.restore(image, measurementsIn(location.hash));
      this.restoring = true;
      return;
    }
    this.setCurtain(message({ picture: icon(stateIcon(image.state), 44), title: image.state === "available" ? t.viewer.failedTitle : t.state[image.state] ?? image.state, text: stateReason(image), alert: true, action: this.retryButton() }));
    if (image.state === "arriving") this.waitForArrival();
  }

  // openView shows a slide in the colours that the address or the site wants.
  private async openView(image: ViewableImage): Promise<void> {
    const view = this.view.isOpen ? this.view.view() : parseView(location.hash);
    if (!correctable(image)) {
      void this.colors.open(image, false);
      this.view.show(image, view);
      return;
    }
    const wanted = this.colors.isOpen ? this.colors.corrected : (correctionIn(location.hash) ?? !!(await loadSession()).correct_colors);
    await this.colors.open(image, wanted).catch((err: unknown) => this.colorsFailed(err));
    if (!this.signal.aborted && this.image === image) this.view.show(image, view);
  }

  private async toggleColors(on = !this.colors.corrected): Promise<void> {
    await this.colors.set(on).catch((err: unknown) => this.colorsFailed(err));
    announce(this.colors.corrected ? t.colors.corrected : t.colors.scanned);
  }

  private colorsFailed(err: unknown): void {
    if (!this.signal.aborted) notify(t.colors.failed(err instanceof Problem ? err.detail : String(err)), 8000);
  }

  private colorsChanged(): void {
    const { profile, corrected } = this.colors;
    const label = corrected ? t.colors.corrected : t.colors.correct;
    this.colorsButton.hidden = !profile;
    this.colorsButton.dataset.active = String(corrected);
    this.colorsButton.setAttribute("aria-pressed", String(corrected));
    this.colorsButton.setAttribute("aria-label", t.colors.correct);
    this.colorsButton.title = profile?.name ? `${label} · ${profile.name}` : label;
    this.stage.dataset.colors = corrected ? "corrected" : "scanned";
    this.writeAddress();
  }

  private watchTileServer(image: SlideImage): void {
    if (this.serverWatched || this.around) return; // the list of stores is for users
    this.serverWatched = true;
    this.notes.prepend(tileServerLine(image, () => this.view.fetcher.retry(), this.signal));
  }

  // setCurtain shows content instead of the stage, or the stage without content.
  private setCurtain(content: HTMLElement | undefined): void {
    this.curtain.hidden = !content;
    this.overlay.hidden = !!content;
    replace(this.curtain, content);
    this.frame.classList.toggle("closed", !!content);
  }

  // listenToFrame exchanges messages with the page around the frame.
  private listenToFrame(around: Surroundings): void {
    const frame = embed({
      id: this.id, signal: this.signal,
      view: () => (this.view.isOpen ? this.view.view() : null),
      size: () => {
        const { x, y } = this.view.view();
        const scale = this.view.scale || 1;
        return { width: this.stage.clientWidth / scale, height: this.stage.clientHeight / scale, ...(Number.isFinite(x + y) ? {} : { width: 0, height: 0 }) };
      },
      goTo: (view) => this.view.goTo(view),
      open: (id) => {
        if (!around.has(id)) return false;
        navigate(around.address(id), "replace");
        return true;
      },
    });
    this.frameMessages = frame;
    this.view.onOpen(() => frame.ready());
    this.view.onSettle(() => frame.report());
  }

  private fail(problem: Problem): void {
    this.frameMessages?.fail(problem.detail);
    if (this.around && !this.around.embedded && (problem.status === 401 || problem.status === 403 || problem.status === 404)) return this.around.gone();
    const { title, text, picture, retry } = failure(problem);
    document.title = `${title} · ${t.name}`;
    this.title.textContent = title;
    this.title.title = "";
    replace(this.subtitle);
    if (!retry) this.panel.clear();
    this.panelButton.hidden = !retry;
    const action = retry ? this.retryButton() : this.around ? null : h("a", { class: "button", href: "/", "data-page": true }, t.viewer.back);
    this.setCurtain(message({ picture, title, text, alert: true, action }));
  }

  private retryButton(): HTMLElement {
    return h("button", { type: "button", class: "button", onclick: () => void this.load(getImage(this.id, this.signal)) }, t.retry);
  }

  private waitForArrival(): void {
    const timer = setTimeout(async () => {
      try {
        const image = await getImage(this.id, this.signal);
        if (image.state !== "arriving") announce(t.viewer.arrived);
        this.show(image);
      } catch {
        if (!this.signal.aborted) this.waitForArrival();
      }
    }, arrivingDelay);
    this.signal.addEventListener("abort", () => clearTimeout(timer));
  }

  // checkAgain reloads the image when the server no longer has tiles of its revision. It reports
  // whether the image has changed; the new one is then shown.
  private checkAgain(): Promise<boolean> {
    this.checking ??= (async () => {
      try {
        const image = await getImage(this.id, this.signal);
        return this.showChanged(image);
      } catch (err) {
        if (this.signal.aborted) return true;
        if (err instanceof Problem && err.status === 404) {
          this.fail(err);
          return true;
        }
        return false;
      } finally {
        setTimeout(() => {
          this.checking = null;
        }, 2000);
      }
    })();
    return this.checking;
  }

  // showChanged shows image if it is another one than before, and reports whether it is.
  private showChanged(image: SlideImage): boolean {
    if (image.revision === this.image?.revision && image.state === this.image.state) return false;
    notify(isViewable(image) ? t.viewer.changed : t.viewer.gone, 8000);
    this.show(image);
    return true;
  }

  // reconnected continues after an outage of the server. Tiles that were requested during the outage
  // continue by themselves.
  private async reconnected(): Promise<void> {
    if (!this.image) {
      await this.load(getImage(this.id, this.signal));
      return;
    }
    const image = await slideAfterOutage(this.checks);
    if (!image) return;
    if (!this.curtain.hidden) this.show(image);
    else if (!this.showChanged(image)) this.view.fetcher.retry();
    if (!this.around) await this.linkNeighbours();
  }

  private showLoggedOut(): void {
    if (!this.loggedOut.hidden) return;
    this.panel.clear(); // do not leave the label on the screen
    this.panelButton.hidden = true;
    this.loggedOut.hidden = false;
    replace(this.loggedOut, icon("lock", 18), h("span", null, t.access.loggedOut), logInAgain("step"));
  }

  // followAddress writes the position to the address, and moves to a position that the user enters
  // there.
  private followAddress(): void {
    this.view.onSettle(() => this.writeAddress());
    window.addEventListener("hashchange", () => {
      if (location.hash === this.written) return;
      const view = parseView(location.hash);
      if (view) this.view.goTo(view);
      this.readAdjustments();
      void this.toggleColors(correctionIn(location.hash) ?? !!session().correct_colors);
      if (this.image) void this.measuring.restore(this.image, measurementsIn(location.hash));
    }, { signal: this.signal });
    this.signal.addEventListener("abort", () => {
      clearTimeout(this.writing);
      setBusy(this, false);
    });
  }

  private writeAddress(): void {
    if (this.signal.aborted) return;
    setBusy(this, true);
    clearTimeout(this.writing);
    this.writing = window.setTimeout(() => {
      setBusy(this, false);
      if (!this.view.isOpen) return;
      this.written = this.fragment(this.view.isWhole ? "" : formatView(this.view.view()));
      replaceAddress(location.pathname + location.search + this.written);
    }, 200);
  }

  // fragment adds measurements and adjustments to the fragment of a position.
  private fragment(position: string): string {
    const colors = this.colors.profile ? formatCorrection(this.colors.corrected, !!session().correct_colors) : "";
    return withParts(position, colors, formatAdjustments(this.adjuster.value), this.measuring.text && `m=${this.measuring.text}`);
  }

  private panelChanged(): void {
    this.panelButton.setAttribute("aria-pressed", String(this.panel.isOpen));
    this.frame?.classList.toggle("with-panel", this.panel.isOpen && !this.around?.embedded);
  }

  private showPopover(name: Popover | null): void {
    for (const [other, { element, button }] of Object.entries(this.popovers)) {
      if (element) element.hidden = other !== name;
      button.setAttribute("aria-expanded", String(other === name && element !== null));
    }
  }

  private isOpen(name: Popover): boolean {
    return this.popovers[name].element?.hidden === false;
  }

  private togglePopover(name: Popover): void {
    this.showPopover(this.isOpen(name) ? null : name);
  }

  private toggleAdjust(): void {
    this.togglePopover("adjust");
    const { element } = this.popovers.adjust;
    if (this.isOpen("adjust")) element?.querySelector("input")?.focus();
    else this.stage.focus({ preventScroll: true });
  }

  // readAdjustments applies the adjustments of the address. Another slide starts without any.
  private readAdjustments(): void {
    this.adjuster.set(adjustmentsIn(location.hash));
    if (!isNeutral(this.adjuster.value)) announce(`${t.adjust.active}: ${adjustmentsText(this.adjuster.value).join(", ")}`);
  }

  private adjusted(): void {
    const changed = !isNeutral(this.adjuster.value);
    const label = changed ? t.adjust.active : t.adjust.title;
    this.adjustButton.dataset.active = String(changed);
    this.adjustButton.setAttribute("aria-label", label);
    this.adjustButton.title = label;
    this.writeAddress();
  }

  private measured(): void {
    this.measureButton.dataset.active = String(this.measuring.isMarked);
    this.writeAddress();
  }

  private async measure(kind: MeasurementKind): Promise<void> {
    if (!this.view.isOpen) return;
    (await this.measuring.load().catch(() => null))?.start(kind);
  }

  private async openMeasuring(): Promise<void> {
    if (await this.measuring.load().catch(() => null)) this.togglePopover("measure");
  }

  private toggleFullscreen(): void {
    if (document.fullscreenElement) void document.exitFullscreen();
    else void this.frame.requestFullscreen?.().catch(() => {});
  }

  private fullscreenChanged(): void {
    const on = document.fullscreenElement !== null;
    const label = on ? t.viewer.fullscreenLeave : t.viewer.fullscreen;
    replace(this.fullscreenButton, icon(on ? "shrink" : "fullscreen"));
    this.fullscreenButton.setAttribute("aria-label", label);
    this.fullscreenButton.title = label;
  }

  private copyLink(): void {
    if (!this.view.image || this.around) return;
    const address = location.origin + location.pathname + this.fragment(formatView(this.view.view()));
    navigator.clipboard?.writeText(address).then(() => notify(t.viewer.linkCopied), () => {});
  }

  private async compareWith(): Promise<void> {
    const { chooseSlides } = await import("../compare/chooser");
    chooseSlides([this.id], (ids) => navigate(compareAddress(ids)));
  }

  private async saveSnapshot(): Promise<void> {
    if (!this.view.isOpen || !this.image) return;
    const picture = snapshot(this.view, { background: "#ffffff", adjustments: this.adjuster.value, draw: (context) => this.measuring.tool?.draw(context) });
    const { x, y } = this.view.view();
    await save(picture, `${fileName(slideName(this.image))}_x${Math.round(x)}_y${Math.round(y)}.png`);
    notify(t.viewer.snapshotSaved);
  }

  private escape(): void {
    if (document.fullscreenElement) return; // the browser exits full screen
    if (this.isOpen("adjust") || this.isOpen("rotation")) {
      this.showPopover(null);
      this.stage.focus({ preventScroll: true });
    } else if (this.measuring.tool?.escape()) return;
    else if (this.isOpen("measure")) this.showPopover(null);
    else if (this.panel.isOpen && matchMedia("(max-width: 899px)").matches) this.panel.toggle(false);
    else goBack(galleryAddress());
  }
}

function link(anchor: HTMLAnchorElement, id: string | null, address = (slide: string): string => `/slides/${encodeURIComponent(slide)}`): void {
  if (id === null) {
    anchor.removeAttribute("href");
    anchor.setAttribute("aria-disabled", "true");
    return;
  }
  anchor.href = address(id);
  anchor.removeAttribute("aria-disabled");
}

// galleryAddress is the address at which the gallery was left.
function galleryAddress(): string {
  const feed = currentFeed();
  return `/${feed ? searchOf(feed.query) : ""}`;
}
