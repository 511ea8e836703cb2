// The comparison page: two to four slides side by side, which move together.

import "../styles/viewer.css";
import "../styles/compare.css";

import { goBack, navigate, replaceAddress, type Page } from "../router";
import { t } from "../strings";
import { setBusy } from "../ui/activity";
import { announce, notify } from "../ui/announce";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { icon, logo } from "../ui/icons";
import { hasModifier } from "../ui/keyboard";
import { message } from "../ui/message";
import { themeButton } from "../ui/theme";
import { openHelp } from "../viewer/help";
import { chooseSlides } from "./chooser";
import { compareAddress, fitAll, follow, formatArrangement, idsOf, mostSlides, parseArrangement, sameScale, type Pose } from "./link";
import { Pane } from "./pane";

const step = 120; // page pixels per arrow key
const fine = 24;

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
  private readonly grid: HTMLElement;
  private readonly linkButton = h("button", { type: "button", class: "step link-button", "aria-pressed": "true", "data-testid": "link", onclick: () => this.setLinked(!this.linked) });

  constructor(root: HTMLElement, private readonly ids: string[], private readonly signal: AbortSignal) {
    document.title = `${t.compare.title} · ${t.name}`;
    const removable = ids.length > 2;
    this.grid = h("div", { class: `compare-grid compare-${ids.length < 2 ? 0 : ids.length}`, "data-testid": "compare" });
    document.documentElement.classList.add("viewing");
    root.append(h("div", { class: "viewer" }, this.header(), h("main", { class: "compare" }, this.grid)));
    if (ids.length >= 2) this.panes = ids.map((id) => new Pane({ id, grid: this.grid, count: ids.length, signal, onReady: () => this.ready(), onRemove: removable ? () => this.use(ids.filter((other) => other !== id)) : null }));
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

  private header(): HTMLElement {
    const some = this.ids.length >= 2;
    return h("header", { class: "bar viewer-bar" },
      iconButton("back", t.compare.back, () => goBack("/")),
      h("h1", { class: "slide-title" }, t.compare.title),
      h("div", { class: "bar-end" },
        some ? this.linkButton : null,
        some ? h("span", { class: "wide-only" }, iconButton("plus", t.viewer.zoomIn, () => this.act((pane) => pane.view.zoomBy(1.5))), iconButton("minus", t.viewer.zoomOut, () => this.act((pane) => pane.view.zoomBy(1 / 1.5)))) : null,
        some ? iconButton("rotateRight", t.viewer.rotateRight, () => this.act((pane) => pane.view.rotateBy(90))) : null,
        some ? h("button", { type: "button", class: "step", title: t.compare.fit, onclick: () => this.fit() }, t.viewer.fit) : null,
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
        pane.stage.addEventListener(event, () => this.lead(pane, event !== "focusin"), { capture: true, passive: true });
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
    document.addEventListener("keydown", (event) => this.onKey(event), { signal });
    window.addEventListener("hashchange", () => {
      if (location.hash !== this.written) this.arrange();
    }, { signal });
  }

  // lead makes the other panes follow pane. moves means that its slide is about to move.
  private lead(pane: Pane, moves: boolean): void {
    if (moves) this.whole = false;
    if (this.leader === pane) return;
    this.leader = pane;
    for (const other of this.panes) other.element.classList.toggle("leading", other === pane);
  }

  // act applies an action to the leading slide.
  private act(what: (pane: Pane) => void): void {
    const pane = this.leader?.isShown ? this.leader : this.shown[0];
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
    }
    this.leader ??= this.shown[0] ?? null;
    this.grid.dataset.ready = "true";
  }

  private fit(): void {
    const { shown } = this;
    if (shown.length === 0 || !this.panes.every(({ settled }) => settled)) return;
    const poses = fitAll(shown.map((pane) => pane.fit()), shown.map(({ mpp }) => mpp));
    this.whole = true;
    shown.forEach((pane, i) => pane.place(poses[i]!));
    shown.forEach((pane, i) => this.references.set(pane, poses[i]!));
    this.writeAddress();
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
      this.written = formatArrangement({ poses: this.whole && upright ? null : poses, linked: this.linked });
      replaceAddress(location.pathname + location.search + this.written);
    }, 200);
  }

  private onKey(event: KeyboardEvent): void {
    if (event.defaultPrevented || hasModifier(event) || document.querySelector("dialog[open]")) return;
    const action = this.actionOf(event);
    if (!action) return;
    event.preventDefault();
    action();
  }

  private actionOf(event: KeyboardEvent): (() => void) | null {
    const distance = event.shiftKey ? fine : step;
    const pan = (x: number, y: number) => () => this.act((pane) => pane.view.panBy(x, y));
    const zoom = (factor: number) => () => this.act((pane) => pane.view.zoomBy(factor));
    const rotate = (degrees: number) => () => this.act((pane) => {
      pane.view.rotateBy(degrees);
      announce(`${t.viewer.rotate} ${t.viewer.angle(Math.round(pane.view.targetRotation))}`);
    });
    switch (event.key) {
      case "ArrowLeft": return pan(-distance, 0);
      case "ArrowRight": return pan(distance, 0);
      case "ArrowUp": return pan(0, -distance);
      case "ArrowDown": return pan(0, distance);
      case "+": case "=": return zoom(1.5);
      case "-": case "_": return zoom(1 / 1.5);
      case "0": return () => this.fit();
      case "r": return rotate(90);
      case "R": return rotate(-90);
      case "[": return rotate(-5);
      case "]": return rotate(5);
      case "{": return rotate(-1);
      case "}": return rotate(1);
      case "l": case "L": return () => this.setLinked(!this.linked);
      case "c": case "C": return () => this.copyLink();
      case "Escape": return () => goBack("/");
      case "?": return () => openHelp(t.compare.keys);
    }
    return null;
  }

  private copyLink(): void {
    navigator.clipboard?.writeText(location.href).then(() => notify(t.viewer.linkCopied), () => {});
  }
}
