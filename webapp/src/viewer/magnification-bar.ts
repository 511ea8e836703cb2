// Buttons for the magnifications of a slide, and its current magnification.

import { t } from "../strings";
import { announce, notify } from "../ui/announce";
import { h, replace } from "../ui/dom";
import { availableSteps, formatMagnification, formatPercent, magnificationSteps, pixelSteps } from "./magnification";
import type { SlideView } from "./slide-view";

export interface MagnificationBar {
  element: HTMLElement;
  press: (n: number) => void; // the nth button, from 1: for the number keys
}

// magnificationBar creates the buttons. fit shows the entire slide.
export function magnificationBar(view: SlideView, fit = (): void => view.fit()): MagnificationBar {
  const current = h("output", { class: "current", "data-testid": "magnification" });
  const steps = h("div", { class: "steps" });
  const element = h("div", { class: "magnifications float", role: "group", "aria-label": t.viewer.magnifications }, current, steps);
  let buttons: { button: HTMLButtonElement; scale: number }[] = [];

  const go = (scale: number, text: string): void => {
    view.setScale(scale);
    announce(t.viewer.view(text));
  };

  const build = (): void => {
    const { full } = view;
    const offered = full
      ? availableSteps(full).map((power) => ({ scale: power / full.power, text: formatMagnification(power) }))
      : pixelSteps.map((scale) => ({ scale, text: formatPercent(scale) }));
    buttons = offered.map(({ scale, text }) => ({
      scale,
      button: h("button", { type: "button", class: "step", title: t.viewer.magnification(text), "aria-pressed": "false", onclick: () => go(scale, text) }, text),
    }));
    const entire = h("button", { type: "button", class: "step", title: t.viewer.fitTitle, onclick: fit }, t.viewer.fit);
    replace(steps, entire, ...buttons.map(({ button }) => button));
    element.classList.toggle("derived", full?.derived ?? false);
  };

  const update = (): void => {
    if (!view.image) return;
    const { scale, full } = view;
    const text = full ? `${full.derived ? "≈ " : ""}${formatMagnification(scale * full.power)}` : formatPercent(scale);
    if (current.textContent !== text) {
      current.textContent = text;
      current.title = [full?.derived ? t.viewer.derivedScale : "", scale > 1.001 ? t.viewer.beyond : ""].filter(Boolean).join(" · ");
    }
    current.classList.toggle("beyond", scale > 1.001);
    for (const { button, scale: wanted } of buttons) {
      const pressed = Math.abs(view.targetScale / wanted - 1) < 0.005;
      if ((button.getAttribute("aria-pressed") === "true") !== pressed) button.setAttribute("aria-pressed", String(pressed));
    }
  };

  view.onOpen(build);
  view.onOpen(update);
  view.onFrame(update);

  return {
    element,
    press: (n) => {
      const found = buttons[n - 1];
      if (found) {
        found.button.click();
      } else if (view.full && magnificationSteps[n - 1]) {
        notify(t.viewer.tooMuch(formatMagnification(magnificationSteps[n - 1]!), formatMagnification(view.full.power)));
      }
    },
  };
}
