// The panel beside the stage: label and macro, and details.

import { isLabelled } from "../access/session";
import type { SlideImage } from "../api/types";
import { t } from "../strings";
import { iconButton } from "../ui/button";
import { h, replace } from "../ui/dom";
import { remember, remembered } from "../ui/remember";
import { details } from "./details";
import { pictureKinds, pictures } from "./associated-images";

export type Tab = "pictures" | "details";

const wideEnough = "(min-width: 1180px)"; // minimum width of the window at which the panel is open initially

export class Panel {
  readonly element: HTMLElement;
  private readonly tabs: Record<Tab, HTMLButtonElement>;
  private readonly body: Record<Tab, HTMLElement>;
  private tab: Tab;

  // actions are what the user may do with the image, below its details.
  private readonly actions = h("div", { class: "details-actions", "data-testid": "slide-actions" });

  // changed is called when the panel opens or closes.
  constructor(private readonly changed: () => void) {
    this.tab = remembered("panel.tab") === "details" ? "details" : "pictures";
    this.tabs = { pictures: this.tabButton("pictures", t.viewer.panelImages), details: this.tabButton("details", t.viewer.panelDetails) };
    this.body = { pictures: this.tabPanel("pictures"), details: this.tabPanel("details") };
    this.element = h(
      "aside",
      { class: "panel", "aria-label": t.viewer.panel, "data-own-arrows": true },
      h("div", { class: "panel-head" }, h("div", { class: "tabs", role: "tablist", "aria-label": t.viewer.panel, onkeydown: (event: KeyboardEvent) => this.onKey(event) }, this.tabs.pictures, this.tabs.details), iconButton("close", t.close, () => this.toggle(false))),
      this.body.pictures,
      this.body.details,
    );
    const chosen = remembered("panel");
    this.element.hidden = !(matchMedia(wideEnough).matches ? chosen !== "false" : false);
    this.select(this.tab);
  }

  get isOpen(): boolean {
    return !this.element.hidden;
  }

  setImage(image: SlideImage): void {
    this.tabs.pictures.hidden = !isLabelled(image); // not for callers without permission to see the label
    replace(this.body.pictures, pictures(image));
    replace(this.body.details, details(image), this.actions);
    // A slide without images starts with its details; the choice is kept for other slides.
    this.select(pictureKinds(image).length > 0 && !this.tabs.pictures.hidden ? this.tab : "details");
  }

  // setActions shows buttons below the details.
  setActions(...buttons: HTMLElement[]): void {
    replace(this.actions, ...buttons);
  }

  // clear removes the content, for a slide that the caller cannot see (any more).
  clear(): void {
    for (const body of Object.values(this.body)) replace(body);
    this.element.hidden = true;
    this.changed();
  }

  toggle(open = !this.isOpen): void {
    if (open === this.isOpen) return;
    this.element.hidden = !open;
    if (matchMedia(wideEnough).matches) remember("panel", String(open));
    this.changed();
  }

  // showTab opens the panel at a tab, or closes it if that tab is open.
  showTab(tab: Tab): void {
    if (this.tabs[tab].hidden) return;
    if (this.isOpen && this.tab === tab) {
      this.toggle(false);
      return;
    }
    this.choose(tab);
    this.toggle(true);
  }

  private choose(tab: Tab): void {
    remember("panel.tab", tab);
    this.select(tab);
  }

  private select(tab: Tab): void {
    this.tab = tab;
    for (const name of ["pictures", "details"] as const) {
      const chosen = name === tab;
      this.tabs[name].setAttribute("aria-selected", String(chosen));
      this.tabs[name].tabIndex = chosen ? 0 : -1;
      this.body[name].hidden = !chosen;
    }
  }

  private tabButton(name: Tab, text: string): HTMLButtonElement {
    return h("button", { type: "button", role: "tab", id: `tab-${name}`, "aria-controls": `panel-${name}`, onclick: () => this.choose(name) }, text);
  }

  private tabPanel(name: Tab): HTMLElement {
    return h("div", { class: "panel-body", role: "tabpanel", id: `panel-${name}`, "aria-labelledby": `tab-${name}`, tabindex: "0" });
  }

  private onKey(event: KeyboardEvent): void {
    if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
    event.preventDefault();
    const other = this.tab === "pictures" ? "details" : "pictures";
    if (this.tabs[other].hidden) return;
    this.choose(other);
    this.tabs[other].focus();
  }
}
