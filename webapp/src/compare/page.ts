// The comparison page: two to four slides side by side, which move together.

import "../styles/viewer.css";
import "../styles/tools.css";
import "../styles/compare.css";

import { slideName } from "../gallery/card";
import { goBack, navigate, replaceAddress, type Page } from "../router";
import { t } from "../strings";
import { setBusy } from "../ui/activity";
import { announce, notify } from "../ui/announce";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { icon, logo } from "../ui/icons";
import { message } from "../ui/message";
import { themeButton } from "../ui/theme";
import { openHelp } from "../viewer/help";
import { listenToKeys } from "../viewer/keys";
import type { MeasurementKind } from "../viewer/measurements";
import { withParts } from "../viewer/permalink";
import { fileName, save, sideBySide } from "../viewer/snapshot";
import { chooseSlides } from "./chooser";
import { compareAddress, fitAll, follow, formatArrangement, formatSeveral, idsOf, limits, measurementsOf, mostSlides, parseArrangement, sameScale, type Pose } from "./link";
import { Pane } from "./pane";

const longestName = 120; // characters of a file name

export const comparePage: Page = {
  mount(root, _params, signal) {
    new ComparePage(root, idsOf(location.search), signal);
  },
};

class ComparePage {
  private panes: Pane[] = [];
  private leader: Pane | null = null; // the pane that the others follow
  private linked = true;
  private whole = true; // each slide is shown entirely, also after a resize
  private references = new Map<Pane, Pose>(); // poses that correspond to each other
  private written = ""; // the fragment that was written to the address
  private writing = 0; // a timer
  private measureOpen = false; // the panel of the measuring tool
  private readonly grid: HTMLElement;
  private readonly foot = h("div", { class: "compare-foot" }); // the magnifications of the leading slide
  private readonly measureName = h("p", { class: "measure-of ellipsis quiet" });
  private readonly measureHost = h("div", { class: "compare-measure float", hidden: true }, this.measureName);
  private readonly measureButton = iconButton("ruler", t.measure.title, () => void this.toggleMeasuring(), { "aria-expanded": "false", "data-testid": "measure-button" });
  private readonly linkButton = h("button", { type: "button", class: "step link-button", "aria-pressed": "true", "data-testid": "link", onclick: () => this.setLinked(!this.linked) });

  constructor(root: HTMLElement, private readonly ids: string[], private readonly signal: AbortSignal) {
    document.title = `${t.compare.title} · ${t.name}`;
    const removable = ids.length > 2;
    this.grid = h("div", { class: `compare-grid compare-${ids.length < 2 ? 0 : ids.length}`, "data-testid": "compare" });
    document.documentElement.classList.add("viewing");
    root.append(h("div", { class: "viewer" }, this.header(), h("main", { class: "compare-main" }, h("div", { class: "compare" }, this.grid, this.measureHost), this.foot)));
    const measurements = measurementsOf(location.hash, ids.length);
    if (ids.length >= 2) this.panes = ids.map((id, i) => this.pane(id, measurements[i]!, removable ? () => this.use(ids.filter((other) => other !== id)) : null));
    else this.grid.append(this.tooFew());
    this.linked = parseArrangement(location.hash, ids.length).linked;
    this.renderLink();
    this.listen();
    signal.addEventListener("abort", () => {
      document.documentElement.classList.remove("viewing");
      clearTimeout(this.writing);
      setBusy(this, false);
      for (const { view } of this.panes) view.destroy();
    });
  }

  private pane(id: string, measurements: string, onRemove: (() => void) | null): Pane {
    const pane: Pane = new Pane({
      id, grid: this.grid, count: this.ids.length, signal: this.signal, measurements, onRemove,
      onReady: () => this.ready(),
      onFit: () => this.fit(),
      measuring: {
        onTool: ({ panel }) => {
          this.measureHost.append(panel);
          this.renderLeader();
        },
        onChange: () => this.measured(pane),
        onPanel: () => this.openMeasuring(true),
        onKind: (kind) => void this.measureAlso(kind, pane),
      },
    });
    return pane;
  }

  private header(): HTMLElement {
    const some = this.ids.length >= 2;
    return h("header", { class: "bar viewer-bar compare-bar" },
      iconButton("back", t.compare.back, () => goBack("/")),
      h("h1", { class: "slide-title" }, t.compare.title),
      h("div", { class: "bar-end" },
        some ? this.linkButton : null,
        some ? h("span", { class: "wide-only" }, iconButton("plus", t.viewer.zoomIn, () => this.act((pane) => pane.view.zoomBy(1.5))), iconButton("minus", t.viewer.zoomOut, () => this.act((pane) => pane.view.zoomBy(1 / 1.5)))) : null,
        some ? iconButton("rotateRight", t.viewer.rotateRight, () => this.act((pane) => pane.view.rotateBy(90))) : null,
        some ? this.measureButton : null,
        some ? h("span", { class: "wide-only" }, iconButton("link", t.viewer.link, () => this.copyLink()), iconButton("camera", t.viewer.snapshot, () => void this.saveSnapshot())) : null,
        this.ids.length < mostSlides ? iconButton("compare", t.compare.add, () => this.add(), { "data-testid": "add" }) : null,
        h("span", { class: "wide-only" }, h("span", { class: "divider" }), iconButton("help", t.viewer.help, () => openHelp(t.compare.keys)), themeButton())));
  }

  private tooFew(): HTMLElement {
    return message({ picture: logo(48), title: t.compare.fewTitle, text: t.compare.fewText, action: h("button", { type: "button", class: "button", onclick: () => this.add() }, t.compare.with) });
  }

  private add(): void {
    chooseSlides(this.ids, (ids) => this.use(ids));
  }

  private use(ids: string[]): void {
    navigate(compareAddress(ids), "replace"); // so that Back still leads to the previous page
  }

  private get shown(): Pane[] {
    return this.panes.filter(({ isShown }) => isShown);
  }

  private listen(): void {
    const { signal } = this;
    for (const pane of this.panes) {
      for (const event of ["pointerdown", "wheel", "focusin"] as const) {
        pane.frame.addEventListener(event, () => this.lead(pane, event !== "focusin"), { capture: true, passive: true });
      }
      pane.view.onFrame(() => {
        if (pane === this.leader) this.sync();
      });
      pane.view.onSettle(() => this.writeAddress());
    }
    const observer = new ResizeObserver(() => {
      if (this.whole) this.fit();
    });
    observer.observe(this.grid);
    signal.addEventListener("abort", () => observer.disconnect());
    this.listenToKeys();
    window.addEventListener("hashchange", () => {
      if (location.hash !== this.written) this.arrange();
    }, { signal });
  }

  // lead makes the other panes follow pane. moves means that its slide is about to move.
  private lead(pane: Pane, moves: boolean): void {
    if (moves) this.whole = false;
    if (this.leader === pane) return;
    this.leader = pane;
    this.renderLeader();
  }

  // renderLeader shows the magnifications and the measurements of the leading slide.
  private renderLeader(): void {
    const { leader } = this;
    for (const pane of this.panes) {
      pane.element.classList.toggle("leading", pane === leader);
      if (pane.measuring.tool) pane.measuring.tool.panel.hidden = pane !== leader;
    }
    const bar = leader?.isShown ? leader.magnifications.element : null;
    if (this.foot.firstChild !== bar) replace(this.foot, bar);
    this.measureName.textContent = leader?.image ? slideName(leader.image) : "";
    this.measureHost.hidden = !this.measureOpen || !leader?.measuring.tool;
    this.measureButton.setAttribute("aria-expanded", String(!this.measureHost.hidden));
  }

  // act applies an action to the leading slide.
  private act(what: (pane: Pane) => void): void {
    const pane = this.leading;
    if (!pane) return;
    this.lead(pane, true);
    what(pane);
  }

  // ready is called for each open slide; the last one starts the comparison.
  private ready(): void {
    if (this.panes.length > 0 && this.panes.every(({ settled }) => settled)) this.arrange();
  }

  // arrange applies the arrangement of the address.
  private arrange(): void {
    const { poses, linked } = parseArrangement(location.hash, this.panes.length);
    this.linked = linked;
    this.renderLink();
    if (!poses) {
      this.fit();
    } else {
      this.whole = false;
      this.panes.forEach((pane, i) => {
        if (pane.isShown) pane.place(poses[i]!);
      });
      this.remember(poses);
      this.limit(fitAll(this.shown.map((pane) => pane.fit()), this.shown.map(({ mpp }) => mpp)));
    }
    measurementsOf(location.hash, this.panes.length).forEach((text, i) => {
      const { image, measuring } = this.panes[i]!;
      if (text && image) void measuring.restore(image, text);
    });
    this.leader ??= this.shown[0] ?? null;
    this.renderLeader();
    this.grid.dataset.ready = "true";
  }

  private fit(): void {
    const { shown } = this;
    if (shown.length === 0 || !this.panes.every(({ settled }) => settled)) return;
    const poses = fitAll(shown.map((pane) => pane.fit()), shown.map(({ mpp }) => mpp));
    this.whole = true;
    shown.forEach((pane, i) => pane.place(poses[i]!));
    shown.forEach((pane, i) => this.references.set(pane, poses[i]!));
    this.limit(poses);
    this.writeAddress();
  }

  // limit lets every slide be zoomed out to a part of the common scale: at that scale a small slide
  // is far smaller than its pane.
  private limit(fits: Pose[]): void {
    const smallest = limits(fits);
    this.shown.forEach(({ view }, i) => view.limit(smallest[i]!));
  }

  private remember(poses: Pose[]): void {
    this.panes.forEach((pane, i) => this.references.set(pane, poses[i]!));
  }

  // sync makes the other slides follow the leading one.
  private sync(): void {
    const { leader } = this;
    const from = leader && this.references.get(leader);
    if (!this.linked || !leader?.isShown || !from) return;
    const to = leader.pose;
    for (const pane of this.shown) {
      const reference = this.references.get(pane);
      if (pane !== leader && reference) pane.place(follow(reference, from, to));
    }
  }

  // setLinked links or unlinks the slides. Linking keeps their current offset.
  private setLinked(linked: boolean): void {
    this.linked = linked;
    this.renderLink();
    notify(linked ? t.compare.linkedNow : t.compare.unlinkedNow);
    const { shown } = this;
    if (linked && shown.length > 0) {
      const leader = Math.max(0, this.leader ? shown.indexOf(this.leader) : 0);
      const poses = sameScale(shown.map(({ pose }) => pose), shown.map(({ mpp }) => mpp), leader);
      shown.forEach((pane, i) => {
        this.references.set(pane, poses[i]!);
        pane.place(poses[i]!);
      });
    }
    this.writeAddress();
  }

  private renderLink(): void {
    const text = this.linked ? t.compare.linked : t.compare.unlinked;
    this.linkButton.setAttribute("aria-pressed", String(this.linked));
    this.linkButton.title = t.compare.linkTitle;
    replace(this.linkButton, icon(this.linked ? "link" : "unlink", 18), h("span", null, text));
  }

  private writeAddress(): void {
    if (this.signal.aborted) return;
    setBusy(this, true);
    clearTimeout(this.writing);
    this.writing = window.setTimeout(() => {
      setBusy(this, false);
      if (this.grid.dataset.ready !== "true") return;
      const poses = this.panes.map((pane): Pose => (pane.isShown ? pane.pose : { x: 0, y: 0, scale: 1, rotation: 0 }));
      const upright = poses.every(({ rotation }) => rotation === 0);
      this.written = withParts(formatArrangement({ poses: this.whole && upright ? null : poses, linked: this.linked }), formatSeveral(this.panes.map(({ measuring }) => measuring.text)));
      replaceAddress(location.pathname + location.search + this.written);
    }, 200);
  }

  private listenToKeys(): void {
    listenToKeys({
      pan: (x, y) => this.act((pane) => pane.view.panBy(x, y)),
      zoom: (factor) => this.act((pane) => pane.view.zoomBy(factor)),
      fit: () => this.fit(),
      magnification: (n) => this.act((pane) => pane.magnifications.press(n)),
      rotate: (degrees) => this.act((pane) => {
        pane.view.rotateBy(degrees);
        announce(`${t.viewer.rotate} ${t.viewer.angle(Math.round(pane.view.targetRotation))}`);
      }),
      pictures: () => this.setLinked(!this.linked), // l
      minimap: () => this.toggleOverviews(),
      distance: () => void this.measure("distance"),
      area: () => void this.measure("area"),
      link: () => this.copyLink(),
      snapshot: () => void this.saveSnapshot(),
      escape: () => this.escape(),
      help: () => openHelp(t.compare.keys),
    }, this.signal);
  }

  private toggleOverviews(): void {
    const [first, ...rest] = this.panes;
    first?.overview.toggle();
    for (const { overview } of rest) overview.show(first!.overview.isVisible());
  }

  private get leading(): Pane | undefined {
    return this.leader?.isShown ? this.leader : this.shown[0];
  }

  // measure begins a measurement on the leading slide. Points can be set on the others as well.
  private async measure(kind: MeasurementKind): Promise<void> {
    const { leading } = this;
    if (!leading) return;
    this.lead(leading, false);
    (await leading.measuring.load().catch(() => null))?.start(kind);
  }

  // measureAlso lets the other slides be measured like that of pane.
  private async measureAlso(kind: MeasurementKind | null, pane: Pane): Promise<void> {
    for (const other of this.shown) {
      if (other === pane) continue;
      if (kind === null) other.measuring.tool?.arm(null);
      else (await other.measuring.load().catch(() => null))?.arm(pane.measuring.tool?.isActive ? kind : null);
    }
  }

  private async toggleMeasuring(): Promise<void> {
    const { leading } = this;
    if (!leading) return;
    this.lead(leading, false);
    if (await leading.measuring.load().catch(() => null)) this.openMeasuring(!this.measureOpen);
  }

  private openMeasuring(open: boolean): void {
    this.measureOpen = open;
    // A slide that leads later has its own panel.
    if (open) for (const { measuring } of this.shown) void measuring.load().catch(() => {});
    this.renderLeader();
  }

  private measured(pane: Pane): void {
    this.measureButton.dataset.active = String(this.panes.some(({ measuring }) => measuring.isMarked));
    pane.linkTitle();
    this.writeAddress();
  }

  private async saveSnapshot(): Promise<void> {
    const { shown } = this;
    if (shown.length === 0) return;
    const top = shown[0]!.element.offsetTop;
    const columns = shown.filter(({ element }) => element.offsetTop === top).length;
    const names = shown.map(({ image }) => slideName(image!)).join("_");
    await save(sideBySide(shown.map((pane) => pane.picture()), columns), `${fileName(names).slice(0, longestName)}.png`);
    notify(t.viewer.snapshotSaved);
  }

  private escape(): void {
    if (this.leading?.measuring.tool?.escape()) return;
    if (this.measureOpen) this.openMeasuring(false);
    else goBack("/");
  }

  private copyLink(): void {
    navigator.clipboard?.writeText(location.href).then(() => notify(t.viewer.linkCopied), () => {});
  }
}
